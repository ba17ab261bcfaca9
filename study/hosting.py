"""From a study file to what the web server is told."""

from __future__ import annotations

from study.designs import DESIGNS
from study.server.settings import Scale, ScreenRequirements, ServerSettings, Words
from study.specification import Specification


def words_of(specification: Specification) -> Words:
    """What raters read."""
    wording = specification.wording
    return Words(
        title=specification.title,
        consent=specification.consent.text,
        consent_version=specification.consent.version,
        questions=specification.question_texts(),
        instructions=wording.instructions,
        debrief=wording.debrief,
        contact=wording.contact,
        labels=specification.answer_labels(),
        best=wording.best,
        worst=wording.worst,
        right=wording.right,
        wrong=wording.wrong,
        scales=tuple(Scale(one.name, one.question, one.labels) for one in specification.worded_scales()),
        page=specification.page_texts(),
        language=wording.language,
    )


def screen_of(specification: Specification) -> ScreenRequirements:
    """What their screens must have."""
    block = specification.screen
    return ScreenRequirements(block.width, block.height, block.colour_depth, block.zoom, block.card)


def server_settings(specification: Specification, key: bytes) -> ServerSettings:
    """All that the server needs of the study file; codes, origins and addresses are the caller's to add.

    Args:
        key: secret of this installation, ``study.pseudonyms.secret_key()``.
    """
    return ServerSettings(
        study=specification.name,
        design=DESIGNS.get(specification.design),
        design_settings=specification.settings(),
        words=words_of(specification),
        key=key,
        screen=screen_of(specification),
        provider=specification.payment.provider,
    )

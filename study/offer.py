"""From a study file to what a marketplace is told."""

from __future__ import annotations

import math

from recon.errors import UsageError
from study import ledger
from study.costs import estimate
from study.database import StudyRow
from study.providers.contract import Posting
from study.specification import specification_from

# Marketplaces take work back from raters who need longer; nobody should lose it for a phone call.
_TIMES_ALLOWED = 4
_LEAST_MINUTES_ALLOWED = 30


def posting_of(
    study: StudyRow, url: str, *, description: str = "", completion_code: str = "", screen_out_code: str = ""
) -> Posting:
    """The whole study as one offer; its token follows from the study, so that offering it again finds it.

    Args:
        url: where the study is served, https.
        description: read by raters before they take it; empty for the study's title.
        completion_code, screen_out_code: those that ``mesoface study serve`` was given.

    Raises:
        UsageError: Prolific needs a code.
        InputError: the study was entered by another version of mesoface.
    """
    if study.provider == "prolific" and not completion_code:
        raise UsageError("raters of Prolific hand in a code: give --completion-code, the same as to 'study serve'.")
    specification = specification_from(study.specification)
    payment = specification.payment
    minutes = math.ceil(estimate(specification).minutes)
    return Posting(
        study=study.name,
        token=ledger.request_token(study, "posting"),
        title=specification.title,
        description=description or specification.title,
        url=url,
        places=specification.raters,
        reward_cents=payment.reward,
        currency=study.currency,
        minutes=minutes,
        minutes_allowed=max(_LEAST_MINUTES_ALLOWED, _TIMES_ALLOWED * minutes),
        completion_code=completion_code,
        screen_out_code=screen_out_code,
        screen_out_cents=payment.screen_out,
        screen_out_places=payment.screen_out_raters,
        # Raters of our own may well open a page of this machine.
        options={"allow_http": True} if study.provider == "local" else payment.options,
    )

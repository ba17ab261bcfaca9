"""Making the stimuli of a study from runs: one subject at a time, each picture once.

Every picture follows from a *recipe*: the bytes that it is made from, the order, the code and the encoder. A picture
whose recipe was carried out before is kept; so a build may be stopped at any point and continued, and one that is
repeated changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from recon.code_version import code_version
from recon.colour import linear_to_srgb
from recon.data.protocols import parse_protocol
from recon.errors import InputError
from recon.progress import Progress
from recon.runs.lock import locked
from recon.storage import atomic_path, read_json, remove_partials, write_json
from study.contract import PHOTOGRAPH, Stimulus
from study.stimuli.catalogue import (
    MADE,
    PICTURES,
    Catalogue,
    Gap,
    is_whole,
    picture_of,
    stimulus_from,
    write_catalogue,
)
from study.stimuli.encoding import MEDIA_TYPES, encoded, encoder
from study.stimuli.frame import averaged
from study.stimuli.lot import drawn_people
from study.stimuli.material import Material, Person, people_of
from study.stimuli.order import StimuliOrder, sources_of

# The modules that decide the value of a pixel.
_DECIDING = ("encoding", "face", "frame", "gold", "material", "split_face")


@dataclass(frozen=True)
class _Wanted:
    """One stimulus: of whom, under which condition, spoilt or not."""

    person: Person
    condition: str
    degraded: bool = False

    @property
    def name(self) -> str:
        return f"{self.condition}, degraded" if self.degraded else self.condition


def build_stimuli(order: StimuliOrder, folder: Path, progress: Progress) -> tuple[Stimulus, ...]:
    """Make the stimuli that the study folder lacks, and its ``stimuli.json``; may be stopped and called again.

    What cannot be made is a gap of the catalogue with its reason (:func:`study.stimuli.catalogue.read_catalogue`) and
    stops nothing else. Pictures of an earlier order stay: a study that runs may show them.

    Args:
        folder: the study folder.
        progress: called with pictures done and their number.

    Raises:
        UsageError: not a run, or a method, protocol or subject that it does not have.
        InputError: not a single stimulus can be made.
        StorageError: the disk is full or cannot be written.
    """
    sources = sources_of(order)
    with locked(folder / MADE / "lock", f"'{folder}'"):
        for name in (PICTURES, MADE):  # what a build that was killed left
            remove_partials(folder / name)
        people = drawn_people(order, people_of(order, sources))
        how = encoder(order.format, order.quality)
        total = len(people) * (len(order.shown) + order.gold)
        made: list[Stimulus] = []
        gaps: list[Gap] = []
        for person in people:
            for outcome in _of_person(order, folder, person, how):
                made += [outcome] if isinstance(outcome, Stimulus) else []
                gaps += [outcome] if isinstance(outcome, Gap) else []
                progress(len(made) + len(gaps), total)
        if not made:
            reasons = "; ".join(dict.fromkeys(gap.reason for gap in gaps))
            raise InputError(f"not one stimulus could be made: {reasons}.")
        write_catalogue(folder, _catalogue(order, how, people, made, gaps))
    return tuple(made)


def _catalogue(
    order: StimuliOrder, how: Mapping[str, Any], people: Sequence[Person], made: Sequence[Stimulus], gaps: Sequence[Gap]
) -> Catalogue:
    record = {**asdict(order), "runs": [str(path) for path in order.runs]}
    seen = {stimulus.subject for stimulus in made}
    there = [person for person in people if person.subject in seen]
    return Catalogue(
        order=record,
        encoder=how,
        stimuli=tuple(made),
        gaps=tuple(gaps),
        notes=tuple(note for person in there for note in person.notes),
        restricted=tuple(person.subject for person in there if person.restricted),
    )


def _of_person(order: StimuliOrder, folder: Path, person: Person, how: Mapping[str, Any]) -> Iterator[Stimulus | Gap]:
    """The stimuli of a subject; pictures are decoded only where one is missing."""
    wanted = [_Wanted(person, condition) for condition in order.shown]
    wanted += [_Wanted(person, PHOTOGRAPH, degraded=True)] if order.gold else []
    material = Material(order, person)
    found: dict[str, str] = {}
    for one in wanted:
        reason = person.refused or person.missing.get(one.condition, "")
        try:
            if reason:
                raise InputError(reason)
            stimulus = _kept(order, folder, one, how) or _make(order, folder, one, how, material)
            twin = found.setdefault(stimulus.sha256, one.name)
            if twin != one.name:
                raise InputError(f"it is the same picture as '{twin}', which nobody can tell from it")
        except InputError as error:
            yield Gap(person.subject, one.name, str(error))
        else:
            yield stimulus


def _recipe(order: StimuliOrder, one: _Wanted, how: Mapping[str, Any]) -> dict[str, Any]:
    """All that a stimulus follows from, in the types of JSON."""
    about = ("composition", "view", "width", "height", "seam", "match_colour")
    return {
        "order": {name: getattr(order, name) for name in about},
        "protocol": parse_protocol(order.protocol).name,
        "person": one.person.identity,
        "condition": one.condition,
        "degraded": one.degraded,
        # The pixels that are replaced are common to all conditions, so all of them decide.
        "results": {name: result.sha256 for name, result in sorted(one.person.results.items())},
        "encoder": dict(how),
        "code": _code(),
    }


@lru_cache(maxsize=1)
def _code() -> list[str]:
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / f"{name}.py").read_bytes() for name in _DECIDING))
    return [digest.hexdigest()[:12], *(code_version(name) for name in ("recon.colour", "recon.images"))]


def _record_of(order: StimuliOrder, folder: Path, one: _Wanted, how: Mapping[str, Any]) -> Path:
    recipe = json.dumps(_recipe(order, one, how), sort_keys=True)
    return folder / MADE / f"{hashlib.sha256(recipe.encode()).hexdigest()}.json"


def _kept(order: StimuliOrder, folder: Path, one: _Wanted, how: Mapping[str, Any]) -> Stimulus | None:
    """The stimulus of an earlier build, if it is there with all its bytes."""
    record = _record_of(order, folder, one, how)
    if not record.is_file():
        return None
    try:
        stimulus = stimulus_from(read_json(record))
    except (InputError, KeyError, TypeError, ValueError):  # made anew, as any other that is not there
        return None
    return stimulus if is_whole(folder, stimulus) else None


def _make(order: StimuliOrder, folder: Path, one: _Wanted, how: Mapping[str, Any], material: Material) -> Stimulus:
    """Compose, size, encode and write one stimulus; its record comes last."""
    linear = averaged(material.composed(one.condition, one.degraded), (order.width, order.height))
    content = encoded(linear_to_srgb(linear), how)
    person = one.person
    stimulus = Stimulus(
        sha256=hashlib.sha256(content).hexdigest(),
        media_type=MEDIA_TYPES[order.format],
        width=order.width,
        height=order.height,
        composition=order.composition,
        condition=one.condition,
        subject=person.subject,
        run=person.run_of(one.condition),
        protocol=parse_protocol(order.protocol).name,
        view=order.view,
        licence=person.licence,
        degraded=one.degraded,
        result=person.source_of(one.condition),
    )
    path = picture_of(folder, stimulus)
    if not is_whole(folder, stimulus):
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    write_json(_record_of(order, folder, one, how), asdict(stimulus))
    return stimulus

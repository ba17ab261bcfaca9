"""A ready study file made to fit the people and methods that a run has: what a new study starts with.

A ready file asks for a published study's people and trials; a small run has fewer, or photographs too small for its
pictures. What is changed for that is said in sentences, and nothing that can be launched as it is is changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recon.errors import InputError, MesofaceError, UsageError
from recon.runs.folder import RunFolder
from study.check import stand_ins
from study.contract import PHOTOGRAPH
from study.costs import estimate
from study.designs import DESIGNS
from study.ready_files import changed, ready
from study.specification import Specification, specification_from
from study.stimuli.lot import why_not_shown
from study.stimuli.material import Person, people_of
from study.stimuli.order import SMALLEST_SIDE, StimuliOrder, sources_of

# Of a large run these are looked at: enough for every ready file, and read in well under a second.
MOST_LOOKED_AT = 60
SMALLEST_WIDTH = 240
"""Narrower pictures show little detail of skin: they are suggested only where nobody could be shown otherwise."""
_WIDTH_STEP = 40
# One in so many is kept for training, so that a small run has people left for main trials.
_TRAINED_OF = 4
_LEAVE = (
    "The licences of this run's people do not allow passing pictures on: only stimuli.allow_restricted lets a study "
    "show them, and only to raters in your own laboratory."
)
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MINUTES = re.compile(r"about (?:(\d+)|([a-z]+)) minutes?\b")
# The form begins with raters of one's own, who come through no marketplace.
_OF_MARKETPLACE = re.compile(r"The id that the\s+marketplace gives you is needed to pay you,[^.]*\.")
_OF_LINK = "If your link names you, only a pseudonym of that name is kept."
_SHOWN = re.compile(
    r"\b(?:about )?(?:\d+|[a-z]+) (pictures of faces|pairs of pictures|sets of pictures|pictures)(?=\s)"
)


@dataclass(frozen=True)
class Suggestion:
    """What the form starts with.

    Attributes:
        changes: of the ready file, by dotted field.
        said: what was made to fit, and why, in sentences.
        needs_leave: nobody can be shown unless a person sets ``stimuli.allow_restricted``.
    """

    changes: Mapping[str, Any]
    said: tuple[str, ...] = ()
    needs_leave: bool = False


@dataclass(frozen=True)
class _Run:
    """A run, as far as studies of it follow from it."""

    path: Path
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    subjects: tuple[str, ...]


def suggestion(run: Path, example: str) -> Suggestion:
    """For a study of the run folder ``run`` after the ready file ``example``.

    Raises:
        InputError, UsageError: it is no run folder, or a broken one.
    """
    config = RunFolder(run).read_config()
    of = _Run(run, tuple(config["methods"]), tuple(config["protocols"]), tuple(config["subjects"]))
    base = ready(example)
    changes: dict[str, Any] = {"conditions": _conditions(of, base), "stimuli.runs": [str(run)]}
    changes["stimuli.protocol"] = _protocol(of, base)
    said: list[str] = []
    shown = _shown(of, base, changes, said)
    changes |= _people(of, base, shown, said)
    changes |= _trials(example, changes, said)
    del changes["stimuli.runs"]  # how it is named follows from where the study file lies
    return Suggestion({"payment.provider": "local", "payment.account": None, **changes}, tuple(said), _LEAVE in said)


def _conditions(run: _Run, base: Mapping[str, Any]) -> list[str]:
    """Those of the ready file that the run has, and at least three methods of the run where it has so many."""
    wanted = base["conditions"]
    methods = [name for name in wanted if name in run.methods]
    methods += [name for name in run.methods if name not in methods][: max(0, min(3, len(run.methods)) - len(methods))]
    alone = len(methods) == 1 and base["design"] in ("pairwise", "ranking")  # what is compared needs another
    return [PHOTOGRAPH] * (PHOTOGRAPH in wanted or alone) + methods


def _protocol(run: _Run, base: Mapping[str, Any]) -> str:
    """That of the ready file where the run has it, else the first that the design can show."""
    wanted = base["stimuli"].get("protocol", "identity")
    able = [name for name in run.protocols if not (base["design"] == "split-face" and name == "occlude:right")]
    return wanted if wanted in run.protocols else (able or [*run.protocols, wanted])[0]


def _order(run: _Run, base: Mapping[str, Any], changes: Mapping[str, Any], people: Sequence[str]) -> StimuliOrder:
    block = base["stimuli"]
    return StimuliOrder(
        runs=(run.path,),
        conditions=tuple(changes["conditions"]),
        protocol=changes["stimuli.protocol"],
        subjects=tuple(people),
        composition=DESIGNS.get(base["design"]).composition,
        width=block.get("width", StimuliOrder.width),
        height=block.get("height", StimuliOrder.height),
    )


def _shown(run: _Run, base: Mapping[str, Any], changes: dict[str, Any], said: list[str]) -> list[str]:
    """Who can be shown, with pictures as large as that allows; sets their size, and says where a leave is needed."""
    looked_at = run.subjects[-MOST_LOOKED_AT:]
    try:
        order = _order(run, base, changes, looked_at)
        found = people_of(order, sources_of(order))
        if found and all(person.restricted for person in found):
            order = replace(order, allow_restricted=True)
            found = people_of(order, sources_of(order))
            said.append(_LEAVE)
    except (InputError, UsageError):  # the check says it, in the words of whatever the form says then
        return list(looked_at)
    wanted = int(base["stimuli"].get("people") or 12) + len(base["stimuli"].get("training_subjects", ()))
    size = _largest(order, found, min(wanted, len(found)))
    if size != (order.width, order.height):
        changes["stimuli.width"], changes["stimuli.height"] = size
        said.append(
            f"Pictures are {size[0]}×{size[1]} pixels instead of {order.width}×{order.height}: faces of this run's "
            "photographs are no larger, and are never enlarged."
        )
    reasons = {person.subject: why_not_shown(_sized(order, size), person) for person in found}
    out = Counter(reason for reason in reasons.values() if reason)
    if out:
        reason, _ = out.most_common(1)[0]
        names = [name for name, why in reasons.items() if why]
        some = ", ".join(names[:3]) + f" and {len(names) - 3} more" * (len(names) > 3)
        said.append(f"{len(names)} of {len(found)} people cannot be shown ({some}): {reason.rstrip('.')}.")
    return [name for name in looked_at if not reasons.get(name)]


def _sized(order: StimuliOrder, size: tuple[int, int]) -> StimuliOrder:
    return replace(order, width=size[0], height=size[1])


def _largest(order: StimuliOrder, people: Sequence[Person], wanted: int) -> tuple[int, int]:
    """The largest size, not above the order's, at which ``wanted`` people can be shown, or else the most of them."""
    widths = [order.width, *range(order.width - 1 - (order.width - 1) % _WIDTH_STEP, SMALLEST_SIDE, -_WIDTH_STEP)]
    best, most = (order.width, order.height), -1
    for width in widths:
        if width < SMALLEST_WIDTH and most > 0:
            break
        size = width, round(width * order.height / order.width)
        count = sum(not why_not_shown(_sized(order, size), person) for person in people)
        if count > most:
            best, most = size, count
        if count >= wanted:
            break
    return best


def _people(run: _Run, base: Mapping[str, Any], shown: Sequence[str], said: list[str]) -> dict[str, Any]:
    block = base["stimuli"]
    wanted, trained = int(block.get("people") or 12), len(block.get("training_subjects", ()))
    there = len(shown) + len(run.subjects) - len(run.subjects[-MOST_LOOKED_AT:])
    if there < wanted + trained:
        trained = min(trained, 0 if there < 3 else max(1, there // _TRAINED_OF))
        if there - trained < wanted:
            said.append(
                f"{max(there - trained, 0)} people instead of {wanted}"
                + f", and {trained} kept for training" * bool(trained)
                + ": a run of more people lets a study say more."
            )
    people = max(1, min(wanted, there - trained))
    return {"stimuli.people": people, "stimuli.training_subjects": list(shown[len(shown) - trained :]) or None}


def _trials(example: str, changes: Mapping[str, Any], said: list[str]) -> dict[str, Any]:
    """As many main trials as the ready file has, or the most that these people allow."""
    base = ready(example)
    given: dict[str, Any] = {
        f"trials.{name}": int(base["trials"].get(name, 0)) for name in ("main", "gold", "attention", "training")
    }
    if changes["stimuli.training_subjects"] is None:
        given["trials.training"] = 0
    found = _specification(example, {**changes, **given})
    if found is None:
        return given
    design, pictures = DESIGNS.get(found.design), stand_ins(found, DESIGNS.get(found.design), found.stimuli.people or 1)

    def stands(count: int) -> bool:
        return not design.check(replace(found.settings(), trials_per_rater=count), pictures)

    most = next((count for count in range(found.trials.main, 0, -1) if stands(count)), found.trials.main)
    if most != found.trials.main:
        said.append(f"{most} trials a rater instead of {found.trials.main}: nobody sees a picture twice.")
        given["trials.main"] = most
    fitted = _specification(example, {**changes, **given})
    if fitted is not None:
        given["consent.text"] = honest_consent(fitted, counted=given["trials.main"] != base["trials"]["main"])
    return given


def _specification(example: str, changes: Mapping[str, Any]) -> Specification | None:
    try:
        return specification_from(changed(ready(example), changes))
    except MesofaceError:  # whoever takes the suggestion hears what is wrong with what it says
        return None


def honest_consent(asked: Specification, *, counted: bool) -> str:
    """The consent for raters of one's own; ``counted``: with the trials and minutes that the study has."""
    own = _OF_MARKETPLACE.sub(_OF_LINK, asked.consent.text)
    if not counted:
        return own
    costs = estimate(asked)
    minutes = max(1, round(costs.minutes))
    text = _MINUTES.sub(f"about {minutes} minute{'s' * (minutes > 1)}", own)
    return _SHOWN.sub(rf"{costs.trials} \1", text, count=1)


def minutes_in(consent: str) -> int | None:
    """The minutes that a consent speaks of; None where it names none."""
    found = _MINUTES.search(consent)
    if found is None:
        return None
    digits, word = found.groups()
    return int(digits) if digits else _NUMBERS.index(word) if word in _NUMBERS else None

"""Whether a study can be run as its file says: layout, time and cost, and what difference it would detect.

Where the pictures are built already (``stimuli.json`` beside the study file) these are laid out; else stand-ins of the
same number, and the check says so.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import UsageError
from recon.runs.folder import RunFolder
from study.contract import PHOTOGRAPH, Design, DesignSettings, Stimulus, Trial
from study.costs import Costs, advice_on_costs, estimate, objections_to_costs
from study.designs import DESIGNS
from study.specification import Specification, read_specification

if TYPE_CHECKING:
    from study.analysis.power import DetectableDifference

# Slots that are laid out: balance and power of more are those of these.
MOST_SLOTS = 1000
SIMULATIONS = 400
# For which the number of raters is told: of shares a tenth, of mean scores half a point.
ASKED_DIFFERENCE = {"real-or-fake": 0.1, "choice": 0.1, "ranking": 0.1, "scales": 0.5}
# Of the order of pictures, what raters would see.
AS_BUILT = ("composition", "protocol", "view", "width", "height", "format", "quality", "seam", "match_colour")


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        pictures: what was laid out, in words.
        objections: what stands against running the study; with one of these it must not be launched.
        notes: what should be known.
        costs: time and money.
        sessions: the slots that were laid out; empty where an objection prevents it.
        views: how often a competing picture is shown in main trials of these slots, least and most.
        power: what the study would detect; None where ``power_reason`` says why not.
        raters_needed: a difference, of ``ASKED_DIFFERENCE``, and how many raters detect it as probably; None where that
            cannot be told.
    """

    specification: Specification
    pictures: str
    objections: tuple[str, ...]
    notes: tuple[str, ...]
    costs: Costs
    sessions: tuple[tuple[Trial, ...], ...] = ()
    views: tuple[int, int] = (0, 0)
    power: DetectableDifference | None = None
    power_reason: str = ""
    raters_needed: tuple[float, int] | None = None


def check_study(path: Path, simulations: int = SIMULATIONS) -> Checked:
    """Checks the study file ``path``.

    Args:
        simulations: studies that the power simulation runs for every difference that it tries; 0 to leave it out.

    Raises:
        InputError: the file cannot be read, or its pictures are damaged.
        UsageError: its provider's fees are not known.
    """
    specification = read_specification(path)
    design, settings = DESIGNS.get(specification.design), specification.settings()
    stimuli, pictures = _stimuli(specification, design, path.parent)
    costs = estimate(specification)
    against = [*objections_to_costs(specification, costs), *_order(specification, path.parent)]
    found = Checked(specification, pictures, tuple(against), advice_on_costs(specification, costs), costs)
    if not stimuli:
        return replace(found, power_reason=f"not computed: {pictures}")
    layout = (*objections_to_people(specification, stimuli), *design.check(settings, stimuli))
    if layout:
        reason = "not computed: the trials cannot be laid out"
        return replace(found, objections=(*found.objections, *layout), power_reason=reason)
    sessions = tuple(design.plan(settings, stimuli, slot) for slot in range(min(specification.raters, MOST_SLOTS)))
    found = _with_power(found, design, sessions, stimuli, simulations)
    return replace(
        found,
        objections=(*found.objections, *_questions(specification, sessions)),
        sessions=sessions,
        views=_views(settings, sessions, stimuli),
    )


def _order(specification: Specification, folder: Path) -> list[str]:
    """Whether the pictures can be ordered so, of the runs that are there, and those that are made were."""
    from study.stimuli.order import sources_of

    try:
        order = specification.stimuli_order(folder)
        if all((run / "run.json").is_file() for run in order.runs):
            sources_of(order)
    except UsageError as error:
        return [str(error)]
    if not (folder / "stimuli.json").is_file():
        return []
    from study.stimuli import read_catalogue

    built = read_catalogue(folder).order
    return [
        f"the pictures were made with {name} {built.get(name)}, and the study file says {getattr(order, name)}: make "
        "them again."
        for name in (*AS_BUILT, *["seed"] * (None not in (order.people, built.get("people"))))
        if built.get(name) != getattr(order, name)
    ]


def _stimuli(specification: Specification, design: Design, folder: Path) -> tuple[tuple[Stimulus, ...], str]:
    """The pictures that are there, or stand-ins; and in words which."""
    if (folder / "stimuli.json").is_file():
        from study.stimuli import read_catalogue

        found = read_catalogue(folder).stimuli
        return found, f"{len(found)} pictures of '{folder / 'stimuli.json'}'"
    people, whence = _expected_people(specification, folder)
    if not people:
        return (), f"there are no pictures yet, and {whence}"
    return stand_ins(
        specification, design, people
    ), f"not built yet; checked with stand-ins of {people} people, {whence}"


def _expected_people(specification: Specification, folder: Path) -> tuple[int, str]:
    """How many people main trials will show, and who says so."""
    block = specification.stimuli
    if block.people is not None:
        return block.people, "as stimuli.people says"
    if block.subjects:
        return len({*block.subjects}), "those of stimuli.subjects"
    runs = [RunFolder(run) for run in specification.run_folders(folder)]
    missing = [run.path for run in runs if not run.config.is_file()]
    if missing:
        return 0, f"the run '{missing[0]}' is not there to count people: say stimuli.people"
    names = {name for run in runs for name in run.read_config()["subjects"]} - {*block.training_subjects}
    return len(names), "all whom the runs have"


def stand_ins(specification: Specification, design: Design, people: int) -> tuple[Stimulus, ...]:
    """Stimuli without pictures, of as many people and of all conditions, each with a spoilt copy."""
    block = specification.stimuli
    subjects = [f"person {number}" for number in range(people)] + [*block.training_subjects]
    conditions = [*dict.fromkeys([*specification.conditions, PHOTOGRAPH])]
    wanted = [(subject, name, False) for subject in subjects for name in conditions]
    wanted += [(subject, PHOTOGRAPH, True) for subject in subjects]
    return tuple(
        Stimulus(
            sha256=hashlib.sha256("\x1f".join(map(str, one)).encode()).hexdigest(),
            media_type=f"image/{block.format}",
            width=block.width,
            height=block.height,
            composition=design.composition,
            condition=one[1],
            subject=one[0],
            run="",
            protocol=block.protocol,
            view=block.view,
            licence="",
            degraded=one[2],
        )
        for one in wanted
    )


def objections_to_people(specification: Specification, stimuli: Sequence[Stimulus]) -> list[str]:
    """What stands against pictures that show another number of people than the study file says."""
    kept = {*specification.stimuli.training_subjects}
    found = len({stimulus.subject for stimulus in stimuli} - kept)
    wanted = specification.stimuli.people
    if wanted is None or wanted == found:
        return []
    mend = "'mesoface study stimuli' makes them again and says what is missing; else change the number."
    return [f"stimuli.people is {wanted}, and the pictures show {found}: {mend}"]


def _questions(specification: Specification, sessions: Sequence[Sequence[Trial]]) -> list[str]:
    asked = {trial.question for session in sessions for trial in session}
    lacking = sorted(asked - {*specification.question_texts()})
    return [f"the question '{name}' has no text: give it under wording.questions." for name in lacking]


def _views(
    settings: DesignSettings, sessions: Sequence[Sequence[Trial]], stimuli: Sequence[Stimulus]
) -> tuple[int, int]:
    competing = {s.sha256 for s in stimuli if not s.degraded and s.condition in settings.conditions}
    kept = {*settings.options.get("training_subjects", ())}
    competing -= {s.sha256 for s in stimuli if s.subject in kept}
    condition = {s.sha256: s.condition for s in stimuli}
    seen = Counter(sha for session in sessions for trial in session if trial.part == "main" for sha in trial.shown)
    # Photographs of a real-or-fake study stand in half of the trials: they are no measure of balance.
    counts = [seen[sha] for sha in competing if condition[sha] != PHOTOGRAPH] or [seen[sha] for sha in competing]
    return min(counts), max(counts)


def _with_power(
    found: Checked,
    design: Design,
    sessions: Sequence[Sequence[Trial]],
    stimuli: Sequence[Stimulus],
    simulations: int,
) -> Checked:
    if not simulations:
        return replace(found, power_reason="not computed: no simulations were asked for")
    from study.analysis.power import ASSUMED, detectable_difference, plan_from_trials, raters_needed

    asked, variation = found.specification, ASSUMED
    if asked.scales:
        variation = replace(ASSUMED, points=len(asked.worded_scales()[0].labels))
    try:
        plan = replace(plan_from_trials(design.page, sessions, stimuli), raters=asked.raters)
        power = detectable_difference(plan, variation, simulations=simulations, seed=asked.seed)
    except UsageError as error:
        return replace(found, power_reason=f"not computed: {error}")
    found = replace(found, power_reason=power.reason) if math.isnan(power.difference) else replace(found, power=power)
    difference = ASKED_DIFFERENCE[plan.page]
    try:
        enough = raters_needed(plan, difference, variation, simulations=simulations, seed=asked.seed)
    except UsageError:  # more than anybody asks
        return found
    return replace(found, raters_needed=(difference, enough.raters))


def power_in_words(found: Checked) -> str:
    """What the study would detect, or why that is not known, and how many raters a difference takes."""
    needed = ""
    if found.raters_needed is not None:
        needed = "; a difference of {:g} takes about {} raters".format(*found.raters_needed)
    if found.power is None:
        return found.power_reason + needed
    unit = {
        "real-or-fake": "of two methods' shares called real",
        "choice": "of a pair's share from one half",
        "ranking": "of a pair's share from one half",
        "scales": "of two conditions' mean scores",
    }[found.power.plan.page]
    return (
        f"detects a difference {unit} of {found.power.difference:.3f} with probability {found.power.power:g} "
        f"({found.power.simulations} simulated studies, {found.power.plan.comparisons} pairs compared){needed}"
    )

"""What the study database holds after a load: every acknowledged answer once, and the trials of the design."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """What the database holds after the load.

    Attributes:
        lost, twice: acknowledged answers that it lacks, or has twice.
        sessions: that were given a slot; ``trials`` of each.
        shared: slots with two sessions; ``unlike``: sessions whose trials are not those that the design lays out.
        gaps: slots without a session before the last that has one.
        pictures: largest less smallest number of times that a rendering is shown in main trials.
        conditions: the same of the methods; ``bound`` on both.
    """

    lost: int
    twice: int
    sessions: int
    trials: int
    shared: int
    unlike: int
    gaps: int
    pictures: int
    bound: int
    conditions: int

    @property
    def well(self) -> bool:
        """Whether nothing is lost, double or out of balance."""
        wrong = self.lost + self.twice + self.shared + self.unlike + self.gaps
        return not wrong and max(self.pictures, self.conditions) <= self.bound


def kept_wrongly(url: str, acknowledged: list[str]) -> tuple[int, int]:
    """How many acknowledged answers the database lacks, and how many trials or identifiers it has twice."""
    from sqlalchemy import select

    from study.database import ResponseRow
    from study.engine import open_database, reading

    engine = open_database(url)
    with reading(engine) as session:
        rows = session.execute(select(ResponseRow.client_uuid, ResponseRow.trial_id)).all()
    engine.dispose()
    kept = {row.client_uuid for row in rows}
    return len(set(acknowledged) - kept), 2 * len(rows) - len(kept) - len({row.trial_id for row in rows})


def check(folder: Path, url: str, acknowledged: list[str]) -> Kept:
    """Compare the database with what raters were told, and with the design."""
    from sqlalchemy import select

    from study.contract import PHOTOGRAPH
    from study.database import AssignmentRow, SlotRow, TrialRow
    from study.designs import DESIGNS
    from study.engine import open_database, reading
    from study.specification import read_specification
    from study.stimuli import read_catalogue

    specification, stimuli = read_specification(folder / "study.yaml"), read_catalogue(folder).stimuli
    design, settings = DESIGNS.get(specification.design), specification.settings()
    engine = open_database(url)
    with reading(engine) as session:
        rows = session.execute(
            select(AssignmentRow.id, SlotRow.number, TrialRow.part, TrialRow.shown)
            .join(SlotRow, SlotRow.id == AssignmentRow.slot_id)
            .join(TrialRow, TrialRow.assignment_id == AssignmentRow.id)
            .order_by(AssignmentRow.id, TrialRow.index)
        ).all()
    engine.dispose()
    shown: dict[tuple[int, int], list[tuple[str, tuple[str, ...]]]] = {}
    for assignment, number, part, pictures in rows:
        shown.setdefault((assignment, number), []).append((part, tuple(pictures)))
    numbers = Counter(number for _, number in shown)
    plans = {n: [(trial.part, trial.shown) for trial in design.plan(settings, stimuli, n)] for n in numbers}
    trained = settings.options.get("training_subjects", ())
    renderings = {
        one.sha256: one.condition
        for one in stimuli
        if one.condition != PHOTOGRAPH and not one.degraded and one.subject not in trained
    }
    views = Counter(dict.fromkeys(renderings, 0))
    views.update(
        picture for trials in shown.values() for part, (picture,) in trials if part == "main" and picture in renderings
    )
    conditions: Counter[str] = Counter()
    for picture, count in views.items():
        conditions[renderings[picture]] += count
    return Kept(
        *kept_wrongly(url, acknowledged),
        sessions=len(shown),
        trials=max(map(len, shown.values())),
        shared=sum(count > 1 for count in numbers.values()),
        unlike=sum(trials != plans[number] for (_, number), trials in shown.items()),
        gaps=1 + max(numbers) - len(numbers),
        pictures=max(views.values()) - min(views.values()),
        # A pair of raters sees the next cells of the table of people and methods, so whole pairs differ by one at most;
        # of the last pair one rater may be missing, who sees the other half of its cells (study.designs.balance).
        bound=1 + len(numbers) % 2,
        conditions=max(conditions.values()) - min(conditions.values()),
    )

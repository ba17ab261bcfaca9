"""The rules of a study file, applied to sessions: pure functions on the two small frames of ``study.quality.measures``.

A rule on how answers are spread strikes only where chance is no explanation: ``m`` equal answers to one of ``a`` kinds
come about in ``n`` trials, given at random, with a probability of at most ``a · P(X ≥ m), X ~ Binomial(n, 1/a)``, which
must be at most :data:`CHANCE`. What is suspicious and not enough is a note, and withholds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.quality.measures import measured
from study.specification import QualityBlock, Withheld

if TYPE_CHECKING:
    import pandas as pd

CHANCE = 0.001
"""One session in a thousand that was answered at random may be struck by a rule on how answers are spread."""

ROUNDING = 1e-9
"""A share of a number of trials may come out a hair above the whole number that it is: 0.55 · 20 > 11."""

SHARED_SCREEN = 3
"""A screen that more sessions than these have in common says nothing: a laboratory's, or a common telephone's."""

HURRY = 0.5
"""The last third of a session is noted where it took less than this part of the time of the first third."""

HURRY_TRIALS = 9
"""Of fewer main trials a third is one or two, whose times say nothing."""

BOTH: tuple[Withheld, ...] = ("use", "pay")
SUBMITTED = "submitted"


@dataclass(frozen=True)
class Reason:
    """Why something is withheld: the rule's name, a clause in plain words, and what it withholds."""

    rule: str
    text: str
    withholds: tuple[Withheld, ...]

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


@dataclass(frozen=True)
class Judgement:
    """What the rules say of one session.

    Attributes:
        session: number of its assignment; ``rater``: first digits of the pseudonym; ``state`` as in the database.
        answered, trials: how many trials of all parts were answered, and how many there are.
        pay, use: whether it is to be paid, and to be analysed.
        reasons: what withholds either.
        notes: what a person may want to look at; they withhold nothing.
    """

    session: int
    rater: str
    state: str
    answered: int
    trials: int
    pay: bool
    use: bool
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether it was handed in; others are neither paid nor used, and are not decided: their raters may return."""
        return self.state == SUBMITTED


def rules_that_withhold(rules: QualityBlock, what: Withheld) -> frozenset[str]:
    """Names of the rules that withhold ``what``: of several reasons for a decision, those that speak of it."""
    always = {"unfinished"} | ({"incomplete"} if what == "use" else set())
    named = {name: getattr(rules, name) for name in type(rules).model_fields}
    return frozenset(always | {name for name, rule in named.items() if rule is not None and what in rule.withholds})


def judge(sessions: pd.DataFrame, trials: pd.DataFrame, rules: QualityBlock) -> tuple[Judgement, ...]:
    """What ``rules`` say of each session, by its number; the order of rows does not matter.

    Args:
        sessions, trials: see ``study.quality.measures``.
    """
    speed = rules.speed
    table = measured(sessions, trials, *((0, 0) if speed is None else (speed.at_least_ms, speed.further_ms)))
    return tuple(_judgement(row, rules) for row in table.to_dict("records"))


def _judgement(row: dict[Any, Any], rules: QualityBlock) -> Judgement:
    reasons = (*_completeness(row), *_known_answers(row, rules), *_spread(row, rules), *_repeated(row, rules))
    withheld = {what for reason in reasons for what in reason.withholds}
    return Judgement(
        session=int(row["session"]),
        rater=str(row["rater"]),
        state=str(row["state"]),
        answered=int(row["answered"]),
        trials=int(row["trials"]),
        pay="pay" not in withheld,
        use="use" not in withheld,
        reasons=tuple(sorted(reasons, key=lambda reason: "pay" not in reason.withholds)),
        notes=_notes(row, rules),
    )


def _completeness(row: dict[Any, Any]) -> list[Reason]:
    counts = f"{row['answered']:.0f} of {row['trials']:.0f} trials answered"
    if row["state"] != SUBMITTED:
        return [Reason("unfinished", f"not handed in ({row['state']}), {counts}", BOTH)]
    return [] if row["answered"] == row["trials"] else [Reason("incomplete", counts, ("use",))]


def _known_answers(row: dict[Any, Any], rules: QualityBlock) -> list[Reason]:
    found = []
    gold, attention, speed = rules.gold, rules.attention, rules.speed
    if gold is not None and row["gold"] and row["gold_right"] < gold.at_least * row["gold"] - ROUNDING:
        text = f"{row['gold_right']:.0f} of {row['gold']:.0f} gold trials right, at least {gold.at_least:.0%} must be"
        found.append(Reason("gold", text, gold.withholds))
    if attention is not None and row["attention_wrong"] > attention.at_most:
        text = (
            f"{row['attention_wrong']:.0f} of {row['attention']:.0f} attention trials not answered as they asked, "
            f"at most {attention.at_most} may be"
        )
        found.append(Reason("attention", text, attention.withholds))
    if speed is not None and row["median_ms"] < row["asked_ms"]:
        text = f"half of the main trials answered within {row['median_ms']:.0f} ms, {row['asked_ms']:.0f} ms are asked"
        found.append(Reason("speed", text, speed.withholds))
    return found


@dataclass(frozen=True)
class _Concentration:
    """A share of one answer above what a rule allows, with its probability by chance.

    ``opinion``: it is what somebody thinks who looks. Who calls every picture real, and the spoilt copies fake, has
    been fooled by all of them; to leave such raters out would take away the very answers that speak for a method.
    """

    rule: str
    text: str
    withholds: tuple[Withheld, ...]
    chance: float
    opinion: bool = False


def _spread(row: dict[Any, Any], rules: QualityBlock) -> list[Reason]:
    return [
        Reason(one.rule, one.text, one.withholds)
        for one in _concentrations(row, rules)
        if one.chance <= CHANCE and not one.opinion
    ]


def _concentrations(row: dict[Any, Any], rules: QualityBlock) -> list[_Concentration]:
    found = []
    main, same, order = row["main"], rules.sameness, rules.order
    if same is not None and row["same"] > same.at_most * main + ROUNDING:
        text = f"the same answer in {row['same']:.0f} of {main:.0f} main trials, at most {same.at_most:.0%} may be"
        # A place on the page is nobody's opinion: what stands there changes from trial to trial.
        opinion = row["otherwise"] > 0 and not row["places"]
        found.append(_Concentration("sameness", text, same.withholds, float(row["same_chance"]), opinion))
    if same is not None and row["straight"] > same.at_most * main + ROUNDING:
        text = f"one score on all scales in {row['straight']:.0f} of {main:.0f} main trials, at most "
        text += f"{same.at_most:.0%} may be"
        found.append(_Concentration("sameness", text, same.withholds, float(row["straight_chance"])))
    if order is not None and row["at_place"] > order.at_most * main + ROUNDING:
        text = f"the picture at place {row['place'] + 1:.0f} of {row['places']:.0f} chosen in {row['at_place']:.0f} of "
        text += f"{main:.0f} main trials, at most {order.at_most:.0%} may be"
        found.append(_Concentration("order", text, order.withholds, float(row["place_chance"])))
    return found


def _repeated(row: dict[Any, Any], rules: QualityBlock) -> list[Reason]:
    if rules.duplicates is None or not row["before"]:
        return []
    return [Reason("duplicates", f"the same rater answered before, in session {row['before']:.0f}",
                   rules.duplicates.withholds)]  # fmt: skip


def _notes(row: dict[Any, Any], rules: QualityBlock) -> tuple[str, ...]:
    notes = []
    for one in _concentrations(row, rules):
        if one.chance > CHANCE:
            notes.append(f"{one.text}; too few to rule out chance")
        elif one.opinion:
            told = f"{row['otherwise']:.0f} of {row['gold']:.0f} gold trials"
            notes.append(f"{one.text}; otherwise, and rightly, in {told}")
    if rules.speed is not None and row["fast"] > 0 and row["median_ms"] >= row["asked_ms"]:
        notes.append(f"{row['fast']:.0f} of {row['main']:.0f} main trials answered within {row['asked_ms']:.0f} ms")
    if row["main"] >= HURRY_TRIALS and row["last_ms"] < HURRY * row["first_ms"]:
        notes.append(f"became faster: {row['first_ms']:.0f} ms in the first third, {row['last_ms']:.0f} in the last")
    if row["drift_chance"] <= CHANCE:
        notes.append(
            f"answers drifted: {row['early_kind']:.0%} real or left in the first half, {row['late_kind']:.0%} after it"
        )
    if 2 <= len(row["alike"]) <= SHARED_SCREEN:
        others = ", ".join(str(number) for number in row["alike"] if number != row["session"])
        notes.append(f"the same screen, window and zoom as in session {others}")
    return tuple(notes)

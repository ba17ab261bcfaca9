"""Which automatic metric may stand in for people: what their agreement (:mod:`study.analysis.metric_agreement`) allows.

A metric agrees beyond chance where the whole 95 % interval of its SRCC is above 0. Among these the one with the highest
SRCC leads; the others are told from it by Williams' test after Holm's correction, or not. The leader was chosen on the
same answers that its value is computed from, so that value is a little too good: this is said, not mended.
"""

from __future__ import annotations

from dataclasses import dataclass

from metrics.report.layout import shown, shown_interval
from metrics.statistics import SIGNIFICANT
from study.analysis.metric_agreement import Agreements, MetricAgreement
from study.report.tables import counted

DIGITS = 2


@dataclass(frozen=True)
class Trust:
    """What may be said.

    Attributes:
        leader: that agrees most; None where no metric agrees beyond chance.
        beyond_chance: how many agree beyond chance, of ``compared``.
        worse: that Williams' test tells from the leader; ``alike`` that agree beyond chance and are not told from it.
        against: that disagree beyond chance: people say the opposite.
    """

    leader: MetricAgreement | None
    beyond_chance: int
    compared: int
    worse: tuple[str, ...]
    alike: tuple[str, ...]
    against: tuple[str, ...]


def trust(found: Agreements) -> Trust:
    """What the agreement of metrics with people allows to say."""
    compared = [one for one in found.metrics if not one.reason]
    positive = [one for one in compared if one.srcc.low > 0]
    against = tuple(one.metric for one in compared if one.srcc.high < 0)
    leader = positive[0] if positive else None
    worse: set[str] = set()
    if leader is not None:
        # Metrics stand in the order of their agreement: those before the leader do not agree beyond chance.
        pairs = [one for one in found.contrasts if one.first == leader.metric]
        worse = {one.second for one in pairs if one.p_holm <= SIGNIFICANT and one.plcc_difference > 0}
    alike = tuple(one.metric for one in positive[1:] if one.metric not in worse)
    return Trust(leader, len(positive), len(compared), tuple(sorted(worse)), alike, against)


def trust_in_words(what: str, found: Agreements) -> str:
    """The same as sentences on the question ``what``."""
    said = trust(found)
    if not said.compared:
        return f"For “{what}” no metric could be compared with people."
    if said.leader is None:
        return (
            f"For “{what}” none of {counted(said.compared, 'metric')} agrees with people beyond chance: trust none of "
            "them, or ask more people about more faces."
        )
    srcc = said.leader.srcc
    number = f"{shown(srcc.value, DIGITS)} {shown_interval(srcc, DIGITS)}"
    text = (
        f"For “{what}” {said.leader.metric} agrees most with people: SRCC {number} over {said.leader.items} results of "
        f"{srcc.n} people. {said.beyond_chance} of {counted(said.compared, 'metric')} agree beyond chance"
    )
    if said.alike:
        text += f"; {len(said.alike)} of these cannot be told from it"
    text += ". It was picked as the best of them on these answers, so its value is a little too good."
    if said.against:
        text += f" {counted(len(said.against), 'metric')} say the opposite of people, {said.against[0]} among them."
    return text

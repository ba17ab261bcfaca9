"""Rules of quality: known counts, chances in closed form, and what must hold of every rater."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.contract import PHOTOGRAPH, DesignSettings, Page, Stimulus, Trial
from study.designs import DESIGNS
from study.quality.measures import SESSIONS, TRIALS, measured
from study.quality.readings import read
from study.quality.rules import Judgement, judge
from study.specification import GoldRule, QualityBlock, SamenessRule, SpeedRule, Withheld

RULES = QualityBlock()
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def sessions_frame(count: int, **changed: Sequence[Any]) -> pd.DataFrame:
    """``count`` sessions that were handed in, each a minute after the other, of different people."""
    numbers = range(1, count + 1)
    columns = {
        "session": numbers,
        "rater": [f"r{number}" for number in numbers],
        "person": numbers,
        "state": ["submitted"] * count,
        "started": [BEGIN + timedelta(minutes=number) for number in numbers],
        "signature": [""] * count,
    }
    return pd.DataFrame({**columns, **changed})[list(SESSIONS)]


def rows(
    session: int, answers: Sequence[Any], *, page: Page = "real-or-fake", part: str = "main", first: int = 0,
    ms: float | Sequence[float] = 2000, correct: Sequence[bool | None] | None = None, shown: int = 1,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """Trials of ``session`` with these stored answers; an answer None was not given."""
    times = [ms] * len(answers) if isinstance(ms, float | int) else ms
    found = []
    for place, answer in enumerate(answers):
        right = None if correct is None else correct[place]
        if answer is None:
            found.append(
                (session, first + place, part, False, math.nan, math.nan, "", 0, math.nan, 0, False, math.nan, 0)
            )
            continue
        seen = read(page, shown, answer)
        found.append(
            (session, first + place, part, True, math.nan if right is None else float(right), times[place], seen.key,
             seen.answers, seen.place, seen.places, seen.straight, seen.first_kind, seen.judgements)
        )  # fmt: skip
    return found


def trials_frame(found: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    kinds = {"answered": bool, "correct": float, "reaction_ms": float, "place": float, "straight": bool}
    return pd.DataFrame(list(found), columns=list(TRIALS)).astype({**kinds, "first_kind": float})


def verdicts(real: int, fake: int) -> list[dict[str, str]]:
    """That many of both, in turn as long as both last."""
    mixed = [choice for pair in zip(["real"] * real, ["fake"] * fake, strict=False) for choice in pair]
    rest = ["real"] * (real - min(real, fake)) + ["fake"] * (fake - min(real, fake))
    return [{"choice": choice} for choice in [*mixed, *rest]]


def one(found: Sequence[tuple[Any, ...]], rules: QualityBlock = RULES, **changed: Sequence[Any]) -> Judgement:
    (judgement,) = judge(sessions_frame(1, **changed), trials_frame(found), rules)
    return judgement


def struck(judgement: Judgement) -> set[str]:
    return {reason.rule for reason in judgement.reasons}


@pytest.mark.parametrize(("right", "use"), [(0, False), (1, False), (2, True), (4, True)])
def test_gold_below_the_asked_share_is_not_used_and_still_paid(right: int, use: bool) -> None:
    gold = rows(1, verdicts(4, 0), part="gold", first=8, correct=[True] * right + [False] * (4 - right))
    found = one(rows(1, verdicts(4, 4)) + gold)
    assert (found.pay, found.use) == (True, use)
    assert use or str(found.reasons[0]) == f"gold: {right} of 4 gold trials right, at least 50% must be"


def test_what_a_rule_withholds_is_the_study_file_s_to_say() -> None:
    gold = rows(1, verdicts(1, 0), part="gold", first=8, correct=[False])
    cases: dict[tuple[Withheld, ...], tuple[bool, bool]]
    cases = {("pay",): (False, True), ("use", "pay"): (False, False), (): (True, True)}
    for withholds, expected in cases.items():
        found = one(rows(1, verdicts(4, 4)) + gold, QualityBlock(gold=GoldRule(withholds=withholds)))
        assert (found.pay, found.use) == expected and struck(found) == {"gold"}
    assert not one(rows(1, verdicts(4, 4)) + gold, QualityBlock(gold=None)).reasons


@pytest.mark.parametrize(("wrong", "use"), [(0, True), (1, True), (2, False)])
def test_attention_trials_beyond_the_allowed_number_wrong(wrong: int, use: bool) -> None:
    asked = rows(1, verdicts(3, 0), part="attention", first=8, correct=[False] * wrong + [True] * (3 - wrong))
    assert one(rows(1, verdicts(4, 4)) + asked).use == use


def test_median_time_and_single_fast_trials_are_two_things() -> None:
    half_fast = [100.0] * 3 + [2000.0] * 5
    found = one(rows(1, verdicts(4, 4), ms=half_fast))
    assert found.use and "3 of 8 main trials answered within 600 ms" in found.notes
    found = one(rows(1, verdicts(4, 4), ms=[100.0] * 5 + [2000.0] * 3))
    assert struck(found) == {"speed"} and "within 100 ms" in found.reasons[0].text
    # The median of 8 times, four of 599 and four of 601, is 600 exactly, which is not below 600.
    assert one(rows(1, verdicts(4, 4), ms=[599.0] * 4 + [601.0] * 4)).use
    # Haste and sameness in training are nobody's business.
    training = rows(1, verdicts(20, 0), part="training", ms=50)
    assert not one(training + rows(1, verdicts(4, 4), first=20)).reasons


def test_time_is_asked_for_what_a_trial_asks() -> None:
    """600 ms for one judgement and 300 for each further: 1800 for five scores, 1200 for four pictures in order."""
    scores = [{"scores": {f"s{scale}": 1 + (trial + scale) % 5 for scale in range(5)}} for trial in range(8)]
    orders = [{"order": list(np.roll([0, 1, 2, 3], trial))} for trial in range(8)]
    for page, answers, shown, asked in (("scales", scores, 1, 1800), ("ranking", orders, 4, 1200)):
        assert one(rows(1, answers, page=page, shown=shown, ms=asked)).use
        found = one(rows(1, answers, page=page, shown=shown, ms=asked - 1))
        assert struck(found) == {"speed"} and f"{asked} ms are asked" in found.reasons[0].text
        assert one(rows(1, answers, page=page, shown=shown, ms=600), QualityBlock(speed=SpeedRule(further_ms=0))).use


def test_shares_are_compared_as_whole_trials() -> None:
    """0.55 · 20 is 11.000000000000002 and 0.57 · 100 is 56.99999999999999 in floating point."""
    gold = rows(1, verdicts(20, 0), part="gold", first=100, correct=[True] * 11 + [False] * 9)
    assert one(rows(1, verdicts(4, 4)) + gold, QualityBlock(gold=GoldRule(at_least=0.55))).use
    kept = QualityBlock(sameness=SamenessRule(at_most=0.57))
    assert struck(one(rows(1, verdicts(57, 43)), kept)) == struck(one(rows(1, verdicts(43, 57)), kept)) == set()


def test_who_is_fooled_by_every_picture_and_sees_what_is_spoilt_is_used() -> None:
    """Left out, such raters would bias the fooling rate downwards; a place on the page is nobody's opinion."""
    spoilt = rows(1, verdicts(0, 2), part="gold", first=50, correct=[True, True])
    fooled = one(rows(1, verdicts(20, 0)) + spoilt)
    assert fooled.use and "in 20 of 20 main trials" in fooled.notes[0] and "in 2 of 2 gold trials" in fooled.notes[0]
    assert struck(one(rows(1, verdicts(20, 0)) + rows(1, verdicts(2, 0), part="gold", first=50, correct=[False] * 2))) \
        >= {"sameness"}  # fmt: skip
    assert struck(one(rows(1, verdicts(0, 20)) + spoilt)) == {"sameness"}  # fake to everything, photographs too
    left = rows(1, [{"choice": 0}] * 20, page="choice", shown=2)
    right = rows(1, [{"choice": 1}], page="choice", shown=2, part="gold", first=50, correct=[True])
    assert struck(one(left + right)) == {"sameness", "order"}


def test_the_same_answer_strikes_where_chance_cannot_explain_it() -> None:
    # 2 · 2^-n ≤ 0.001 from n = 11 on.
    assert struck(one(rows(1, verdicts(11, 0)))) == {"sameness"}
    ten = one(rows(1, verdicts(10, 0)))
    assert not ten.reasons and any("too few to rule out chance" in note for note in ten.notes)
    assert not one(rows(1, verdicts(19, 1))).reasons  # 95 % exactly, which may be
    # Of 120 orders of five pictures, the same one three times: 120 · 120^-3 ≤ 0.001; of 24 orders it takes four.
    same = [{"order": [1, 0, 2, 3, 4]}] * 3
    assert "sameness" in struck(one(rows(1, same, page="ranking", shown=5)))
    same = [{"order": [1, 0, 2, 3]}] * 3
    assert "sameness" not in struck(one(rows(1, same, page="ranking", shown=4)))
    assert "sameness" in struck(one(rows(1, same + same[:1], page="ranking", shown=4)))


def test_one_side_and_one_place() -> None:
    left = [{"choice": 0}] * 19 + [{"choice": 1}]
    found = one(rows(1, left, page="choice", shown=2))
    assert struck(found) == {"order"}
    assert "place 1 of 2 chosen in 19 of 20" in found.reasons[0].text
    orders = [{"order": [2, *others]} for others in ([0, 1, 3], [0, 3, 1], [1, 0, 3], [3, 0, 1], [3, 1, 0], [1, 3, 0])]
    found = one(rows(1, orders, page="ranking", shown=4))  # 4 · 4^-6 ≤ 0.001
    assert struck(found) == {"order"} and "place 3 of 4" in found.reasons[0].text


def test_straight_lines_take_three_scales() -> None:
    def scored(scales: int) -> list[dict[str, Any]]:
        return [{"scores": {f"s{scale}": 1 + trial % 5 for scale in range(scales)}} for trial in range(20)]

    assert not one(rows(1, scored(2), page="scales")).reasons
    found = one(rows(1, scored(3), page="scales"))
    assert struck(found) == {"sameness"} and "one score on all scales in 20 of 20" in found.reasons[0].text


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 2**31 - 1))
def test_the_chance_of_the_commonest_answer_is_bounded_by_its_formula(count: int, kinds: int, seed: int) -> None:
    picked = np.random.default_rng(seed).integers(kinds, size=count)
    orders = [{"choice": int(place)} for place in picked]
    table = measured(sessions_frame(1), trials_frame(rows(1, orders, page="choice", shown=kinds)), 0)
    most = int(np.bincount(picked).max())
    tail = sum(math.comb(count, k) * (kinds - 1) ** (count - k) for k in range(most, count + 1)) / kinds**count
    assert table.loc[1, "same"] == most
    assert table.loc[1, "same_chance"] == pytest.approx(min(1.0, kinds * tail), rel=1e-9)


def test_raters_who_answer_at_random_are_struck_once_in_a_thousand_at_most() -> None:
    picked = np.random.default_rng(3).integers(2, size=(2000, 12))
    found = [row for number, choices in enumerate(picked, 1) for row in
             rows(number, [{"choice": int(c)} for c in choices], page="choice", shown=2)]  # fmt: skip
    judged = judge(sessions_frame(2000), trials_frame(found), RULES)
    # Binomial(2000, 0.001): more than 8 come with a probability of 2e-4.
    assert sum(not judgement.use for judgement in judged) <= 8


def test_drift_is_noted_and_withholds_nothing() -> None:
    times = [3000.0] * 10 + [2000.0] * 10 + [900.0] * 10
    found = one(rows(1, verdicts(15, 15), ms=times))
    assert found.use and found.pay and found.notes == ("became faster: 3000 ms in the first third, 900 in the last",)
    assert one(rows(1, verdicts(15, 15), ms=times)[::-1]) == found  # trials have numbers, rows have no order
    assert not one(rows(1, verdicts(2, 2), ms=[3000.0, 2000.0, 2000.0, 900.0])).notes  # thirds of a single trial
    drifting = [{"choice": "real"}] * 10 + [{"choice": "fake"}] * 10
    found = one(rows(1, drifting))  # Fisher: 2 / C(20, 10) = 1.1e-5
    assert found.use and found.notes == ("answers drifted: 100% real or left in the first half, 0% after it",)
    table = measured(sessions_frame(1), trials_frame(rows(1, drifting)), 0)
    assert table.loc[1, "drift_chance"] == pytest.approx(2 / math.comb(20, 10))


@pytest.mark.parametrize("state", ["consented", "training", "active", "abandoned", "screened-out"])
def test_what_was_not_handed_in_is_neither_paid_nor_used(state: str) -> None:
    found = one(rows(1, [*verdicts(4, 4), None]), state=[state])
    assert (found.pay, found.use, found.finished) == (False, False, False)
    assert str(found.reasons[0]) == f"unfinished: not handed in ({state}), 8 of 9 trials answered"


def test_a_session_that_was_handed_in_with_gaps_is_paid_and_not_used() -> None:
    found = one(rows(1, [*verdicts(4, 4), None]))
    assert (found.pay, found.use) == (True, False) and struck(found) == {"incomplete"}


def test_of_one_person_s_sessions_the_earliest_with_answers_counts() -> None:
    found = [row for number in (1, 2, 3, 4) for row in rows(number, verdicts(4, 4))]
    found += rows(5, [None] * 8)
    started = [BEGIN + timedelta(minutes=minute) for minute in (9, 2, 5, 1, 0)]
    judged = judge(sessions_frame(5, person=[7, 7, 8, 7, 7], started=started), trials_frame(found), RULES)
    assert [bool(struck(judgement) & {"duplicates"}) for judgement in judged] == [True, True, False, False, False]
    assert judged[0].reasons[0].text == "the same rater answered before, in session 4" and judged[0].pay


def test_equal_screens_are_a_hint_unless_many_have_them() -> None:
    found = [row for number in range(1, 7) for row in rows(number, verdicts(4, 4))]
    judged = judge(sessions_frame(6, signature=["a", "a", "b", "", "", ""]), trials_frame(found), RULES)
    hints = [judgement.notes for judgement in judged]
    same = "the same screen, window and zoom as in session"
    assert hints == [(f"{same} 2",), (f"{same} 1",), (), (), (), ()] and all(one_.use for one_ in judged)
    judged = judge(sessions_frame(6, signature=["a"] * 4 + ["b", "c"]), trials_frame(found), RULES)
    assert not any(judgement.notes for judgement in judged)


def test_a_study_without_sessions_or_without_answers() -> None:
    assert judge(sessions_frame(0), trials_frame([]), RULES) == ()
    (found,) = judge(sessions_frame(1, state=["consented"]), trials_frame([]), RULES)
    assert (found.answered, found.trials, found.use) == (0, 0, False)


CONDITIONS = (PHOTOGRAPH, "meso", "pca", "deep")
SCALES = {"realism": 5, "creepiness": 5, "affinity": 5}
OPTIONS: dict[str, dict[str, Any]] = {"acr": {"scales": SCALES}}


def _stimuli(design: str) -> tuple[Stimulus, ...]:
    kinds = [(name, False) for name in CONDITIONS] + [(PHOTOGRAPH, True)]
    return tuple(
        Stimulus(f"{person:02}{kind}".ljust(64, "0"), "image/webp", 9, 9, DESIGNS.get(design).composition, condition,
                 f"p{person:02}", "run", "identity", "fitted", "CC0", degraded)
        for person in range(20)
        for kind, (condition, degraded) in enumerate(kinds)
    )  # fmt: skip


def _truth(page: Page, trial: Trial, known: dict[str, Stimulus]) -> dict[str, Any]:
    """What a rater answers who sees everything: photographs are real, then come the methods as in the list."""
    merit = [0 if known[name].degraded else 4 - CONDITIONS.index(known[name].condition) for name in trial.shown]
    order = sorted(range(len(merit)), key=lambda place: -merit[place])
    expected = dict(trial.expected or {})
    if page == "real-or-fake":
        return {"choice": expected.get("choice", "real" if merit[0] == 4 else "fake")}
    if page == "choice":
        return {"choice": expected.get("choice", order[0])}
    if page == "ranking":
        if "last" in expected:
            order = [place for place in order if place != expected["last"]] + [expected["last"]]
        return {"order": order}
    scores = {name: 5 - merit[0] if name == "creepiness" else merit[0] + 1 for name in SCALES}
    return {"scores": {**scores, **expected.get("scores", {})}}


@pytest.mark.parametrize("design", ["split-face", "single", "ranking", "pairwise", "acr"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), slot=st.integers(0, 59), main=st.integers(1, 18), haste=st.integers(1200, 9000))
def test_a_perfect_rater_is_always_paid_and_used(design: str, seed: int, slot: int, main: int, haste: int) -> None:
    found = DESIGNS.get(design)
    asked = DesignSettings(CONDITIONS, main, 60, 2, 2, 0, seed, OPTIONS.get(design, {}))
    stimuli = _stimuli(design)
    known = {stimulus.sha256: stimulus for stimulus in stimuli}
    given_: list[tuple[Any, ...]] = []
    for trial in found.plan(asked, stimuli, slot):
        answer = found.read_answer(asked, trial, _truth(found.page, trial, known))
        correct = found.correct(trial, answer)
        assert correct in (None, True)
        given_ += rows(1, [answer], page=found.page, part=trial.part, first=trial.index, ms=haste, correct=[correct],
                       shown=len(trial.shown))  # fmt: skip
    rules = QualityBlock(gold=GoldRule(at_least=1), speed=SpeedRule(at_least_ms=600))
    judgement = one(given_, rules)
    assert judgement.pay and judgement.use and not judgement.reasons


ANSWERS = st.lists(st.sampled_from(["real", "fake"]), min_size=1, max_size=14)
PEOPLE = st.lists(st.tuples(ANSWERS, st.integers(0, 3), st.integers(100, 3000)), min_size=1, max_size=6)


def _panel(people: Sequence[tuple[list[str], int, int]]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for number, (choices, right, ms) in enumerate(people, start=1):
        found += rows(number, [{"choice": choice} for choice in choices], ms=ms)
        marks = [place < right for place in range(3)]
        found += rows(number, verdicts(3, 0), part="gold", first=len(choices), correct=marks)
    return found


@settings(max_examples=10, deadline=None)
@given(PEOPLE, st.integers(0, 2**31 - 1))
def test_the_order_of_rows_decides_nothing(people: list[tuple[list[str], int, int]], seed: int) -> None:
    random = np.random.default_rng(seed)
    signatures = [f"{person % 2}" for person in range(len(people))]
    sessions = sessions_frame(len(people), person=[p // 2 for p in range(len(people))], signature=signatures)
    trials = trials_frame(_panel(people))
    first = judge(sessions, trials, RULES)
    mixed = judge(sessions.iloc[random.permutation(len(sessions))], trials.iloc[random.permutation(len(trials))], RULES)
    assert first == mixed


@settings(max_examples=10, deadline=None)
@given(PEOPLE, st.lists(ANSWERS, min_size=6, max_size=6), st.data())
def test_nobody_is_judged_by_what_others_said(
    people: list[tuple[list[str], int, int]], others: list[list[str]], data: st.DataObject
) -> None:
    everything = QualityBlock.model_validate_json(
        '{"gold": {"withholds": ["use", "pay"]}, "speed": {"withholds": ["use", "pay"]},'
        ' "sameness": {"withholds": ["use", "pay"]}, "order": {"withholds": ["use", "pay"]}}'
    )
    kept = data.draw(st.integers(0, len(people) - 1))
    changed = [one_ if place == kept else (others[place], 0, 100) for place, one_ in enumerate(people)]
    sessions = sessions_frame(len(people))
    before = judge(sessions, trials_frame(_panel(people)), everything)[kept]
    after = judge(sessions, trials_frame(_panel(changed)), everything)[kept]
    alone = judge(sessions.iloc[[kept]], trials_frame(_panel(people)).query(f"session == {kept + 1}"), everything)
    assert before == after == alone[0]

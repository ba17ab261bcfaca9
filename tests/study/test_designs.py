"""Designs: balance over slots, nobody sees a picture twice, equal seeds give equal trials, answers are checked.

Sources: properties of the contract (``study.contract.Design``), the definition of a Williams square, and counts in
closed form.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from design_pictures import picture, pictures, settings
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from recon.errors import InputError, UsageError
from study.contract import PHOTOGRAPH, Design, DesignSettings, Stimulus, Trial
from study.designs import DESIGNS
from study.designs.balance import cells, gaps, opposite_halves, williams
from study.designs.pairwise import round_robin

METHODS = ("meso", "deep", "pca", "mirror", "visio", "lightstage", "external")
NAMES = ("split-face", "single", "ranking", "pairwise", "acr", "dsis")
few = effort(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def spread(counts: Iterable[int]) -> int:
    """Between the most and the least frequent."""
    found = list(counts)
    return max(found) - min(found)


def sessions(design: Design, asked: DesignSettings, stimuli: Sequence[Stimulus]) -> list[tuple[Trial, ...]]:
    """All slots, laid out."""
    assert design.check(asked, stimuli) == ()
    return [design.plan(asked, stimuli, slot) for slot in range(asked.raters)]


def main_of(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.part == "main"]


@st.composite
def studies(draw: st.DrawFn, name: str = "") -> tuple[Design, DesignSettings, tuple[Stimulus, ...]]:
    """A design with settings that it has nothing against."""
    design = DESIGNS.get(name or draw(st.sampled_from(NAMES)))
    people, count = draw(st.integers(2, 9)), draw(st.integers(2, 6))
    conditions = list(METHODS[:count])
    options: dict[str, Any] = {"training_subjects": ("t1", "t2")}
    if design.page == "real-or-fake":
        conditions.append(PHOTOGRAPH)
        trials = draw(st.integers(1, 2 * people))
    elif design.page == "ranking":
        trials = draw(st.integers(1, people))
        options["set_size"] = draw(st.integers(2, count))
    elif design.page == "choice":
        passes = draw(st.integers(1, count // 2))
        trials = people * passes if passes > 1 else draw(st.integers(1, people))
        options["reference"] = draw(st.booleans())
    else:
        trials = draw(st.integers(1, people * count))
        options["scales"] = {"realism": 5, "trust": draw(st.integers(2, 7))}
    extras = {part: draw(st.integers(0, 3)) for part in ("gold", "attention", "training")}
    raters, seed = draw(st.integers(1, 30)), draw(st.integers(0, 10**9))
    asked = settings(conditions, trials, raters, seed=seed, options=options, **extras)
    names = [*(f"s{number}" for number in range(people)), "t1", "t2"]
    return design, asked, pictures(names, conditions, design.composition)


@few
@given(studies())
def test_sessions_keep_to_the_contract(study: tuple[Design, DesignSettings, tuple[Stimulus, ...]]) -> None:
    design, asked, stimuli = study
    known = {stimulus.sha256: stimulus for stimulus in stimuli}
    for slot, trials in enumerate(sessions(design, asked, stimuli)):
        assert trials == design.plan(asked, tuple(reversed(stimuli)), slot)  # the order of stimuli says nothing
        assert [trial.index for trial in trials] == list(range(len(trials)))
        parts = Counter(trial.part for trial in trials)
        wanted = {"training": asked.training, "main": asked.trials_per_rater, "gold": asked.gold}
        assert parts == +Counter({**wanted, "attention": asked.attention})
        assert all(trial.part == "training" for trial in trials[: asked.training])
        assert trials[asked.training].part == "main"
        seen = [(known[sha].subject, known[sha].condition) for trial in main_of(trials) for sha in trial.shown]
        assert len(seen) == len(set(seen))
        for trial in trials:
            assert len({known[sha].subject for sha in (*trial.shown, *filter(None, [trial.reference]))}) == 1
            subject = known[trial.shown[0]].subject
            assert (subject in ("t1", "t2")) == (trial.part == "training")
            assert trial.part != "main" or (trial.expected is None and not known[trial.shown[0]].degraded)
            assert trial.part not in ("gold", "attention") or trial.expected


@few
@given(studies())
def test_another_seed_is_another_layout(study: tuple[Design, DesignSettings, tuple[Stimulus, ...]]) -> None:
    design, asked, stimuli = study
    asked = replace(asked, raters=1)
    layouts = {tuple(trial.shown for trial in design.plan(replace(asked, seed=seed), stimuli, 0)) for seed in range(40)}
    assert len(layouts) > 1


@few
@given(studies("split-face"))
def test_real_and_fake_are_even_at_every_place_and_for_every_face(
    study: tuple[Design, DesignSettings, tuple[Stimulus, ...]],
) -> None:
    design, asked, stimuli = study
    asked = replace(asked, raters=asked.raters + asked.raters % 2)  # whole pairs of raters
    known = {stimulus.sha256: stimulus for stimulus in stimuli}
    real, total, fakes = Counter[Any](), Counter[Any](), Counter[Any]()
    for trials in sessions(design, asked, stimuli):
        shown = [known[trial.shown[0]] for trial in main_of(trials)]
        photographs = sum(stimulus.condition == PHOTOGRAPH for stimulus in shown)
        assert abs(2 * photographs - len(shown)) <= 1
        for place, stimulus in enumerate(shown):
            total.update([("place", place), ("face", stimulus.subject)])
            if stimulus.condition == PHOTOGRAPH:
                real.update([("place", place), ("face", stimulus.subject)])
            else:
                fakes[stimulus.subject, stimulus.condition] += 1
    assert all(2 * real[key] == count for key, count in total.items())
    subjects = sorted({s.subject for s in stimuli} - {"t1", "t2"})
    every = itertools.product(subjects, asked.conditions[:-1])
    assert spread(fakes[cell] for cell in every) <= 1


@few
@given(studies("ranking"))
def test_rankings_are_even_in_sets_and_places(study: tuple[Design, DesignSettings, tuple[Stimulus, ...]]) -> None:
    """Exactly even once every person was shown with every set and row; that takes at most this many slots."""
    design, asked, stimuli = study
    size = asked.options["set_size"]
    sets = list(itertools.combinations(asked.conditions, size))
    people = len({s.subject for s in stimuli}) - 2
    slots = people * len(sets) * len(williams(size))
    asked = replace(asked, raters=min(slots, 200), gold=0, attention=0, training=0, trials_per_rater=people)
    known = {stimulus.sha256: stimulus for stimulus in stimuli}
    places, chosen = Counter[Any](), Counter[Any]()
    for trials in sessions(design, asked, stimuli):
        for trial in trials:
            conditions = [known[sha].condition for sha in trial.shown]
            assert len(conditions) == len(set(conditions)) == size
            places.update(enumerate(conditions))
            chosen[known[trial.shown[0]].subject, frozenset(conditions)] += 1
    combinations = [(f"s{p}", frozenset(group)) for p in range(people) for group in sets]
    assert spread(chosen[key] for key in combinations) <= len(williams(size))
    if asked.raters % (len(sets) * len(williams(size))) == 0:
        assert spread(chosen[key] for key in combinations) == 0
        assert spread(places[key] for key in itertools.product(range(size), asked.conditions)) == 0


@few
@given(studies("pairwise"))
def test_pairs_are_even_and_both_ways_round(study: tuple[Design, DesignSettings, tuple[Stimulus, ...]]) -> None:
    design, asked, stimuli = study
    pairs_are_even(design, asked, stimuli)


@pytest.mark.parametrize(("count", "people", "passes"), [(4, 3, 2), (5, 4, 2), (6, 2, 3), (7, 3, 3)])
def test_pairs_of_people_who_come_back_are_even(count: int, people: int, passes: int) -> None:
    options = {"training_subjects": ("t1", "t2")}
    asked = settings(METHODS[:count], people * passes, 1, options=options)
    stimuli = pictures([*(f"s{number}" for number in range(people)), "t1", "t2"], METHODS[:count])
    pairs_are_even(DESIGNS.get("pairwise"), asked, stimuli)


def pairs_are_even(design: Design, asked: DesignSettings, stimuli: Sequence[Stimulus]) -> None:
    """Once every slot of a whole round is filled, each person is shown with each ordered pair equally often."""
    known = {stimulus.sha256: stimulus for stimulus in stimuli}
    people = len({s.subject for s in stimuli}) - 2
    ordered = list(itertools.permutations(asked.conditions, 2))
    asked = replace(asked, raters=len(ordered) * people, gold=0, attention=0, training=0)
    shown = Counter[Any]()
    for trials in sessions(design, asked, stimuli):
        for trial in trials:
            left, right = (known[sha] for sha in trial.shown)
            shown[left.subject, left.condition, right.condition] += 1
    # raters · trials = |ordered| · people · trials, so each ordered pair of each person comes `trials` times.
    every = [(f"s{p}", *pair) for p in range(people) for pair in ordered]
    assert {shown[key] for key in every} == {asked.trials_per_rater}


@few
@given(studies("acr"))
def test_opinion_scores_are_even(study: tuple[Design, DesignSettings, tuple[Stimulus, ...]]) -> None:
    design, asked, stimuli = study
    asked = replace(asked, gold=0, attention=0, training=0)
    known = {stimulus.sha256: stimulus for stimulus in stimuli}
    counts: Counter[str] = Counter({s.sha256: 0 for s in stimuli if s.subject[0] == "s" and not s.degraded})
    for sha in [sha for sha in counts if known[sha].condition not in asked.conditions]:
        del counts[sha]
    for trials in sessions(design, asked, stimuli):
        of_rater = Counter(known[trial.shown[0]].condition for trial in trials)
        assert spread(of_rater[name] for name in asked.conditions) <= 2
        counts.update(trial.shown[0] for trial in trials)
    assert spread(counts.values()) <= 1


def test_conditions_are_even_over_places() -> None:
    """All conditions of all faces: over one round of a Williams square each condition stands once at each place."""
    conditions = METHODS[:4]
    stimuli = pictures(3, conditions)
    known = {stimulus.sha256: stimulus.condition for stimulus in stimuli}
    asked = settings(conditions, 12, 4, options={"scales": {"realism": 5}})
    places = Counter(
        (place, known[trial.shown[0]])
        for trials in sessions(DESIGNS.get("acr"), asked, stimuli)
        for place, trial in enumerate(trials)
    )
    assert set(places.values()) == {1} and len(places) == 12 * 4


@pytest.mark.parametrize("count", range(1, 10))
def test_williams_squares(count: int) -> None:
    """Definition: each number once a row and equally often a column; each ordered pair of neighbours equally often."""
    rows = williams(count)
    copies = len(rows) // count
    assert len(rows) == (count if count % 2 == 0 or count == 1 else 2 * count)
    assert all(sorted(row) == list(range(count)) for row in rows)
    assert all(set(Counter(column).values()) == {copies} for column in zip(*rows, strict=True))
    neighbours = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert len(neighbours) == count * (count - 1)
    assert set(neighbours.values()) <= {copies}


@pytest.mark.parametrize("count", range(2, 10))
def test_round_robin(count: int) -> None:
    """Definition: n(n − 1)/2 pairs, each once; in a round nobody twice."""
    rounds = round_robin(count)
    assert sorted(tuple(sorted(pair)) for pairs in rounds for pair in pairs) == list(
        itertools.combinations(range(count), 2)
    )
    assert all(len({name for pair in pairs for name in pair}) == 2 * (count // 2) for pairs in rounds)


@few
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_the_walk_passes_every_cell(rows: int, columns: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, rows * columns))
    seen: Counter[tuple[int, int]] = Counter()
    for slot in range(40):
        table = cells(rows, columns, count, slot, "seed")
        assert len(set(table)) == count
        assert count > rows or len({row for row, _ in table}) == count
        seen.update(table)
        assert spread(seen[cell] for cell in itertools.product(range(rows), range(columns))) <= 1


@few
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4)), min_size=1, max_size=18), st.integers())
def test_halves_are_complementary(drawn: list[tuple[int, int]], seed: int) -> None:
    kept: Counter[int] = Counter()
    table = []
    for subject, column in drawn:
        if kept[subject] < 2:
            kept[subject] += 1
            table.append((subject, column))
    marks = opposite_halves([s for s, _ in table], [c for _, c in table], seed)
    marked = Counter(subject for (subject, _), mark in zip(table, marks, strict=True) if mark)
    assert all(marked[subject] == 1 for subject, count in kept.items() if count == 2)
    for column in {column for _, column in table}:
        own = [mark for (_, c), mark in zip(table, marks, strict=True) if c == column]
        assert abs(2 * sum(own) - len(own)) <= 1
    assert abs(2 * sum(marks) - len(marks)) <= 1
    with pytest.raises(ValueError, match="more than two"):
        opposite_halves([1, 1, 1], [1, 2, 3], seed)


@given(st.integers(0, 30), st.integers(1, 30), st.integers())
def test_further_trials_are_never_first(count: int, length: int, seed: int) -> None:
    found = gaps(count, length, seed)
    assert len(found) == count
    assert all(1 <= place <= length for place in found)


def test_gold_trials_are_spread_and_cannot_be_foreseen() -> None:
    stimuli = pictures(20, METHODS[:4])
    asked = settings(METHODS[:4], 20, 30, gold=2, options={"scales": {"realism": 5}})
    places = set()
    for trials in sessions(DESIGNS.get("acr"), asked, stimuli):
        first, second = (trial.index for trial in trials if trial.part == "gold")
        assert 1 <= first <= 10 < second <= 21
        places.add((first, second))
    assert len(places) > 15


def test_the_layout_is_the_same_in_another_process() -> None:
    """Nothing may depend on Python's hash seed; and a published study must be laid out tomorrow as it was today."""
    program = (
        "import json; from design_pictures import *; from study.designs import DESIGNS\n"
        "asked = settings(('meso', 'pca', 'photograph'), 6, 4, gold=1, attention=1)\n"
        "stimuli = pictures(4, asked.conditions, 'split')\n"
        "plan = DESIGNS.get('split-face').plan(asked, stimuli, 3)\n"
        "print(json.dumps([[t.part, t.question, t.shown[0][:6]] for t in plan]))"
    )
    folder = Path(__file__).resolve().parent.parent
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": f"{folder}:{folder.parent}", "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert len(json.loads(printed[0])) == 8


def trial_of(name: str, part: str, **changed: Any) -> tuple[Design, DesignSettings, list[Trial]]:
    """A design and its trials of one part."""
    design = DESIGNS.get(name)
    conditions = (*METHODS[:3], *([PHOTOGRAPH] if design.page == "real-or-fake" else []))
    options = {"training_subjects": ("t1",), **changed}
    if design.page == "scales":
        options["scales"] = {"realism": 5, "trust": 7}
    counts = {"gold": 2, "attention": 4, "training": 2}
    asked = settings(conditions, 4, 2, options=options, **counts)
    stimuli = pictures(["a", "b", "c", "d", "t1"], conditions, design.composition)
    return design, asked, [trial for trial in design.plan(asked, stimuli, 0) if trial.part == part]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["gold", "attention"])
def test_known_answers_are_known(name: str, part: str) -> None:
    """What is expected is right, and what is not is wrong; both go through ``read_answer`` as a page would send it."""
    design, asked, trials = trial_of(name, part)
    assert trials
    for trial in trials:
        right, wrong = _answers(asked, trial)
        assert design.correct(trial, design.read_answer(asked, trial, right)) is True
        assert design.correct(trial, design.read_answer(asked, trial, wrong)) is False
        assert design.correct(replace(trial, expected=None), right) is None
        assert (trial.question.startswith("attention-")) == (part == "attention")


def _answers(asked: DesignSettings, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
    assert trial.expected is not None
    ((kind, value),) = trial.expected.items()
    if kind == "choice":
        other: Any = {"real": "fake", "fake": "real", 0: 1, 1: 0}[value]
        return {"choice": value}, {"choice": other}
    if kind == "last":
        rest = [place for place in range(len(trial.shown)) if place != value]
        return {"order": [*rest, value]}, {"order": [value, *rest]}
    assert kind in {"scores", "at_most", "at_least"}
    limit = next(iter(value.values()))
    right = {name: value.get(name, limit) for name in asked.options["scales"]}
    first = next(iter(right))
    return {"scores": right}, {"scores": {**right, first: limit - 1 if kind == "at_least" else limit % 5 + 1}}


def test_training_shows_both_kinds_of_every_subject() -> None:
    """Four trials of two people: each once real and once fake, in an order by lot; one fake is a spoilt copy."""
    conditions = ("meso", "pca", PHOTOGRAPH)
    stimuli = pictures(["a", "b", "t1", "t2"], conditions)
    known = {stimulus.sha256: stimulus for stimulus in stimuli}
    asked = settings(conditions, 2, 30, training=4, options={"training_subjects": ["t1", "t2"]})
    orders = set()
    for trials in sessions(DESIGNS.get("single"), asked, stimuli):
        training = [(known[trial.shown[0]], trial.expected) for trial in trials[:4]]
        assert all(
            expected == {"choice": "real" if one.condition == PHOTOGRAPH and not one.degraded else "fake"}
            for one, expected in training
        )
        assert {(one.subject, expected["choice"]) for one, expected in training if expected} == set(
            itertools.product(("t1", "t2"), ("real", "fake"))
        )
        assert sum(one.degraded for one, _ in training) == 1
        orders.add(tuple(expected["choice"] for _, expected in training if expected))
    assert len(orders) > 3


def test_what_gold_trials_expect() -> None:
    """By the reading of each design: the spoilt copy is fake, last, not chosen, scored low; the photograph high."""
    for name in ("split-face", "single"):
        assert [trial.expected for trial in trial_of(name, "gold")[2]] == [{"choice": "fake"}] * 2
    spoilt = {picture(name, PHOTOGRAPH, degraded=True).sha256 for name in "abcd"}
    for trial in trial_of("ranking", "gold")[2]:
        assert trial.expected == {"last": next(k for k, sha in enumerate(trial.shown) if sha in spoilt)}
    for trial in trial_of("pairwise", "gold")[2]:
        assert trial.expected == {"choice": next(k for k, sha in enumerate(trial.shown) if sha not in spoilt)}
    assert [trial.expected for trial in trial_of("acr", "gold")[2]] == [{"at_most": {"realism": 2}}] * 2
    both = {trial.shown[0] in spoilt: trial.expected for trial in trial_of("dsis", "gold")[2]}
    assert both == {True: {"at_most": {"realism": 2}}, False: {"at_least": {"realism": 4}}}


BAD: dict[str, list[Any]] = {
    "real-or-fake": [{}, {"choice": "maybe"}, {"choice": ["real"]}, {"choice": "real", "why": "x"}, [], {"choice": 1}],
    "choice": [{"choice": 2}, {"choice": -1}, {"choice": True}, {"choice": "left"}, {"choice": 0.0}, {"order": [0, 1]}],
    "ranking": [
        {"order": [0, 1]},
        {"order": [0, 1, 1]},
        {"order": [1, 2, 3]},
        {"order": "012"},
        {"order": [0, 1, 2.0]},
        {"order": [0, True, 2]},
        {"order": [[0], 1, 2]},
        {"order": None},
    ],
    "scales": [
        {"scores": {"realism": 3}},
        {"scores": {"realism": 0, "trust": 1}},
        {"scores": {"realism": 6, "trust": 1}},
        {"scores": {"realism": 3, "trust": 3.5}},
        {"scores": {"realism": 3, "trust": "3"}},
        {"scores": {"realism": 3, "trust": 3, "more": 1}},
        {"scores": [3, 3]},
    ],
}


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_answer_is_refused(name: str) -> None:
    design, asked, trials = trial_of(name, "main")
    for payload in BAD[design.page]:
        with pytest.raises(InputError):
            design.read_answer(asked, trials[0], payload)


@pytest.mark.parametrize("name", NAMES)
@given(payload=st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(
    inner, max_size=4) | st.dictionaries(st.sampled_from(["choice", "order", "scores", "realism", "trust"]), inner),
    max_leaves=8))  # fmt: skip
@effort(max_examples=40, deadline=None)
def test_any_payload_is_read_or_refused(name: str, payload: Any) -> None:
    design, asked, trials = trial_of(name, "main")
    try:
        answer = design.read_answer(asked, trials[0], payload)
    except InputError:
        return
    assert json.loads(json.dumps(answer)) == answer == payload


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("split-face", {"conditions": ("meso",)}, "add 'photograph'"),
        ("split-face", {"trials_per_rater": 9}, "show at most 8 trials"),
        ("split-face", {"conditions": ("meso", "meso", PHOTOGRAPH)}, "named twice: meso"),
        ("ranking", {"trials_per_rater": 5}, "nobody ranks a person twice; there are 4"),
        ("ranking", {"options": {"set_size": 4}}, "a set has from 2 to 3 pictures"),
        ("ranking", {"options": {"setsize": 3}}, "did you mean 'set_size'?"),
        ("ranking", {"conditions": ("meso",)}, "at least 2 conditions"),
        ("pairwise", {"trials_per_rater": 6}, "take at most 4."),
        ("pairwise", {"conditions": ("meso", PHOTOGRAPH), "options": {"reference": True}}, "take it from the cond"),
        ("acr", {"trials_per_rater": 13}, "there are 12"),
        ("acr", {"options": {}}, "no scale"),
        ("acr", {"options": {"scales": {"realism": 1}}}, "has 1 steps"),
        ("dsis", {"options": {"scales": {"realism": 5}, "reference": True}}, "unknown option 'reference'"),
        ("acr", {"training": 2}, "name subjects in stimuli.training_subjects"),
        ("acr", {"options": {"scales": {"a": 5}, "training_subjects": ("x",)}}, "training subjects without a picture"),
        ("single", {"conditions": ("meso", "nobody", PHOTOGRAPH)}, "pictures are missing: a by nobody"),
    ],
)
def test_what_stands_against_a_study_is_said(name: str, changes: dict[str, Any], said: str) -> None:
    design = DESIGNS.get(name)
    base: dict[str, Any] = {"conditions": METHODS[:3], "options": {}}
    if design.page == "real-or-fake":
        base["conditions"] = (*METHODS[:3], PHOTOGRAPH)
    if design.page == "scales":
        base["options"] = {"scales": {"realism": 5}}
    stimuli = pictures(["a", "b", "c", "d"], METHODS[:3], design.composition)
    asked = replace(settings(base["conditions"], 4, 10, options=base["options"]), **changes)
    assert any(said in objection for objection in design.check(asked, stimuli)), design.check(asked, stimuli)


def test_stimuli_that_are_missing_or_twofold_are_named() -> None:
    design, asked = DESIGNS.get("acr"), settings(("meso",), 1, 1, gold=1, options={"scales": {"realism": 5}})
    assert any("no picture of composition 'single'" in said for said in design.check(asked, ()))
    one = picture("a", "meso")
    twice = design.check(asked, (one, replace(one, sha256="0" * 64, protocol="identity")))
    assert any("more than one picture of a by meso" in said for said in twice)
    assert any("gold trials need spoilt copies" in said for said in twice)
    with pytest.raises(InputError, match="no picture of 'b' by 'meso'"):
        design.plan(replace(asked, gold=0, trials_per_rater=2), (one, picture("b", PHOTOGRAPH)), 0)


def test_designs_are_known_by_name() -> None:
    assert tuple(DESIGNS.names())[:6] == NAMES
    assert all(DESIGNS.get(name).name == name for name in NAMES)
    with pytest.raises(UsageError, match="did you mean 'pairwise'"):
        DESIGNS.get("pair-wise")

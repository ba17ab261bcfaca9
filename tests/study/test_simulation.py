"""Model raters: their answers against closed forms, and whole studies through the real server, killed in the middle.

Sources: moments of the models in ``study.simulation.population`` (closed forms, numerical integration by scipy), the
separation of the answers of people and models that ``study.database`` promises, and intervals of the analysis itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from scipy import integrate, stats
from sqlalchemy import Engine, func, select
from study_hosting import drawn_face
from study_runs import make_run

import study
from recon.errors import InputError
from recon.progress import no_progress
from study.contract import PHOTOGRAPH, Stimulus
from study.database import AssignmentRow, ParticipantRow, ResponseRow, SlotRow, StudyRow, TrialRow
from study.designs import DESIGNS
from study.engine import open_database, reading, upgrade
from study.server.registration import enter_study
from study.simulation import hosting
from study.simulation import rehearsal as rehearsals
from study.simulation.hosting import HostedRehearsal, rehearsed_settings
from study.simulation.population import (
    Population,
    called_fake,
    complete,
    expected_score,
    preferred,
    read_population,
)
from study.simulation.raters import ModelRater, Seen, model_raters
from study.simulation.recovery import recover
from study.simulation.rehearsal import Rehearsal, plan_rehearsal, rehearse
from study.simulation_commands import simulate
from study.specification import Specification, read_specification

EXAMPLES = Path(study.__file__).parent / "examples"
METHODS = {"alpha": 0.5, "beta": 1.5}


def specification(folder: Path, example: str, **changed: Any) -> Specification:
    """A ready study file, made small."""
    content = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text(encoding="utf-8"))
    content["stimuli"].pop("people", None)
    content["stimuli"]["training_subjects"] = ["s6", "s7"]
    content["conditions"] = [name for name in content["conditions"] if name == PHOTOGRAPH] + [*METHODS]
    content.update(changed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return read_specification(folder / "study.yaml")


def faces(folder: Path, asked: Specification) -> tuple[Stimulus, ...]:
    """Drawn faces of eight people: every condition, and a spoilt copy."""
    (folder / "stimuli").mkdir(parents=True, exist_ok=True)
    composition, made = DESIGNS.get(asked.design).composition, []
    kinds = [*((name, False) for name in dict.fromkeys([*asked.conditions, PHOTOGRAPH])), (PHOTOGRAPH, True)]
    for person in range(8):
        for kind, (condition, degraded) in enumerate(kinds):
            content = drawn_face(100 * person + kind, (48, 60))
            sha256 = hashlib.sha256(content).hexdigest()
            (folder / "stimuli" / f"{sha256}.png").write_bytes(content)
            made.append(Stimulus(sha256, "image/png", 48, 60, composition, condition, f"s{person}", "run", "identity",
                                 "fitted", "CC0", degraded))  # fmt: skip
    return tuple(made)


def rehearsal_of(folder: Path, example: str, raters: int, population: Population | None = None, **changed: Any
                 ) -> Rehearsal:  # fmt: skip
    asked = specification(folder, example, **changed)
    return plan_rehearsal(asked, folder, faces(folder, asked), population or Population(), raters=raters, seed=3)


def raters(page: Any, population: Population, count: int) -> list[ModelRater]:
    return list(model_raters("study", page, {"realism": 5}, population, count, 1))


def stimulus(condition: str, degraded: bool = False) -> Stimulus:
    return Stimulus("0" * 64, "image/png", 1, 1, "single", condition, "s", "r", "p", "v", "l", degraded)


FULL = Population(abilities=METHODS, lapses=0.1, careless=0.2, criterion=0.3, criterion_deviation=0.6)


@pytest.mark.parametrize("condition", ["alpha", "beta", PHOTOGRAPH])
def test_verdicts_come_as_often_as_the_closed_form_says(condition: str) -> None:
    seen = Seen(4, "real-or-fake", (stimulus(condition),))
    fake = np.array([one.answer(seen)[0]["choice"] == "fake" for one in raters("real-or-fake", FULL, 2000)])
    expected = called_fake(FULL, condition)
    assert abs(fake.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / len(fake))
    # The closed form against the integral over criteria that it stands for.
    evidence = 0.0 if condition == PHOTOGRAPH else METHODS[condition]
    normal = integrate.quad(lambda k: stats.norm.cdf(evidence - k) * stats.norm.pdf(k, 0.5 + 0.3, 0.6), -10, 10)[0]
    assert expected == pytest.approx(0.8 * 0.9 * normal + (1 - 0.8 * 0.9) / 2, abs=1e-9)


@pytest.mark.parametrize("page", ["choice", "ranking"])
def test_pairs_are_preferred_as_thurstone_says(page: Any) -> None:
    seen = Seen(2, page, (stimulus("alpha"), stimulus("beta")))
    answers = [one.answer(seen)[0] for one in raters(page, FULL, 2000)]
    second = np.mean([answer["choice" if page == "choice" else "order"] in (1, [1, 0]) for answer in answers])
    expected = preferred(FULL, "beta", "alpha")
    assert expected == pytest.approx(0.72 * stats.norm.cdf(1.0) + 0.28 / 2, abs=1e-12)
    assert abs(second - expected) < 4 * np.sqrt(expected * (1 - expected) / len(answers))


@pytest.mark.parametrize(("page", "right"), [("choice", {"choice": 0}), ("ranking", {"order": [0, 1]})])
def test_the_photograph_is_told_from_its_spoilt_copy_where_it_does_not_compete(page: Any, right: Any) -> None:
    careful = Population(abilities=METHODS, lapses=0.0, careless=0.0)
    seen = Seen(3, page, (stimulus(PHOTOGRAPH), stimulus(PHOTOGRAPH, degraded=True)))
    assert all(one.answer(seen)[0] == right for one in raters(page, careful, 200))
    with pytest.raises(InputError, match="'gamma', whose ability is not known"):
        raters(page, careful, 1)[0].answer(Seen(3, page, (stimulus(PHOTOGRAPH), stimulus("gamma"))))


def test_scores_have_the_mean_of_the_subject_model() -> None:
    population = Population(abilities={"alpha": 4.2}, lapses=0.0, careless=0.0, bias_deviation=0.5, inconsistency=0.8)
    seen = Seen(2, "scores", (stimulus("alpha"),))
    scores = np.array([one.answer(seen)[0]["scores"]["realism"] for one in raters("scales", population, 2000)])

    def mean(z: float) -> float:
        deviation = np.hypot(0.5, 0.8 * np.exp(0.3 * z))
        return float(1 + sum(stats.norm.sf(edge, 4.2, deviation) for edge in (1.5, 2.5, 3.5, 4.5)))

    expected = integrate.quad(lambda z: mean(z) * stats.norm.pdf(z), -8, 8)[0]
    assert expected_score(population, "alpha", 5) == pytest.approx(expected, abs=1e-8)
    assert abs(scores.mean() - expected) < 4 * scores.std() / np.sqrt(len(scores))


def test_raters_and_answers_follow_from_the_seed() -> None:
    few, many = raters("real-or-fake", FULL, 5), raters("real-or-fake", FULL, 50)
    assert few == many[:5] and len({one.visitor for one in many}) == 50
    seen = Seen(7, "real-or-fake", (stimulus("alpha"),))
    assert [one.answer(seen) for one in few] == [one.answer(seen) for one in many[:5]]
    other = model_raters("study", "real-or-fake", {}, FULL, 50, 2)
    assert [one.threshold for one in other] != [one.threshold for one in many]


@pytest.mark.parametrize(
    ("question", "page", "answer"),
    [
        ("attention-fake", "real-or-fake", {"choice": "fake"}),
        ("attention-right", "choice", {"choice": 1}),
        ("attention-last", "ranking", {"order": [1, 0]}),
        ("attention-4", "scales", {"scores": {"realism": 4}}),
    ],
)
def test_who_reads_does_what_an_attention_question_says(question: str, page: Any, answer: dict[str, Any]) -> None:
    population = Population(abilities=METHODS, careless=0.0)
    seen = Seen(1, question, (stimulus("alpha"), stimulus("beta")))
    assert {str(one.answer(seen)[0]) for one in raters(page, population, 20)} == {str(answer)}


def test_a_spoilt_copy_is_missed_by_nobody_who_looks() -> None:
    population = Population(abilities=METHODS, careless=0.0, lapses=0.0)
    seen = Seen(1, "q", (stimulus(PHOTOGRAPH, degraded=True),))
    assert {one.answer(seen)[0]["choice"] for one in raters("real-or-fake", population, 200)} == {"fake"}
    pair = Seen(1, "q", (stimulus(PHOTOGRAPH, degraded=True), stimulus("alpha")))
    assert {one.answer(pair)[0]["choice"] for one in raters("choice", population, 200)} == {1}


def test_abilities_that_do_not_fit_the_study_are_named(tmp_path: Path) -> None:
    asked = specification(tmp_path, "split_face")
    assert complete(Population(), asked).abilities == {"alpha": 0.4, "beta": 2.0}
    with pytest.raises(InputError, match="'gamma' does not compete"):
        complete(Population(abilities={**METHODS, "gamma": 1.0}), asked)
    with pytest.raises(InputError, match="'beta' has none; give those of alpha, beta"):
        complete(Population(abilities={"alpha": 1.0}), asked)
    (tmp_path / "put_in.yaml").write_text("abilities: {alpha: 1}\nlapse: 0.1\n", encoding="utf-8")
    with pytest.raises(InputError, match="lapse"):
        read_population(tmp_path / "put_in.yaml")


def test_fewer_people_than_the_study_says_are_not_rehearsed(tmp_path: Path) -> None:
    """As launch refuses them: what is rehearsed is what people will meet."""
    asked = specification(tmp_path, "single_image")
    stimuli = faces(tmp_path, asked)  # six people, and two for training
    for people, refused in ((6, False), (7, True)):
        block = asked.stimuli.model_copy(update={"people": people})
        wanted = asked.model_copy(update={"stimuli": block})
        if refused:
            with pytest.raises(InputError, match=r"cannot be rehearsed: stimuli\.people is 7, and the pictures show 6"):
                plan_rehearsal(wanted, tmp_path, stimuli, Population())
        else:
            assert plan_rehearsal(wanted, tmp_path, stimuli, Population()).stimuli == stimuli


def _counts(engine: Engine) -> Counter[str]:
    with reading(engine) as session:
        found = Counter(session.scalars(select(AssignmentRow.state)).all())
        found["responses"] = session.scalar(select(func.count()).select_from(ResponseRow)) or 0
        found["trials"] = session.scalar(select(func.count()).select_from(TrialRow)) or 0
        return found


def _assert_recovered(rehearsal: Rehearsal, engine: Engine) -> None:
    found = recover(rehearsal, engine)
    for row in found.rows:
        assert row.low < row.high
        # A 95 % interval is ±1.96 errors: four of them leave one rehearsal in thousands.
        assert abs(row.recovered - row.put_in) < 4 * (row.high - row.low) / (2 * 1.96), row
    assert found.careful.right > 0.9


def test_real_or_fake_rehearsed_on_both_databases_with_its_server_killed(
    database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = {"main": 8, "gold": 1, "attention": 1, "training": 2}
    rehearsal = rehearsal_of(tmp_path / "study", "split_face", 16, trials=trials)
    monkeypatch.chdir(tmp_path)  # the server finds the program from anywhere
    hosts: list[HostedRehearsal] = []
    killed: list[int] = []

    @contextmanager
    def watched(*arguments: Any) -> Iterator[HostedRehearsal]:
        with hosting.hosted(*arguments) as host:
            hosts.append(host)
            yield host

    def kill_once(done: int, _total: int | None) -> None:
        if done >= 4 and not killed:
            killed.append(hosts[0].pid)
            os.kill(hosts[0].pid, signal.SIGKILL)

    monkeypatch.setattr(rehearsals, "hosted", watched)
    assert rehearse(rehearsal, database, kill_once) == 2  # started again
    assert _counts(database) == {"submitted": 16, "responses": 16 * 12, "trials": 16 * 12}
    with reading(database) as session:
        assert session.execute(select(StudyRow.simulated, StudyRow.state)).all() == [(True, "closed")]
        assert set(session.scalars(select(ParticipantRow.simulated))) == {True}
        assert set(session.scalars(select(SlotRow.state))) == {"done"}
        assert all(code and len(code) == 10 for code in session.scalars(select(AssignmentRow.completion_code)))
    _assert_recovered(rehearsal, database)
    _assert_never_mixed(rehearsal, database)


def _assert_never_mixed(rehearsal: Rehearsal, engine: Engine) -> None:
    asked = rehearsal.specification
    with pytest.raises(InputError, match="is one of model raters"):
        enter_study(engine, rehearsed_settings(asked), asked.record(), rehearsal.stimuli)
    people = asked.model_copy(update={"name": "people"})
    enter_study(engine, rehearsed_settings(people), people.record(), rehearsal.stimuli)
    with pytest.raises(InputError, match="is one of people"):
        rehearse(replace(rehearsal, specification=people), engine, no_progress)
    with pytest.raises(InputError, match="no rehearsal 'people'"):
        recover(replace(rehearsal, specification=people), engine)
    with pytest.raises(InputError, match="--name"):
        rehearse(replace(rehearsal, seed=99), engine, no_progress)


@pytest.mark.parametrize("example", ["ranking", "pairwise", "avatar_scales"])
def test_other_designs_rehearsed(example: str, tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'studies.sqlite'}")
    upgrade(engine)
    trials = {"main": 6, "gold": 1, "attention": 0, "training": 1}
    if example == "ranking":
        trials["main"] = 3
    try:
        rehearsal = rehearsal_of(tmp_path / "study", example, 12, trials=trials)
        assert rehearse(rehearsal, engine, no_progress) == 1
        _assert_recovered(rehearsal, engine)
        if example == "ranking":  # again, and nothing is there twice
            before = _counts(engine)
            rehearse(rehearsal, engine, no_progress)
            assert _counts(engine) == before and before["submitted"] == 12
    finally:
        engine.dispose()


def test_the_command_makes_pictures_rehearses_and_reports(tmp_path: Path) -> None:
    make_run(tmp_path / "run", subjects=("s1", "s2", "s6"))
    specification(
        tmp_path / "study",
        "split_face",
        stimuli={"runs": ["../run"], "training_subjects": ["s6"], "width": 96, "height": 120},
        trials={"main": 4, "gold": 1, "training": 1},
    )
    (tmp_path / "put_in.yaml").write_text("abilities: {alpha: 0.5, beta: 1.5}\ncareless: 0\n", encoding="utf-8")
    given = [
        tmp_path / "study",
        "--raters",
        4,
        "--abilities",
        tmp_path / "put_in.yaml",
        "--report",
        "--quiet",
        "--json",
    ]
    database = f"sqlite:///{tmp_path / 'studies.sqlite'}"
    result = CliRunner().invoke(simulate, [*map(str, given), "--db", database], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["raters"], found["answers"], found["careless"]["raters"]) == (4, 16, 0)
    assert found["population"]["abilities"] == METHODS and found["careful"]["right"] == 1.0
    page = tmp_path / "study" / "rehearsals" / "split-face-rehearsal" / "report.html"
    assert str(page) in result.stderr and "Simulated raters" in page.read_text(encoding="utf-8")


def test_a_server_that_cannot_start_is_said_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = specification(tmp_path / "study", "split_face")
    with (
        pytest.raises(InputError, match="did not start"),
        hosting.hosted(asked, tmp_path, f"sqlite:///{tmp_path / 'empty.sqlite'}"),
    ):
        pytest.fail("a server without tables answered")
    assert "there is no study database" in capfd.readouterr().err

"""Reports of studies whose truth is known: model raters answer the designs' own trials, and their answers are rows.

Abilities, biases and counts are put in, so every number of a report has its truth; see also
``tests/study/test_analysis_answers.py``, which says how the models answer.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from comparison_runs import row
from design_pictures import pictures, settings
from scipy.special import expit, ndtr
from sqlalchemy import Engine
from study_rows import add_assignment, add_study

from metrics.comparison import Estimate
from metrics.rows import write_rows
from recon.errors import InputError, UsageError
from recon.runs.folder import RunFolder
from study.contract import PHOTOGRAPH, DesignSettings, Stimulus
from study.database import QaDecisionRow, ResponseRow, SlotRow, StimulusRow, TrialRow, now
from study.designs import DESIGNS
from study.engine import open_database, transaction, upgrade
from study.report import Report, build_report, read_study_data, write_report
from study.report.findings import SIMULATED
from study.report.tables import Column, Table, as_markdown, as_record, ranks_in_words

METHODS = ("lightstage", "meso", "pca")
Rater = Callable[[list[Stimulus], np.random.Generator], dict[str, Any]]


def verdict(realism: Mapping[str, float]) -> Rater:
    """Real if realism and normal noise are above 0."""
    return lambda shown, rng: {"choice": "real" if realism[shown[0].condition] + rng.normal() > 0 else "fake"}


def order(ability: Mapping[str, float]) -> Rater:
    """Gumbel noise makes Plackett–Luce rankings."""

    def answer(shown: list[Stimulus], rng: np.random.Generator) -> dict[str, Any]:
        worth = np.array([ability[one.condition] for one in shown])
        return {"order": np.argsort(-(worth + rng.gumbel(size=len(shown)))).tolist()}

    return answer


def choice(ability: Mapping[str, float]) -> Rater:
    """Likewise Bradley–Terry choices."""
    return lambda shown, rng: {
        "choice": int(np.argmax(np.array([ability[one.condition] for one in shown]) + rng.gumbel(size=2)))
    }


def score(quality: Mapping[str, float], scales: Sequence[str]) -> Rater:
    """Steps of 5 around the quality."""

    def answer(shown: list[Stimulus], rng: np.random.Generator) -> dict[str, Any]:
        drawn = {name: int(np.clip(np.rint(quality[shown[0].condition] + 0.6 * rng.normal()), 1, 5)) for name in scales}
        return {"scores": drawn}

    return answer


def hold_study(
    engine: Engine,
    design: str,
    chosen: DesignSettings,
    stimuli: Sequence[Stimulus],
    rater: Rater,
    *,
    use: Mapping[int, Sequence[str]] | None = None,
    waiting: Sequence[int] = (),
    **changed: Any,
) -> None:
    """A whole study in the database; everybody hands in.

    Args:
        use: slots that quality leaves out, with the reasons; None where nothing was decided.
        waiting: slots about which nothing is decided.
    """
    plan = DESIGNS.get(design)
    assert plan.check(chosen, stimuli) == ()
    known = {one.sha256: one for one in stimuli}
    with transaction(engine) as session:
        study = add_study(session, "faces", slots=0, design=design, seed=chosen.seed, **changed)
        session.add_all(
            StimulusRow(study_id=study.id, **{name: getattr(one, name) for name in Stimulus.__dataclass_fields__})
            for one in stimuli
        )
        for number in range(chosen.raters):
            slot = SlotRow(study_id=study.id, number=number, state="done")
            session.add(slot)
            session.flush()
            secret = hashlib.sha256(f"secret {number}".encode()).hexdigest()
            assignment = add_assignment(session, study, slot, secret)
            assignment.state, assignment.submitted_at = "submitted", now()
            rng = np.random.default_rng([7, number])
            for trial in plan.plan(chosen, stimuli, number):
                answer = plan.read_answer(chosen, trial, rater([known[name] for name in trial.shown], rng))
                row = TrialRow(assignment_id=assignment.id, index=trial.index, part=trial.part,
                               question=trial.question, shown=list(trial.shown), reference=trial.reference,
                               expected=None if trial.expected is None else dict(trial.expected))  # fmt: skip
                row.response = ResponseRow(client_uuid=str(uuid.UUID(int=int(rng.integers(2**62)))), answer=answer,
                                           correct=plan.correct(trial, answer),
                                           reaction_ms=int(rng.integers(900, 5000)), viewport_width=1280,
                                           viewport_height=720, device_pixel_ratio=1.0)  # fmt: skip
                session.add(row)
            if use is not None and number not in waiting:
                session.add(QaDecisionRow(assignment_id=assignment.id, pay=True, use=number not in use,
                                          reasons=list(use.get(number, ())), decided_by="rules"))  # fmt: skip


@pytest.fixture
def sqlite(tmp_path: Path) -> Engine:
    engine = open_database(f"sqlite:///{tmp_path / 'studies.sqlite'}")
    upgrade(engine)
    return engine


def table(report: Report, key: str) -> dict[str, dict[str, Any]]:
    """Rows of a table by their first cell, each by the headings, as programs read them."""
    found = next(one for section in report.sections for one in section.tables if one.key == key)
    names = [column.name for column in found.columns]
    return {str(row[0]): dict(zip(names, row, strict=True)) for row in as_record(found)["rows"]}


def test_a_split_face_study(database: Engine) -> None:
    """40 raters on either database; fooling rates are Φ(realism), d′ the difference to photographs (one criterion)."""
    realism = {"meso": 0.3, "pca": -1.2, PHOTOGRAPH: 0.8}
    stimuli = pictures(12, ("meso", "pca"), "split")
    chosen = settings(("meso", "pca", PHOTOGRAPH), 12, 40, gold=2)
    left_out = {3: ["gold: 0 of 2 right", "speed: half within 300 ms"], 5: ["speed: half within 200 ms"], 9: []}
    hold_study(database, "split-face", chosen, stimuli, verdict(realism), use=left_out, waiting=(7,), state="closed")
    data = read_study_data(database, "faces")
    made = build_report(data)
    assert (made.raters, made.answers) == (36, 36 * 12)
    assert sorted(data.left_out()) == [
        ("by rule", 1),
        ("not reviewed yet", 1),
        ("rule gold, speed", 1),
        ("rule speed", 1),
    ]
    assert made.warnings == ("Handed in and not reviewed yet, so left out: 1 of 40 sessions.",)
    rates = table(made, "fooling_rates")
    for name, worth in realism.items():
        found = rates[name]["called real"]
        assert abs(found["value"] - ndtr(worth)) < 1.05 * (found["high"] - found["low"])
    assert rates["meso"]["rank"] == "1" and rates["pca"]["rank"] == "2" and rates[PHOTOGRAPH]["rank"] == ""
    signal = table(made, "detection")
    for name in ("meso", "pca"):
        found = signal[name]["d′"]
        assert abs(found["value"] - (realism[PHOTOGRAPH] - realism[name])) < 1.05 * (found["high"] - found["low"])
    assert table(made, "contrasts")["meso − pca"]["verdict"] == "meso is higher"
    assert table(made, "published_split-face")["raters"] == {"": "raters", "published": "150", "here": "36"}
    gold = table(made, "sessions")["gold trials answered right, by those analysed"]["number"]
    assert gold.endswith("of 72")


def test_a_rule_that_only_withholds_pay_is_no_reason_to_leave_out(sqlite: Engine) -> None:
    quality = {"speed": {"withholds": ["pay"]}, "gold": {"withholds": ["use"]}}
    stimuli = pictures(6, ("meso",), "single")
    left_out = {2: ["speed: half within 300 ms", "gold: 0 of 2 right"]}
    hold_study(sqlite, "single", settings(("meso", PHOTOGRAPH), 6, 6), stimuli, verdict({"meso": 0, PHOTOGRAPH: 1}),
               use=left_out, specification={"quality": quality})  # fmt: skip
    assert read_study_data(sqlite, "faces").left_out() == [("rule gold", 1)]


def test_a_ranking_study_beside_the_published_one(sqlite: Engine) -> None:
    """100 raters, 3 sets; abilities are put in from two of the published shares, which come out beside ours."""
    ability = {"lightstage": float(np.log(0.74 / 0.26)), "pca": 0.0}
    ability["deep"] = ability["lightstage"] + float(np.log(0.56 / 0.44))
    methods = tuple(sorted(ability))
    hold_study(sqlite, "ranking", settings(methods, 3, 100), pictures(3, methods), order(ability), use={})
    made = build_report(read_study_data(sqlite, "faces"))
    scale = table(made, "scale_abilities")
    mean = np.mean(list(ability.values()))
    for name, worth in ability.items():
        assert abs(scale[name]["ability"]["value"] - (worth - mean)) < 3.5 * scale[name]["error"]
    share = table(made, "preferences")["lightstage"]["pca"]
    assert share["n"] == 300 and share["value"] == pytest.approx(0.74, abs=4 * np.sqrt(0.74 * 0.26 / 300))
    beside = table(made, "published_ranking")["lightstage preferred to pca"]
    assert beside["published"] == "74%" and beside["here"].startswith(f"{share['value']:.0%} [")


def test_equal_conditions_are_not_ranked(sqlite: Engine) -> None:
    equal = dict.fromkeys(METHODS, 0.0)
    hold_study(sqlite, "pairwise", settings(METHODS, 12, 30), pictures(12, METHODS), choice(equal), use={})
    made = build_report(read_study_data(sqlite, "faces"))
    for key in ("scale_abilities", "thurstone_abilities"):
        assert [row["rank"] for row in table(made, key).values()] == ["–"] * 3
    assert {row["verdict"] for row in table(made, "scale_differences").values()} == {"no more than chance"}
    alpha = table(made, "rater_agreement")["choices"]["alpha"]
    assert alpha["low"] < 0.05 and abs(alpha["value"]) < 0.2


def test_raters_who_all_agree_leave_some_doubt(sqlite: Engine) -> None:
    """20 raters, 60 rankings, all alike: Wilson's interval of 60 of 60 begins at 60 / (60 + 1.96²)."""
    ability = {"lightstage": 200.0, "meso": 100.0, "pca": 0.0}
    hold_study(sqlite, "ranking", settings(METHODS, 3, 20), pictures(3, METHODS), order(ability), use={})
    made = build_report(read_study_data(sqlite, "faces"))
    share = table(made, "preferences")["meso"]["pca"]
    assert (share["value"], share["high"]) == (1.0, 1.0)
    assert share["low"] == pytest.approx(60 / (60 + 1.959964**2), abs=1e-6)
    notes = next(one for section in made.sections for one in section.tables if one.key == "scale_abilities").notes
    assert any(note.startswith("Every choice between these groups went one way") for note in notes)


def test_a_pairwise_study(sqlite: Engine) -> None:
    ability = {"lightstage": 0.6, "meso": 0.8, "pca": -0.7}
    hold_study(sqlite, "pairwise", settings(METHODS, 12, 40), pictures(12, METHODS), choice(ability), use={})
    made = build_report(read_study_data(sqlite, "faces"))
    scale, mean = table(made, "scale_abilities"), np.mean(list(ability.values()))
    for name, worth in ability.items():
        assert abs(scale[name]["ability"]["value"] - (worth - mean)) < 3.5 * scale[name]["error"]
    model = table(made, "scale_differences")["meso − pca"]
    assert model["verdict"] == "meso is preferred" and abs(model["preferred, by the model"] - expit(1.5)) < 0.1


def test_a_study_of_two_scales(sqlite: Engine) -> None:
    quality = {"lightstage": 3.6, "meso": 3.5, "pca": 2.2}
    chosen = settings(METHODS, 15, 40, options={"scales": {"realism": 5, "trust": 5}})
    hold_study(sqlite, "acr", chosen, pictures(10, METHODS), score(quality, ("realism", "trust")), use={})
    made = build_report(read_study_data(sqlite, "faces"))
    for scale in ("realism", "trust"):
        found, model = table(made, f"mos_{scale}"), table(made, f"p910_{scale}")
        for name, worth in quality.items():
            mean = found[name]["mean opinion score"]
            assert abs(mean["value"] - worth) < 1.05 * (mean["high"] - mean["low"]) + 0.02
            # Raters are unbiased and equally consistent: the model has nothing to take away.
            assert model[name]["quality ψ"]["value"] == pytest.approx(model[name]["plain mean"], abs=0.1)
        pictures_of = next(t for s in made.sections for t in s.tables if t.key == f"mos_pictures_{scale}")
        seen = as_record(pictures_of)["rows"]
        assert len(seen) == 30 and pictures_of.folded and sum(row[4] for row in seen) == 15 * 40
        for name in quality:  # every rater scored five pictures of each condition
            weighed = sum(row[2]["value"] * row[4] for row in seen if row[1] == name) / 200
            assert weighed == pytest.approx(found[name]["mean opinion score"]["value"], abs=0.05)
        shares = [value for name, value in found["pca"].items() if name.startswith("score ")]
        assert sum(shares) == pytest.approx(1.0)
        assert found["pca"]["rank"] in ("2", "3")


def test_less_is_better_on_a_scale_of_creepiness(sqlite: Engine, tmp_path: Path) -> None:
    """Scales stand in the file's order; on creepiness the lowest score ranks first, and a metric that calls the least
    creepy best agrees with people."""
    quality = {"lightstage": 4.5, "meso": 3.0, "pca": 1.5}
    (folder := tmp_path / "studies" / "faces").mkdir(parents=True)
    (tmp_path / "first").mkdir()
    specification = {
        "stimuli": {"runs": ["../../first"]},
        "scales": [{"name": "realism"}, {"name": "creepiness"}, {"name": "affinity"}],
    }
    names = ("realism", "creepiness", "affinity")
    steps: dict[str, Any] = {"scales": dict.fromkeys(names, 5)}
    plain = score(quality, names)

    def rater(shown: list[Stimulus], rng: np.random.Generator) -> dict[str, Any]:
        found = plain(shown, rng)["scores"]
        return {"scores": {**found, "creepiness": 6 - found["creepiness"]}}

    hold_study(sqlite, "acr", settings(METHODS, 12, 30, options=steps), pictures(8, METHODS), rater, use={},
               specification=specification)  # fmt: skip
    rows = [
        row(
            method, f"s{i:02}", 5 - worth + i / 100, metric="LPIPS", direction="lower", protocol="blur:8", view="fitted"
        )
        for i in range(8)
        for method, worth in quality.items()
    ]
    rows += [{**one, "metric": "ITA of the reference", "direction": "none"} for one in rows]
    write_rows(RunFolder(tmp_path / "first"), rows)
    made = build_report(read_study_data(sqlite, "faces"), folder)
    assert [one.key for one in made.sections if one.key.startswith("scores_")] == [f"scores_{name}" for name in names]
    for name, order in (("realism", ["lightstage", "meso", "pca"]), ("creepiness", ["lightstage", "meso", "pca"])):
        mos = table(made, f"mos_{name}")
        assert list(mos) == order and [one["rank"] for one in mos.values()] == ["1", "2", "3"]
        agreement = table(made, f"metric_agreement_{name}")
        assert list(agreement) == ["LPIPS, fitted, skin/all"]  # what claims nothing of quality is no metric of it
        assert agreement["LPIPS, fitted, skin/all"]["SRCC"]["value"] > 0.85
    assert table(made, "mos_creepiness")["lightstage"]["mean opinion score"]["value"] < 2


class Page(HTMLParser):
    """What a page opens and closes, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loads += [str(value) for name, value in attributes if name in ("src", "href") and str(value)[0] != "#"]
        self.ids += [str(value) for name, value in attributes if name == "id"]
        if tag not in ("meta", "path", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == "path" or self.open.pop() == tag


def test_files_stand_alone_and_tell_nobody(sqlite: Engine, tmp_path: Path) -> None:
    stimuli = pictures(6, ("meso", "pca"), "single")
    chosen = settings(("meso", "pca", PHOTOGRAPH), 6, 8, gold=1, training=0)
    realism = {"meso": 0.5, "pca": -1, PHOTOGRAPH: 1}
    hold_study(sqlite, "single", chosen, stimuli, verdict(realism), use={2: ["speed: too fast"]},
               specification={"title": "Real? <script>alert(1)</script> | *"}, simulated=True)  # fmt: skip
    data = read_study_data(sqlite, "faces")
    written = write_report(build_report(data), tmp_path / "out")
    page = written.html.read_text(encoding="utf-8")
    parser = Page()
    parser.feed(page)
    assert not parser.open and not parser.loads and len(set(parser.ids)) == len(parser.ids)
    assert "<script" not in page and "<svg" in page
    frame = pd.read_parquet(written.parquet)
    read = pd.read_csv(written.csv, keep_default_na=False)
    assert len(frame) == len(read) == 8 * 7 and list(frame.columns) == list(read.columns)
    assert sorted(frame["rater"].unique()) == list(range(1, 9))
    assert (~frame["use"]).sum() == 7 and set(frame.loc[~frame["use"], "left_out"]) == {"rule speed"}
    gold = frame[frame["part"] == "gold"]
    assert gold["correct"].notna().all() and (gold["conditions"] == "photograph*").any()
    assert frame["simulated"].all()
    # Neither pseudonyms nor the order in which people came: numbers follow the keyed pseudonyms.
    secrets = [hashlib.sha256(f"secret {number}".encode()).hexdigest() for number in range(8)]
    texts = [path.read_text(encoding="utf-8") for path in (written.html, written.markdown, written.csv, written.json)]
    assert not [one for one in secrets for text in texts if one[:12] in text]
    fast = frame.loc[~frame["use"], "rater"].iloc[0]
    assert fast == 1 + sorted(secrets).index(secrets[2])
    # The banner is in all of them.
    assert page.count(SIMULATED) == 2 and SIMULATED in texts[1]
    told = json.loads(texts[3])
    assert told["simulated"] is True and told["warnings"][0] == SIMULATED and set(read["simulated"]) == {True}
    assert not [path for path in written.html.parent.iterdir() if "partial" in path.name]


def test_whose_answers_count_is_said_before_anything_is_counted(sqlite: Engine) -> None:
    with pytest.raises(UsageError, match="no study 'faces' in this database; it has: none"):
        read_study_data(sqlite, "faces")
    stimuli = pictures(6, ("meso", "pca"), "single")
    chosen = settings(("meso", "pca", PHOTOGRAPH), 6, 4)
    hold_study(sqlite, "single", chosen, stimuli, verdict({"meso": 0.5, "pca": -1, PHOTOGRAPH: 1}))
    with pytest.raises(InputError, match="4 of 4 that were handed in are not reviewed; 'mesoface study review faces'"):
        read_study_data(sqlite, "faces")
    data = read_study_data(sqlite, "faces", all_sessions=True)
    assert len(data.used) == 4
    assert "decisions of quality were not asked" in build_report(data).warnings[0]
    with transaction(sqlite) as session:
        for number in range(1, 5):
            session.add(QaDecisionRow(assignment_id=number, pay=True, use=True, reasons=[], decided_by="rules"))
            session.flush()
            session.add(
                QaDecisionRow(assignment_id=number, pay=True, use=False, reasons=["R2D2 wrote to me"], decided_by="me")
            )
            session.flush()
    with pytest.raises(InputError, match="quality left out all 4"):
        read_study_data(sqlite, "faces")
    with transaction(sqlite) as session:
        session.add(QaDecisionRow(assignment_id=2, pay=True, use=True, reasons=[], decided_by="me"))
    data = read_study_data(sqlite, "faces")
    # The latest decision holds, and what a person wrote of a rater stays in the database.
    assert len(data.used) == 1 and data.left_out() == [("a person decided", 3)]


def test_metrics_beside_people(sqlite: Engine, tmp_path: Path) -> None:
    """A metric that equals what raters answer by agrees entirely; one that is the same for all is not defined."""
    quality = {"lightstage": 4.5, "meso": 3.0, "pca": 1.5}
    run, folder = tmp_path / "first", tmp_path / "studies" / "faces"
    folder.mkdir(parents=True)
    run.mkdir()
    chosen = settings(METHODS, 12, 30, options={"scales": {"realism": 5}})
    stimuli = pictures(8, METHODS)
    specification = {"title": "Faces", "stimuli": {"runs": ["../../first"]}}
    hold_study(sqlite, "acr", chosen, stimuli, score(quality, ("realism",)), use={}, specification=specification)
    data = read_study_data(sqlite, "faces")
    missing = next(one for one in build_report(data, folder).sections if one.key == "metrics")
    assert "has no metrics.parquet" in missing.words[0] and not missing.tables
    rows = [
        row(method, f"s{i:02}", value, metric=name, direction=direction, protocol="blur:8", view="fitted")
        for i in range(8)
        for method, worth in quality.items()
        for name, value, direction in (("LPIPS", 5 - worth + i / 100, "lower"), ("PSNR", 20, "higher"))
    ]
    write_rows(RunFolder(run), rows)
    found = table(build_report(data, folder), "metric_agreement_realism")
    assert list(found) == ["LPIPS, fitted, skin/all"]
    assert found["LPIPS, fitted, skin/all"]["SRCC"]["value"] > 0.85


def test_the_command(sqlite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.report_commands import report

    monkeypatch.chdir(tmp_path)
    ability = {"lightstage": 1, "meso": 1, "pca": 0}
    hold_study(sqlite, "ranking", settings(METHODS, 3, 12), pictures(3, METHODS), order(ability), use={})
    address = sqlite.url.render_as_string()
    said = CliRunner().invoke(report, ["faces", "--db", address], catch_exceptions=False)
    assert said.exit_code == 0 and "faces: 12 raters, 36 answers" in said.output
    assert "Few raters (12)" in said.output
    folder = Path("studies/faces/report")
    names = {"report.html", "tables.md", "answers.csv", "answers.parquet", "report.json"}
    assert {path.name for path in folder.iterdir()} == names
    for kind, name in (("markdown", "tables.md"), ("csv", "answers.csv"), ("json", "report.json")):
        printed = CliRunner().invoke(report, ["faces", "--db", address, "--format", kind, "--out", "elsewhere"])
        assert printed.output == Path("elsewhere", name).read_text(encoding="utf-8")


def test_cells_are_printed_as_they_are() -> None:
    columns = (Column("of", "words"), Column("x"), Column("p", "p"))
    nan = float("nan")
    rows = (("a|b", Estimate(-0.5, -1.0, nan, 3), 0.0001), ("c", Estimate(0.25, 0.0, 0.5, 3), nan))
    printed = as_markdown(Table("k", "T", columns, rows, ("note",)))
    assert "| a\\|b | −0.500 | \\<0.001 |" in printed and "| c | 0.250 [0.000, 0.500] | – |" in printed
    assert as_record(Table("k", "T", columns, rows))["rows"][0] == [
        "a|b", {"value": -0.5, "low": -1.0, "high": None, "n": 3}, 0.0001,
    ]  # fmt: skip
    assert ranks_in_words(np.array([1, 1, 3])) == ("1 (tied)", "1 (tied)", "3")
    assert ranks_in_words(np.array([1, 1])) == ("–", "–") and ranks_in_words(np.array([1])) == ("1",)

"""``mesoface study import-batch``: a batch of Mechanical Turk becomes answers that review and report work on.

Sources: columns as ``study.batch_trials`` documents them, statuses and prefixes as Mechanical Turk's requester page
writes them; shares in closed form.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select
from study_hosting import STUDY_FILE, make_stimuli, write_study

import mesoface
from study.commands import study as commands
from study.contract import Stimulus
from study.database import IMPORTED, AssignmentRow, HitRow, ParticipantRow, ResponseRow, StudyRow, TrialRow
from study.engine import open_database, reading, transaction
from study.stimuli.catalogue import Catalogue, file_name, write_catalogue

FILE = STUDY_FILE.replace("currency: EUR", "currency: USD, provider: mturk")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESOFACE_STUDY_KEY", "0f" * 32)
    made = tmp_path / "trial"
    made.mkdir()
    write_study(made)
    (made / "study.yaml").write_text(FILE)
    return made


@pytest.fixture
def typed(database_url: str) -> Callable[..., Result]:
    """The command line on a database of either system."""

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(commands, [*map(str, arguments), "--db", database_url])

    return call


def pictures(folder: Path) -> list[Stimulus]:
    """Of main trials: of each person the photograph, and a fake by each method."""
    found = make_stimuli(folder, "split")
    return [one for one in found if one.subject not in ("person6", "person7") and not one.degraded]


def write_batch(path: Path, rows: list[dict[str, Any]]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(number: int, worker: str, picture: Stimulus, choice: str, status: str = "Approved", **more: Any) -> Any:
    return {
        "HITId": f"H{picture.sha256[:6]}", "AssignmentId": f"A{number}", "WorkerId": worker, "AssignmentStatus": status,
        "WorkTimeInSeconds": "4", "Input.shown": f"https://pictures.example/stimuli/{file_name(picture)}",
        "Answer.choice": choice, **more,
    }  # fmt: skip


def batch(folder: Path) -> list[dict[str, Any]]:
    """Three workers see eight pictures of two people and call all of the last method's real; one is rejected."""
    shown = [one for one in pictures(folder) if one.subject in ("person0", "person1")]
    rows = []
    for place, worker in enumerate(["W1", "W2", "W3", "W4"]):
        for number, one in enumerate(shown):
            real = one.condition in ("photograph", "mirror")
            status = "Rejected" if worker == "W4" else "Submitted" if (worker, number) == ("W3", 0) else "Approved"
            rows.append(row(100 * place + number, worker, one, "real" if real else "fake", status))
    return rows


def counts(url: str) -> list[int]:
    engine = open_database(url)
    with reading(engine) as session:
        tables = (ParticipantRow, AssignmentRow, TrialRow, ResponseRow)
        found = [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
    engine.dispose()
    return found


def test_a_batch_is_imported_once_reviewed_and_reported(
    folder: Path, typed: Callable[..., Result], database_url: str, tmp_path: Path
) -> None:
    file = write_batch(tmp_path / "batch.csv", batch(folder))
    first = typed("import-batch", folder, file)
    assert first.exit_code == 0, first.output
    assert first.output == "trial: 24 answers, 3 new raters; 0 answers were there, 8 rejected rows left out\n"
    assert counts(database_url) == [3, 3, 24, 24]
    again = json.loads(typed("import-batch", folder, file, "--json").output)
    assert again == {"study": "trial", "raters": 0, "answers": 0, "known": 24, "rejected": 8}
    assert counts(database_url) == [3, 3, 24, 24]
    assert "3 decided now" in typed("review", "trial", "--decide").output
    report = typed("report", "trial", "--out", tmp_path / "report")
    assert report.exit_code == 0, report.output
    table = json.loads((tmp_path / "report" / "report.json").read_text())["sections"][0]["tables"][0]
    called_real = {line[0]: line[2]["value"] for line in table["rows"]}
    assert called_real == {"photograph": 1.0, "mirror": 1.0, "meso": 0.0, "pca": 0.0}
    assert "to pay 0 raters" in typed("pay", "trial", "--dry-run").output  # they were paid at Mechanical Turk
    engine = open_database(database_url)
    with reading(engine) as session:
        rows = session.scalars(select(AssignmentRow).order_by(AssignmentRow.id)).all()
        assert [one.provider_state for one in rows] == ["Approved", "Approved", "Submitted"]
        assert {one.consent_version for one in rows} == {IMPORTED}
        assert {response.reaction_ms for response in session.scalars(select(ResponseRow))} == {4000}
        assert not any("W1" in one.pseudonym for one in session.scalars(select(ParticipantRow)))
    engine.dispose()


def test_a_later_download_adds_what_is_new(folder: Path, typed: Callable[..., Result], tmp_path: Path) -> None:
    rows = batch(folder)
    typed("import-batch", folder, write_batch(tmp_path / "first.csv", rows[:4]))
    said = typed("import-batch", folder, write_batch(tmp_path / "second.csv", rows[:12])).output
    assert said == "trial: 8 answers, 1 new raters; 4 answers were there, 0 rejected rows left out\n"


def test_several_trials_a_task_and_known_answers(
    folder: Path, typed: Callable[..., Result], database_url: str, tmp_path: Path
) -> None:
    main = pictures(folder)[0]
    spoilt = next(one for one in make_stimuli(folder, "split") if one.degraded and one.subject == "person0")
    task = {
        "HITId": "H1", "AssignmentId": "A1", "WorkerId": "W1", "AssignmentStatus": "Approved", "WorkTimeInSeconds": "9",
        "Input.shown_1": file_name(main), "Answer.choice_1": "Real", "Answer.reaction_ms_1": "2500",
        "Input.shown_2": file_name(spoilt), "Input.part_2": "gold", "Input.expected_2": '{"choice": "fake"}',
        "Answer.choice_2": "real",
    }  # fmt: skip
    done = typed("import-batch", folder, write_batch(tmp_path / "batch.csv", [task]))
    assert done.exit_code == 0, done.output
    engine = open_database(database_url)
    with reading(engine) as session:
        found = session.execute(
            select(TrialRow.part, ResponseRow.correct, ResponseRow.reaction_ms)
            .join(ResponseRow)
            .order_by(TrialRow.index)
        ).all()
    engine.dispose()
    assert [tuple(one) for one in found] == [("main", None, 2500), ("gold", False, 4500)]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"Input.shown": "f" * 64 + ".png"}, "row 3, column 'Input.shown': .* is no picture of this study"),
        ({"Input.shown": ""}, "row 3, column 'Input.shown': nothing says which pictures"),
        ({"Answer.choice": "perhaps"}, "row 3 does not answer its trial: 'choice' must be 'real' or 'fake'"),
        ({"WorkTimeInSeconds": ""}, "row 3, column 'Answer.reaction_ms': neither"),
        ({"WorkTimeInSeconds": "-4"}, "row 3, column 'Answer.reaction_ms': -4000 ms"),
        ({"Input.part": "golden"}, "row 3, column 'Input.part': 'golden' is none of"),
        ({"Input.part": "gold"}, "row 3, column 'Input.expected': .* as JSON"),
        ({"Input.part": "gold", "Input.expected": '{"last": 0}'}, "row 3, column 'Input.expected': .* fits no answer"),
        ({"Input.expected": '{"choice": "fake"}'}, "row 3, column 'Input.expected': a trial of part 'main'"),
        ({"Input.reference": "x.png"}, "row 3, column 'Input.reference': names 1 references, the design has none"),
        ({"AssignmentStatus": "Lost"}, "row 3 of .* 'Lost'"),
    ],
)
def test_what_does_not_match_is_refused_by_row_and_nothing_is_imported(
    folder: Path, typed: Callable[..., Result], database_url: str, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    rows = batch(folder)[:3]
    rows[1] |= changed
    refused = typed("import-batch", folder, write_batch(tmp_path / "batch.csv", rows))
    assert refused.exception is not None
    with pytest.raises(type(refused.exception), match=said):
        raise refused.exception
    assert counts(database_url) == [0, 0, 0, 0]


def test_an_answer_is_never_changed_by_an_import(
    folder: Path, typed: Callable[..., Result], database_url: str, tmp_path: Path
) -> None:
    rows = batch(folder)[:3]
    typed("import-batch", folder, write_batch(tmp_path / "batch.csv", rows))
    rows[2]["Answer.choice"] = "fake" if rows[2]["Answer.choice"] == "real" else "real"
    new = row(900, "W9", pictures(folder)[0], "real")
    refused = typed("import-batch", folder, write_batch(tmp_path / "other.csv", [new, *rows]))
    assert "row 5 gives another answer" in str(refused.exception)
    assert counts(database_url) == [1, 1, 3, 3]  # nor is the new worker there


def test_a_batch_goes_to_a_study_of_its_own(
    folder: Path, typed: Callable[..., Result], database_url: str, tmp_path: Path
) -> None:
    file = write_batch(tmp_path / "batch.csv", batch(folder)[:2])
    (folder / "study.yaml").write_text(FILE.replace("provider: mturk", "provider: prolific"))
    assert "payment.provider: mturk" in str(typed("import-batch", folder, file).exception)
    (folder / "study.yaml").write_text(FILE)
    assert typed("import-batch", folder, file).exit_code == 0
    other = tmp_path / "other"
    other.mkdir()
    write_catalogue(other, Catalogue({}, {}, make_stimuli(other, "split"), (), (), ()))
    (other / "study.yaml").write_text(FILE.replace("name: trial", "name: other"))
    assert "part of the study 'trial'" in str(typed("import-batch", other, file).exception)
    engine = open_database(database_url)
    with transaction(engine) as session:
        study = session.scalars(select(StudyRow).where(StudyRow.name == "trial")).one()
        hit = HitRow(study_id=study.id, provider="mturk", request_token="t" * 64, state="open", assignments=3)
        session.add(hit)
    engine.dispose()
    assert "was launched" in str(typed("import-batch", folder, file).exception)


def test_a_wrong_file_ends_in_a_sentence(folder: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        mesoface.main(["study", "import-batch", str(folder), str(folder / "none.csv"), "--db", database_url])
    assert ended.value.code == 3 and "does not exist" in capsys.readouterr().err

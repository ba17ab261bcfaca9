"""``mesoface study schema``, ``example`` and ``check``: output, exit codes, JSON; the preview; what the server is told.

Sources: the ready study files, counts in closed form, exit codes of the README.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from design_pictures import picture, pictures
from sqlalchemy import select
from study_runs import make_run

import mesoface
import study
from recon.errors import EXIT_INPUT, EXIT_USAGE
from study.check import check_study
from study.contract import PHOTOGRAPH, Stimulus
from study.database import StudyRow
from study.engine import open_database, reading, upgrade
from study.hosting import server_settings
from study.preview import previewed
from study.server.registration import enter_study
from study.server.sessions import require_words
from study.specification import read_specification, specification_from
from study.stimuli.catalogue import Catalogue, picture_of, write_catalogue

EXAMPLES = sorted((Path(study.__file__).parent / "examples").glob("*.yaml"))
Outcome = tuple[int, str, str]
Command = Callable[..., Outcome]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs ``mesoface study`` in this process: exit code, output, errors."""

    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            mesoface.main(["study", *map(str, arguments)])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out, captured.err

    return run


def changed(folder: Path, stem: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A ready study file, changed, in ``folder``."""
    content = yaml.safe_load(EXAMPLES[0].with_stem(stem).read_text(encoding="utf-8"))
    change(content)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def build(path: Path, stimuli: Sequence[Stimulus], **order: Any) -> None:
    """Stands for ``build_stimuli``: a catalogue beside the study file, and files of those names."""
    asked = asdict(read_specification(path).stimuli_order(path.parent))
    record = {**asked, "runs": list(map(str, asked["runs"])), **order}
    for stimulus in stimuli:
        place = picture_of(path.parent, stimulus)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"")
    write_catalogue(path.parent, Catalogue(record, {}, tuple(stimuli), (), (), ()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_ready_files_can_be_run(command: Command, path: Path) -> None:
    code, out, err = command("check", path, "--simulations", "50")
    assert (code, err) == (0, "")
    assert "AGAINST" not in out and "note" not in out
    assert re.search(r"detects a difference .*; a difference of 0\.[15] takes about \d+ raters", out)
    found = check_study(path, simulations=0)
    asked = found.specification
    assert len(found.sessions) == asked.raters
    # Main trials in closed form, shared out over faces and conditions; half of real-or-fake trials are photographs.
    methods = [name for name in asked.conditions if name != PHOTOGRAPH or asked.design == "pairwise"]
    per_trial = {"split-face": 0.5, "single": 0.5, "ranking": len(methods), "pairwise": 2, "acr": 1}[asked.design]
    assert asked.stimuli.people is not None
    times = asked.raters * asked.trials.main * per_trial / (asked.stimuli.people * len(methods))
    assert found.views == (times, times)


def test_the_published_split_face_study(command: Command) -> None:
    """150 raters × 22 trials, half of them renderings: 1650 over 11 faces and 5 methods are 30 each."""
    code, out, _ = command("check", EXAMPLES[0].with_stem("split_face"), "--json", "--simulations", "100")
    found = json.loads(out)
    assert code == 0
    assert found["views_of_a_picture"] == [30, 30]
    # 29 trials of 6 s and 120 s around them; 150 × (1.10 + 0.37), of which 0.37 is a third rounded up.
    assert found["costs"]["minutes"] == pytest.approx((29 * 6 + 120) / 60)
    assert found["costs"]["total"] == 150 * (110 + 37)
    assert 0 < found["power"]["difference"] < 0.5 and found["power"]["power"] == 0.8
    # As many raters as the study has detect what it says; of a smaller difference the errors grow with √raters.
    needed = found["raters_needed"]
    expected = 150 * (found["power"]["difference"] / needed["difference"]) ** 2
    assert needed == {"difference": 0.1, "raters": pytest.approx(expected, rel=0.25)}


def test_beyond_the_cap_the_check_fails(command: Command, tmp_path: Path) -> None:
    path = changed(tmp_path, "ranking", lambda content: content["payment"].update(cap=12_099))
    code, out, err = command("check", path, "--simulations", "0")
    assert code == EXIT_INPUT
    assert "AGAINST    the study costs USD 121.00" in out  # 100 × (0.90 + 0.31)
    assert err.startswith(f"mesoface: '{path}' should not be run: the study costs")
    path = changed(tmp_path, "ranking", lambda content: content["payment"].update(cap=12_100))
    assert command("check", tmp_path, "--simulations", "0")[0] == 0


def test_what_is_not_computed_is_said(command: Command, tmp_path: Path) -> None:
    path = changed(tmp_path, "single_image", lambda content: content["stimuli"].pop("people"))
    code, out, _ = command("check", path)
    assert code == 0
    assert "say stimuli.people" in out
    assert "power      not computed: there are no pictures yet" in out
    path = changed(tmp_path, "avatar_scales", lambda content: content.update(conditions=["meso"]))
    code, out, _ = command("check", path)
    assert code == 0
    assert "power      not computed: a power simulation needs" in out
    path = changed(tmp_path, "single_image", lambda content: content.update(raters=2))
    assert re.search(
        "not even the largest difference.*; a difference of 0.1 takes about [0-9]+ raters", command("check", path)[1]
    )
    assert "no simulations were asked for" in command("check", path, "--simulations", "0")[1]


def test_people_are_counted_in_the_runs(command: Command, tmp_path: Path) -> None:
    def ask(content: dict[str, Any]) -> None:
        del content["stimuli"]["people"]
        content["stimuli"]["runs"] = ["run"]

    path = changed(tmp_path, "single_image", ask)
    (tmp_path / "run").mkdir()
    names = [f"p{number}" for number in range(18)]
    methods = {"meso": {}, "deep": {}, "pca": {}}
    record = {"format": 1, "methods": methods, "protocols": ["blur:8"], "subjects": [*names, "140", "141"]}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    code, out, _ = command("check", path, "--simulations", "0")
    assert code == 0
    assert "stand-ins of 18 people, all whom the runs have" in out

    path = changed(tmp_path, "single_image", lambda content: content["stimuli"].update(runs=["run"], people=19))
    code, out, _ = command("check", path, "--simulations", "0")
    assert code == EXIT_INPUT
    assert "AGAINST    stimuli.people is 19, and the runs have 18 people besides those for training" in out
    path = changed(tmp_path, "single_image", lambda content: content["stimuli"].update(runs=["run"], protocol="blur:9"))
    assert "has no protocol 'blur:9'" in command("check", path, "--simulations", "0")[1]


def test_pictures_that_are_built_are_laid_out(command: Command, tmp_path: Path) -> None:
    path = changed(tmp_path, "single_image", lambda content: None)
    conditions = ["meso", "deep", "pca"]
    people = [*(f"p{number}" for number in range(18)), "140", "141"]
    made = pictures(people, conditions)
    build(path, made)
    code, out, _ = command("check", path, "--simulations", "0")
    assert code == 0
    assert f"{len(made)} pictures of '{tmp_path / 'stimuli.json'}'" in out

    build(path, [one for one in made if (one.subject, one.condition) != ("p3", "deep")])
    code, out, _ = command("check", path)
    assert code == EXIT_INPUT
    assert "pictures are missing: p3 by deep" in out
    assert "power      not computed: the trials cannot be laid out" in out

    build(path, [*made, picture("stranger", "meso")])
    assert "stimuli.people is 18, and the pictures show 19" in command("check", path)[1]

    build(path, [replace(one, protocol="identity") for one in made], protocol="identity", width=256)
    code, out, err = command("check", path, "--simulations", "0")
    assert code == EXIT_INPUT
    assert "made with protocol identity, and the study file says blur:8" in out
    assert "made with width 256, and the study file says 512" in out
    assert "(2 in all)" in err

    # Another seed draws other people.
    build(path, made, seed=2)
    assert "made with seed 2, and the study file says 1" in command("check", path, "--simulations", "0")[1]


def test_orders_and_questions_that_cannot_be(command: Command, tmp_path: Path) -> None:
    path = changed(tmp_path, "split_face", lambda content: content["stimuli"].update(view="cycles/closeup"))
    code, out, _ = command("check", path, "--simulations", "0")
    assert code == EXIT_INPUT
    assert "AGAINST    a split face needs the photograph" in out
    path = changed(tmp_path, "avatar_scales", lambda content: content["options"].update(reference="yes"))
    code, _, err = command("check", path, "--simulations", "0")
    assert code == EXIT_INPUT
    assert "option 'reference' is 'yes': give true or false." in err


def test_files_that_cannot_be_read(command: Command, tmp_path: Path) -> None:
    code, out, err = command("check", tmp_path)
    assert (code, out) == (EXIT_INPUT, "")
    assert "does not exist" in err and len(err.splitlines()) == 1
    path = changed(tmp_path, "pairwise", lambda content: content.update(colour="red"))
    code, _, err = command("check", path)
    assert code == EXIT_INPUT
    assert "there is no 'colour'" in err and "line " in err


def test_schema(command: Command) -> None:
    code, out, err = command("schema")
    assert (code, err) == (0, "")
    assert out.startswith("# The study file\n") and "## `quality.gold`" in out
    code, out, _ = command("schema", "--json")
    assert code == 0
    assert json.loads(out)["properties"]["trials"]["description"] == "Of one rater."


def test_commands_stand_in_the_order_of_a_study(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if line.strip()]
    order = [name for name in listed if name in ("example", "schema", "check", "stimuli", "publish", "serve", "links")]
    assert order == ["example", "schema", "check", "stimuli", "publish", "serve", "links"]


@pytest.mark.parametrize("example", [path.stem for path in EXAMPLES])
def test_an_example_is_made_to_fit_a_run_and_never_written_over(command: Command, tmp_path: Path, example: str) -> None:
    """Five people in photographs of 240 × 300 pixels."""
    make_run(tmp_path / "runs" / "few", subjects=tuple(f"s{number}" for number in range(1, 6)))
    folder = tmp_path / "studies" / "mine"
    code, out, err = command("example", example, "--run", tmp_path / "runs" / "few", "--out", folder)
    assert code == 0 and f"wrote {folder / 'study.yaml'}" in out and "pixels instead of" in err
    found = read_specification(folder / "study.yaml")
    assert (found.name, found.payment.provider) == ("mine", "local")
    assert found.stimuli.runs == ("../../runs/few",)
    assert check_study(folder / "study.yaml", 0).objections == ()
    before = (folder / "study.yaml").read_bytes()
    code, _, err = command("example", example, "--run", tmp_path / "runs" / "few", "--out", folder)
    assert code == EXIT_INPUT and "not written over" in err
    assert (folder / "study.yaml").read_bytes() == before


def test_an_example_for_what_is_no_run_is_refused(command: Command, tmp_path: Path) -> None:
    code, out, err = command("example", "pairwise", "--run", tmp_path)
    assert (code, out) == (EXIT_USAGE, "") and "is not a run folder" in err
    assert command("example", "--run", tmp_path)[0] == EXIT_USAGE


def test_examples_are_printed_as_they_are(command: Command) -> None:
    code, out, _ = command("example")
    assert code == 0
    assert out.split() == [path.stem for path in EXAMPLES]
    for path in EXAMPLES:
        assert command("example", path.stem)[1] == path.read_text(encoding="utf-8")
    code, _, err = command("example", "splitface")
    assert code == EXIT_USAGE
    assert "did you mean 'split_face'?" in err


def test_the_preview_serves_the_pages_and_leaves_nothing(tmp_path: Path) -> None:
    import requests

    path = changed(tmp_path, "single_image", lambda content: content["wording"].update(labels={"real": "A photograph"}))
    build(path, pictures([*(f"p{number}" for number in range(18)), "140", "141"], ["meso", "deep", "pca"]))
    before = sorted(tmp_path.rglob("*"))
    with previewed(path) as address:
        assert address.startswith("http://127.0.0.1:")
        page = requests.get(address, timeout=20)
        assert page.status_code == 200
        asked = read_specification(path)
        assert asked.question_texts()["attention-real"].count("“A photograph”") == 1
        for text in (asked.title, "you may stop at any time", "A photograph", "Fake"):
            assert text in page.text
        # Nothing that a rater is sent names a method; the page is the same for all of them.
        assert "meso" not in page.text.replace("mesoface", "") and "pca" not in page.text
        visitor = {"parameters": {}, "visitor": "6f1f5f0e-7b0b-4a5e-9d0a-0c1f7a0b7c11"}
        agreed = requests.post(f"{address}api/consent", json={**visitor, "consent_version": "1"}, timeout=20).json()
        assert agreed["state"] == "consented"
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=5)


@pytest.mark.parametrize("arguments", [
    "status", "status none", "pause none", "resume none", "close none", "review none", "review none --decide",
    "review none --set 1 pay=no use=no --reason fast", "pay none", "bonus none 1 50 --reason good", "follow none",
    "ask-return none 1 --reason late", "settle 0123 --paid", "report none", "database check",
    "database downgrade base --yes", "database erase-contacts --all",
])  # fmt: skip
def test_without_a_database_the_way_to_begin_is_said_and_none_is_made(
    command: Command, tmp_path: Path, arguments: str
) -> None:
    url = f"sqlite:///{tmp_path / 'studies.sqlite'}"
    code, out, err = command(*arguments.split(), "--db", url)
    assert (code, out, list(tmp_path.iterdir())) == (EXIT_INPUT, "", [])
    assert err.startswith(f"mesoface: there is no study database at '{url}': ") and err.count("\n") == 1
    assert "mesoface study launch" in err and f"mesoface study database upgrade --db {url}" in err


def test_a_preview_needs_pictures(command: Command, tmp_path: Path) -> None:
    changed(tmp_path, "single_image", lambda content: None)
    code, _, err = command("check", tmp_path, "--simulations", "0", "--preview")
    assert code == EXIT_INPUT
    assert "make the stimuli with 'mesoface study stimuli'" in err


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_server_is_told_what_the_file_says(path: Path) -> None:
    """Every text of the file reaches raters, and every question of the plan has words."""
    asked = read_specification(path)
    told = server_settings(asked, bytes(32))
    assert (told.study, told.design.name, told.provider) == (asked.name, asked.design, asked.payment.provider)
    assert (told.words.consent, told.words.consent_version) == (asked.consent.text, asked.consent.version)
    assert told.words.instructions == asked.wording.instructions
    assert (told.screen.width, told.screen.height, told.screen.zoom) == (
        asked.screen.width,
        asked.screen.height,
        asked.screen.zoom,
    )
    assert [scale.name for scale in told.words.scales] == [scale.name for scale in asked.scales]
    assert all(len(scale.labels) == 5 and scale.question for scale in told.words.scales)
    sessions = check_study(path, simulations=0).sessions
    for trials in sessions[:5]:
        require_words(told, trials)


def test_the_database_knows_the_file_by_the_same_sha256(tmp_path: Path) -> None:
    path = changed(tmp_path, "avatar_scales", lambda content: content.update(title="Echt? — 本物"))
    asked = read_specification(path)
    engine = open_database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    upgrade(engine)
    stimuli = pictures([*(f"p{number}" for number in range(18)), "140", "141"], ["meso", "deep", "pca"])
    enter_study(engine, server_settings(asked, bytes(32)), asked.record(), stimuli)
    with reading(engine) as session:
        row = session.scalars(select(StudyRow)).one()
        assert row.specification_sha256 == asked.sha256()
        assert specification_from(row.specification) == asked
    engine.dispose()

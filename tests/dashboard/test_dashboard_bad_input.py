"""Runs and databases that cannot be shown: every page says so in a sentence with the mend, and the rest goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comparison_runs
import pytest
import study_runs
from streamlit.testing.v1 import AppTest

from dashboard import catalogue, studies_database
from dashboard.address import PAGES
from dashboard.pictures.addresses import Picture
from dashboard.pictures.sources import source_of
from dashboard.settings import Settings, use
from dashboard.studies_database import made_database
from dashboard.trouble import sentence
from dashboard.wording import plain
from recon.errors import InputError
from study.engine import open_database, upgrade

Opened = Callable[..., AppTest]


def _page(name: str) -> None:
    """What Streamlit runs; a function of its own, because its source is what is taken."""
    from importlib import import_module

    from dashboard.trouble import told

    with told("this page"):
        import_module(f"dashboard.screens.{name}").show()


def _choosers() -> None:
    import streamlit as st

    from dashboard.choosing import chosen_run
    from dashboard.studies_database import studies_database

    run = chosen_run()
    st.text("run " + (run.name if run else "none"))
    st.text("database " + ("ready" if studies_database() else "none"))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """``opened(runs, page, database, read_only)``: a page as it stands after its script has run, without a browser."""

    def open_page(runs: Path, page: str = "", database: str = "", read_only: bool = False) -> AppTest:
        use(Settings(runs, database or f"sqlite:///{tmp_path / 'none.sqlite'}", read_only, tmp_path / "cache"))
        catalogue._found.clear()
        studies_database._believed.clear()
        made = AppTest.from_function(_page, args=(page,)) if page else AppTest.from_function(_choosers)
        return made.run(timeout=120)

    yield open_page
    for engine in studies_database._engines.values():
        engine.dispose()
    studies_database._engines.clear()
    studies_database._believed.clear()


def _said(page: AppTest) -> str:
    """All sentences of a page; none of them is a traceback or a defect."""
    assert not page.exception
    text = "\n".join(
        str(one.value)
        for kind in ("error", "warning", "info", "markdown", "subheader", "caption", "text")
        for one in page.get(kind)
    ).replace("\\", "")
    assert "Traceback" not in text and "is broken" not in text, text
    return text


def _good_run(path: Path) -> Path:
    values = {"meso": {f"s{n}": 20.0 + n for n in range(6)}, "pca": {f"s{n}": 15.0 + n / 2 for n in range(6)}}
    comparison_runs.make_run(path, comparison_runs.rows(values))
    return path


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_folder_says_what_to_do_next(tmp_path: Path, opened: Opened, page: str) -> None:
    _said(opened(tmp_path, page))


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_without_runs_the_commands_that_make_one_are_shown(tmp_path: Path, opened: Opened, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    page = opened(tmp_path / folder)
    assert "No runs yet" in _said(page)
    commands = [code.value for code in page.code]
    assert commands[0] == "mesoface demo" and commands[1].startswith("mesoface run --data")


BAD_RUNS: dict[str, tuple[Callable[[Path], object], str]] = {
    "half-written": (lambda run: (run / "run.json").write_text('{"format": 1, "meth'), "run.json"),
    "no text": (lambda run: (run / "run.json").write_bytes(b"\xff\xfe\x00"), "run.json"),
    "a list": (lambda run: (run / "run.json").write_text("[]"), "run again into another folder"),
    "of an older format": (lambda run: (run / "run.json").write_text('{"format": 0}'), "run again into another folder"),
    "of a later format": (lambda run: (run / "run.json").write_text('{"format": 99}'), "run again into another folder"),
}


@pytest.mark.parametrize("kind", BAD_RUNS)
def test_a_bad_run_is_said_and_another_is_shown(tmp_path: Path, opened: Opened, kind: str) -> None:
    spoil, mend = BAD_RUNS[kind]
    _good_run(tmp_path / "runs" / "good")
    spoil(_good_run(tmp_path / "runs" / "bad"))
    page = opened(tmp_path / "runs")
    assert "run good" in _said(page)
    page.selectbox[0].select("bad")
    text = _said(page.run(timeout=120))
    assert "run none" in text and "bad" in text and mend in text


@pytest.mark.parametrize("page", PAGES)
def test_pages_survive_a_folder_with_nothing_but_bad_runs(tmp_path: Path, opened: Opened, page: str) -> None:
    for number, (spoil, _) in enumerate(BAD_RUNS.values()):
        spoil(_good_run(tmp_path / "runs" / f"bad{number}"))
    _said(opened(tmp_path / "runs", page))


def test_a_folder_that_is_not_ours_to_read_holds_no_runs(
    tmp_path: Path, opened: Opened, close_folder: Callable[[Path], None]
) -> None:
    """As ``lost+found`` is, where the runs lie on a disk of their own."""
    _good_run(tmp_path / "runs" / "good")
    close_folder(tmp_path / "runs" / "lost+found")
    assert "run good" in _said(opened(tmp_path / "runs"))


BAD_TABLES: dict[str, Callable[[Path], object]] = {
    "absent": lambda table: table.unlink(),
    "empty": lambda table: table.write_bytes(b""),
    "cut off": lambda table: table.write_bytes(table.read_bytes()[:-200]),
    "not a table": lambda table: table.write_bytes(b"PAR1 and nothing else PAR1"),
}


@pytest.mark.parametrize("page", ["compare", "metrics", "agreement", "runs"])
@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_bad_table_is_said(tmp_path: Path, opened: Opened, kind: str, page: str) -> None:
    BAD_TABLES[kind](_good_run(tmp_path / "runs" / "one") / "metrics.parquet")
    text = _said(opened(tmp_path / "runs", page))
    if page == "metrics":
        assert "metrics.parquet" in text or "mesoface metrics" in text


def test_a_table_of_another_version_is_said(tmp_path: Path, opened: Opened) -> None:
    import pandas as pd

    table = _good_run(tmp_path / "runs" / "one") / "metrics.parquet"
    pd.read_parquet(table).drop(columns=["family", "reference"]).to_parquet(table)
    assert "metrics.parquet" in _said(opened(tmp_path / "runs", "metrics"))


def test_names_are_shown_as_they_are_and_run_nothing(tmp_path: Path, opened: Opened) -> None:
    run = _good_run(tmp_path / "runs" / "one")
    config = json.loads((run / "run.json").read_text())
    name = "<img src=x onerror=alert(1)> **bold** [link](http://evil.example)"
    (run / "run.json").write_text(json.dumps({**config, "methods": {name: {}, "pca": {}}}))
    for page in PAGES:
        shown = opened(tmp_path / "runs", page)
        assert not shown.exception
        assert not any(name in str(one.value) for one in shown.markdown), page
    assert plain(name).count("\\") > 10


def test_a_picture_that_is_missing_or_broken_is_answered_without_a_defect(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from dashboard.pictures.routes import picture_routes

    folder = study_runs.make_run(tmp_path / "runs" / "one")
    use(Settings(tmp_path / "runs", None, False, tmp_path / "cache"))
    catalogue._found.clear()
    client = TestClient(Starlette(routes=picture_routes()), raise_server_exceptions=False)
    wanted = Picture("one", "view", "identity", "s1", "alpha", "fitted")
    source = source_of(wanted)
    assert source is not None and client.get(wanted.address(160)).status_code == 200
    good = source.path.read_bytes()
    source.path.write_bytes(good[: len(good) // 2])
    assert client.get(wanted.address(320)).status_code == 422
    assert "Traceback" not in client.get(wanted.address(320)).text
    source.path.unlink()
    assert client.get(wanted.address(160)).status_code == 404
    shutil.rmtree(folder.path)
    assert client.get(Picture("one", "photograph", "identity", "s1").address(160)).status_code == 404


def _database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'studies.sqlite'}"
    engine = open_database(url)
    upgrade(engine)
    engine.dispose()
    return url


def test_a_database_that_is_not_there_is_not_made_by_looking(tmp_path: Path, opened: Opened) -> None:
    url, file = f"sqlite:///{tmp_path / 'studies.sqlite'}", tmp_path / "studies.sqlite"
    page = opened(_good_run(tmp_path / "run"), database=url)
    text = _said(page)
    # Without studies nobody misses it, so nothing is said; a launch makes it.
    assert "does not exist" not in text and "database none" in text and "run run" in text and not file.exists()
    made_database().dispose()
    assert "database ready" in _said(page.run(timeout=120)) and file.is_file()


@pytest.fixture
def newer_mesoface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mesoface with one migration more than this one."""
    import study.engine

    folder = tmp_path / "migrations"
    shutil.copytree(study.engine.migrations_folder(), folder)
    with sqlite3.connect(_database(tmp_path).removeprefix("sqlite:///")) as connection:
        newest = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    (folder / "versions" / "newer.py").write_text(
        f"revision, down_revision = 'newer', '{newest}'\ndef upgrade():\n    pass\ndef downgrade():\n    pass\n"
    )
    monkeypatch.setattr(study.engine, "migrations_folder", lambda: folder)


@pytest.mark.usefixtures("newer_mesoface")
def test_an_older_database_is_brought_up_to_date_by_a_button(tmp_path: Path, opened: Opened) -> None:
    url = f"sqlite:///{tmp_path / 'studies.sqlite'}"
    page = opened(tmp_path / "runs", database=url, read_only=True)
    text = _said(page)
    assert "of another mesoface" in text and "mesoface study database upgrade" in text and "database none" in text
    assert page.button(key="mend the study database").disabled
    page = opened(tmp_path / "runs", database=url)
    page.button(key="mend the study database").click()
    assert "database ready" in _said(page.run(timeout=120))


@pytest.mark.usefixtures("newer_mesoface")
def test_a_database_is_not_changed_for_one_who_may_not_whatever_the_page_showed(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'studies.sqlite'}"
    monkeypatch.setattr(studies_database, "may_change", lambda: True)  # as when the session ended since
    page = opened(tmp_path / "runs", database=url, read_only=True)
    page.button(key="mend the study database").click()
    text = _said(page.run(timeout=120))
    assert "changes nothing" in text and "of another mesoface" in text


@pytest.mark.usefixtures("newer_mesoface")
@pytest.mark.parametrize("page", ["compare", "studies", "ratings", "agreement"])
def test_pages_survive_an_older_database(tmp_path: Path, opened: Opened, page: str) -> None:
    _said(opened(_good_run(tmp_path / "run"), page, f"sqlite:///{tmp_path / 'studies.sqlite'}"))


def test_a_later_database_is_left_alone(tmp_path: Path, opened: Opened) -> None:
    url = _database(tmp_path)
    with sqlite3.connect(tmp_path / "studies.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
    page = opened(tmp_path, database=url)
    assert "later mesoface" in _said(page) and not page.button


@pytest.mark.parametrize(("url", "said"), [
    ("postgresql://user:secret@127.0.0.1:1/none", "did not answer"),
    ("sqlite:///{file}", "did not answer"),
    ("nonsense", "is no database address"),
    ("mysql://host/name", "mysql"),
])  # fmt: skip
def test_a_database_that_is_away_or_damaged_is_said(tmp_path: Path, opened: Opened, url: str, said: str) -> None:
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"this is no database" * 100)
    text = _said(opened(tmp_path, database=url.format(file=damaged)))
    assert said in text and "database none" in text and "secret" not in text


@pytest.mark.parametrize("page", ["compare", "studies", "ratings", "agreement"])
@pytest.mark.parametrize("state", ["later", "damaged", "away"])
def test_pages_survive_any_database(tmp_path: Path, opened: Opened, page: str, state: str) -> None:
    file, url = tmp_path / "studies.sqlite", f"sqlite:///{tmp_path / 'studies.sqlite'}"
    if state == "damaged":
        file.write_bytes(b"this is no database" * 100)
    elif state == "away":
        url = "postgresql://user:secret@127.0.0.1:1/none"
    else:
        _database(tmp_path)
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
    assert "secret" not in _said(opened(_good_run(tmp_path / "run"), page, url))


def test_a_defect_is_logged_under_a_number_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert sentence(InputError("the file 'x' is cut off: copy it again.")) == "The file 'x' is cut off: copy it again."
    said = sentence(ValueError("/home/somebody/secret"), "the chart")
    number = next(word for word in said.replace(";", " ").split() if len(word) == 6 and word in caplog.text)
    assert number in said and "secret" not in said and "the chart" in said and "/home/somebody/secret" in caplog.text


def test_addresses_of_nonsense_are_not_believed(tmp_path: Path, opened: Opened) -> None:
    run = _good_run(tmp_path / "run")
    nonsense: dict[str, Any] = dict.fromkeys(
        ("run", "protocol", "subject", "methods", "metric", "view", "region", "order", "page", "study", "by", "part"),
        "../../etc/passwd",
    )
    for page in PAGES:
        use(Settings(run, f"sqlite:///{tmp_path / 'none.sqlite'}", False, tmp_path / "cache"))
        made = AppTest.from_function(_page, args=(page,))
        for name, value in nonsense.items():
            made.query_params[name] = value
        _said(made.run(timeout=120))

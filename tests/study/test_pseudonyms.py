"""Raters' ids: hashed with a key, different from study to study, kept apart, and erased."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from study_rows import add_assignment, add_response, add_study

from recon.errors import InputError
from study.contacts import KEPT_DAYS, erase, erase_due, remember
from study.database import ResponseRow, WorkerContactRow
from study.engine import reading, transaction
from study.pseudonyms import pseudonym, secret_key


def test_the_hash_is_hmac_sha256() -> None:
    """The value is that of ``printf 's\\0p\\0r' | openssl dgst -sha256 -hmac Jefe``."""
    known = "6ea16987ec562969fd05c318d4797806f597fd2c5391e18c7f81fae75bd2e359"
    assert pseudonym(b"Jefe", "s", "p", "r") == known


def test_studies_and_providers_cannot_be_joined() -> None:
    key = bytes(32)
    found = {pseudonym(key, study, provider, "A1") for study in ("a", "b") for provider in ("mturk", "prolific")}
    assert len(found) == 4 and all(len(name) == 64 for name in found)
    assert pseudonym(key, "a", "mturk", "A1") == pseudonym(key, "a", "mturk", "A1")
    with pytest.raises(InputError, match="named no rater"):
        pseudonym(key, "a", "mturk", "")


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESOFACE_HOME", str(tmp_path))
    monkeypatch.delenv("MESOFACE_STUDY_KEY", raising=False)
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: secret_key(), range(16)))
    assert len(keys) == 1 and len(keys.pop()) == 32
    assert stat.S_IMODE((tmp_path / "study.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["study.key"]


def test_a_key_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESOFACE_HOME", str(tmp_path))
    monkeypatch.setenv("MESOFACE_STUDY_KEY", "abc")
    with pytest.raises(InputError, match="MESOFACE_STUDY_KEY"):
        secret_key()
    monkeypatch.delenv("MESOFACE_STUDY_KEY")
    (tmp_path / "study.key").write_text("garbled")
    with pytest.raises(InputError, match=r"study\.key"):
        secret_key()


def test_raw_ids_are_erased_and_answers_stay(database: Engine) -> None:
    day = date(2026, 1, 1)
    with transaction(database) as session:
        for number, name in enumerate(("first", "second")):
            study = add_study(session, name)
            assignment = add_assignment(session, study, study.slots[0])
            add_response(session, assignment, 0, f"00000000-0000-0000-0000-00000000000{number}")
            remember(session, assignment.participant, f"W{number}", day, days=KEPT_DAYS * (number + 1))
            remember(session, assignment.participant, f"W{number}", day, days=1)
    with transaction(database) as session:
        assert erase_due(session, date(2026, 1, 2)) == 0
        assert erase_due(session, date(2026, 4, 2)) == 1
    with transaction(database) as session:
        assert erase(session, "first") == 0
        assert erase(session) == 1
    with reading(database) as session:
        assert session.scalars(select(WorkerContactRow)).all() == []
        assert len(session.scalars(select(ResponseRow)).all()) == 2

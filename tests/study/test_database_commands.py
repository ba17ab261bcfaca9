"""``mesoface study database`` as a user types it."""

from __future__ import annotations

import pytest

import mesoface


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        mesoface.main(["study", "database", *arguments])
    captured = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, captured.out + captured.err


def test_from_nothing_to_the_schema_and_back(empty_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = typed(capsys, "check", "--db", empty_url)
    assert code == 3 and "mesoface study database upgrade --db" in said  # of this one, not of the default
    assert typed(capsys, "upgrade", "--db", empty_url)[0] == 0
    code, said = typed(capsys, "upgrade", "--db", empty_url)
    assert code == 0 and "is at schema 0003" in said
    assert typed(capsys, "check", "--db", empty_url)[0] == 0
    assert typed(capsys, "erase-contacts", "--db", empty_url) == (0, "0 erased\n")
    code, said = typed(capsys, "downgrade", "base", "--db", empty_url)
    assert code == 2 and "--yes" in said
    assert typed(capsys, "downgrade", "base", "--yes", "--db", empty_url)[0] == 0
    assert typed(capsys, "check", "--db", empty_url)[0] == 3


def test_ids_of_a_study_that_there_is_not(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = typed(capsys, "erase-contacts", "--study", "lost", "--db", database_url)
    assert code == 2 and "'lost'" in said and "none" in said


def test_a_revision_that_is_unknown_is_said(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = typed(capsys, "downgrade", "9999", "--yes", "--db", database_url)
    assert code == 3 and "9999" in said and "Traceback" not in said

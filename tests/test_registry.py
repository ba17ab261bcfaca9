"""Registries: built-in pieces, pieces of outside packages, unknown names."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from recon.data import DATASETS, TestSet, load_test_set
from recon.errors import UsageError
from recon.registry import Registry

GROUP = "mesoface.test_pieces"


@pytest.fixture
def outside_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package, as pip would leave it, that declares pieces through entry points."""
    info = tmp_path / "outside_faces-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-faces\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\nextra = outside_faces:PIECE\nbuiltin = outside_faces:PIECE\n"
        "[mesoface.datasets]\noutside = outside_faces:load\n"
    )
    (tmp_path / "outside_faces.py").write_text(
        "from recon.data import TestSet\nPIECE = 'from outside'\n"
        "def load(path):\n    return TestSet(f'outside at {path}', ())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def registry() -> Registry[str]:
    return Registry("test piece", GROUP, {"builtin": "recon.errors:__name__", "other": "recon.registry:__name__"})


def test_built_in_pieces_are_imported_on_demand() -> None:
    pieces = registry()
    assert pieces.names() == ["builtin", "other"]
    assert pieces.get("other") == "recon.registry"
    assert "builtin" in pieces
    assert "unknown" not in pieces


def test_outside_package_adds_but_never_replaces(outside_package: None) -> None:
    pieces = registry()
    assert list(pieces) == ["builtin", "other", "extra"]
    assert pieces.get("extra") == "from outside"
    assert pieces.get("builtin") == "recon.errors"


def test_outside_data_set_is_loaded_by_name(outside_package: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(e.name == "outside" for e in importlib.metadata.entry_points(group="mesoface.datasets"))
    monkeypatch.setattr(DATASETS, "_discovered", False)
    monkeypatch.setattr(DATASETS, "_targets", dict(DATASETS._targets))
    found = load_test_set("outside=some/where")
    assert isinstance(found, TestSet)
    assert found.name == "outside at some/where"


@pytest.mark.parametrize(("typed", "meant"), [("biultin", "builtin"), ("othr", "other"), ("otherwise", "other")])
def test_unknown_name_offers_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"unknown test piece '{typed}': did you mean '{meant}'.*builtin, other"):
        registry().get(typed)

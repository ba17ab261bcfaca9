"""Packages whose public names are imported late: every name that they promise is there, and a wrong one is said."""

from __future__ import annotations

import importlib

import pytest

from recon.late_names import late_names


@pytest.mark.parametrize("package", ["recon.runs", "recon.store", "recon.rendering", "recon.rendering.export"])
def test_every_public_name_is_where_the_package_says(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        _ = module.nonsense


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    named = late_names("recon", {"no_such_module": ("Absent",), "errors": ("UsageError",)})
    assert named("UsageError").exit_code == 2
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        named("Absent")

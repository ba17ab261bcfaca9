"""Public names of a package that are imported when somebody asks for them (PEP 562), not with the package."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def late_names(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package``; for type checkers it imports the same names under ``TYPE_CHECKING``.

    Args:
        homes: modules of the package, each with the names that are to be had from it.
    """
    home = {name: f"{package}.{module}" for module, names in homes.items() for name in names}

    def named(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home[name]), name)

    return named

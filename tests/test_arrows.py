"""Arrows between the rooms point one way, dashboard → study → metrics → recon; the front door knows names only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
# From the room that knows nobody to the one that knows all.
ROOMS = ("recon", "metrics", "study", "dashboard")
# A registry names its target so; such a name is an arrow as well.
TARGET = re.compile(r"\w+(\.\w+)+:\w+")


def named_rooms(source: str, *, top_level: bool = False) -> Iterator[tuple[str, int]]:
    """Rooms that ``source`` imports or names as ``module:attribute`` text, with the line.

    Args:
        top_level: only what an import of the module itself imports.
    """
    tree = ast.parse(source)
    for node in tree.body if top_level else ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and TARGET.fullmatch(node.value):
            names = [node.value]
        for name in names:
            room = name.partition(".")[0]
            if room in ROOMS:
                yield room, getattr(node, "lineno", 0)


def test_the_reading_of_imports_misses_none() -> None:
    source = (
        "import study\ndef f():\n    from metrics.compare import x\n    import recon.errors as e\nT = 'dashboard.a:B'"
    )
    assert sorted(named_rooms(source)) == [("dashboard", 5), ("metrics", 3), ("recon", 4), ("study", 1)]
    assert list(named_rooms(source, top_level=True)) == [("study", 1)]
    assert not list(named_rooms("'metrics'\n'recon does not know of metrics.'\nfrom . import metrics"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_the_rooms_below_it(room: str) -> None:
    above = ROOMS[ROOMS.index(room) + 1 :]
    files = sorted((CHECKOUT / room).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} knows {other}"
        for path in files
        for other, line in named_rooms(path.read_text(encoding="utf-8"))
        if other in above
    ]
    assert not wrong


def test_the_front_door_imports_no_room_but_what_errors_are_called() -> None:
    source = (CHECKOUT / "mesoface.py").read_text(encoding="utf-8")
    assert {room for room, _ in named_rooms(source, top_level=True)} == {"recon"}
    modules = {node.module for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)}
    assert {name for name in modules if name and name.startswith("recon")} == {"recon", "recon.errors"}

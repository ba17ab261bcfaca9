"""Named, swappable pieces: a registry a kind, filled from this package and from entry points of others.

An outside package adds a piece without touching this repository by declaring, say::

    [project.entry-points."mesoface.methods"]
    mymethod = "mypackage.method:MyMethod"
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from recon.errors import UsageError

Piece = TypeVar("Piece")


class Registry(Generic[Piece]):
    """Maps a name to a piece; built-in pieces are named as ``module:attribute`` and imported on first use."""

    def __init__(self, noun: str, group: str, built_in: dict[str, str]) -> None:
        self.noun = noun
        self.group = group
        self.built_in = tuple(built_in)
        self._targets = dict(built_in)
        self._discovered = False

    def _discover(self) -> None:
        if self._discovered:
            return
        for entry in entry_points(group=self.group):
            # A built-in name keeps its meaning: results made under it must stay comparable.
            self._targets.setdefault(entry.name, entry.value)
        self._discovered = True

    def names(self) -> list[str]:
        """All known names, built-in ones first, in the order in which they were declared."""
        self._discover()
        return list(self._targets)

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> Piece:
        """The piece called ``name``.

        Raises:
            UsageError: the name is unknown; the message offers the nearest known one.
        """
        self._discover()
        target = self._targets.get(name)
        if target is None:
            near = difflib.get_close_matches(name, self._targets, n=1, cutoff=0.0)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise UsageError(f"unknown {self.noun} '{name}': {hint}Known: {', '.join(self._targets)}.")
        module, _, attribute = target.partition(":")
        piece: Piece = getattr(importlib.import_module(module), attribute)
        return piece

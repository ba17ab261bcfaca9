"""What the address of the page Compare asks for, checked against what the run has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from dashboard.address import link, one_of, text, words
from dashboard.catalogue import Run
from dashboard.pictures.addresses import Kind, Picture
from dashboard.pictures.tokens import blind_address
from dashboard.viewer.orders import Yardstick

MOST_BESIDE = 4
ROWS = (10, 25, 50, 100)
MODES = ("pictures", "swipe", "difference", "flip", "albedo", "head")


@dataclass(frozen=True)
class Asked:
    """A view of the page.

    Attributes:
        run, protocol: what is looked at.
        view: ``fitted``, ``albedo``, or another view of the results.
        methods: columns of the matrix.
        measured: the metric that is shown under pictures; None where the run has not been measured.
        subjects: those that are shown, in order.
        order: which one.
        blind: seed of blind mode; empty where names are shown.
    """

    run: Run
    protocol: str
    view: str
    methods: tuple[str, ...]
    measured: Yardstick | None
    subjects: tuple[str, ...]
    order: str
    blind: str

    @property
    def subject(self) -> str:
        """The subject that is looked at closely; empty in the matrix."""
        return one_of("subject", self.run.subjects)

    @property
    def mode(self) -> str:
        """How the pictures of a subject are shown."""
        return one_of("mode", MODES, MODES[0])

    @property
    def rows(self) -> int:
        """Subjects on a page of the matrix."""
        return int(one_of("rows", [str(one) for one in ROWS], str(ROWS[1])))

    @property
    def revealed(self) -> bool:
        """Whether the names behind the letters are shown for the present subject."""
        return bool(self.blind) and text("revealed") == self.subject != ""

    @cached_property
    def beside(self) -> tuple[str, ...]:
        """The methods beside the photograph, at most four: those that the address names, else the first columns."""
        chosen = tuple(name for name in dict.fromkeys(words("beside")) if name in self.run.methods)[:MOST_BESIDE]
        return chosen or self.methods[:MOST_BESIDE]

    def here(self, **changes: str) -> str:
        """The address of this view with ``changes``; an empty value takes something out."""
        present: Mapping[str, str] = {"run": self.run.name, "protocol": self.protocol, **dict(st.query_params)}
        return link("compare", {**present, **changes})

    def picture(self, kind: Kind, subject: str, method: str = "", view: str = "") -> Picture:
        """A picture of this run under this protocol."""
        return Picture(self.run.name, kind, self.protocol, subject, method, view)

    def address(self, picture: Picture, width: int = 0) -> str:
        """Where ``picture`` is; in blind mode it does not say of which method."""
        return blind_address(picture, width) if self.blind and picture.method else picture.address(width)

"""Addresses of the pictures of runs: ``/pictures/RUN/KIND/PROTOCOL/METHOD/SUBJECT/VIEW/WIDTH``.

Every part is a name that is looked up (``dashboard.catalogue``, ``run.json``, ``result.json``), never a path. ``-``
stands for a part that a kind does not need, ``~`` for the slash inside a name. In blind mode an address is
``/pictures/blind/TOKEN/WIDTH``, which says nothing about the picture (:mod:`dashboard.pictures.tokens`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args
from urllib.parse import quote

Kind = Literal["photograph", "given", "view", "albedo", "mask", "head", "difference", "flip"]
"""``photograph``: the undegraded photograph in the frame of the views; ``given``: what the methods saw, in the same
frame; ``view``: a rendered view; ``albedo`` and ``mask``: UV maps; ``head``: the textured head as GLB; ``difference``
and ``flip``: maps of how a view differs from the photograph, of views under the photograph's own camera."""

KINDS: tuple[str, ...] = get_args(Kind)
OF_VIEWS = frozenset({"view", "difference", "flip"})
WIDTHS = (160, 320, 640)
"""Widths in pixels that thumbnails come in; 0 stands for the picture as it is."""
ROOT = "/pictures"


@dataclass(frozen=True)
class Picture:
    """Which picture; ``method`` is empty for what belongs to no method, ``view`` for kinds not in :data:`OF_VIEWS`."""

    run: str
    kind: Kind
    protocol: str
    subject: str
    method: str = ""
    view: str = ""

    def address(self, width: int = 0) -> str:
        """Where the server has it, at most ``width`` pixels wide."""
        parts = (self.run, self.kind, self.protocol, self.method, self.subject, self.view, str(width))
        return ROOT + "".join(map(_quoted, parts))


@lru_cache(maxsize=20_000)  # the same few names hundreds of times a page
def _quoted(part: str) -> str:
    return "/" + quote(part.replace("/", "~") or "-", safe="~:")


def parsed(parts: dict[str, str]) -> tuple[Picture, int] | None:
    """The picture and width that the parts of an address name; None where they make no sense."""
    said = {name: "" if part == "-" else part for name, part in parts.items()}
    kind, width = said["kind"], parsed_width(said["width"])
    if kind not in KINDS or width is None:
        return None
    view = said["view"].replace("~", "/")
    return Picture(said["run"], kind, said["protocol"], said["subject"], said["method"], view), width  # type: ignore[arg-type]


def parsed_width(text: str) -> int | None:
    """A width that pictures come in; None for any other."""
    known = {str(width): width for width in (0, *WIDTHS)}
    return known.get(text)

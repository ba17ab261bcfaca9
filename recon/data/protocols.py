"""What a method is given and what it is judged on.

A protocol degrades the photograph (``blur:8``), withholds part of the texture (``occlude:right``), or does nothing
(``identity``). The reference is always the undegraded photograph.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recon.data.subject import Photograph
from recon.errors import UsageError


@dataclass(frozen=True)
class Protocol:
    """A parsed protocol.

    Attributes:
        name: canonical spelling, for example ``blur:8``; also the folder name (``:`` becomes ``-``).
        kind: ``identity``, ``blur``, ``occlude``, ``lowres`` or ``grayscale``.
        argument: the text after the colon, or an empty string.
    """

    name: str
    kind: str
    argument: str = ""

    @property
    def folder(self) -> str:
        """Name that is safe in a path on every system."""
        return self.name.replace(":", "-")

    @property
    def withheld_side(self) -> str | None:
        """``left`` or ``right`` (the subject's own) where that half of the face is withheld, else None."""
        return self.argument if self.kind == "occlude" else None

    @property
    def degrades_photograph(self) -> bool:
        """Whether the photograph itself is changed, so that landmarks and pose must be found again."""
        return self.kind in {"blur", "lowres", "grayscale"}

    def given(self, photograph: Photograph) -> Photograph:
        """The photograph that the method receives (same size, sRGB-encoded, float32)."""
        degraded = self.degrade(photograph.srgb)
        return photograph if degraded is photograph.srgb else replace(photograph, srgb=degraded)

    def degrade(self, srgb: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(H, W, 3)`` sRGB-encoded float32 in [0, 1] → the same shape, degraded.

        ``blur:σ`` is a Gaussian in pixels of the photograph, ``lowres:k`` an area average over k×k pixels put back
        by bicubic interpolation; both act on linear light, as optics and sensors do.
        """
        from scipy.ndimage import gaussian_filter
        from skimage.transform import resize

        from recon.colour import linear_to_srgb, luminance, srgb_to_linear

        if self.kind == "blur":
            sigma = float(self.argument)
            return linear_to_srgb(gaussian_filter(srgb_to_linear(srgb), (sigma, sigma, 0), mode="nearest"))
        if self.kind == "lowres":
            factor = int(self.argument)
            height, width = srgb.shape[:2]
            small = resize(
                srgb_to_linear(srgb),
                (max(1, height // factor), max(1, width // factor)),
                order=1,
                anti_aliasing=True,
            )
            return linear_to_srgb(resize(small, (height, width), order=3, mode="edge"))
        if self.kind == "grayscale":
            return np.repeat(linear_to_srgb(luminance(srgb_to_linear(srgb)))[..., None], 3, axis=2)
        return srgb


KINDS = ("identity", "blur", "occlude", "lowres", "grayscale")


def parse_protocol(text: str) -> Protocol:
    """The protocol that ``text`` names: ``identity``, ``blur:σ``, ``occlude:left|right``, ``lowres:k``, ``grayscale``.

    Raises:
        UsageError: unknown kind, or an argument that is missing or out of range.
    """
    kind, _, argument = text.strip().partition(":")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.0)[0]
        raise UsageError(f"unknown protocol '{kind}': did you mean '{near}'? Known: {', '.join(KINDS)}.")
    if kind in {"identity", "grayscale"}:
        if argument:
            raise UsageError(f"protocol '{kind}' takes no argument, got '{text}'.")
        return Protocol(kind, kind)
    if kind == "occlude":
        if argument not in {"left", "right"}:
            raise UsageError(f"protocol '{text}': say which half is withheld, occlude:left or occlude:right.")
        return Protocol(f"occlude:{argument}", kind, argument)
    if kind == "blur":
        if not re.fullmatch(r"\d+(\.\d+)?", argument) or not 0 < float(argument) <= 200:
            raise UsageError(f"protocol '{text}': give the blur in pixels between 0 and 200, for example blur:8.")
        return Protocol(f"blur:{float(argument):g}", kind, f"{float(argument):g}")
    if not re.fullmatch(r"\d+", argument) or not 1 < int(argument) <= 100:
        raise UsageError(f"protocol '{text}': give a whole factor between 2 and 100, for example lowres:8.")
    return Protocol(f"lowres:{int(argument)}", kind, str(int(argument)))


def parse_protocols(text: str) -> tuple[Protocol, ...]:
    """A comma-separated list of protocols, each once, in the order given."""
    found = {p.name: p for p in (parse_protocol(part) for part in text.split(",") if part.strip())}
    if not found:
        raise UsageError("no protocol was named: try --protocols identity.")
    return tuple(found.values())

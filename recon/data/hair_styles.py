"""How hair is worn: where a strand of each style sets out for, how long it grows and how it curls.

A style is a rule over the scalp. Heights are millimetres above the outer eye corners, and ``front`` runs from −1 at the
back of the skull to 1 at the forehead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class HairStyle:
    """One way to wear hair; lengths in mm.

    Attributes:
        top, side: length of the strands on top and at the sides; a style for which they are 0 grows nothing.
        comb: where strands set out for: ``forward``, ``back``, ``parted`` (away from a line), ``tied`` (to a knot) or
            ``out`` (straight from the skin).
        lift: share of the skin's normal in the first direction.
        gravity: how fast a strand turns down, radians a centimetre.
        depth: thickness of the layer of hair over the scalp.
        curl, wave: radius of the curls and length of one turn.
        frizz: how far single strands stray.
        clump: how far strands run together into locks, 0 to 1.
        count: strands.
    """

    top: float
    side: float
    comb: str
    lift: float = 0.3
    gravity: float = 0.0
    depth: float = 6.0
    curl: float = 0.0
    wave: float = 40.0
    frizz: float = 1.0
    clump: float = 0.5
    count: int = 14_000

    @property
    def long(self) -> bool:
        """Whether strands reach below the ears."""
        return self.side > 80.0


STYLES: dict[str, HairStyle] = {
    "bald": HairStyle(0.0, 0.0, "out"),
    "shaved": HairStyle(2.0, 1.5, "out", lift=0.8, depth=1.0, frizz=0.3, clump=0.0, count=26_000),
    "horseshoe": HairStyle(0.0, 12.0, "back", lift=0.35, depth=4.0, frizz=0.8, clump=0.35),
    "receding": HairStyle(22.0, 10.0, "back", lift=0.45, depth=5.0, frizz=1.0, clump=0.4, count=18_000),
    "cropped": HairStyle(15.0, 6.0, "forward", lift=0.75, depth=4.0, frizz=0.9, clump=0.4, count=22_000),
    "fringe": HairStyle(48.0, 20.0, "forward", lift=0.50, gravity=0.25, depth=9.0, frizz=1.2, clump=0.55, count=17_000),
    "side parting": HairStyle(62.0, 14.0, "parted", lift=0.50, gravity=0.14, depth=10.0, clump=0.55, count=17_000),
    "swept back": HairStyle(62.0, 14.0, "back", lift=0.75, gravity=0.05, depth=10.0, clump=0.55, count=17_000),
    "tousled": HairStyle(48.0, 20.0, "forward", 0.95, 0.18, 10.0, curl=2.0, wave=38.0, frizz=3.0, clump=0.7),
    "curls": HairStyle(62.0, 35.0, "out", 0.9, 0.25, 14.0, curl=5.0, wave=20.0, frizz=2.0, clump=0.8, count=13_000),
    "shoulder": HairStyle(190.0, 170.0, "parted", 0.35, 0.55, 9.0, curl=2.0, wave=70.0, frizz=2.0, clump=0.5),
    "long": HairStyle(350.0, 320.0, "parted", 0.30, 0.60, 9.0, curl=1.0, wave=110.0, frizz=1.4, clump=0.45),
    "long waves": HairStyle(330.0, 300.0, "parted", 0.40, 0.50, 13.0, curl=7.0, wave=75.0, frizz=2.2, clump=0.7),
    "long curls": HairStyle(250.0, 230.0, "parted", 0.6, 0.32, 22.0, curl=7.0, wave=26.0, frizz=3.0, clump=0.75),
    "bob": HairStyle(190.0, 135.0, "parted", 0.35, 0.55, 11.0, curl=1.0, wave=90.0, frizz=1.3, clump=0.5),
    "pixie": HairStyle(55.0, 26.0, "parted", 0.45, 0.22, 9.0, frizz=1.5, clump=0.6, count=17_000),
    "tied back": HairStyle(150.0, 130.0, "tied", lift=0.15, depth=4.0, frizz=0.7, clump=0.4, count=15_000),
    "bun": HairStyle(150.0, 150.0, "tied", lift=0.15, depth=4.0, frizz=0.8, clump=0.4, count=15_000),
    "close coils": HairStyle(9.0, 4.0, "out", 0.8, 0.0, 4.0, curl=1.0, wave=5.0, frizz=1.2, clump=0.5, count=26_000),
    "afro": HairStyle(38.0, 30.0, "out", 1.0, 0.0, 30.0, curl=2.6, wave=9.0, frizz=3.5, clump=0.45, count=16_000),
}

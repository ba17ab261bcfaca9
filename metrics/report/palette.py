"""Colours of methods in reports: the same method has the same colour in every report, on light and on dark paper.

Ten hues after Okabe and Ito (2008) and Tol (2021), darkened for white and lightened for dark paper until each has a
contrast of at least 3:1 (WCAG 2.1, 1.4.11). Those of the methods that run by default (``meso``, ``deep``, ``pca``,
``mirror``) lie far apart under protanopia and deuteranopia too; ten hues cannot. No colour is ever the
only sign of a method: names stand beside boxes, and lines differ by their dashes and points by their shapes.
"""

from __future__ import annotations

from collections.abc import Iterable

PAPER = ("#ffffff", "#14171a")
"""The background that figures stand on, light and dark."""

HUES = (
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff8a45"),
    ("#a87b00", "#e6c04a"),
    ("#882255", "#e58ab0"),
    ("#117733", "#62c27c"),
    ("#4f9688", "#81f0d0"),
    ("#3d3d3d", "#8f8f8f"),
    ("#b8558f", "#eba6d2"),
    ("#3d3d9e", "#a3a3ff"),
    ("#1487ad", "#8fe0ff"),
)
"""Colour on light paper, colour on dark paper; the signs in :data:`DASHES` and :data:`MARKS` go with the same index."""

DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 2", "4 4", "1.5 3", "12 4", "8 2 1 2 1 2", "3 2")
MARKS = ("circle", "square", "diamond", "up", "down", "diamond", "up", "down", "square", "circle")
# Hues that lie far from those of the methods that run by default come first.
_FOR_OTHERS = (3, 2, 7, 4, 9, 8, 6, 5, 1, 0)


def places_in_palette(methods: Iterable[str]) -> dict[str, int]:
    """The index of each method in :data:`HUES`: its own for a built-in method, a free one for any other.

    ``run:method`` of a comparison of several runs has the method's colour while that is free. Beyond ten methods the
    hues repeat.
    """
    from recon.methods import METHODS

    built_in = {name: index for index, name in enumerate(METHODS.names()[: len(HUES)])}
    found: dict[str, int] = {}
    names = list(dict.fromkeys(methods))
    for name in names:
        own = built_in.get(name, built_in.get(name.rpartition(":")[2]))
        if own is not None and own not in found.values():
            found[name] = own
    free = [index for index in _FOR_OTHERS if index not in found.values()]
    for position, name in enumerate(name for name in names if name not in found):
        found[name] = free[position] if position < len(free) else position % len(HUES)
    return {name: found[name] for name in names}

"""FLIP, the difference that a viewer sees when two pictures are alternated, from NVIDIA's ``flip-evaluator``.

Andersson, Nilsson, Akenine-Möller, Oskarsson, Åström and Fairchild: *FLIP: A Difference Evaluator for Alternating
Images*, HPG 2020; LDR-FLIP of sRGB-encoded pictures. It depends on how large a pixel appears: the library's default,
67.02 pixels per degree, is a picture seen on a 0.7 m wide 4K monitor from 0.7 m away.

*Mask.* The value at a pixel depends on pixels within ``r = ⌈3 √(0.04 / 2π²) · ppd⌉`` of it, the reach of FLIP's widest
filter: 10 at the default. Both pictures are cut to the box around the region widened by ``r``, hold zero outside the
region, and the map is averaged over the pixels whose whole window lies inside the region, so that it is what FLIP gives
for the unmasked pictures there. At the border of the picture FLIP repeats the outermost pixels; those count, so that
with the whole picture as region the value is the library's own mean. NaN where no window lies inside.
Defined for constant pictures.
"""

from __future__ import annotations

import math
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Judged, Metric, one_by_one
from metrics.pixel import known_region, pair_key
from metrics.regions import box_around, eroded, filled
from recon.errors import ImageError, PairingError, UsageError

PIXELS_PER_DEGREE = 67.02
"""The library's default to its four digits, given explicitly so that a later default cannot change our numbers."""

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]


def reach(pixels_per_degree: float = PIXELS_PER_DEGREE) -> int:
    """Pixels around a pixel that its value depends on.

    Raises:
        UsageError: not a positive, finite number.
    """
    if not (math.isfinite(pixels_per_degree) and pixels_per_degree > 0):
        raise UsageError(f"flip: {pixels_per_degree} pixels per degree is not possible: give a positive number.")
    return math.ceil(3 * math.sqrt(0.04 / (2 * math.pi**2)) * pixels_per_degree)


def flip_map(result: Image, reference: Image, pixels_per_degree: float = PIXELS_PER_DEGREE) -> NDArray[np.float32]:
    """The visible difference at every pixel.

    Args:
        result, reference: ``(H, W, 3)`` floating, sRGB-encoded in [0, 1].
        pixels_per_degree: of the viewer's visual angle.

    Returns:
        ``(H, W)`` float32 in [0, 1], 0 where no difference is seen.

    Raises:
        PairingError: the pictures differ in size.
        ImageError: not three channels, no pixels, or values that are no numbers of [0, 1].
        UsageError: impossible ``pixels_per_degree``.
    """
    reach(pixels_per_degree)
    # The library ends the process, or computes nonsense, where an argument is not what it expects: look before.
    if result.shape != reference.shape:
        raise PairingError(f"flip: the result is {result.shape}, its reference {reference.shape}: give equal sizes.")
    if reference.ndim != 3 or reference.shape[2] != 3 or not reference.size:
        raise ImageError(f"flip: a picture of shape {reference.shape} is not (H, W, 3).")
    for name, picture in (("result", result), ("reference", reference)):
        if not (np.issubdtype(picture.dtype, np.floating) and picture.min() >= 0 and picture.max() <= 1):
            raise ImageError(f"flip: the {name} has values that are no numbers of [0, 1]: scale it to that range.")
    import flip_evaluator

    found, _, _ = flip_evaluator.evaluate(
        np.ascontiguousarray(reference, np.float32),
        np.ascontiguousarray(result, np.float32),
        "LDR",
        inputsRGB=True,
        applyMagma=False,
        computeMeanError=False,
        parameters={"ppd": float(pixels_per_degree)},
    )
    return np.asarray(found, np.float32).reshape(reference.shape[:2])


def flip(result: Image, reference: Image, region: Mask, pixels_per_degree: float = PIXELS_PER_DEGREE) -> float:
    """Mean visible difference inside a region ``(H, W)``, outside of which nothing is read; see the module.

    Raises:
        ImageError, PairingError, UsageError: see :func:`flip_map`.
    """
    return _flip(Judged(np.asarray(result), np.asarray(reference), region, region, region), pixels_per_degree)


def _flip(judged: Judged, pixels_per_degree: float) -> float:
    radius = reach(pixels_per_degree)
    counted = _whole_windows(judged.region, radius)
    if not counted.any():
        return float("nan")
    known = known_region(judged)
    rows, columns = box_around(known, margin=radius)

    def make() -> NDArray[np.float32]:
        inside = known[rows, columns]
        result, reference = (filled(side[rows, columns], inside) for side in (judged.result, judged.reference))
        return flip_map(result, reference, pixels_per_degree)

    seen = judged.of_result.get((*pair_key("flip", judged, known), pixels_per_degree), make)
    return float(seen[counted[rows, columns]].mean(dtype=np.float64))


def _whole_windows(region: Mask, radius: int) -> Mask:
    """Pixels whose window lies in the region as far as the picture goes: beyond it FLIP repeats the border."""
    return eroded(np.pad(region, radius, constant_values=True), radius)[radius:-radius, radius:-radius]


FLIP = Metric(
    components=(Component("FLIP"),),
    library="flip-evaluator",
    version=version("flip-evaluator"),
    parameters={
        "range": "LDR",
        "pixels_per_degree": PIXELS_PER_DEGREE,
        "erosion": reach(),
    },
    spaces=frozenset({"uv", "image"}),
    measure=one_by_one(lambda judged: [_flip(judged, PIXELS_PER_DEGREE)]),
)

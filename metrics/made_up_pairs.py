"""Results beside their references that need no run: what the conformance tests of metrics measure.

The picture is NASA's public-domain portrait of Eileen Collins, which scikit-image ships: her face alone at 256 × 256
pixels, with a fine grain, since an enlarged picture has none. In the space ``uv`` the same pixels serve as an albedo
map; in the space ``shape`` the reference is an egg the size of a face. A result is its reference, darkened and
disturbed by noise of a given strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Judged, Memo, Space, Surface

SIDE = 256
SLIGHT, STRONG = 1.0, 5.0
"""Strengths of a disturbance that differ by more than chance."""

_LEFT, _TOP, _CUT = 160, 68, 128  # of the portrait, in its pixels
# The 68 iBUG landmarks of her face in pixels of the portrait less (112, 8), as dlib's predictor finds them.
_LANDMARKS = (
    (68, 96), (68, 108), (69, 119), (70, 131), (73, 142), (79, 152), (88, 161), (97, 168), (109, 171), (121, 169),
    (132, 163), (142, 156), (149, 146), (153, 135), (156, 123), (159, 112), (160, 100), (75, 87), (80, 81), (89, 80),
    (97, 81), (105, 85), (124, 86), (132, 83), (140, 83), (148, 85), (154, 91), (114, 95), (114, 103), (114, 111),
    (113, 120), (103, 124), (108, 125), (113, 127), (118, 125), (123, 124), (84, 93), (89, 90), (95, 91), (101, 96),
    (95, 97), (88, 96), (126, 97), (132, 93), (138, 93), (144, 97), (139, 99), (132, 99), (89, 132), (97, 132),
    (106, 132), (112, 133), (118, 132), (125, 132), (134, 133), (125, 143), (117, 147), (111, 148), (104, 147),
    (96, 142), (92, 133), (105, 135), (112, 137), (117, 136), (131, 134), (117, 142), (111, 143), (105, 142),
)  # fmt: skip
_NOISE, _DARKER = 0.02, 0.04
_NOISE_MM = 0.3
Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@cache
def portrait() -> tuple[Float, Float, Mask]:
    """``(256, 256, 3)`` float32 sRGB, ``(68, 2)`` float32 landmarks in pixels, and ``(256, 256)`` bool: the face."""
    from PIL import Image
    from skimage.data import astronaut

    part = Image.fromarray(astronaut()).crop((_LEFT, _TOP, _LEFT + _CUT, _TOP + _CUT))
    pixels = np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / np.float32(255)
    grain = np.random.default_rng(0).normal(0, 0.01, (SIDE, SIDE, 1))
    landmarks = (np.array(_LANDMARKS) + np.array([112 - _LEFT, 8 - _TOP])) * (SIDE / _CUT)
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    centre, reach = 0.5 * (low + high), 0.5 * (high - low)
    inside = ((x - centre[0]) / reach[0]) ** 2 + ((y - centre[1]) / reach[1]) ** 2 < 1
    return np.clip(pixels + grain, 0, 1).astype(np.float32), landmarks.astype(np.float32), inside


def made_up_pair(space: Space, strength: float, seed: int = 0) -> Judged:
    """A result beside its reference.

    Args:
        strength: 0 gives the reference itself.
        seed: of the noise; with another person, too: mirrored, of another tone.
    """
    rng = np.random.default_rng([seed, round(1000 * strength)])
    if space == "shape":
        return _head(strength, rng)
    picture, landmarks, region = portrait()
    if seed % 2:
        picture, region = picture[:, ::-1], region[:, ::-1]
        landmarks = landmarks[_MIRRORED] * np.array([-1, 1], np.float32) + np.array([SIDE, 0], np.float32)
    reference = np.clip(picture * (0.7 + 0.3 * np.cos(seed)), 0, 1).astype(np.float32)
    disturbed = reference * (1 - _DARKER * strength) + rng.normal(0, _NOISE, reference.shape) * strength
    result = np.clip(disturbed, 0, 1).astype(np.float32)
    seen = landmarks if space == "image" else None
    return Judged(result, reference, region.copy(), region.copy(), region.copy(), f"made-up-{seed}", seen)


# iBUG landmarks of a mirrored face: which landmark takes whose place.
_MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip


def _head(strength: float, rng: np.random.Generator) -> Judged:
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=4)
    reference = (np.asarray(ball.vertices) * (70.0, 100.0, 80.0)).astype(np.float32)
    bump = np.exp(-np.square(np.asarray(ball.vertices) - (0.3, 0.2, 0.9)).sum(axis=1) / 0.3)
    moved = reference * (1 + 0.004 * strength * bump[:, None])
    result = (moved + rng.normal(0, _NOISE_MM, reference.shape) * strength).astype(np.float32)
    face = reference[:, 2] > 0
    triangles = np.asarray(ball.faces, np.int64)
    landmarks = np.flatnonzero(face)[np.linspace(0, face.sum() - 1, 68).astype(int)]
    in_front = triangles[face[triangles].all(axis=1)]
    corners = reference[in_front[np.random.default_rng(1).integers(0, len(in_front), 4000)]]
    weights = np.random.default_rng(2).dirichlet((1, 1, 1), 4000)
    scan = np.einsum("ncx,nc->nx", corners, weights).astype(np.float32)
    surface = Surface(triangles, landmarks.astype(np.int64), scan)
    return Judged(result, reference, face.copy(), face.copy(), face.copy(), "made-up-0", None, surface)


def with_outside(judged: Judged, value: float, seed: int = 5) -> Judged:
    """The same inside of its region; outside both sides hold noise around ``value``, or NaN where it is NaN."""
    rng = np.random.default_rng(seed)
    outside = ~judged.region[..., None]

    def other(side: Float) -> Float:
        return np.where(outside, value + rng.uniform(0, 0.5, side.shape), side).astype(np.float32)

    return replace(judged, result=other(judged.result), reference=other(judged.reference), **_new_memos())


def with_region(judged: Judged, region: Mask) -> Judged:
    """The same pictures, judged in another region."""
    return replace(judged, demanded=region, region=region, whole=region, **_new_memos())


def fresh(batch: Sequence[Judged]) -> list[Judged]:
    """Copies that share no array and no memo with ``batch``."""
    names = ("result", "reference", "demanded", "region", "whole")
    return [replace(one, **{name: getattr(one, name).copy() for name in names}, **_new_memos()) for one in batch]


def _new_memos() -> dict[str, Any]:
    return {"of_result": Memo(), "of_reference": Memo()}

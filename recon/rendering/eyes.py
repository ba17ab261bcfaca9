"""Eyes and lashes, drawn by rule: a head without eyes gives itself away whatever its skin looks like.

The eyeball is textured in azimuthal equidistant coordinates around its optical axis, so one square map serves every
face model. Sizes are those of the human eye: visible iris diameter 11.7 mm (Rüfer, Schröder, Erb 2005: white-to-white
distance 11.71 ± 0.42 mm), pupil about 4 mm in indoor light.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

IRIS_RADIUS = 0.00585  # metres
PUPIL_RADIUS = 0.0019  # metres


@dataclass(frozen=True)
class EyeColours:
    """Linear RGB of the parts of an eye."""

    sclera: tuple[float, float, float] = (0.56, 0.49, 0.44)
    iris: tuple[float, float, float] = (0.105, 0.056, 0.028)
    pupil: tuple[float, float, float] = (0.004, 0.004, 0.004)


@dataclass(frozen=True, eq=False)
class EyeFrame:
    """Where an eyeball lies and looks.

    Attributes:
        centre: ``(3,)`` float64, model frame and unit.
        radius: mean radius, model unit.
        axis: ``(3,)`` float64 unit vector out of the pupil.
    """

    centre: NDArray[np.float64]
    radius: float
    axis: NDArray[np.float64]


def fit_sphere(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """Centre ``(3,)`` and radius of the least-squares sphere through ``(N, 3)`` points (algebraic fit)."""
    position = np.asarray(points, np.float64)
    origin = position.mean(axis=0)
    system = np.concatenate([2 * (position - origin), np.ones((len(position), 1))], axis=1)
    solution = np.linalg.lstsq(system, ((position - origin) ** 2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre + origin, float(np.sqrt(solution[3] + centre @ centre))


def eye_frame(eyeball: Float) -> EyeFrame:
    """The frame of an eyeball ``(N, 3)``.

    The eye looks straight ahead, along the model's +z: the gaze expressions of the face models move lids and leave the
    eyeball as it is, and identities deform it without turning it.
    """
    centre, radius = fit_sphere(eyeball)
    return EyeFrame(centre, radius, np.array([0.0, 0.0, 1.0]))


def eye_texcoord(points: Float, frame: EyeFrame) -> Float:
    """``(N, 2)`` float32 azimuthal equidistant coordinates in [0, 1]²: the pupil at (½, ½), the back on the rim."""
    direction = (points - frame.centre) / np.linalg.norm(points - frame.centre, axis=1, keepdims=True)
    side = np.cross([0.0, 1.0, 0.0], frame.axis)
    side /= np.linalg.norm(side)
    up = np.cross(frame.axis, side)
    x, y = direction @ side, direction @ up
    angle = np.arctan2(np.hypot(x, y), direction @ frame.axis)
    reach = 0.5 * angle / np.pi / np.maximum(np.hypot(x, y), 1e-9)
    return np.stack([0.5 + reach * x, 0.5 + reach * y], axis=-1).astype(np.float32)


def _ramp(value: NDArray[np.floating], low: float, high: float) -> NDArray[np.float64]:
    """Smoothstep from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((np.asarray(value, np.float64) - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def _fibres(azimuth: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radial streaks of the iris stroma, about ±1, the same for every eye."""
    generator = np.random.default_rng(11)
    frequency = generator.integers(9, 70, 22)
    phase, twist = generator.uniform(0, 2 * np.pi, 22), generator.normal(0, 2.5, 22)
    total = np.zeros_like(azimuth)
    for f, p, t in zip(frequency, phase, twist, strict=True):
        total += np.cos(f * azimuth + p + t * radius)
    return total / np.sqrt(len(frequency) / 2)


@lru_cache(maxsize=8)
def eye_texture(radius_metres: float, colours: EyeColours = EyeColours(), size: int = 1024) -> Float:
    """``(size, size, 3)`` float32 linear albedo of an eyeball in the coordinates of :func:`eye_texcoord`."""
    grid = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(grid, -grid)
    arc = 2 * np.pi * np.hypot(x, y) * radius_metres  # metres along the eyeball from the pupil's centre
    azimuth = np.arctan2(y, x)
    r = arc / IRIS_RADIUS

    fibres = _fibres(azimuth, r)
    stroma = 1.0 + 0.30 * fibres * _ramp(r, 0.30, 0.55)
    stroma += 0.55 * np.exp(-(((r - 0.50 - 0.02 * fibres) / 0.09) ** 2))  # collarette
    stroma *= 1 - 0.72 * _ramp(r, 0.78, 1.0)  # limbal ring
    iris = np.asarray(colours.iris) * np.clip(stroma, 0.2, None)[..., None]

    # The white is never white: pinker and darker towards the corners, where conjunctiva and vessels thicken.
    away = _ramp(arc, IRIS_RADIUS, 2.6 * IRIS_RADIUS)[..., None]
    sclera = np.asarray(colours.sclera) * (1 - away * np.array([0.12, 0.34, 0.38]))

    pixel = 2 * np.pi * radius_metres / size
    soft_limbus = max(0.00075, 1.5 * pixel)
    soft_pupil = max(0.00018, 1.5 * pixel)
    outside = _ramp(arc, IRIS_RADIUS - soft_limbus, IRIS_RADIUS + 0.6 * soft_limbus)[..., None]
    open_iris = _ramp(arc, PUPIL_RADIUS - soft_pupil, PUPIL_RADIUS + soft_pupil)[..., None]
    inner = np.asarray(colours.pupil) * (1 - open_iris) + iris * open_iris
    texture = (inner * (1 - outside) + sclera * outside).astype(np.float32)
    texture.setflags(write=False)
    return texture


LASH_BANDS = 16


@lru_cache(maxsize=2)
def lash_opacity(size: int = 1024) -> Float:
    """``(size, size, 1)`` float32 opacity of lashes: ``LASH_BANDS`` bands of tapered, curved strokes.

    Band k spans v in [k, k + 1] / LASH_BANDS, roots at its lower edge; u runs along the lid. Bands below the middle
    are for upper lids (long strokes), those above it for lower lids (short, sparse).
    """
    generator = np.random.default_rng(5)
    height = size // LASH_BANDS
    u = (np.arange(size) + 0.5) / size
    t = (np.arange(height) + 0.5) / height
    opacity = np.zeros((LASH_BANDS, height, size))
    for band in range(LASH_BANDS):
        upper = band < LASH_BANDS // 2
        count = 34 if upper else 18
        root = (np.arange(count) + generator.uniform(-0.4, 0.4, count) + 0.5) / count
        length = generator.uniform(0.40, 0.78, count) if upper else generator.uniform(0.14, 0.30, count)
        length *= 0.5 + 0.5 * np.sin(np.pi * np.clip(root, 0, 1)) ** 0.7
        # Lashes fan out from the middle of the lid and bend towards its ends.
        lean = 0.10 * (root - 0.5) + generator.normal(0, 0.012, count)
        along = np.clip(t[:, None] / length, 0, 1)
        middle = root + lean * along**1.6 * length
        width = (0.0036 if upper else 0.0026) * np.sqrt(np.clip(1 - along, 0, 1))
        for k in range(count):
            stroke = np.clip((width[:, k, None] - np.abs(u - middle[:, k, None])) * size + 0.5, 0, 1)
            opacity[band] = np.maximum(opacity[band], stroke * (t[:, None] < length[k]))
    opacity *= 0.85
    rows = opacity.reshape(LASH_BANDS * height, size)[::-1]
    rows = np.pad(rows, ((size - len(rows), 0), (0, 0)))
    result = rows[..., None].astype(np.float32)
    result.setflags(write=False)
    return result


def lash_texcoord(uv: Float, strips: NDArray[np.integer], points: Float, lids: Float) -> Float:
    """``(N, 2)`` float32 coordinates in :func:`lash_opacity` of the vertices of lash strips.

    Args:
        uv: ``(N, 2)`` the model's own coordinates; each strip fills a rectangle of them.
        strips: ``(N,)`` which strip a vertex belongs to.
        points: ``(N, 3)`` positions in the model's mean.
        lids: ``(M, 3)`` positions of the skin, to tell the root of a strip from its tip.
    """
    from scipy.spatial import cKDTree

    distance = cKDTree(lids).query(points)[0]
    result = np.zeros((len(uv), 2))
    names = np.unique(strips)
    middle = np.array([points[strips == name, 1].mean() for name in names])
    upper = middle > middle.mean()
    seen = {True: 0, False: LASH_BANDS // 2}
    for name, is_upper in zip(names, upper, strict=True):
        members = strips == name
        box = uv[members]
        unit = (box - box.min(axis=0)) / np.maximum(np.ptp(box, axis=0), 1e-9)
        # Which of the two axes, and which end of it, is the root: the row of vertices nearest the skin.
        best = min(
            ((axis, end) for axis in (0, 1) for end in (0.0, 1.0)),
            key=lambda side: distance[members][np.abs(unit[:, side[0]] - side[1]) < 0.02].mean(),
        )
        along = unit[:, 1 - best[0]]
        out = np.abs(unit[:, best[0]] - best[1])
        band = seen[bool(is_upper)]
        seen[bool(is_upper)] = band + 1 if (band + 1) % (LASH_BANDS // 2) else band
        result[members] = np.stack([along, (band + 0.02 + 0.96 * out) / LASH_BANDS], axis=-1)
    return result.astype(np.float32)

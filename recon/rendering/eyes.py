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
# The upper lid covers more of the iris than the lower one: seen from the eyeball's centre, the pupil stands this far
# above the middle between the lids. With 7 degrees the neutral ICT face, made from scans, looks straight ahead.
_GAZE_ABOVE_LIDS = np.radians(7.0)


@dataclass(frozen=True)
class EyeColours:
    """Linear RGB of the parts of an eye."""

    sclera: tuple[float, float, float] = (0.56, 0.49, 0.44)
    iris: tuple[float, float, float] = (0.078, 0.050, 0.031)
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


def gaze_pitch(eyeballs: tuple[Float, ...], lids: Float) -> float:
    """Radians by which the gaze is raised over straight ahead, so that both eyes sit naturally between their lids.

    Args:
        eyeballs: vertices ``(N, 3)`` of each eyeball.
        lids: ``(8, 3)`` iBUG landmarks of the four lids (37, 38, 40, 41, 43, 44, 46, 47).
    """
    centre = np.mean([fit_sphere(eyeball)[0] for eyeball in eyeballs], axis=0)
    middle = lids.mean(axis=0)
    return float(np.arctan2(middle[1] - centre[1], middle[2] - centre[2])) + _GAZE_ABOVE_LIDS


def eye_frame(eyeball: Float, pitch: float) -> EyeFrame:
    """The frame of an eyeball ``(N, 3)`` whose gaze is raised by ``pitch`` radians over straight ahead (+z).

    The deformed eyeball itself does not tell where it looks: identities shear it, by several degrees. Both eyes look
    ahead, and up or down with the lids, as eyes do.
    """
    centre, radius = fit_sphere(eyeball)
    return EyeFrame(centre, radius, np.array([0.0, np.sin(pitch), np.cos(pitch)]))


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
    arc_of_unit = 2 * np.pi * radius_metres  # metres along the eyeball a unit of the map
    arc = arc_of_unit * np.hypot(grid, -grid[:, None])  # from the pupil's centre
    pixel = arc_of_unit / size
    soft_limbus = max(0.0005, 1.5 * pixel)

    # The white is never white: pinker and darker towards the corners, where conjunctiva and vessels thicken.
    away = _ramp(arc, IRIS_RADIUS, 2.6 * IRIS_RADIUS)[..., None]
    texture = np.asarray(colours.sclera) * (1 - away * np.array([0.12, 0.34, 0.38]))

    # The iris, whose fibres are costly, fills a fortieth of the map.
    reach = np.flatnonzero(arc_of_unit * np.abs(grid) <= IRIS_RADIUS + 0.6 * soft_limbus)
    if len(reach):
        inside = slice(reach[0], reach[-1] + 1)
        x, y = np.meshgrid(grid[inside], -grid[inside])
        outside = _ramp(arc[inside, inside], IRIS_RADIUS - soft_limbus, IRIS_RADIUS + 0.6 * soft_limbus)[..., None]
        inner = _iris(arc[inside, inside], np.arctan2(y, x), colours, soft=max(0.00018, 1.5 * pixel))
        texture[inside, inside] = inner * (1 - outside) + texture[inside, inside] * outside
    result = texture.astype(np.float32)
    result.setflags(write=False)
    return result


def _iris(
    arc: NDArray[np.float64], azimuth: NDArray[np.float64], colours: EyeColours, soft: float
) -> NDArray[np.float64]:
    """``(H, W, 3)`` iris with its pupil, whose edge is ``soft`` metres wide; ``arc`` in metres from its centre."""
    r = arc / IRIS_RADIUS
    fibres = _fibres(azimuth, r)
    stroma = 1.0 + 0.30 * fibres * _ramp(r, 0.30, 0.55)
    stroma += 0.55 * np.exp(-(((r - 0.50 - 0.02 * fibres) / 0.09) ** 2))  # collarette
    stroma *= 1 - 0.75 * _ramp(r, 0.68, 0.90)  # limbal ring
    iris = np.asarray(colours.iris) * np.clip(stroma, 0.2, None)[..., None]
    open_iris = _ramp(arc, PUPIL_RADIUS - soft, PUPIL_RADIUS + soft)[..., None]
    return np.asarray(np.asarray(colours.pupil) * (1 - open_iris) + iris * open_iris)


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


def lash_texcoord(points: Float, uv: Float, strips: NDArray[np.integer], eyeballs: tuple[Float, ...]) -> Float:
    """``(N, 2)`` float32 coordinates in :func:`lash_opacity` of the vertices of lash strips, in a model's mean.

    Lashes grow from the lid's margin, which lies on the eyeball, away from it. Where a strip's own layout is a
    rectangle, one of its axes runs along the lid and the other from root to tip. Where it is not, the distance from
    the eyeball runs from root to tip and the azimuth around its axis along the lid.

    Args:
        points: ``(N, 3)``.
        uv: ``(N, 2)`` the model's own layout.
        strips: ``(N,)`` which strip a vertex belongs to.
        eyeballs: vertices ``(M, 3)`` of each eyeball.
    """
    spheres = [fit_sphere(eyeball) for eyeball in eyeballs]
    result = np.zeros((len(points), 2))
    used = {True: 0, False: 0}
    half = LASH_BANDS // 2
    for name in np.unique(strips):
        members = strips == name
        position = points[members].astype(np.float64)
        centre, radius = min(spheres, key=lambda sphere: float(np.linalg.norm(position.mean(axis=0) - sphere[0])))
        away = position - centre
        height = np.linalg.norm(away, axis=1) - radius
        along, out = _rectangle(uv[members], height) or _azimuthal(away, height)
        upper = bool(away[:, 1].mean() > 0)
        band = used[upper] % half + (0 if upper else half)
        used[upper] += 1
        result[members] = np.stack([along, (band + 0.02 + 0.96 * out) / LASH_BANDS], axis=-1)
    return result.astype(np.float32)


def _unit(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scaled to [0, 1]."""
    return np.asarray((values - values.min()) / max(float(np.ptp(values)), 1e-9), np.float64)


def _rectangle(uv: Float, height: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Along the lid and from root to tip, each in [0, 1], of a strip laid out as a rectangle; None if it is not one."""
    axes = [_unit(uv[:, 0]), _unit(uv[:, 1])]
    corners = [(np.hypot(axes[0] - x, axes[1] - y)).min() for x in (0, 1) for y in (0, 1)]
    if max(corners) > 0.05:
        return None
    across = min((0, 1), key=lambda axis: -abs(float(np.corrcoef(axes[axis], height)[0, 1])))
    out = axes[across]
    return axes[1 - across], out if np.corrcoef(out, height)[0, 1] > 0 else 1 - out


def _azimuthal(
    away: NDArray[np.float64], height: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same for any other strip, from positions ``away`` ``(N, 3)`` relative to the eyeball's centre."""
    middle = np.arctan2(*away.mean(axis=0)[[1, 0]])
    return _unit(np.angle(np.exp(1j * (np.arctan2(away[:, 1], away[:, 0]) - middle)))), _unit(height)

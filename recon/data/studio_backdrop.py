"""Places to photograph made-up people in: the light of each, and what lies out of focus behind the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from recon.data.studio_light import Light, Room

Float = NDArray[np.float32]

PLACES = ("studio", "window", "overcast", "sun", "indoors", "passport")
_CHANCES = (0.26, 0.20, 0.18, 0.10, 0.16, 0.10)
_COARSE = 96


@dataclass(frozen=True, eq=False)
class Place:
    """``name`` of :data:`PLACES`, its light, and ``(96, 96, 3)`` linear RGB behind the head, out of focus."""

    name: str
    room: Room
    behind: Float

    def backdrop(self, size: int) -> Float:
        """``(size, size, 3)`` linear RGB."""
        factor = size / _COARSE
        return np.asarray(zoom(self.behind, (factor, factor, 1.0), order=1, mode="nearest", grid_mode=True), np.float32)


def draw_place(rng: np.random.Generator) -> Place:
    """A place with its light; half of them are under an even or soft light, a tenth in the sun."""
    name = str(rng.choice(PLACES, p=_CHANCES))
    side = float(rng.choice([-1.0, 1.0]))
    return Place(name, _room(name, side, rng), _behind(name, side, rng))


def _scaled(colour: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


_WARM, _COOL, _WHITE = (1.0, 0.93, 0.84), (0.90, 0.96, 1.0), (1.0, 0.99, 0.97)


def _room(name: str, side: float, rng: np.random.Generator) -> Room:
    """Lights of a place; ``side`` is −1 or 1, where the brightest stands."""
    u = float(rng.uniform(0.85, 1.15))
    if name == "studio":
        return Room(
            (
                Light((side * rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.6), 0.8), 14.0, _scaled(_WHITE, 4.6 * u)),
                Light((-side * rng.uniform(0.5, 0.9), 0.0, 0.8), 4.0, _scaled(_COOL, float(rng.uniform(0.25, 0.6)))),
                Light((-side * 0.6, 0.5, -0.8), 14.0, (2.2, 2.2, 2.2)),
            ),
            (0.20, 0.20, 0.21),
            (0.11, 0.105, 0.10),
        )
    if name == "window":
        return Room(
            (
                Light((side, rng.uniform(0.1, 0.35), rng.uniform(0.35, 0.7)), 9.0, _scaled(_COOL, 3.6 * u)),
                Light((-side, 0.1, 0.3), 2.0, _scaled(_WARM, 0.30)),
            ),
            (0.28, 0.26, 0.24),
            (0.16, 0.14, 0.12),
        )
    if name == "overcast":
        return Room(
            (Light((side * 0.3, 0.8, 0.45), 2.2, _scaled((0.95, 0.98, 1.0), 1.5 * u)),),
            (0.72, 0.77, 0.84),
            (0.24, 0.235, 0.20),
        )
    if name == "sun":
        return Room(
            (Light((side * rng.uniform(0.5, 1.0), rng.uniform(0.5, 0.8), 0.6), 220.0, _scaled(_WARM, 75.0 * u)),),
            (0.52, 0.62, 0.80),
            (0.34, 0.31, 0.25),
        )
    if name == "indoors":
        return Room(
            (
                Light((side * 0.35, 0.8, 0.5), 7.0, _scaled(_WARM, 3.0 * u)),
                Light((-side * 0.9, 0.2, 0.5), 8.0, _scaled(_COOL, float(rng.uniform(0.5, 1.3)))),
            ),
            (0.36, 0.34, 0.31),
            (0.18, 0.16, 0.135),
        )
    return Room(
        (
            Light((0.7, 0.25, 0.75), 9.0, _scaled(_WHITE, 1.6 * u)),
            Light((-0.7, 0.25, 0.75), 9.0, _scaled(_WHITE, 1.45 * u)),
        ),
        (0.40, 0.40, 0.40),
        (0.26, 0.26, 0.26),
    )


def _behind(name: str, side: float, rng: np.random.Generator) -> Float:
    """What is seen out of focus: paper, a wall with furniture and windows, or trees and sky."""
    y, x = np.meshgrid(np.linspace(0, 1, _COARSE), np.linspace(0, 1, _COARSE), indexing="ij")
    if name in ("studio", "passport"):
        tint = np.asarray(rng.uniform(0.85, 1.12, 3)) if name == "studio" else np.array([0.97, 1.0, 1.03])
        level = float(rng.uniform(0.03, 0.35)) if name == "studio" else float(rng.uniform(0.45, 0.75))
        glow = np.exp(-((x - 0.5 - 0.18 * side) ** 2 + (y - 0.45) ** 2) / 0.22)
        paper = level * (0.55 + 0.65 * glow if name == "studio" else 1.0 + 0.08 * glow)
        return np.asarray(paper[..., None] * tint, dtype=np.float32)
    if name in ("overcast", "sun"):
        picture = _outdoors(x, y, rng)
        blur = float(rng.uniform(2.0, 5.0))
    else:
        picture = _indoors(x, y, side, rng)
        blur = float(rng.uniform(1.5, 4.0))
    picture *= 1.0 + 0.12 * gaussian_filter(rng.normal(0.0, 12.0, picture.shape[:2]), 6.0)[..., None]
    return np.asarray(np.clip(gaussian_filter(picture, (blur, blur, 0.0)), 0.005, 4.0), dtype=np.float32)


def _outdoors(x: NDArray[np.float64], y: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Leaves or stone below a line of sky, with bright gaps."""
    leafy = bool(rng.random() < 0.65)
    base = np.array([0.085, 0.12, 0.045]) if leafy else np.array([0.24, 0.22, 0.20])
    ground = np.array([0.16, 0.15, 0.12])
    rough = gaussian_filter(rng.normal(0.0, 1.0, x.shape), 3.0) * 9.0
    picture = base * np.exp(0.55 * rough)[..., None]
    picture = np.where((y > rng.uniform(0.65, 0.85))[..., None], ground * np.exp(0.2 * rough)[..., None], picture)
    skyline = rng.uniform(0.05, 0.45) + 0.08 * gaussian_filter(rng.normal(0, 1, x.shape[1]), 6.0) * 5.0
    picture = np.where((y < skyline)[..., None], np.array([0.72, 0.84, 1.0]) * rng.uniform(0.7, 1.1), picture)
    for _ in range(int(rng.integers(0, 26)) if leafy else 0):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0.05, 0.7), rng.uniform(0.01, 0.03)
        picture[(x - cx) ** 2 + (y - cy) ** 2 < r**2] += np.array([0.5, 0.55, 0.35]) * rng.uniform(0.3, 1.2)
    return np.asarray(picture)


def _indoors(
    x: NDArray[np.float64], y: NDArray[np.float64], side: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A wall that brightens towards the light, shelves, pictures, perhaps a window."""
    wall = np.array([0.36, 0.33, 0.29]) * rng.uniform(0.4, 1.3) * rng.uniform(0.88, 1.12, 3)
    picture = wall * (1.0 + 0.45 * side * (x - 0.5))[..., None]
    for _ in range(int(rng.integers(2, 9))):
        left, top = rng.uniform(-0.1, 0.95), rng.uniform(-0.1, 0.8)
        wide, high = rng.uniform(0.04, 0.3), rng.uniform(0.08, 0.6)
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        colour = rng.uniform(0.03, 0.42) * rng.uniform(0.75, 1.25, 3)
        picture[inside] = colour
    if rng.random() < 0.45:
        left = 0.02 if side < 0 else 0.72
        inside = (x > left) & (x < left + 0.24) & (y < 0.62) & (np.abs(x - left - 0.12) > 0.012)
        picture[inside] = np.array([1.3, 1.4, 1.5]) * rng.uniform(0.6, 1.1)
    return np.asarray(picture)

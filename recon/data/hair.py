"""Hair of made-up people: brows and stubble as strokes, and where the hair of the head grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.data.person import Person
from recon.data.procedural import lattice_noise, line_distance, resolved, scatter, strokes, vector

if TYPE_CHECKING:
    from recon.data.skin import SkinSurface

Float = NDArray[np.float32]

# Height of the hair line above the outer eye corners, in mm, by angle from the front about the vertical axis (degrees):
# forehead, temple, sideburn, behind the ear, nape.
_LINE_ANGLE = (0.0, 25.0, 42.0, 58.0, 70.0, 80.0, 90.0, 104.0, 116.0, 140.0, 180.0)
_LINE_HEIGHT = (66.0, 64.0, 54.0, 36.0, 10.0, -14.0, -2.0, 22.0, -10.0, -40.0, -52.0)


def brow_hairs(surface: SkinSurface, near: NDArray[np.bool_], person: Person) -> Float:
    """``(N,)`` share of each texel that brow hairs cover; ``near`` are the texels that may hold any."""
    rng = np.random.default_rng([person.seed, 5])
    cover = np.zeros(len(near), np.float32)
    points = surface.points[near]
    tree = cKDTree(points)
    for line in (surface.marks[17:22], surface.marks[26:21:-1]):  # from the temple to the nose
        number = int(rng.integers(650, 850) * person.brow_density * (0.6 + 0.4 * person.brow_weight))
        place = rng.beta(1.25, 1.15, number)
        # Thin and low at the tail, full at the middle, softer at the nose.
        thickness = person.brow_weight * np.interp(place, [0.0, 0.35, 0.8, 1.0], [1.2, 2.9, 4.0, 3.2])
        middle = np.stack([np.interp(place, np.linspace(0, 1, 5), line[:, axis]) for axis in range(3)], axis=1)
        middle[:, 1] += thickness * rng.normal(0.0, 0.50, number).clip(-1.3, 1.3)
        # A relaxed brow: its head a little higher, its tail lower than the landmarks, its arch two thirds out.
        middle[:, 1] += person.brow_arch * np.exp(-(((place - 0.38) / 0.24) ** 2)) + 2.0 * place**2
        middle[:, 1] -= 1.2 * (1.0 - place) ** 2 + 0.4
        # Hairs point up at the nose, outwards in the middle, and a little down at the tail.
        steep = np.radians(
            np.interp(place, [0.0, 0.45, 0.85, 1.0], [-18.0, 12.0, 38.0, 70.0]) + rng.normal(0, 11, number)
        )
        out = -np.sign(line[-1, 0] - line[0, 0])
        length = rng.uniform(2.5, 5.5, number) * np.interp(place, [0, 0.3, 1], [0.7, 1.0, 0.85])
        direction = np.stack([out * np.cos(steep), np.sin(steep), np.zeros(number)], axis=1)
        # Both ends are put on the skin, so that a stroke follows the brow ridge.
        roots = points[tree.query(middle)[1]]
        tips = points[tree.query(middle + direction * length[:, None])[1]]
        close = np.flatnonzero(cKDTree(middle).query(points)[0] < 7.0)
        which = np.flatnonzero(near)[close]
        cover[which] = np.maximum(cover[which], strokes(points[close], surface.texel[which], roots, tips, 0.13))
    return np.minimum(1.15 * cover, 0.96).astype(np.float32)


def lash_roots(surface: SkinSurface, near: NDArray[np.bool_]) -> Float:
    """``(N,)`` dark line of the upper lid, where the lashes' roots stand close; ``near`` are the texels of the lids."""
    cover = np.zeros(len(near), np.float32)
    for lid in (surface.marks[36:40], surface.marks[42:46]):
        cover[near] += 0.8 * np.exp(-((line_distance(surface.points[near], lid) / 0.6) ** 2))
    return np.minimum(cover, 0.9)


def beard_hairs(surface: SkinSurface, regions: Mapping[str, Float], person: Person, bare: NDArray[np.bool_]) -> Float:
    """``(N,)`` share of each texel that stubble covers: short hairs that grow down and outwards."""
    cover = np.zeros(len(bare), np.float32)
    if person.beard <= 0.0:
        return cover
    rng = np.random.default_rng([person.seed, 6])
    growth = beard_growth(surface.positions, surface.marks)
    growth *= 1.0 - np.clip(surface.regions["lips"] + surface.regions["mouth_interior"], 0.0, 1.0)
    patchy = 0.75 + 0.25 * lattice_noise(surface.positions, 14.0, rng)
    roots = scatter(surface.positions, surface.triangles, 0.62, rng, (growth * patchy).clip(0, 1).astype(np.float32))
    if len(roots) < 8:
        return cover
    where = np.flatnonzero(bare & (surface.at_texels(growth) > 0.01))
    aside = np.sign(roots[:, 0]) * np.clip(np.abs(roots[:, 0]) / 40.0, 0.0, 1.0)
    direction = np.stack([0.35 * aside, -np.ones(len(roots)), -0.25 * np.abs(aside)], axis=1)
    direction += rng.normal(0.0, 0.28, direction.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = rng.uniform(0.5, 1.3, len(roots)) * (0.6 + 0.9 * person.beard)
    tips = roots + direction * length[:, None]
    share = strokes(surface.points[where], surface.texel[where], roots, tips.astype(np.float32), 0.10, neighbours=6)
    shadow = 0.30 * person.beard * surface.at_texels(growth)[where]
    cover[where] = 1.0 - (1.0 - person.beard**0.5 * share) * (1.0 - shadow)
    return cover


def beard_growth(positions: Float, marks: Float) -> Float:
    """``(V,)`` in [0, 1]: chin, jaw, upper lip and the lower cheek, up to a line from the sideburn to the mouth."""
    x, y, z = positions.T
    across = np.abs(x) / np.abs(marks[54, 0])
    # Height of the cheek line: the mouth corner near the middle, rising to the ear at the jaw's side.
    ear = marks[[0, 16], 1].mean() - 18.0
    line = np.interp(across, [0.9, 1.3, 2.6], [marks[33, 1] - 2.0, marks[48, 1] + 3.0, ear])
    low = marks[8, 1] - 22.0
    behind = marks[[0, 16], 2].min() - 22.0
    return np.asarray(_step((line - y) / 5.0) * _step((y - low) / 6.0) * _step((z - behind) / 5.0), dtype=np.float32)


def scalp_cover(points: Float, marks: Float, person: Person) -> Float:
    """``(N,)`` share of hair of the head at points on the mean shape (mm)."""
    rng = np.random.default_rng([person.seed, 7])
    eyes = 0.5 * (marks[36] + marks[45])
    axis = eyes[2] - 78.0  # the skull's vertical axis lies this far behind the eye corners
    angle = np.degrees(np.abs(np.arctan2(points[:, 0], points[:, 2] - axis)))
    line = np.interp(angle, _LINE_ANGLE, _LINE_HEIGHT) + eyes[1]
    recess = max(0.0, person.hair_line) + (22.0 if person.style == "receding" else 0.0)
    line += person.hair_line * np.exp(-((angle / 38.0) ** 2)) + 0.8 * recess * np.exp(-(((angle - 36.0) / 12.0) ** 2))
    uneven = 1.8 * lattice_noise(points, 14.0, rng)
    uneven += 1.4 * lattice_noise(points, 5.0, rng) + 1.2 * lattice_noise(points, 2.0, rng)
    height = points[:, 1] - line + uneven
    if person.style == "bald":
        return np.zeros(len(points), np.float32)
    if person.style == "horseshoe":
        # What is left is a band from temple to temple around the back.
        crown = points[:, 1] - eyes[1] - 46.0 - 22.0 * np.clip((angle - 90.0) / 60.0, 0.0, 1.0) + uneven
        height = np.minimum(height, -crown)
        height = np.where(angle < 55.0, -30.0, height)
    return np.asarray(_step(height / 3.2) * _off_ears(points, marks), dtype=np.float32)


def _off_ears(points: Float, marks: Float) -> Float:
    """0 on the ears, which stand out from the skull, else 1."""
    eyes = 0.5 * (marks[36] + marks[45])
    out = (np.abs(points[:, 0]) - np.abs(marks[0, 0]) + 1.0) / 1.2
    radius = np.hypot((points[:, 1] - eyes[1] + 21.0) / 34.0, (points[:, 2] - eyes[2] + 88.0) / 26.0)
    ear = _step(out) * _step((1.0 - radius) / 0.05)
    return np.asarray(1.0 - ear, dtype=np.float32)


def _step(value: NDArray[np.floating]) -> NDArray[np.floating]:
    """The logistic function: 0 far below zero, 1 far above."""
    return 1.0 / (1.0 + np.exp(-np.clip(value, -30.0, 30.0)))


def strand_tone(points: Float, texel: Float, person: Person, where: NDArray[np.bool_]) -> Float:
    """``(N,)`` brightness of strands about 1: noise stretched along the hair, which runs from the crown downwards."""
    rng = np.random.default_rng([person.seed, 8])
    tone = np.ones(len(points), np.float32)
    here = points[where]
    stretched = here * vector(1.0, 0.12, 0.30)
    for wavelength, amplitude in ((1.2, 0.22), (3.5, 0.22), (9.0, 0.15)):
        tone[where] += amplitude * resolved(wavelength, texel[where]) * lattice_noise(stretched, wavelength, rng)
    return tone.clip(0.35, 2.0)

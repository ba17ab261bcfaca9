"""Relief of made-up skin: pores, furrows between them, lines of age and expression, folds of lids and lips, in mm.

Pores lie 1.0 to 1.35 mm apart and furrows run along the borders of their Voronoi cells (the star pattern of skin
replicas, Wilhelm et al. 1989). Lines set in between thirty and seventy years. Everything is laid out in millimetres on
the mean shape, from its landmarks; heights are positive outwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.data.person import Person
from recon.data.procedural import lattice_noise, line_distance, resolved, scatter, vector

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PoreField:
    """Distances to the two nearest pores ``(N, 2)`` mm, and radius ``(N,)`` mm and darkness ``(N,)`` of the nearest."""

    distance: Float
    size: Float
    depth: Float

    def dots(self, texel: Float) -> Float:
        """``(N,)`` the pores themselves, 1 in the middle of a resolved one, times its darkness."""
        seen = np.sqrt(self.size**2 + (0.5 * texel) ** 2)
        return np.asarray(self.depth * (self.size / seen) ** 2 * np.exp(-((self.distance[:, 0] / seen) ** 2)))

    def furrows(self, texel: Float) -> Float:
        """``(N,)`` the borders between pores, 1 on a resolved border."""
        width = np.sqrt(0.12**2 + (0.6 * texel) ** 2)
        return np.asarray(
            0.12 / width * np.exp(-(((self.distance[:, 1] - self.distance[:, 0]) / width) ** 2)), dtype=np.float32
        )


def find_pores(
    positions: Float, triangles: NDArray[np.int32], points: Float, face: Float, rng: np.random.Generator
) -> PoreField:
    """Pores over the part of the surface where ``face`` ``(V,)`` is not 0, seen from ``points`` ``(N, 3)``."""
    centres = scatter(positions, triangles, float(rng.uniform(1.0, 1.35)), rng, face)
    distance, nearest = cKDTree(centres).query(points, k=2, distance_upper_bound=8.0)
    first = np.minimum(nearest[:, 0], len(centres) - 1)
    return PoreField(
        np.minimum(distance, 8.0).astype(np.float32),
        rng.uniform(0.16, 0.30, len(centres)).astype(np.float32)[first],
        rng.uniform(0.08, 0.26, len(centres)).astype(np.float32)[first],
    )


@dataclass(frozen=True, eq=False)
class Line:
    """A crease along ``path`` ``(M, 3)``: ``depth`` and half ``width`` in mm; ``stain``: melanin at its bottom."""

    path: Float
    depth: float
    width: float
    stain: float


def creases(marks: Float, person: Person) -> list[Line]:
    """The lines of ``person``'s face, on the mean shape whose landmarks are ``marks`` ``(68, 3)``."""
    rng = np.random.default_rng([person.seed, 30])
    return [*_forehead(marks, person, rng), *_around_eyes(marks, person, rng), *_around_mouth(marks, person, rng)]


def _arc(start: Float, end: Float, bow: Float, rng: np.random.Generator, rough: float = 0.0) -> Float:
    """``(12, 3)`` points from start to end, bent by ``bow`` in the middle."""
    t = np.linspace(0.0, 1.0, 12, dtype=np.float32)[:, None]
    path = start * (1.0 - t) + end * t + 4.0 * t * (1.0 - t) * bow
    if rough:
        path[1:-1] += rng.normal(0.0, rough, (10, 3))
    return np.asarray(path, dtype=np.float32)


def _forehead(marks: Float, person: Person, rng: np.random.Generator) -> list[Line]:
    lines = []
    aged = person.aged
    height = float(marks[[19, 24], 1].mean())
    front = float(marks[27, 2]) - 2.0
    for step in range(4):
        y = height + 15.0 + 9.0 * step + float(rng.uniform(-2.0, 2.0))
        for half in (-1.0, 1.0):  # broken in the middle
            if rng.random() < 0.2:
                continue
            reach = float(rng.uniform(22.0, 38.0))
            start = vector(half * float(rng.uniform(-4.0, 3.0)), y + float(rng.uniform(-1.5, 1.5)), front)
            end = vector(half * reach, y + float(rng.uniform(-3.5, 1.0)), front - 14.0)
            depth = (0.02 + 0.26 * aged) * float(rng.uniform(0.5, 1.2))
            lines.append(Line(_arc(start, end, vector(0.0, 1.6, 0.0), rng, 0.35), depth, 0.75, 0.02 + 0.22 * aged))
    for side in (-1.0, 1.0):
        foot = vector(side * 5.5, height - 5.0, front)
        top = foot + vector(side * float(rng.uniform(-1.0, 1.5)), float(rng.uniform(9.0, 15.0)), 0.0)
        depth = (0.02 + 0.26 * aged) * float(rng.uniform(0.3, 1.2))
        lines.append(Line(_arc(foot, top, vector(0.0, 0.0, 0.0), rng, 0.3), depth, 0.9, 0.10 * aged))
    return lines


def _around_eyes(marks: Float, person: Person, rng: np.random.Generator) -> list[Line]:
    """The fold of the upper lid, the trough beneath the eye, and crow's feet."""
    lines = []
    aged, smile = person.aged, person.smile
    fold = float(rng.uniform(2.6, 4.6))
    deep = float(rng.uniform(0.5, 1.0))
    for side, upper, lower in ((-1.0, (36, 37, 38, 39), (36, 41, 40, 39)), (1.0, (45, 44, 43, 42), (45, 46, 47, 42))):
        lid = (
            marks[list(upper)]
            + vector(0.0, fold, 0.5)
            + np.array([[side * 2.0, -2.2, 0], [0, 0, 0], [0, 0, 0], [0, -1.4, 0]])
        )
        lines.append(Line(lid.astype(np.float32), 0.35 * deep, 0.75, 0.26 * deep))
        lines.append(Line((lid + vector(0.0, -1.3, 0.0)).astype(np.float32), 0.05 + 0.10 * aged, 0.5, 0.05))
        under = (
            marks[list(lower)]
            + vector(0.0, -6.5, 0.0)
            + np.array([[-4.0 * side, 1, 0], [0, 0, 0], [0, -1, 0], [0, -2, 0]])
        )
        lines.append(Line(under.astype(np.float32), 0.12 + 0.42 * aged, 1.7, 0.05 + 0.10 * aged))
        for step in range(2):
            wrinkle = marks[list(lower)] + vector(0.0, -2.3 - 1.8 * step, 0.0) + rng.normal(0.0, 0.3, (4, 3))
            lines.append(Line(wrinkle.astype(np.float32), 0.03 + 0.10 * aged + 0.06 * smile, 0.5, 0.03 + 0.10 * aged))
        outer = marks[upper[0]]
        for angle in (28.0, 12.0, -4.0, -20.0):
            turn = np.radians(angle + float(rng.normal(0.0, 4.0)))
            out = vector(side * float(np.cos(turn)), float(np.sin(turn)), -0.55)
            start = outer + 5.0 * out + vector(0.0, 0.0, 1.0)
            depth = (0.20 * aged + 0.05 * smile * aged**0.5) * float(rng.uniform(0.5, 1.3))
            end = start + float(rng.uniform(7.0, 14.0)) * out
            lines.append(Line(_arc(start, end, vector(0.0, -0.5, 0.0), rng, 0.15), depth, 0.6, 0.6 * depth))
    return lines


def _around_mouth(marks: Float, person: Person, rng: np.random.Generator) -> list[Line]:
    """From the wings of the nose to the corners of the mouth, and from there down; the dimples of the corners."""
    lines = []
    aged, smile = person.aged, person.smile
    strength = float(rng.uniform(0.7, 1.3))
    for side, wing, corner in ((-1.0, 31, 48), (1.0, 35, 54)):
        start = marks[wing] + vector(side * 4.5, 3.0, -4.0)
        end = marks[corner] + vector(side * (7.0 + 2.0 * smile), -1.0, 1.0)
        depth = strength * (0.16 + 0.55 * aged + 0.30 * smile)
        path = _arc(start, end, vector(side * 2.2, 0.6, 0.0), rng)
        lines.append(Line(path, depth, 2.0, 0.03 * strength + 0.05 * aged))
        lines.append(Line(path, 0.35 * depth * aged, 0.6, 0.14 * strength * aged))
        low = marks[corner] + vector(side * 3.0, -3.5, 1.0)
        end = low + vector(side * 3.5, -15.0, 0.0)
        lines.append(
            Line(_arc(low, end, vector(side * 1.0, 0.0, 0.0), rng, 0.2), 0.40 * aged * strength, 1.4, 0.10 * aged)
        )
        lines.append(Line(np.stack([marks[corner], marks[corner] + vector(side * 2.0, -0.6, 0.0)]), 0.3, 1.0, 0.16))
        # The columns of the philtrum stand out.
        top, foot = (
            marks[33] + vector(side * 2.6, -2.0, 0.0),
            marks[50 if side < 0 else 52] + vector(side * 1.0, 1.0, 0.0),
        )
        lines.append(Line(_arc(top, foot, vector(side * 0.4, 0.0, 0.0), rng), -0.28, 1.5, 0.0))
    across = marks[57] + vector(0.0, -5.0, 0.0)
    ends = [across + vector(side * 14.0, 0.5, -3.0) for side in (-1.0, 1.0)]
    lines.append(Line(_arc(ends[0], ends[1], vector(0.0, 1.0, 2.0), rng), 0.30 * strength, 2.6, 0.04))
    return lines


def along_creases(points: Float, texel: Float, lines: list[Line], rng: np.random.Generator) -> tuple[Float, Float]:
    """Relief ``(N,)`` mm and melanin ``(N,)`` of ``lines``; each fades towards its ends and is uneven along it."""
    height, stain = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
    for line in lines:
        reach = 3.0 * line.width + 1.0
        low, high = line.path.min(axis=0) - reach, line.path.max(axis=0) + reach
        near = np.flatnonzero(
            ((points[:, :2] > low[:2]) & (points[:, :2] < high[:2])).all(axis=1) & (points[:, 2] > low[2] - 14.0)
        )
        if not len(near):
            continue
        here = points[near]
        seen = np.sqrt(line.width**2 + (0.6 * texel[near]) ** 2)
        ends = np.linalg.norm((here[:, None] - line.path[[0, -1]])[..., :2], axis=2).min(axis=1)
        length = float(np.linalg.norm(np.diff(line.path, axis=0), axis=1).sum())
        fade = np.clip(ends / (0.22 * length), 0.12, 1.0) * np.clip(
            0.85 + 0.3 * lattice_noise(here, 7.0, rng), 0.2, 1.4
        )
        across = np.exp(-((line_distance(here, line.path) / seen) ** 2)) * line.width / seen * fade
        height[near] -= line.depth * across
        stain[near] += line.stain * across
    return height, stain


def fine_relief(
    points: Float,
    texel: Float,
    regions: Mapping[str, Float],
    pores: PoreField,
    rng: np.random.Generator,
    person: Person,
) -> Float:
    """``(N,)`` mm: pores and furrows, the grain of lips and lids, and unevenness of a few millimetres."""
    lips = np.clip(regions["lips"] + regions["mouth_interior"], 0.0, 1.0)
    skin = 1.0 - lips
    coarse = 1.0 + 0.5 * regions["nose"] + 0.25 * regions["cheeks"] + (0.15 if person.gender == "male" else -0.1)
    height = -0.26 * pores.dots(texel) * coarse - (0.016 + 0.02 * person.aged) * pores.furrows(texel)
    height = height * skin
    for wavelength, amplitude in ((9.0, 0.030), (4.5, 0.014), (2.2, 0.010), (1.0, 0.008)):
        height += amplitude * skin * resolved(wavelength, texel) * lattice_noise(points, wavelength, rng)
    squeezed = points * vector(1.0, 0.16, 0.16)
    for wavelength, amplitude in ((2.0, 0.060), (1.0, 0.030)):
        height += amplitude * lips * resolved(wavelength, texel) * lattice_noise(squeezed, wavelength, rng)
    return np.asarray(height, dtype=np.float32)


def gloss_of(points: Float, texel: Float, regions: Mapping[str, Float], person: Person) -> Float:
    """``(N,)`` strength of the sheen about 1: oilier on nose and forehead, moist on the lips, uneven everywhere."""
    rng = np.random.default_rng([person.seed, 31])
    oily = float(rng.uniform(0.75, 1.35)) * (1.0 - 0.2 * person.makeup)
    gloss = 0.85 + 0.45 * regions["nose"] + 0.25 * regions["forehead"] - 0.2 * regions["eyes"] + 0.1 * regions["chin"]
    gloss = gloss * oily
    gloss = gloss + regions["lips"] * (0.9 + 0.8 * person.makeup - gloss)
    for wavelength, amplitude in ((14.0, 0.10), (2.5, 0.12), (1.0, 0.14)):
        gloss = gloss * (1.0 + amplitude * resolved(wavelength, texel) * lattice_noise(points, wavelength, rng))
    return np.asarray(np.clip(gloss, 0.1, 2.5), dtype=np.float32)

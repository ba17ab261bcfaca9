"""Strands of hair on a head: guides that grow, fall and lie on the scalp, and many strands that follow them.

A few hundred guides are traced step by step: they set out as their style says, gravity turns them, and the layer of
hair beneath keeps them off the skin. Every strand follows the guides next to it, and draws near one of them towards its
tip, which makes locks (Ward et al. 2007 survey such guide-hair models). Unit: millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.data.hair_styles import STYLES, HairStyle
from recon.data.person import Person
from recon.data.procedural import vector

Float = NDArray[np.float32]

_DOWN = vector(0.0, -1.0, 0.0)
_GUIDES = 900


@dataclass(frozen=True, eq=False)
class Scalp:
    """A head as its hair sees it, mm.

    Attributes:
        triangles: ``(T, 3)`` of face and body.
        mean: ``(V, 3)`` mean shape, in which styles are laid out; positions: ``(V, 3)`` the person's.
        normals: ``(V, 3)`` of the person.
        cover: ``(V,)`` share of hair at a vertex.
        eyes: ``(3,)`` middle of the outer eye corners of the mean shape.
    """

    triangles: NDArray[np.int32]
    mean: Float
    positions: Float
    normals: Float
    cover: Float
    eyes: Float


@dataclass(frozen=True, eq=False)
class Strands:
    """``points`` ``(N, K, 3)`` mm of N strands, ``width`` ``(N, K)`` mm and ``tone`` ``(N,)``, brightness about 1."""

    points: Float
    width: Float
    tone: Float

    def joined(self, other: Strands) -> Strands:
        """Both, where the other has as many points a strand."""
        return Strands(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.width, other.width]),
            np.concatenate([self.tone, other.tone]),
        )


@dataclass(frozen=True, eq=False)
class _Roots:
    """Where strands leave the skin: on the mean shape and on the person, with normals; all ``(N, 3)``."""

    mean: Float
    place: Float
    normal: Float


def head_hair(scalp: Scalp, person: Person, finest: float = 0.2) -> Strands | None:
    """The hair of ``person``'s head; None for the bald. One to two seconds.

    Args:
        scalp: the head it grows on.
        person: whose style and seed it is.
        finest: width in mm below which a strand could not be seen; strands stand for tufts of that width.
    """
    style = STYLES[person.style]
    rng = np.random.default_rng([person.seed, 20])
    if max(style.top, style.side) <= 0.0:
        return None
    guides = _roots(scalp, _GUIDES, rng)
    roots = _roots(scalp, style.count, rng)
    if len(guides.place) < 20:
        return None
    parting = float(rng.choice([-1.0, 1.0]) * rng.uniform(8.0, 32.0)) if style.comb == "parted" else 0.0
    if style.long and rng.random() < 0.35:
        parting *= 0.1
    length = _length(guides, scalp, style, rng)
    skin = cKDTree(scalp.positions)
    curves = _trace(guides, length, scalp, style, parting, skin, rng)
    points = _follow(roots, guides, curves, style, parting, rng)
    points = _pushed_out(points, scalp, skin, 0.4)
    if style.comb != "forward" and style.top > 30.0:
        # A few strands may stray into the face, no more.
        deep = (points[..., 2] > scalp.eyes[2] - 25.0) & (
            np.abs(points[..., 0]) < 0.86 * _face_edge(points[..., 1] - scalp.eyes[1])
        )
        points = points[(deep.mean(axis=1) < 0.04) | (rng.random(len(points)) < 0.004)]
    if person.style in ("bun", "tied back"):
        points = np.concatenate([points, _knot(scalp, person, points.shape[1], rng)])
    count = len(points)
    along = np.linspace(0.0, 1.0, points.shape[1], dtype=np.float32)
    thick = np.float32(max(finest, float(np.clip(0.20 * np.sqrt(17_000 / style.count), 0.15, 0.26))))
    width = np.broadcast_to(thick * (1.0 - 0.55 * along**2), points.shape[:2])
    tone = np.exp(rng.normal(0.0, 0.19, count)).astype(np.float32)
    return Strands(points, np.ascontiguousarray(width, dtype=np.float32), tone)


def beard_hair(scalp: Scalp, growth: Float, person: Person, finest: float = 0.2) -> Strands | None:
    """A beard of ``person.beard_length`` mm where ``growth`` ``(V,)`` lets it; None for stubble, which is painted."""
    if person.beard_length <= 0.0 or growth.max() <= 0.0:
        return None
    rng = np.random.default_rng([person.seed, 26])
    bearded = Scalp(scalp.triangles, scalp.mean, scalp.positions, scalp.normals, growth, scalp.eyes)
    roots = _roots(bearded, 7000, rng)
    count = len(roots.place)
    aside = np.clip(roots.mean[:, :1] / 50.0, -1.0, 1.0)
    aim = np.concatenate([0.35 * aside, np.full((count, 1), -1.0), 0.15 * np.ones((count, 1))], axis=1)
    aim += 0.55 * roots.normal + rng.normal(0.0, 0.22, (count, 3))
    aim /= np.linalg.norm(aim, axis=1, keepdims=True)
    # Shorter on the cheeks and the lip than on the chin.
    low = np.clip((scalp.eyes[1] - 62.0 - roots.mean[:, 1]) / 30.0, 0.35, 1.0)
    length = (person.beard_length * low * rng.uniform(0.6, 1.1, count))[:, None, None]
    t = np.linspace(0.0, 1.0, 7, dtype=np.float32)[None, :, None]
    bend = rng.normal(0.0, 0.30, (count, 1, 3)) - 0.25 * roots.normal[:, None]
    points = (roots.place[:, None] + length * (t * aim[:, None] + t**2 * bend)).astype(np.float32)
    width = np.broadcast_to(max(finest, 0.16) * (1.0 - 0.6 * t[..., 0]), (count, 7))
    tone = np.exp(rng.normal(-0.1, 0.30, count)).astype(np.float32)
    return Strands(points, np.ascontiguousarray(width, dtype=np.float32), tone)


def _roots(scalp: Scalp, number: int, rng: np.random.Generator) -> _Roots:
    """About ``number`` places on the scalp, as densely as hair covers it."""
    corners = scalp.positions[scalp.triangles]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    share = area * scalp.cover[scalp.triangles].mean(axis=1)
    if share.sum() <= 0.0:
        empty = np.empty((0, 3), np.float32)
        return _Roots(empty, empty, empty)
    chosen = rng.choice(len(share), number, p=share / share.sum())
    weights = rng.dirichlet([1.0, 1.0, 1.0], number).astype(np.float32)
    mean, place, normal = (
        np.einsum("ncx,nc->nx", values[scalp.triangles[chosen]], weights, optimize=True)
        for values in (scalp.mean, scalp.positions, scalp.normals)
    )
    keep = np.einsum("nc,nc->n", scalp.cover[scalp.triangles[chosen]], weights) > 0.35
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    return _Roots(mean[keep], place[keep], normal[keep])


def _top_share(mean: Float, scalp: Scalp) -> Float:
    """``(N,)`` 1 on top of the head, 0 at the sides and the nape."""
    height = mean[:, 1] - scalp.eyes[1]
    side = np.abs(mean[:, 0]) / 62.0
    behind = np.clip((scalp.eyes[2] - 60.0 - mean[:, 2]) / 90.0, 0.0, 1.0)
    return np.asarray(np.clip((height - 52.0 - 30.0 * behind) / 22.0 + 0.6 - 0.9 * side**4, 0.0, 1.0), dtype=np.float32)


def _length(roots: _Roots, scalp: Scalp, style: HairStyle, rng: np.random.Generator) -> Float:
    top = _top_share(roots.mean, scalp)
    length = style.side + (style.top - style.side) * top
    if not style.long and style.comb != "tied":
        # Sides are cut shorter the lower they lie, as clippers do it.
        low = np.clip((roots.mean[:, 1] - scalp.eyes[1] + 30.0) / 70.0, 0.25, 1.0)
        length = length * np.where(top > 0.5, 1.0, low)
    return np.asarray(length * rng.uniform(0.82, 1.12, len(length)), dtype=np.float32)


def _aim(mean: Float, normal: Float, scalp: Scalp, style: HairStyle, parting: float) -> Float:
    """``(N, 3)`` unit directions along the skin in which hair is combed."""
    top = _top_share(mean, scalp)[:, None]
    aside = np.clip((mean[:, :1] - parting) / 14.0, -1.0, 1.0)
    outwards = np.sign(mean[:, :1])
    zero = np.zeros_like(aside)
    if style.comb == "forward":
        upper = np.concatenate([0.12 * outwards + 0.18, zero - 0.25, zero + 1.0], axis=1)
        lower = np.concatenate([zero, zero - 1.0, zero + 0.35], axis=1)
    elif style.comb == "back":
        upper = np.concatenate([0.10 * outwards, zero + 0.15, zero - 1.0], axis=1)
        lower = np.concatenate([zero, zero - 0.6, zero - 0.8], axis=1)
    elif style.comb == "parted":
        front = np.clip((mean[:, 2:] - scalp.eyes[2] + 60.0) / 60.0, 0.0, 1.0)
        upper = np.concatenate([aside, zero - 0.25, 0.15 - 0.5 * front], axis=1)
        lower = np.concatenate([0.15 * outwards, zero - 1.0, zero - 0.25], axis=1)
    elif style.comb == "tied":
        knot = scalp.eyes + vector(0.0, 38.0, -185.0)
        upper = lower = knot - mean
    else:
        upper = lower = normal
    aim = upper * top + lower * (1.0 - top)
    if style.comb != "out":
        aim = aim - (aim * normal).sum(axis=1, keepdims=True) * normal
    return np.asarray(aim / np.maximum(np.linalg.norm(aim, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _trace(
    roots: _Roots,
    length: Float,
    scalp: Scalp,
    style: HairStyle,
    parting: float,
    skin: cKDTree,
    rng: np.random.Generator,
) -> Float:
    """``(N, K, 3)`` guides grown from ``roots``."""
    longest = float(length.max())
    turns = longest / style.wave if style.curl > 0.0 else 0.0
    steps = int(np.clip(max(longest / 10.0, 7.0 * turns), 6, 44))
    step = (length / steps)[:, None]
    aim = _aim(roots.mean, roots.normal, scalp, style, parting)
    lift = style.lift * rng.uniform(0.7, 1.3, (len(aim), 1))
    direction = np.asarray(aim + lift * roots.normal + rng.normal(0.0, 0.10, aim.shape), np.float64)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    layer = style.depth * rng.beta(1.6, 1.3, len(aim)).astype(np.float32)
    place = roots.place.copy()
    curve = [place]
    for index in range(steps):
        if style.comb == "tied":
            knot = scalp.eyes + vector(0.0, 38.0, -185.0)
            to_knot = knot - place
            direction = direction + 0.7 * to_knot / np.maximum(np.linalg.norm(to_knot, axis=1, keepdims=True), 1e-3)
        direction = direction + style.gravity * (step / 10.0) * _DOWN
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
        moved = np.asarray(place + step * direction, np.float32)
        if style.comb in ("parted", "back"):
            moved = _aside(moved, roots.mean, parting, scalp)
        # Near the root a strand has not yet left the skin; further out the layer of hair beneath holds it off.
        least = 0.3 + layer * min(1.0, 1.6 * (index + 1) / steps)
        distance, nearest = skin.query(moved, distance_upper_bound=float(style.depth) + 25.0)
        near = np.isfinite(distance)
        foot = np.where(near, nearest, 0)
        normal = scalp.normals[foot]
        height = ((moved - scalp.positions[foot]) * normal).sum(axis=1)
        lack = np.where(near, np.clip(least - height, 0.0, None), 0.0)
        moved = np.asarray(moved + lack[:, None] * normal, np.float32)
        direction = np.asarray(moved - place, np.float64)
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
        place = (place + step * direction).astype(np.float32)
        curve.append(place)
    return np.stack(curve, axis=1).astype(np.float32)


def _face_edge(height: Float) -> Float:
    """``(N,)`` half width of the face that hair leaves free, mm, by height over the outer eye corners."""
    return np.asarray(np.interp(height, [-130.0, -70.0, -20.0, 20.0, 48.0, 62.0], [52, 60, 68, 66, 46, 0]), np.float32)


def _aside(moved: Float, mean: Float, parting: float, scalp: Scalp) -> Float:
    """Hair that would fall over the face is swept to its own side."""
    front = moved[:, 2] > scalp.eyes[2] - 42.0
    edge = _face_edge(moved[:, 1] - scalp.eyes[1])
    side = np.where(mean[:, 0] >= parting, 1.0, -1.0)
    lack = np.clip(edge - side * moved[:, 0], 0.0, None)
    swept = moved.copy()
    swept[:, 0] += np.where(front, 0.45 * side * np.minimum(lack, 26.0), 0.0)
    swept[:, 2] -= np.where(front, 0.12 * np.minimum(lack, 26.0), 0.0)
    return swept


def _follow(
    roots: _Roots, guides: _Roots, curves: Float, style: HairStyle, parting: float, rng: np.random.Generator
) -> Float:
    """``(N, K, 3)`` strands from ``roots`` that go as their guides go, run into locks, curl and stray."""
    # Guides on the other side of the parting are kept away by a gap that only the search sees.
    gap = np.zeros(3)

    def parted(mean: Float) -> Float:
        gap[0] = 60.0 if style.comb == "parted" else 0.0
        return np.asarray(mean + np.sign(mean[:, :1] - parting) * gap, dtype=np.float32)

    distance, nearest = cKDTree(parted(guides.mean)).query(parted(roots.mean), k=3)
    weights = 1.0 / np.maximum(distance, 1.0) ** 2
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    offset = curves - curves[:, :1]
    points = roots.place[:, None] + np.einsum("ngkx,ng->nkx", offset[nearest], weights, optimize=True)
    count, steps = points.shape[:2]
    along = np.linspace(0.0, 1.0, steps, dtype=np.float32)[None, :, None]
    pull = style.clump * rng.uniform(0.3, 1.0, (count, 1, 1)) * along**0.8
    points += pull * (curves[nearest[:, 0]] - points)
    shorter = rng.uniform(0.82, 1.0, (count, 1, 1))
    reach = np.linalg.norm(np.diff(points, axis=1), axis=2).sum(axis=1)
    if style.curl > 0.0:
        points += _curls(points, reach, nearest[:, 0], style, along, rng)
    stray = rng.normal(0.0, 1.0, (count, 1, 3)) * along + 0.5 * rng.normal(0.0, 1.0, (count, 1, 3)) * np.sin(
        np.pi * along * rng.uniform(1.0, 3.0, (count, 1, 1))
    )
    points += style.frizz * stray
    # Strands end at different places: each is drawn only up to its own share of the way.
    at = along[0, :, 0] * shorter[:, :, 0] * (steps - 1)
    low = np.minimum(at.astype(np.int64), steps - 2)
    part = (at - low)[..., None]
    row = np.arange(count)[:, None]
    return np.asarray(points[row, low] * (1.0 - part) + points[row, low + 1] * part, dtype=np.float32)


def _curls(
    points: Float, reach: Float, lock: NDArray[np.intp], style: HairStyle, along: Float, rng: np.random.Generator
) -> Float:
    """``(N, K, 3)`` offsets of a spiral about the strand; strands of one lock turn together."""
    tangent = np.gradient(points, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-6)
    across = np.cross(tangent, vector(0.31, 0.11, 0.94))
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-6)
    other = np.cross(tangent, across)
    phase = rng.uniform(0.0, 2.0 * np.pi, int(lock.max()) + 1)[lock] + rng.normal(0.0, 0.35, len(lock))
    pace = rng.uniform(0.75, 1.3, int(lock.max()) + 1)[lock]
    angle = 2.0 * np.pi * pace[:, None] * reach[:, None] * along[..., 0] / style.wave + phase[:, None]
    radius = style.curl * np.clip(4.0 * along[..., 0], 0.0, 1.0)
    return np.asarray((radius * np.cos(angle))[..., None] * across + (radius * np.sin(angle))[..., None] * other)


def _pushed_out(points: Float, scalp: Scalp, skin: cKDTree, least: float) -> Float:
    """``points`` with what lies under the skin lifted to ``least`` above it."""
    flat = points[:, 1:].reshape(-1, 3)
    nearest = skin.query(flat, distance_upper_bound=30.0)[1]
    inside = nearest < len(scalp.positions)
    foot = np.where(inside, nearest, 0)
    normal = scalp.normals[foot]
    lack = np.clip(least - ((flat - scalp.positions[foot]) * normal).sum(axis=1), 0.0, 30.0)
    lifted = flat + np.where(inside, lack, 0.0)[:, None] * normal
    return np.concatenate([points[:, :1], lifted.reshape(len(points), -1, 3)], axis=1).astype(np.float32)


def _knot(scalp: Scalp, person: Person, steps: int, rng: np.random.Generator) -> Float:
    """``(N, K, 3)`` strands wound to a knot on the crown, or hanging from it as a tail."""
    number = 2500
    if person.style == "bun":
        centre = scalp.positions[scalp.positions[:, 1].argmax()] * vector(0.0, 1.0, 1.0) + vector(0.0, 16.0, -32.0)
        turn = rng.normal(0.0, 1.0, (number, 2, 3))
        turn[:, 0] *= vector(1.0, 0.45, 1.0)
        first = turn[:, 0] / np.linalg.norm(turn[:, 0], axis=1, keepdims=True)
        second = np.cross(first, turn[:, 1] * vector(0.5, 1.6, 0.5))
        second /= np.linalg.norm(second, axis=1, keepdims=True)
        angle = np.linspace(0.0, 1.7 * np.pi, steps)[None, :, None]
        radius = rng.uniform(0.82, 1.0, (number, 1, 1)) * vector(34.0, 27.0, 32.0)
        return np.asarray(centre + radius * (np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None]))
    knot = scalp.eyes + vector(0.0, 38.0, -195.0)
    side = float(rng.choice([-1.0, 1.0]))
    t = np.linspace(0.0, 1.0, steps)[None, :, None]
    end = knot + vector(side * 62.0, -190.0, 60.0) + rng.normal(0.0, 1.0, (number, 1, 3)) * vector(18.0, 22.0, 14.0)
    start = knot + rng.normal(0.0, 8.0, (number, 1, 3))
    bow = 4.0 * t * (1.0 - t) * vector(side * 26.0, 60.0, -20.0)
    return np.asarray(start * (1.0 - t) + end * t + bow)

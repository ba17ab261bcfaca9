"""Everything that stands before the camera of the made-up studio: head, eyes, clothes, hair and lashes, as triangles.

Hair and lashes are ribbons two triangles wide at every step, turned at random about the strand, so that one ray scene
answers what is seen and what is in shadow. Unit: millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recon.data.hair import beard_growth, scalp_cover
from recon.data.person import Person
from recon.data.skin import PaintedSkin, SkinSurface, skin_triangles
from recon.data.strands import Scalp, Strands, beard_hair, head_hair
from recon.data.wardrobe import Clothes, torso
from recon.face_model.model import MorphableModel, vertex_normals
from recon.rendering.eyes import fit_sphere
from recon.rendering.parts import Surface, part_topologies, surface_of

Float = NDArray[np.float32]
Index = NDArray[np.int32]

_LASH_CELLS = 12
_SHOULDERS = 380.0  # mm: a model less wide ends at the neck
SKIN, BODY, EYE, MOUTH, HAIR, LASH = range(6)
_CLASSES = {
    Surface.SKIN: SKIN,
    Surface.HEAD: BODY,
    Surface.EYE: EYE,
    Surface.TEETH: MOUTH,
    Surface.GUMS: MOUTH,
    Surface.CAVITY: MOUTH,
}
_INSIDES = {Surface.TEETH: (0.46, 0.40, 0.31), Surface.GUMS: (0.26, 0.075, 0.065), Surface.CAVITY: (0.11, 0.03, 0.025)}


@dataclass(frozen=True, eq=False)
class StudioScene:
    """Triangles ready for rays.

    Attributes:
        vertices: ``(V, 3)`` mm, the model's first, then those of a shirt, then those of ribbons.
        normals: ``(V, 3)``, zero for ribbons.
        triangles: ``(T, 3)``; model_triangle: ``(T,)`` id in the model, −1 for shirt and ribbons.
        kind: ``(T,)`` SKIN, BODY, EYE, MOUTH, HAIR or LASH.
        colour: ``(V, 3)`` linear RGB.
        mean: ``(V, 3)`` the same places on the mean shape, where patterns are laid out; zero for ribbons.
        tangent: ``(R, 3)`` direction of ribbon triangle ``T − R + i``; along: ``(R,)`` place from root to tip.
        tone: ``(R,)`` brightness of the strand about 1.
        scale: mm per model unit.
    """

    vertices: Float
    normals: Float
    triangles: Index
    model_triangle: Index
    kind: NDArray[np.int8]
    colour: Float
    mean: Float
    tangent: Float
    along: Float
    tone: Float
    scale: float

    @property
    def solid_vertices(self) -> int:
        """Number of vertices that are not of ribbons; they come first."""
        solid = self.triangles[: len(self.triangles) - self.ribbons]
        return int(solid.max()) + 1

    @property
    def ribbons(self) -> int:
        """Number of ribbon triangles; they come last."""
        return len(self.tangent)


def build_scene(
    model: MorphableModel,
    vertices: Float,
    surface: SkinSurface,
    painted: PaintedSkin,
    person: Person,
    clothes: Clothes,
    finest: float,
) -> StudioScene:
    """The scene of ``person``; arguments as for :func:`recon.data.studio.photograph`; ``finest`` hair in mm."""
    scale = 1000.0 * model.metres_per_unit
    places = (vertices * scale).astype(np.float32)
    surfaces = [surface_of(model, name) for name in model.material_names]
    kinds = np.array([_CLASSES.get(one, -1) for one in surfaces], np.int8)[model.triangle_material]
    solid = np.flatnonzero(kinds >= 0).astype(np.int32)
    skin = model.triangles[skin_triangles(model)]
    normals = vertex_normals(places, model.triangles[solid])
    scalp = Scalp(
        skin,
        surface.positions,
        places,
        vertex_normals(places, skin),
        _cover(model, surface, person),
        0.5 * (surface.marks[36] + surface.marks[45]),
    )
    colour = painted.vertex_colour.copy()
    colour += (np.asarray(person.hair, np.float32) - colour) * scalp.cover[:, None]
    for number, one in enumerate(surfaces):
        if one in _INSIDES:
            colour[np.unique(model.triangles[model.triangle_material == number])] = _INSIDES[one]
    grown = beard_growth(surface.positions, surface.marks) * (1.0 - np.clip(surface.regions["lips"] * 1.5, 0.0, 1.0))
    grown[(scalp.cover > 0.3) | (surface.positions[:, 1] < surface.marks[8, 1] - 8.0)] = 0.0
    sets = [
        (HAIR, head_hair(scalp, person, finest)),
        (HAIR, beard_hair(scalp, grown.astype(np.float32), person, finest)),
        (LASH, lash_strands(model, places, person)),
    ]
    rng = np.random.default_rng([person.seed, 24])
    pieces = [(kind, strands, *_ribbons(strands, rng)) for kind, strands in sets if strands is not None]
    head = _Solid(places, normals, colour, surface.positions, model.triangles[solid], solid, kinds[solid])
    return _joined(_dressed(head, surface, clothes), pieces, person, scale)


@dataclass(frozen=True, eq=False)
class _Solid:
    """What is not hair, as in :class:`StudioScene`."""

    places: Float
    normals: Float
    colour: Float
    mean: Float
    triangles: Index
    model_triangle: Index
    kind: NDArray[np.int8]


def _dressed(head: _Solid, surface: SkinSurface, clothes: Clothes) -> _Solid:
    """``head`` with a shirt of its own where the model ends above the shoulders."""
    if float(np.ptp(surface.positions[:, 0])) > _SHOULDERS:
        return head
    shirt, triangles = torso(clothes)
    # What lies well under the shirt is left out, or it would show where the shirt is the tighter of the two.
    bare = ~((clothes.below(head.mean)[head.triangles] > 10.0).all(axis=1) & np.isin(head.kind, (SKIN, BODY)))
    neck = surface.positions[:, 1] < surface.marks[8, 1] - 30.0
    moved = (head.places[neck] - head.mean[neck]).mean(axis=0) if neck.any() else np.zeros(3, np.float32)
    worn = shirt + moved.astype(np.float32)
    return _Solid(
        np.concatenate([head.places, worn]),
        np.concatenate([head.normals, vertex_normals(worn, triangles)]),
        np.concatenate([head.colour, np.broadcast_to(np.asarray(clothes.dye, np.float32), worn.shape)]),
        np.concatenate([head.mean, shirt]),
        np.concatenate([head.triangles[bare], triangles + len(head.places)]),
        np.concatenate([head.model_triangle[bare], np.full(len(triangles), -1, np.int32)]),
        np.concatenate([head.kind[bare], np.full(len(triangles), BODY, np.int8)]),
    )


def _cover(model: MorphableModel, surface: SkinSurface, person: Person) -> Float:
    """``(V,)`` share of the hair of the head, on face and head but not below the neck."""
    cover = scalp_cover(surface.positions, surface.marks, person)
    names = [name for name in model.material_names if surface_of(model, name) in (Surface.SKIN, Surface.HEAD)]
    grows = np.unique(model.triangles[model.triangles_of(*(name for name in names if name != "body"))])
    elsewhere = np.ones(len(cover), bool)
    elsewhere[grows] = False
    low = surface.positions[:, 1] < surface.marks[8, 1] + 10.0
    cover[elsewhere | low] = 0.0
    return np.asarray(cover, dtype=np.float32)


def _ribbons(strands: Strands, rng: np.random.Generator) -> tuple[Float, Index]:
    """Vertices ``(2 N K, 3)`` and triangles ``(2 N (K − 1), 3)`` of flat bands along the strands."""
    count, steps = strands.points.shape[:2]
    tangent = np.gradient(strands.points, axis=1)
    flat = rng.normal(0.0, 0.6, (count, 1, 3)) + np.array([0.0, 0.0, 1.0])
    side = np.cross(tangent, flat)
    side /= np.maximum(np.linalg.norm(side, axis=2, keepdims=True), 1e-6)
    half = 0.5 * strands.width[..., None] * side
    vertices = np.stack([strands.points - half, strands.points + half], axis=2).reshape(-1, 3)
    first = 2 * steps * np.arange(count)[:, None] + 2 * np.arange(steps - 1)
    corners = np.stack([first, first + 1, first + 3, first, first + 3, first + 2], axis=-1)
    return vertices.astype(np.float32), corners.reshape(-1, 3).astype(np.int32)


def _joined(
    solid: _Solid, pieces: list[tuple[int, Strands, Float, Index]], person: Person, scale: float
) -> StudioScene:
    """The solid head and the ribbons in one list of triangles."""
    vertices, faces, kind, colours = [solid.places], [solid.triangles], [solid.kind], [solid.colour]
    tangent, along, tone = [np.empty((0, 3), np.float32)], [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    start = len(solid.places)
    for number, strands, points, corners in pieces:
        count, steps = strands.points.shape[:2]
        step = np.diff(strands.points, axis=1)
        step /= np.maximum(np.linalg.norm(step, axis=2, keepdims=True), 1e-6)
        vertices.append(points)
        faces.append(corners + start)
        kind.append(np.full(len(corners), number, np.int8))
        colours.append(np.broadcast_to(np.float32(0.35) * np.asarray(person.hair, np.float32), points.shape))
        tangent.append(np.repeat(step.reshape(-1, 3), 2, axis=0).astype(np.float32))
        middle = (np.arange(steps - 1, dtype=np.float32) + 0.5) / (steps - 1)
        along.append(np.tile(np.repeat(middle, 2), count))
        tone.append(np.repeat(strands.tone, 2 * (steps - 1)))
        start += len(points)
    ribbon_count = sum(len(one) for one in tone)
    return StudioScene(
        np.concatenate(vertices),
        np.concatenate([solid.normals, np.zeros((start - len(solid.places), 3), np.float32)]),
        np.concatenate(faces).astype(np.int32),
        np.concatenate([solid.model_triangle, np.full(ribbon_count, -1, np.int32)]),
        np.concatenate(kind),
        np.concatenate(colours).astype(np.float32),
        np.concatenate([solid.mean, np.zeros((start - len(solid.places), 3), np.float32)]),
        np.concatenate(tangent),
        np.concatenate(along),
        np.concatenate(tone),
        scale,
    )


@lru_cache(maxsize=2)
def _lash_lines(model: MorphableModel) -> tuple[tuple[NDArray[np.int64], bool], ...]:
    """For every lid: the vertices along the roots of the model's lashes in order, and whether it is an upper lid."""
    part = next((part for part in part_topologies(model) if part.surface is Surface.LASHES), None)
    if part is None or part.texcoord is None:
        return ()
    band = np.floor(part.texcoord[:, 1] * 16.0 - 1e-6).astype(int)
    lines = []
    for number in np.unique(band):
        rows = np.flatnonzero(band == number)
        out = part.texcoord[rows, 1] * 16.0 - number
        # Strips lie fanned over the lid: in each of some cells along it the vertex next to the eyeball is a root.
        cell = np.minimum((part.texcoord[rows, 0] * _LASH_CELLS).astype(int), _LASH_CELLS - 1)
        order = np.lexsort((out, cell))
        first = np.unique(cell[order], return_index=True)[1]
        lines.append((part.vertex_ids[rows[order[first]]].astype(np.int64), bool(number < 8)))
    return tuple(lines)


def lash_strands(model: MorphableModel, places: Float, person: Person) -> Strands | None:
    """Curved lashes along the lids; None where the model has no lashes to say where they grow."""
    rng = np.random.default_rng([person.seed, 25])
    eyes = [
        fit_sphere(places[np.unique(model.triangles[model.triangles_of(name)])])[0]
        for name in model.material_names
        if surface_of(model, name) is Surface.EYE
    ]
    curves, widths = [], []
    for ids, upper in _lash_lines(model):
        line = places[ids].astype(np.float64)
        if len(line) < 3:
            continue
        centre = min(eyes, key=lambda eye: float(np.linalg.norm(line.mean(axis=0) - eye)))
        count = int((46 if upper else 26) * (1.0 + 0.5 * person.makeup))
        at = np.clip((np.arange(count) + rng.uniform(0.0, 1.0, count)) / count, 0.0, 1.0)
        place = np.linspace(0.0, 1.0, len(line))
        root = np.stack([np.interp(at, place, line[:, axis]) for axis in range(3)], axis=1)
        away = root - centre
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        fan = (root - line.mean(axis=0)) * np.array([1.0, 0.0, 0.0]) / 14.0
        sign = 1.0 if upper else -1.0
        long_ = (7.5 if upper else 4.0) * (0.85 + 0.45 * person.makeup) * (1.05 if person.gender == "female" else 0.8)
        length = long_ * rng.uniform(0.6, 1.1, count) * (0.55 + 0.45 * np.sin(np.pi * np.clip(at, 0.04, 0.96)))
        t = np.linspace(0.0, 1.0, 6)[None, :, None]
        start = away * np.array([0.6, 0.3, 1.0]) + fan + np.array([0.0, -0.05 * sign, 0.0])
        start /= np.linalg.norm(start, axis=1, keepdims=True)
        bend = np.array([0.0, 0.75 * sign, 0.0]) + rng.normal(0.0, 0.10, (count, 3))
        curve = root[:, None] + length[:, None, None] * (t * start[:, None] + t**2 * bend[:, None])
        curves.append(curve)
        widths.append(np.broadcast_to((0.17 if upper else 0.10) * (1.0 - 0.75 * t[..., 0]), curve.shape[:2]))
    if not curves:
        return None
    points = np.concatenate(curves).astype(np.float32)
    return Strands(points, np.concatenate(widths).astype(np.float32), np.ones(len(points), np.float32))

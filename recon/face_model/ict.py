"""The ICT Face Model Light (Li et al. 2020, "Learning Formation of Physically-Based Face Attributes").

The kit is a folder of OBJ files, one a shape. ``identityNNN.obj`` minus ``generic_neutral_mesh.obj`` is one identity
mode, already scaled for coefficients of N(0, 1); an expression file minus the neutral is one blend shape for
coefficients in [0, 1]. The unit is the centimetre. 150 files are parsed once and kept as one compact file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from recon.assets import locate, require
from recon.errors import AssetError
from recon.face_model.model import MorphableModel
from recon.face_model.obj import ObjMesh, read_obj, read_positions
from recon.face_model.regions import derive_regions
from recon.face_model.store import cached_model, compact_path, newest_compact

LICENCE = "MIT, Copyright (c) 2020 USC Institute for Creative Technologies"
IDENTITY_MODES = 100
NEUTRAL = "FaceXModel/generic_neutral_mesh.obj"

# The read-me's extended jaw lines, each from ear to chin or chin to ear; they run along the mandible's lower edge,
# where the contour of a frontal face lies, and replace the landmarks of the Multi-PIE list (iBUG 0-7 and 9-16).
_RIGHT_JAW = (1280, 1278, 1275, 1272, 1248, 12, 820, 1834, 1902, 243, 844, 781, 1673, 2199, 801, 1447, 800)
_LEFT_JAW = (3041, 3661, 3042, 4390, 3880, 3022, 3085, 2484, 4102, 4036, 3061, 2253, 3466, 3490, 3493, 3496, 3498)
_CHIN = 966

# The read-me's polygon ranges that tell apart what the materials of the OBJ files lump together.
_PARTS = (
    (0, 9230, "face"),
    (9230, 11144, "head"),
    (11144, 13226, "mouth_socket"),
    (13226, 13630, "eye_socket_left"),
    (13630, 14034, "eye_socket_right"),
    (14034, 17006, "gums_tongue"),
    (17006, 21496, "teeth"),
    (21496, 22296, "sclera_left"),
    (22296, 23094, "iris_left"),
    (23094, 23894, "sclera_right"),
    (23894, 24692, "iris_right"),
    (24692, 24855, "lacrimal_left"),
    (24855, 25018, "lacrimal_right"),
    (25018, 25033, "eye_blend_left"),
    (25033, 25048, "eye_blend_right"),
    (25048, 25176, "eye_occlusion_left"),
    (25176, 25304, "eye_occlusion_right"),
    (25304, 25844, "lashes_left"),
    (25844, 26384, "lashes_right"),
)
_MATERIAL_OF_PART = {
    "face": "M_Face",
    "head": "M_BackHead",
    "mouth_socket": "M_BackHead",
    "eye_socket": "M_BackHead",
    "gums_tongue": "M_GumsTongue",
    "teeth": "M_Teeth",
    "sclera_left": "M_ScleraLeft",
    "iris_left": "M_IrisLeft",
    "sclera_right": "M_ScleraRight",
    "iris_right": "M_IrisRight",
    "lacrimal": "M_LacrimalFluid",
    "eye_blend": "M_EyeBlend",
    "eye_occlusion": "M_EyeOcclusion",
    "lashes": "M_EyeLashes",
}


def load_ict(source: Path | None = None) -> MorphableModel:
    """The model ``ict``; the first call on a machine converts the kit (about 6 s), later ones take 0.2 s.

    Args:
        source: folder or zip of ICT-FaceKit; None takes the asset ``ict``.

    Raises:
        AssetError: the kit is not on this machine, or is damaged.
    """
    place = source or locate("ict")
    path = newest_compact("ict") if place is None else compact_path("ict", place, NEUTRAL)
    if path is None:
        place = require("ict")
        path = compact_path("ict", place, NEUTRAL)
    return cached_model(path, lambda: (convert_ict(place or require("ict")), {}))


def ict_is_here() -> bool:
    """Whether :func:`load_ict` can work without a download: the kit, or the compact file made from it, is present."""
    return locate("ict") is not None or newest_compact("ict") is not None


class _Kit:
    """Reads files of the kit from a local clone or from GitHub's zip."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self._archive: zipfile.ZipFile | None = None
        if source.is_dir():
            found = [source, *source.iterdir()]
            self._root = next((str(folder) for folder in found if (folder / NEUTRAL).is_file()), None)
        elif zipfile.is_zipfile(source):
            self._archive = zipfile.ZipFile(source)
            names = [name for name in self._archive.namelist() if name.endswith(NEUTRAL)]
            self._root = names[0].removesuffix(NEUTRAL) if names else None
        else:
            raise AssetError(f"{source} is neither a folder nor a readable zip: give a clone or zip of ICT-FaceKit.")
        if self._root is None:
            raise AssetError(f"{source} holds no {NEUTRAL}: give the folder or zip of ICT-FaceKit.")

    def read(self, name: str) -> bytes:
        """Content of ``name``, a path inside the kit.

        Raises:
            AssetError: the file is missing or damaged.
        """
        try:
            if self._archive is not None:
                return self._archive.read(f"{self._root}{name}")
            return (Path(str(self._root)) / name).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise AssetError(f"{self.source} lacks a readable {name} ({error}): fetch ICT-FaceKit again.") from error

    def positions(self, shape: str) -> NDArray[np.float64]:
        """``(V, 3)`` positions of the OBJ file ``FaceXModel/<shape>.obj``."""
        return read_positions(self.read(f"FaceXModel/{shape}.obj"), f"{PurePosixPath(shape).name}.obj")


def convert_ict(source: Path, progress: Callable[[int, int], None] | None = None) -> MorphableModel:
    """Read the kit at ``source`` (folder or zip) into a model; about 10 s.

    Args:
        source: a local clone, or the zip of the repository as GitHub makes it.
        progress: called with (files read, files in all).

    Raises:
        AssetError: files are missing, damaged, or do not belong together.
    """
    kit = _Kit(source)
    neutral = read_obj(kit.read(NEUTRAL), "generic_neutral_mesh.obj")
    try:
        lists = json.loads(kit.read("FaceXModel/vertex_indices.json"))
        names = tuple(str(name) for name in lists["expressions"])
        landmarks = np.asarray(lists["idx_to_landmark_verts"], dtype=np.int32)
    except (ValueError, KeyError, TypeError) as error:
        raise AssetError(f"{source}: vertex_indices.json is damaged ({error}); fetch ICT-FaceKit again.") from error
    if landmarks.shape != (68,) or not names or landmarks.min() < 0 or landmarks.max() >= len(neutral.vertices):
        raise AssetError(f"{source}: vertex_indices.json does not list 68 landmarks and the expressions.")
    shapes = [*(f"identity{mode:03d}" for mode in range(IDENTITY_MODES)), *names]
    deltas = np.empty((len(shapes), *neutral.vertices.shape), dtype=np.float32)
    for index, positions in enumerate(_shapes(kit, shapes)):
        if positions.shape != neutral.vertices.shape:
            raise AssetError(f"{source}: {shapes[index]}.obj has another number of vertices than the neutral face.")
        deltas[index] = positions - neutral.vertices
        if progress is not None:
            progress(index + 1, len(shapes))
    return _assemble(neutral, deltas, names, landmarks)


def _shapes(kit: _Kit, shapes: list[str]) -> Iterator[NDArray[np.float64]]:
    for shape in shapes:
        yield kit.positions(shape)


def _assemble(
    neutral: ObjMesh, deltas: NDArray[np.float32], expression_names: tuple[str, ...], landmarks: NDArray[np.int32]
) -> MorphableModel:
    """Put the parsed pieces into the contract's shape."""
    mean = neutral.vertices.astype(np.float32)
    part_names, part = _parts(neutral)
    face = part == part_names.index("face")
    return MorphableModel(
        name="ict",
        unit="centimetre",
        metres_per_unit=0.01,
        licence=LICENCE,
        version="",
        mean=mean,
        identity_basis=deltas[:IDENTITY_MODES],
        expression_basis=deltas[IDENTITY_MODES:],
        expression_names=expression_names,
        triangles=neutral.triangles,
        # Every part but the face lies in a UV tile of its own (u in 1-2, 2-3, …); each tile is one square here.
        uv=(neutral.uv - np.floor(neutral.uv)).astype(np.float32),
        uv_triangles=neutral.uv_triangles,
        material_names=part_names,
        triangle_material=part,
        uv_materials=frozenset({"face"}),
        landmark_triangles=np.repeat(landmarks[:, None], 3, axis=1),
        landmark_barycentric=np.tile(np.array([1.0, 0.0, 0.0], dtype=np.float32), (68, 1)),
        jaw_slides=_jaw_slides(landmarks),
        regions=derive_regions(mean, neutral.triangles[face], mean[landmarks]),
    )


def _parts(neutral: ObjMesh) -> tuple[tuple[str, ...], NDArray[np.int16]]:
    """Part names and the ``(T,)`` part of every triangle, checked against the materials of the file."""
    names = tuple(name for _, _, name in _PARTS)
    starts = np.array([start for start, _, _ in _PARTS])
    part = (np.searchsorted(starts, neutral.polygon, side="right") - 1).astype(np.int16)
    expected = [_MATERIAL_OF_PART.get(name) or _MATERIAL_OF_PART[name.rpartition("_")[0]] for name in names]
    found = np.asarray(neutral.material_names)[neutral.material]
    if neutral.polygon[-1] + 1 != _PARTS[-1][1] or not np.array_equal(np.asarray(expected)[part], found):
        raise AssetError("generic_neutral_mesh.obj is not the mesh of ICT Face Model Light: its materials differ.")
    return names, part


def _jaw_slides(landmarks: NDArray[np.int32]) -> tuple[NDArray[np.int32], ...]:
    """For each of the 17 jaw landmarks its own vertex, its place on the read-me's line, and that line's neighbours."""
    line = [*_RIGHT_JAW, _CHIN, *_LEFT_JAW]
    anchors = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33]
    return tuple(
        np.unique([*line[anchor - 1 : anchor + 2], int(landmarks[index])]).astype(np.int32)
        for index, anchor in enumerate(anchors)
    )

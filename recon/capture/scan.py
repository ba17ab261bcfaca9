"""The mesh of a finished scan: OBJ, PLY or glTF with texture coordinates.

Corners that lie at one place are one vertex here whatever their texture coordinates, as in OBJ, so that normals and
borders are those of the surface and not of its UV layout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.errors import AssetError, InputError
from recon.face_model.model import vertex_normals
from recon.face_model.obj import read_obj, read_positions

MESH_SUFFIXES = (".obj", ".ply", ".glb", ".gltf")
"""File name endings, lower case, under which scans are read."""

LEAST_TRIANGLES = 500
"""A mesh with fewer triangles than this is no scan of a face: the coarsest face models have twice as many."""

_MOST_BROKEN = 0.01
_NO_UV = (
    "has no texture coordinates, so its maps cannot be laid onto it: export it with UV (OBJ 'vt', PLY 's t', glTF "
    "'TEXCOORD_0')."
)


@dataclass(frozen=True, eq=False)
class Scan:
    """A captured surface.

    Attributes:
        name: file name, for messages.
        vertices: ``(V, 3)`` float64 in the scan's own frame and unit.
        triangles: ``(T, 3)`` int32 vertex indices, counter-clockwise seen from outside.
        uv: ``(U, 2)`` float64, origin bottom left; empty where the capture has no UV layout.
        uv_triangles: ``(T, 3)`` int32 indices into ``uv``, parallel to ``triangles``; empty with ``uv``.
        skin: ``(T,)`` bool: triangles that are the person's skin; others (eyes, teeth, a backdrop) are shown but
            never registered.
        notes: what reading found that the user should know.
    """

    name: str
    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float64]
    uv_triangles: NDArray[np.int32]
    skin: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @cached_property
    def normals(self) -> NDArray[np.float64]:
        """``(V, 3)`` unit normals of the skin where a vertex belongs to it, else of the whole."""
        everywhere = vertex_normals(self.vertices, self.triangles)  # type: ignore[arg-type]
        of_skin = np.unique(self.triangles[self.skin])
        found = vertex_normals(self.vertices, self.triangles[self.skin])  # type: ignore[arg-type]
        everywhere[of_skin] = found[of_skin]
        return everywhere.astype(np.float64)

    @cached_property
    def border(self) -> NDArray[np.bool_]:
        """``(V,)`` bool: vertices at the rim of the skin or of a hole in it."""
        edges, count = edges_of(self.triangles[self.skin])
        found = np.zeros(len(self.vertices), bool)
        found[edges[count == 1]] = True
        return found

    def moved(self, transform: NDArray[np.floating]) -> Scan:
        """The scan under a similarity ``(4, 4)`` without reflection."""
        return replace(self, vertices=self.vertices @ transform[:3, :3].T + transform[:3, 3])

    def texcoord(self, triangle: NDArray[np.integer], barycentric: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(N, 2)`` texture coordinates of points given by triangle ``(N,)`` and weights ``(N, 3)``."""
        return np.asarray(np.einsum("ncx,nc->nx", self.uv[self.uv_triangles[triangle]], barycentric, optimize=True))


def edges_of(triangles: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(E, 2)`` edges of ``(T, 3)`` triangles, lower vertex first, and ``(E,)`` how many triangles have each."""
    pairs = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    width = int(triangles.max()) + 1
    keys, count = np.unique(low * width + high, return_counts=True)
    return np.stack(np.divmod(keys, width), axis=1), count


def read_scan(path: Path, skin_materials: tuple[str, ...] = (), need_uv: bool = True) -> Scan:
    """The scan in ``path``.

    Args:
        path: ``.obj``, ``.ply``, ``.glb`` or ``.gltf``.
        skin_materials: names of the materials that are skin; empty takes all for skin.
        need_uv: whether a mesh without texture coordinates is refused (False where maps are seen by cameras).

    Raises:
        InputError: the file is absent, damaged, not of these kinds, has no texture coordinates, is no surface (edges
            of three triangles, degenerate), or has no material of these names.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the mesh '{path}' does not exist: put it there, or name it in subject.toml.")
    if path.suffix.lower() == ".obj":
        scan, materials, of_triangle = _from_obj(path, need_uv)
    elif path.suffix.lower() in MESH_SUFFIXES:
        scan, materials, of_triangle = _from_library(path, need_uv)
    else:
        raise InputError(f"'{path}' is no mesh that can be read: save it as OBJ, PLY or glTF.")
    if skin_materials:
        chosen = [i for i, name in enumerate(materials) if name in skin_materials]
        if not chosen:
            raise InputError(
                f"'{path}' has no material {' or '.join(repr(name) for name in skin_materials)} (it has "
                f"{', '.join(materials) or 'none'}): name the skin's material in subject.toml, [mesh] skin."
            )
        scan = replace(scan, skin=np.isin(of_triangle, chosen))
    return _checked(scan, path)


def vertex_positions(path: Path) -> NDArray[np.float64]:
    """``(V, 3)`` positions in the order of the file, which is what vertex numbers in ``subject.toml`` count."""
    if path.suffix.lower() == ".obj":
        try:
            return read_positions(_three_columns(path.read_bytes()), str(path))
        except AssetError as error:
            raise InputError(str(error)) from error
    return _from_library(path, need_uv=False, merge=False)[0].vertices


def _three_columns(data: bytes) -> bytes:
    """OBJ vertices without the colours or the weight that some programs append."""
    return re.sub(rb"(?m)^(v(?:[ \t]+[^\s]+){3})[ \t]+[^\r\n]*", rb"\1", data)


def _from_obj(path: Path, need_uv: bool) -> tuple[Scan, tuple[str, ...], NDArray[np.int16]]:
    """Brought to the plain form ``f v/vt …`` first, then parsed in bulk by :mod:`recon.face_model.obj`."""
    data = _three_columns(path.read_bytes())
    if not re.search(rb"(?m)^f[ \t]", data):
        raise InputError(f"'{path}' has no polygons: it is damaged, or not a mesh; export it again.")
    if not re.search(rb"(?m)^vt[ \t]", data) or re.search(rb"(?m)^f[ \t]+\d+(?://\d+)?[ \t]", data):
        if need_uv:
            raise InputError(f"'{path}' {_NO_UV}")
        return _from_library(path, need_uv=False)
    data = re.sub(rb"(?m)^(vt(?:[ \t]+[^\s]+){2})[ \t]+[^\r\n]*", rb"\1", data)
    data = re.sub(rb"(\d/\d+)/\d*", rb"\1", data)  # f 1/2/3 → f 1/2
    try:
        mesh = read_obj(b"usemtl \n" + data, str(path))
    except AssetError as error:
        raise InputError(
            f"'{path}' is not an OBJ mesh that can be read ({error}): export it again with faces as 'f v/vt …'."
        ) from error
    scan = Scan(
        path.name,
        mesh.vertices,
        mesh.triangles,
        mesh.uv,
        mesh.uv_triangles,
        np.ones(len(mesh.triangles), bool),
    )
    return _merged(scan), mesh.material_names, mesh.material


def _from_library(path: Path, need_uv: bool, merge: bool = True) -> tuple[Scan, tuple[str, ...], NDArray[np.int16]]:
    """PLY and glTF (and OBJ without UV) as trimesh reads them, all parts of the scene in one."""
    import trimesh

    try:
        parts = trimesh.load_scene(path, process=False, maintain_order=True).dump()
    except Exception as error:  # trimesh passes on whatever its parsers run into
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"'{path}' cannot be read ({reason}): it is damaged; export it again.") from error
    meshes = [part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not meshes:
        raise InputError(f"'{path}' has no polygons: it is damaged, or not a mesh; export it again.")
    start = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    uv = [getattr(mesh.visual, "uv", None) for mesh in meshes]
    complete = all(values is not None and len(values) == len(mesh.vertices) for values, mesh in zip(uv, meshes))  # noqa: B905
    if need_uv and not complete:
        raise InputError(f"'{path}' {_NO_UV}")
    names = [_material_name(mesh) for mesh in meshes]
    triangles = np.concatenate([np.asarray(mesh.faces) + offset for mesh, offset in zip(meshes, start, strict=False)])
    scan = Scan(
        path.name,
        np.concatenate([np.asarray(mesh.vertices, np.float64) for mesh in meshes]),
        triangles.astype(np.int32),
        np.concatenate([np.asarray(values, np.float64) for values in uv]) if complete else np.zeros((0, 2)),
        triangles.astype(np.int32) if complete else np.zeros((0, 3), np.int32),
        np.ones(len(triangles), bool),
    )
    known = tuple(dict.fromkeys(names))
    owner = np.repeat([known.index(name) for name in names], [len(mesh.faces) for mesh in meshes])
    return _merged(scan) if merge else scan, known, owner.astype(np.int16)


def _material_name(mesh: object) -> str:
    visual = getattr(mesh, "visual", None)
    return str(getattr(getattr(visual, "material", None), "name", None) or "")


def _merged(scan: Scan) -> Scan:
    """Vertices at exactly the same place become one."""
    places, index = np.unique(scan.vertices, axis=0, return_inverse=True)
    return replace(scan, vertices=places, triangles=index.reshape(-1)[scan.triangles].astype(np.int32))


def _checked(scan: Scan, path: Path) -> Scan:
    """Refuses what is no surface; leaves out triangles without area.

    Raises:
        InputError: with the mend.
    """
    notes = list(scan.notes)
    if not np.isfinite(scan.vertices).all() or not np.isfinite(scan.uv).all():
        raise InputError(f"'{path}' has positions or texture coordinates that are not finite: export it again.")
    corners = scan.vertices[scan.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    kept = area > 0
    if not kept.all():
        notes.append(f"{int((~kept).sum())} triangles of '{path.name}' have no area and were left out")
        scan = replace(scan, triangles=scan.triangles[kept], skin=scan.skin[kept])
        if len(scan.uv):
            scan = replace(scan, uv_triangles=scan.uv_triangles[kept])
    if int(scan.skin.sum()) < LEAST_TRIANGLES:
        raise InputError(
            f"'{path}' has {int(scan.skin.sum())} triangles of skin, too few for a face ({LEAST_TRIANGLES} at least): "
            "export the scan itself, not a proxy."
        )
    _check_manifold(scan, path)
    if len(scan.uv) and (scan.uv.min() < -1e-3 or scan.uv.max() > 1 + 1e-3):
        used = scan.uv[np.unique(scan.uv_triangles[scan.skin])]
        tile = np.floor(used.mean(axis=0))
        if (used < tile - 1e-3).any() or (used > tile + 1 + 1e-3).any():
            raise InputError(
                f"the skin of '{path}' spreads over several UV tiles (u {used[:, 0].min():.2f} to "
                f"{used[:, 0].max():.2f}, v {used[:, 1].min():.2f} to {used[:, 1].max():.2f}): lay it out in one."
            )
        scan = replace(scan, uv=scan.uv - tile)
        if tile.any():
            notes.append(f"the skin of '{path.name}' lies in the UV tile {tile.astype(int).tolist()}, moved to 0 to 1")
    return replace(scan, notes=tuple(notes))


def _check_manifold(scan: Scan, path: Path) -> None:
    """Edges of more than two triangles, or two that run the same way, are no surface that normals can be told of."""
    skin = scan.triangles[scan.skin].astype(np.int64)
    edges = skin[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    low, high = edges.min(axis=1), edges.max(axis=1)
    key = low * len(scan.vertices) + high
    _, index, count = np.unique(key, return_inverse=True, return_counts=True)
    forward = np.bincount(index, edges[:, 0] == low, minlength=len(count))
    crowded = count > 2
    turned = (count == 2) & (forward != 1)
    for wrong, what in ((crowded, "edges belong to three triangles or more"), (turned, "neighbours face apart")):
        share = float(wrong.sum()) / max(len(count), 1)
        if share > _MOST_BROKEN:
            raise InputError(
                f"'{path}' is not a manifold surface: at {share:.0%} of its edges {what}; clean it (remove doubled "
                "faces, make normals consistent) and export it again."
            )

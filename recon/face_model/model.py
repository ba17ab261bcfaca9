"""The contract of a morphable face model: mean, linear identity and expression bases, UV, landmarks, regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Index = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A linear face model: ``vertices = mean + Σ a_k identity_k + Σ b_e expression_e`` (Blanz and Vetter 1999).

    The model frame is right-handed: +y up, +z out of the face, +x towards the subject's left.

    Attributes:
        name: registry name, for example ``ict``.
        unit: name of the length unit of all positions, for example ``centimetre``.
        metres_per_unit: factor to metres.
        licence: licence of the model data.
        version: identifies the converted data (hash of its source); part of every cache key.
        mean: ``(V, 3)`` float32 positions.
        identity_basis: ``(K, V, 3)`` float32, scaled so that coefficients are N(0, 1).
        expression_basis: ``(E, V, 3)`` float32, coefficients in [0, 1].
        expression_names: E names (ARKit naming).
        triangles: ``(T, 3)`` int32 vertex indices of all materials, counter-clockwise seen from outside.
        uv: ``(U, 2)`` float32 in [0, 1], origin bottom left (OBJ).
        uv_triangles: ``(T, 3)`` int32 indices into ``uv``, parallel to ``triangles``.
        material_names: names of the material groups (``face``, ``head``, ``sclera_left``, …).
        triangle_material: ``(T,)`` int16 index into ``material_names``.
        uv_materials: the materials that own the UV square; others may reuse it and are left out of UV work.
        landmark_triangles: ``(68, 3)`` int32 vertices that span each iBUG landmark.
        landmark_barycentric: ``(68, 3)`` float32 weights that sum to one.
        jaw_slides: 17 int32 arrays: the vertices among which each jaw landmark may slide to the contour.
        regions: named ``(V,)`` bool vertex masks: face, eyes, lips, brows, forehead, cheeks, nose, chin, neck.
    """

    name: str
    unit: str
    metres_per_unit: float
    licence: str
    version: str
    mean: Float
    identity_basis: Float
    expression_basis: Float
    expression_names: tuple[str, ...]
    triangles: Index
    uv: Float
    uv_triangles: Index
    material_names: tuple[str, ...]
    triangle_material: NDArray[np.int16]
    uv_materials: frozenset[str]
    landmark_triangles: Index
    landmark_barycentric: Float
    jaw_slides: tuple[Index, ...]
    regions: Mapping[str, Mask]

    @cached_property
    def uv_triangle_ids(self) -> Index:
        """``(F,)`` int32: the triangles that own the UV square (the face material)."""
        owners = [i for i, name in enumerate(self.material_names) if name in self.uv_materials]
        return np.flatnonzero(np.isin(self.triangle_material, owners)).astype(np.int32)

    def triangles_of(self, *materials: str) -> Index:
        """``(M,)`` int32 ids of the triangles of the named materials; unknown names give none."""
        chosen = [i for i, name in enumerate(self.material_names) if name in materials]
        return np.flatnonzero(np.isin(self.triangle_material, chosen)).astype(np.int32)

    def vertices(self, identity: Float | None = None, expression: Float | None = None) -> Float:
        """``(V, 3)`` float32 positions for coefficients ``(≤K,)`` and ``(≤E,)``; missing ones are zero."""
        positions = self.mean.copy()
        if identity is not None and len(identity):
            positions += np.tensordot(identity.astype(np.float32), self.identity_basis[: len(identity)], axes=1)
        if expression is not None and len(expression):
            positions += np.tensordot(expression.astype(np.float32), self.expression_basis[: len(expression)], axes=1)
        return positions

    def landmarks(self, vertices: Float) -> Float:
        """``(68, 3)`` float32 landmark positions on ``vertices`` ``(V, 3)``."""
        return np.einsum("lcx,lc->lx", vertices[self.landmark_triangles], self.landmark_barycentric)


def vertex_normals(vertices: Float, triangles: Index) -> Float:
    """``(V, 3)`` float32 unit normals, area-weighted over the triangles around each vertex."""
    corners = vertices[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for axis in range(3):
        total[:, axis] = np.bincount(triangles.ravel(), np.repeat(face[:, axis], 3), minlength=len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return (total / np.maximum(length, 1e-12)).astype(np.float32)

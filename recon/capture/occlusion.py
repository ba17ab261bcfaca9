"""What a head covers of its own light, computed from its mesh, and taken out of gradient measurements.

Where a nose or a brow hides part of the stage, the full-on image shows albedo times the light that is left, and the
gradient images a direction that leans towards it. Both follow from the shape alone (and, for light from skin to skin,
from the mean albedo). With the mesh of the head known, the measured albedo is divided by the computed light, and the
measured normal is turned by the rotation that takes the direction computed for the mesh to the mesh's own normal. What
is finer than the mesh stays as it was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, zoom

from recon.capture.gradient import normalised
from recon.capture.gradient_light import StageInterior
from recon.capture.scan import Scan
from recon.fitting.camera import Camera
from recon.progress import Progress, no_progress

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

RAYS = 128
# Above as many pixels the light is computed in a smaller picture and interpolated: it varies slowly.
_MOST_PIXELS = 1_000_000
# A surface that receives less than this share is not divided by it: noise would be all that is left.
_LEAST_LIGHT = 0.1


@dataclass(frozen=True, eq=False)
class Shadows:
    """The light of a mesh in a picture, ``(H, W, …)``.

    Attributes:
        covered: bool: the picture shows the mesh there; all else is valid only where it is True.
        openness: float32 cosine-weighted share of the stage that the surface sees.
        light: ``(H, W, 3)`` float32 irradiance over π under full-on light, 1 on an open surface.
        expected: ``(H, W, 3)`` float32 the direction that gradient images of the mesh would show, unit.
        normals: ``(H, W, 3)`` float32 the mesh's smooth normals, unit.
    """

    covered: Mask
    openness: Float
    light: Float
    expected: Float
    normals: Float


def mesh_shadows(
    scan: Scan, camera: Camera, albedo: Float, metres_per_unit: float, binary: bool, progress: Progress = no_progress
) -> Shadows:
    """The light of ``scan`` as ``camera`` sees it.

    Args:
        scan: in the camera's frame.
        albedo: ``(3,)`` mean reflectance; zero leaves light from skin to skin out of account.
        metres_per_unit: of the frame.
        binary: whether the gradients are hemispheres.
        progress: counts points.
    """
    normals = scan.normals.astype(np.float32)
    interior = StageInterior(scan.vertices, scan.triangles, albedo, metres_per_unit, normals, binary)  # type: ignore[arg-type]
    factor = min(1.0, (_MOST_PIXELS / (camera.width * camera.height)) ** 0.5)
    small = camera.resized(factor) if factor < 1 else camera
    x, y = np.meshgrid(np.arange(small.width) + 0.5, np.arange(small.height) + 0.5)
    direction = small.pixel_rays(x.ravel(), y.ravel())
    hits = interior.rays.first_hit(small.centre, direction)
    seen = np.flatnonzero(hits.triangle >= 0)
    corners, weights = interior.triangles[hits.triangle[seen]], hits.barycentric[seen]
    points = np.einsum("ncx,nc->nx", interior.positions[corners], weights)
    normal = normalised(np.einsum("ncx,nc->nx", normals[corners], weights))[0]
    light = interior.irradiance(points, normal, RAYS, progress)
    gradient = light.total[:, 1:].mean(axis=2)

    def framed(values: NDArray[np.generic]) -> NDArray[np.generic]:
        out = np.zeros((small.height * small.width, *values.shape[1:]), values.dtype)
        out[seen] = values
        return out.reshape(small.height, small.width, *values.shape[1:])

    shadows = Shadows(
        framed(np.ones(len(seen), bool)),  # type: ignore[arg-type]
        framed(light.openness),  # type: ignore[arg-type]
        framed(light.total[:, 0]),  # type: ignore[arg-type]
        framed(normalised(gradient)[0]),  # type: ignore[arg-type]
        framed(normal),  # type: ignore[arg-type]
    )
    return shadows if factor == 1 else _enlarged(shadows, camera.height, camera.width)


def _enlarged(shadows: Shadows, height: int, width: int) -> Shadows:
    """The maps interpolated to a larger picture; at the silhouette each pixel keeps the nearest covered one's."""
    shape = shadows.covered.shape
    scale = (height / shape[0], width / shape[1])
    place = distance_transform_edt(~shadows.covered, return_distances=False, return_indices=True)

    def larger(values: Float, order: int) -> Float:
        factors = scale + (1,) * (values.ndim - 2)
        return np.asarray(zoom(values, factors, order=order, mode="nearest", grid_mode=True), np.float32)

    def filled(values: Float) -> Float:
        return larger(values[tuple(place)], 1)

    return Shadows(
        larger(shadows.covered.astype(np.float32), 0) > 0.5,
        filled(shadows.openness),
        filled(shadows.light),
        normalised(filled(shadows.expected))[0],
        normalised(filled(shadows.normals))[0],
    )


def without_shadows(albedo: Float, normals: Float, shadows: Shadows) -> tuple[Float, Float]:
    """Albedo and unit normals ``(H, W, 3)`` as an open surface would have shown them; unchanged off the mesh."""
    lit = shadows.covered & (shadows.light.min(axis=-1) > _LEAST_LIGHT)
    divided = np.where(lit[..., None], albedo / np.maximum(shadows.light, _LEAST_LIGHT), albedo)
    turned = np.where(lit[..., None], rotated(normals, shadows.expected, shadows.normals), normals)
    return divided.astype(np.float32), turned.astype(np.float32)


def rotated(vectors: Float, start: Float, end: Float) -> Float:
    """``vectors`` ``(..., 3)`` turned by the smallest rotation that takes unit ``start`` to unit ``end``.

    Rodrigues: ``v + w × v + w × (w × v) / (1 + c)`` with ``w = start × end`` and ``c = start · end``.
    """
    axis = np.cross(start, end)
    cosine = (start * end).sum(axis=-1, keepdims=True)
    once = np.cross(axis, vectors)
    return np.asarray(vectors + once + np.cross(axis, once) / np.maximum(1 + cosine, 1e-3), np.float32)

"""Transfer of a scan's maps into the face model's UV square, by rays along the normals of the registered surface.

From every texel's point on the registered surface rays go outwards and inwards along its normal; the nearer hit of the
scan is the texel's partner if it is near enough and faces the same way. Through the partner's barycentric weights the
texel reads whatever lies on the scan: maps in the scan's own UV layout, or pictures that cameras took of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recon.capture.registration import Registration
from recon.capture.scan import Scan
from recon.errors import InputError
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting.camera import Camera
from recon.rendering.rays import RayScene
from recon.rendering.sampling import sample_bilinear
from recon.texture.uv_map import UVMap, uv_map

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

REACH_MM = 4.0
"""Farther than this from the registered surface nothing of the scan is its partner."""

_AGREE = 0.5  # cosine between the normals of texel and partner
_MOST_SAMPLES = 4  # per texel and axis
_GRAZING = 0.25  # cosine under which a camera's view of the surface is not used
# A ray that starts on the scan itself must not miss it.
_LIFT_MM = 0.05


@dataclass(frozen=True, eq=False)
class Partners:
    """For N texels of the model's UV square (row-major among ``mask``) their places on the scan.

    Attributes:
        mask: ``(S, S)`` bool, texels that have a partner; row 0 at v = 1.
        scan: the scan in its own frame.
        triangle: ``(N,)`` int32 of the scan's triangles.
        barycentric: ``(N, 3)`` float32.
        distance_mm: ``(N,)`` float32 along the normal.
        rotation: ``(3, 3)`` float64 from the scan's frame to the model's.
    """

    mask: Mask
    scan: Scan
    triangle: NDArray[np.int32]
    barycentric: Float
    distance_mm: Float
    rotation: NDArray[np.float64]

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """``(N, 3)`` float64 places in the scan's frame."""
        corners = self.scan.triangles[self.triangle]
        return np.asarray(np.einsum("ncx,nc->nx", self.scan.vertices[corners], self.barycentric, optimize=True))

    @cached_property
    def normals(self) -> NDArray[np.float64]:
        """``(N, 3)`` float64 unit smooth normals of the scan, in its frame."""
        corners = self.scan.triangles[self.triangle]
        normal = np.einsum("ncx,nc->nx", self.scan.normals[corners], self.barycentric, optimize=True)
        return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12))

    def laid_out(self, values: NDArray[np.floating]) -> Float:
        """``(S, S, C)`` float32 map of values ``(N, C)``; zero elsewhere."""
        out = np.zeros((*self.mask.shape, values.shape[1]), np.float32)
        out[self.mask] = values
        return out


def find_partners(
    scan: Scan, registration: Registration, model: MorphableModel, size: int, reach_mm: float = REACH_MM
) -> Partners:
    """The scan's places for every texel of a ``size`` × ``size`` map.

    Raises:
        InputError: next to nothing of the face found a partner.
    """
    layout = uv_map(model, size)
    return _partners_at(scan, registration, model, layout, reach_mm)


def _partners_at(
    scan: Scan, registration: Registration, model: MorphableModel, layout: UVMap, reach_mm: float
) -> Partners:
    unit = 0.001 / model.metres_per_unit
    normals = vertex_normals(registration.vertices, model.triangles)
    covered = layout.covered
    corners, weights = layout.corners[layout.triangle[covered]], layout.barycentric[covered]
    points = np.einsum("ncx,nc->nx", registration.vertices[corners], weights, optimize=True)
    normal = np.einsum("ncx,nc->nx", normals[corners], weights, optimize=True)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)

    linear = registration.transform[:3, :3]
    rotation = linear / np.cbrt(np.linalg.det(linear))
    skin = np.flatnonzero(scan.skin)
    rays = RayScene(scan.moved(registration.transform).vertices, scan.triangles[skin])
    # A shade beyond the point on either side, so that a scan which passes through the point is met by both rays.
    lift = np.float32(_LIFT_MM * unit)
    out = rays.first_hit(points - lift * normal, normal)
    into = rays.first_hit(points + lift * normal, -normal)
    inwards = into.distance < out.distance
    triangle = np.where(inwards, into.triangle, out.triangle)
    barycentric = np.where(inwards[:, None], into.barycentric, out.barycentric)
    distance = np.abs(np.where(inwards, into.distance, out.distance) - lift) / unit

    found = (triangle >= 0) & (distance <= reach_mm)
    own = skin[np.maximum(triangle, 0)].astype(np.int32)
    of_scan = np.einsum("ncx,nc->nx", scan.normals[scan.triangles[own]], barycentric, optimize=True) @ rotation.T
    of_scan /= np.maximum(np.linalg.norm(of_scan, axis=1, keepdims=True), 1e-12)
    found &= np.einsum("nx,nx->n", of_scan, normal) > _AGREE
    # At the rim of the scan maps end, and what lies there was seen at a grazing angle.
    found &= ~scan.border[scan.triangles[own]].any(axis=1)
    if not found.any():
        raise InputError(
            f"{scan.name}: no texel of the face model has a partner within {reach_mm:g} mm: the registration failed."
        )
    mask = np.zeros(covered.shape, bool)
    mask[covered] = found
    return Partners(
        mask,
        scan,
        own[found],
        barycentric[found].astype(np.float32),
        distance[found].astype(np.float32),
        rotation,
    )


def transfer_map(texture: Float, partners: Partners) -> Float:
    """``(S, S, C)`` float32: a map ``(H, W, C)`` of the scan's UV layout in the model's; zero outside the mask.

    A map finer than its texels here is averaged over their area: first in blocks, then by samples spread over each
    texel. The values must be such as may be averaged (linear light, not sRGB).
    """
    grid = texture if texture.ndim == 3 else texture[..., None]
    coordinates = partners.scan.texcoord(partners.triangle, partners.barycentric)
    across, down = _steps(coordinates, partners.mask)
    # Texels of the map under one step between neighbours here, in the middle of the face.
    height, width = grid.shape[:2]
    scale = np.array([width, height])
    footprint = float(np.median(np.maximum(np.abs(across * scale).max(axis=1), np.abs(down * scale).max(axis=1))))
    block = max(1, int(footprint / _MOST_SAMPLES * 2))
    grid, reach = _block_mean(grid, block)
    # Rows are counted from the top, where the map began before it was padded.
    coordinates = np.stack([coordinates[:, 0] * reach[0], 1 - (1 - coordinates[:, 1]) * reach[1]], axis=1)
    across, down = across * reach, down * reach
    count = int(np.clip(np.ceil(footprint / block), 1, _MOST_SAMPLES))
    total = np.zeros((len(coordinates), grid.shape[2]), np.float32)
    for row in (np.arange(count) + 0.5) / count - 0.5:
        for column in (np.arange(count) + 0.5) / count - 0.5:
            total += sample_bilinear(grid, coordinates + column * across + row * down)
    return partners.laid_out(total / count**2)


def _steps(coordinates: NDArray[np.float64], mask: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(N, 2)`` change of the scan's UV by one texel to the right and down, zero where the layout is cut."""
    full = np.full((*mask.shape, 2), np.nan)
    full[mask] = coordinates
    steps = []
    for axis in (1, 0):
        ahead = np.diff(full, axis=axis, append=np.nan)
        behind = np.diff(full, axis=axis, prepend=np.nan)
        step = np.where(np.isfinite(ahead), ahead, behind)[mask]
        length = np.linalg.norm(step, axis=1)
        usual = np.nanmedian(length) if np.isfinite(length).any() else 0.0
        # Neighbours whose partners lie in other islands of the layout say nothing about the texel's size.
        steps.append(np.where((length < 6 * usual)[:, None], np.nan_to_num(step), 0.0))
    return steps[0], steps[1]


def _block_mean(grid: Float, block: int) -> tuple[Float, NDArray[np.float64]]:
    """Means of ``block`` × ``block`` texels, the far edges repeated to fill the last ones; and which part ``(2,)`` of
    its width and height the map takes in the result."""
    height, width = grid.shape[:2]
    if block == 1:
        return grid, np.ones(2)
    grid = np.pad(grid, ((0, -height % block), (0, -width % block), (0, 0)), mode="edge")
    rows, columns = grid.shape[0] // block, grid.shape[1] // block
    mean = grid.reshape(rows, block, columns, block, -1).mean(axis=(1, 3))
    return np.asarray(mean, np.float32), np.array([width / grid.shape[1], height / grid.shape[0]])


def object_normals(texture: Float, partners: Partners, space: str) -> Float:
    """``(S, S, 3)`` float32 unit normals in the model's frame, of a normal map of the scan; zero outside the mask.

    Args:
        texture: ``(H, W, 3)`` in [0, 1], encoded as ``(n + 1) / 2``.
        space: ``tangent`` (x along u, y along v, z out of the surface: OpenGL's convention) or ``object`` (the scan's
            own frame).
    """
    local = 2.0 * transfer_map(texture, partners)[partners.mask].astype(np.float64) - 1
    if space == "tangent":
        local = _from_tangent(local, partners)
    turned = local @ partners.rotation.T
    turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
    return partners.laid_out(turned)


def _from_tangent(local: NDArray[np.float64], partners: Partners) -> NDArray[np.float64]:
    """Tangent-space vectors ``(N, 3)`` in the scan's frame; the tangent follows u over each triangle."""
    scan = partners.scan
    corners = scan.vertices[scan.triangles[partners.triangle]]
    uv = scan.uv[scan.uv_triangles[partners.triangle]]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    (u1, v1), (u2, v2) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    sign = np.sign(u1 * v2 - u2 * v1)[:, None]
    tangent = (first * v2[:, None] - second * v1[:, None]) * sign
    normal = partners.normals
    tangent -= np.einsum("nx,nx->n", tangent, normal)[:, None] * normal
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    # Mirrored islands turn the bitangent.
    bitangent = np.cross(normal, tangent) * sign
    return np.asarray(local[:, :1] * tangent + local[:, 1:2] * bitangent + local[:, 2:] * normal)


@dataclass(frozen=True, eq=False)
class SeenMap:
    """A picture of the scan.

    Attributes:
        camera: pose and lens in the scan's frame.
        values: ``(H, W, C)`` float32, values that may be averaged.
        mask: ``(H, W)`` bool, pixels that may be used.
    """

    camera: Camera
    values: Float
    mask: Mask


def transfer_views(views: list[SeenMap], partners: Partners) -> tuple[Float, Mask]:
    """``(S, S, C)`` float32 blend of what cameras saw of each texel, and ``(S, S)`` bool where any did.

    Cameras weigh with the squared cosine between their line of sight and the scan's normal, and not at all where the
    scan hides the place, where the picture's mask leaves it out, or where they see it at a grazing angle.
    """
    scan = partners.scan
    rays = RayScene(scan.vertices, scan.triangles)
    lift = 1e-4 * float(np.ptp(scan.vertices[:, 1]))
    start = partners.points + lift * partners.normals
    total = np.zeros((len(start), views[0].values.shape[2]), np.float32)
    weight = np.zeros(len(start), np.float32)
    for view in views:
        towards = view.camera.centre - start
        distance = np.linalg.norm(towards, axis=1)
        towards /= distance[:, None]
        cosine = np.einsum("nx,nx->n", towards, partners.normals)
        height, width = view.mask.shape
        texcoord = view.camera.project(partners.points) / (width, height)
        texcoord[:, 1] = 1 - texcoord[:, 1]
        inside = ((texcoord > 0) & (texcoord < 1)).all(axis=1) & (view.camera.to_camera(partners.points)[:, 2] > 0)
        usable = np.flatnonzero(inside & (cosine > _GRAZING))
        free = rays.first_hit(start[usable], towards[usable]).distance >= distance[usable]
        usable = usable[free]
        # All four pixels that a value is interpolated from must be good ones.
        good = sample_bilinear(view.mask[..., None].astype(np.float32), texcoord[usable])[:, 0] > 0.999
        usable = usable[good]
        share = cosine[usable].astype(np.float32) ** 2
        total[usable] += share[:, None] * sample_bilinear(view.values, texcoord[usable])
        weight[usable] += share
    seen = np.zeros(partners.mask.shape, bool)
    seen[partners.mask] = weight > 0
    return partners.laid_out(total / np.maximum(weight, 1e-12)[:, None]), seen

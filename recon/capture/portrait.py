"""Pictures of a scan itself, without any face model: to find landmarks on it, and in place of a photograph.

Light is second-order spherical harmonics (the standard studio of :mod:`recon.rendering.environment`), dimmed by the
share of the sky that each vertex sees; skin is Lambertian. That is less than a photograph: it has no gloss, no
scattering and no cast shadows, and a subject whose photograph was made this way says so in its record.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recon.capture.scan import Scan
from recon.colour import linear_to_srgb
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.environment import standard_studio
from recon.rendering.gbuffer import sky_visibility
from recon.rendering.rays import Hits, RayScene
from recon.rendering.sampling import sample_bilinear

Float = NDArray[np.float32]

PORTRAIT_SIZE = (768, 960)
"""Width and height of a rendered portrait, pixels."""

DISTANCE_MM = 1200.0
"""From which portraits are rendered: portrait practice, and that of the standard studio views."""

_BACKGROUND = 0.18  # linear
_SKIN_GREY = 0.35  # linear, of parts without a map
_SUPERSAMPLE = 2
# Bounced light keeps folds of skin from going black: open sky counts in full, closed-in places keep this much.
_BOUNCED = 0.25


@dataclass(frozen=True, eq=False)
class ShownScan:
    """A scan with its colours, ready to be rendered.

    Attributes:
        scan: y up, z out of the face, any unit.
        albedo: ``(H, W, 3)`` float32 linear map of the scan's UV layout, or None: grey.
    """

    scan: Scan
    albedo: Float | None

    @cached_property
    def rays(self) -> RayScene:
        """The whole mesh."""
        return RayScene(self.scan.vertices, self.scan.triangles)

    @cached_property
    def openness(self) -> Float:
        """``(V,)`` float32 share of the sky that each vertex sees."""
        lift = 2e-4 * float(np.ptp(self.scan.vertices[:, 1]))
        return sky_visibility(
            self.rays, self.scan.vertices.astype(np.float32), self.scan.normals.astype(np.float32), lift, count=48
        )

    def colours(self, hits: Hits, index: NDArray[np.intp]) -> Float:
        """``(N, 3)`` linear albedo at the hits ``index``."""
        if self.albedo is None:
            return np.full((len(index), 3), _SKIN_GREY, np.float32)
        triangle = hits.triangle[index]
        found = sample_bilinear(self.albedo, self.scan.texcoord(triangle, hits.barycentric[index]))
        found = np.where(self.scan.skin[triangle][:, None], found, _SKIN_GREY)
        return np.clip(found, 0, 1).astype(np.float32)


def frontal_camera(centre: NDArray[np.floating], distance: float, span: float, width: int, height: int) -> Camera:
    """A camera at ``distance`` before ``centre``, looking along −z, that sees ``span`` over its height there."""
    rotation = np.diag([1.0, -1.0, -1.0])
    eye = np.asarray(centre, np.float64) + np.array([0, 0, distance])
    focal = height * distance / span
    return Camera(rotation, -rotation @ eye, focal, (width / 2, height / 2), width, height)


def portrait_camera(landmarks: NDArray[np.floating], distance: float) -> Camera:
    """The camera of portraits: brows to mouth takes 24 % of the height. ``landmarks`` ``(68, 3)`` may hold NaN."""
    brows, mouth = np.nanmean(landmarks[17:27], axis=0), np.nanmean(landmarks[48:60], axis=0)
    span = float(np.linalg.norm(brows - mouth))
    return frontal_camera(0.5 * (brows + mouth), distance, span / 0.24, *PORTRAIT_SIZE)


def render_scan(
    shown: ShownScan,
    camera: Camera,
    lighting: SphericalHarmonicsLighting | None = None,
    supersample: int = _SUPERSAMPLE,
    occlusion: bool = True,
) -> Float:
    """``(H, W, 3)`` float32 sRGB-encoded picture of the scan before a neutral grey.

    Args:
        lighting: the standard studio where None.
        supersample: rays a pixel and axis.
        occlusion: whether closed-in places are darker.
    """
    lighting = lighting or standard_studio()
    total = np.zeros((camera.height * camera.width, 3), np.float32)
    steps = (np.arange(supersample) + 0.5) / supersample
    for down in steps:
        for across in steps:
            x, y = np.meshgrid(np.arange(camera.width) + across, np.arange(camera.height) + down)
            total += _radiance(shown, camera, lighting, x.ravel(), y.ravel(), occlusion)
    return linear_to_srgb((total / supersample**2).reshape(camera.height, camera.width, 3))


def _radiance(
    shown: ShownScan, camera: Camera, lighting: SphericalHarmonicsLighting, x: Float, y: Float, occlusion: bool
) -> Float:
    scan = shown.scan
    direction = camera.pixel_rays(x, y).astype(np.float32)
    hits = shown.rays.first_hit(camera.centre.astype(np.float32), direction)
    index = np.flatnonzero(hits.triangle >= 0)
    corners, weights = scan.triangles[hits.triangle[index]], hits.barycentric[index]
    normal = np.einsum("ncx,nc->nx", scan.normals[corners], weights, optimize=True)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    shading = np.maximum(lighting.shading(normal), 0)
    if occlusion:
        open_sky = np.einsum("nc,nc->n", shown.openness[corners], weights)
        shading = shading * (_BOUNCED + (1 - _BOUNCED) * open_sky)[:, None]
    radiance = np.full((len(direction), 3), _BACKGROUND, np.float32)
    radiance[index] = shown.colours(hits, index) * shading
    return radiance

"""The fast renderer: one ray a pixel into a geometry buffer, shaded by spherical harmonics.

Radiance of skin is ``albedo(u, v) · max(shading(n), 0)`` with the shading of :mod:`recon.fitting.lighting`: the
inverse of what unwrapping divides by, so an unwrapped photograph renders to itself. Eyes, teeth and gums, which lie
in the shadow of lids and lips, are darkened by ray-cast ambient occlusion; eyes get a catch-light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon import __version__
from recon.colour import LUMINANCE
from recon.errors import UsageError
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.parts import Surface
from recon.rendering.rays import Hits, RayScene
from recon.rendering.sampling import sample_bilinear
from recon.rendering.scene import ENCLOSED, Part, Scene
from recon.rendering.view import View

Float = NDArray[np.float32]

# The most strips of lashes that one ray is followed through: three layers a lid, each met up to twice.
_LASH_LAYERS = 8


class Geometry:
    """The opaque parts of a scene as one mesh to cast rays at, and the lashes as another."""

    def __init__(self, scene: Scene) -> None:
        self.opaque = tuple(part for part in scene.parts if part.opacity is None)
        self.lashes = next((part for part in scene.parts if part.opacity is not None), None)
        first = np.cumsum([0, *(len(part.positions) for part in self.opaque)])
        self.positions = np.concatenate([part.positions for part in self.opaque])
        self.normals = np.concatenate([part.normals for part in self.opaque])
        self.triangles = np.concatenate(
            [part.triangles + start for part, start in zip(self.opaque, first, strict=False)]
        ).astype(np.int32)
        self.triangle_ids = np.concatenate([part.topology.triangle_ids for part in self.opaque])
        self.part_of = np.repeat(np.arange(len(self.opaque)), [len(part.triangles) for part in self.opaque])
        self.part_start = np.cumsum([0, *(len(part.triangles) for part in self.opaque)])
        self.rays = RayScene(self.positions, self.triangles)
        self.lash_rays = None if self.lashes is None else RayScene(self.lashes.positions, self.lashes.triangles)

    def normal(self, triangle: NDArray[np.int32], barycentric: Float) -> Float:
        """``(N, 3)`` unit smooth normals at hits of the opaque mesh."""
        corners = self.triangles[triangle]
        normal = self.normals[corners[:, 0]] * barycentric[:, :1]
        normal += self.normals[corners[:, 1]] * barycentric[:, 1:2]
        normal += self.normals[corners[:, 2]] * barycentric[:, 2:]
        normal /= np.maximum(np.sqrt(np.einsum("nx,nx->n", normal, normal)), 1e-12)[:, None]
        return normal

    def sky(self, triangle: NDArray[np.int32], barycentric: Float, normal: Float) -> Float:
        """``(N,)`` share of the cosine-weighted sky that hits of the opaque mesh see."""
        points = np.einsum("ncx,nc->nx", self.positions[self.triangles[triangle]], barycentric)
        return sky_visibility(self.rays, points, normal, 2e-4 * float(np.ptp(self.positions[:, 1])))


def cosine_directions(normals: Float, count: int) -> Float:
    """``(N, count, 3)`` unit directions over the hemispheres of ``normals`` ``(N, 3)``, dense as the cosine.

    A fixed Fibonacci pattern in the local frame (Malley's method), so nothing is random: the mean of a function over
    the directions is its integral weighted by the cosine, over π.
    """
    index = np.arange(count) + 0.5
    radius = np.sqrt(index / count)
    azimuth = np.pi * (1 + 5**0.5) * index
    local = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), np.sqrt(1 - radius**2)], axis=-1)
    helper = np.where(np.abs(normals[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    tangent = np.cross(helper, normals)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    frame = np.stack([tangent, np.cross(normals, tangent), normals], axis=1)
    return np.asarray(np.einsum("ki,nix->nkx", local, frame, optimize=True), np.float32)


def sky_visibility(rays: RayScene, points: Float, normals: Float, offset: float, count: int = 64) -> Float:
    """``(N,)`` float32 cosine-weighted share of the hemisphere over each point that no surface covers.

    Args:
        points, normals: ``(N, 3)``.
        offset: how far above the surface rays start, model unit.
        count: rays a point, those of :func:`cosine_directions`.
    """
    directions = cosine_directions(normals, count).reshape(-1, 3)
    origins = np.repeat(points + offset * normals, count, axis=0)
    free = rays.first_hit(origins, directions).triangle < 0
    return np.asarray(free.reshape(-1, count).mean(axis=1), np.float32)


@dataclass(frozen=True, eq=False)
class _Light:
    """A lighting with what the catch-light needs of it."""

    lighting: SphericalHarmonicsLighting
    direction: Float
    colour: Float

    @staticmethod
    def of(lighting: SphericalHarmonicsLighting) -> _Light:
        """The linear band points to where most light comes from; even light still has a window above."""
        grey = lighting.coefficients @ LUMINANCE
        linear = grey[[3, 1, 2]]
        towards = linear + 0.3 * abs(grey[0]) * np.array([0.0, 0.45, 0.9])
        towards = towards / max(float(np.linalg.norm(towards)), 1e-9)
        colour = np.maximum(lighting.shading(towards[None])[0], 0)
        return _Light(lighting, towards.astype(np.float32), colour.astype(np.float32))


def _albedo(part: Part, triangle: NDArray[np.int32], barycentric: Float) -> tuple[Float, Float | None]:
    """``(N, 3)`` albedo of a part at its own triangles, and the texture coordinates if it has any."""
    corners = part.triangles[triangle]
    uv = None
    if part.texcoord is not None:
        uv = np.einsum("ncx,nc->nx", part.texcoord[corners], barycentric, optimize=True)
    if part.texture is not None and uv is not None:
        return sample_bilinear(part.texture, uv), uv
    if part.colour is None:
        raise ValueError(f"part {part.name} has neither a texture nor colours")
    return np.einsum("ncx,nc->nx", part.colour[corners], barycentric, optimize=True), uv


def _shading(light: _Light, normal: Float) -> Float:
    return np.maximum(light.lighting.shading(normal), 0)


@dataclass(frozen=True, eq=False)
class _Samples:
    """Shaded rays."""

    hits: Hits
    radiance: Float
    uv: Float
    normal: Float
    skin: NDArray[np.bool_]


def _catch_light(light: _Light, normal: Float, towards_eye: Float, sky: Float) -> Float:
    """``(N, 3)`` mirror image of the main light on a wet eyeball: a normalised-peak Blinn–Phong lobe."""
    half = light.direction - towards_eye
    half = half / np.linalg.norm(half, axis=1, keepdims=True)
    cosine = np.clip(np.einsum("nx,nx->n", normal, half), 0, 1)
    lobe = 0.85 * cosine**700 + 0.02 * cosine**20
    return np.asarray((lobe * np.clip(2.2 * sky - 0.5, 0, 1))[:, None] * light.colour, np.float32)


def _shade(geometry: Geometry, origin: Float, direction: Float, light: _Light, sky: Float) -> _Samples:
    """Shades the first hits; ``sky`` ``(N,)`` is filled in where it is needed and still NaN."""
    hits = geometry.rays.first_hit(origin, direction)
    count = len(hits.triangle)
    radiance, uv = np.zeros((count, 3), np.float32), np.zeros((count, 2), np.float32)
    normal, skin = np.zeros((count, 3), np.float32), np.zeros(count, bool)
    hit = np.flatnonzero(hits.triangle >= 0)
    normal[hit] = geometry.normal(hits.triangle[hit], hits.barycentric[hit])
    owner = np.full(count, -1)
    owner[hit] = geometry.part_of[hits.triangle[hit]]
    for k, part in enumerate(geometry.opaque):
        mine = np.flatnonzero(owner == k)
        if not len(mine):
            continue
        triangle, barycentric = hits.triangle[mine], hits.barycentric[mine]
        albedo, texcoord = _albedo(part, triangle - geometry.part_start[k], barycentric)
        shaded = albedo * _shading(light, normal[mine])
        if part.topology.surface in ENCLOSED:
            # A pixel's samples share what its first one saw of the sky: it varies slowly and costs 64 rays.
            new = mine[np.isnan(sky[mine])]
            sky[new] = geometry.sky(hits.triangle[new], hits.barycentric[new], normal[new])
            shaded *= (0.12 + 0.88 * sky[mine])[:, None]
            if part.topology.surface is Surface.EYE:
                shaded += _catch_light(light, normal[mine], direction[mine].astype(np.float32), sky[mine])
        radiance[mine] = shaded
        if part.topology.surface is Surface.SKIN and texcoord is not None:
            uv[mine], skin[mine] = texcoord, True
    return _Samples(hits, radiance, uv, normal, skin)


def _through_lashes(
    geometry: Geometry, limit: Float, origin: Float, direction: Float, near: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], Float]:
    """Rays that meet lashes before ``limit`` ``(N,)``: their indices ``(L,)`` and the share that passes ``(L, 1)``.

    Args:
        near: ``(N,)`` bool, rays that can meet lashes at all.
    """
    lashes, rays = geometry.lashes, geometry.lash_rays
    if lashes is None or rays is None or lashes.opacity is None or lashes.texcoord is None:
        return np.zeros(0, np.intp), np.zeros((0, 1), np.float32)
    mine = np.flatnonzero(near & np.isfinite(limit))
    start = np.broadcast_to(origin, (len(mine), 3)).astype(np.float32)
    through = np.ones((len(mine), 1), np.float32)
    travelled, alive = np.zeros(len(mine), np.float32), np.arange(len(mine))
    step = 1e-5 * float(np.ptp(geometry.positions[:, 1]))
    # Strips lie one behind another and curl, so what is behind a clear stretch of one may be a hair of the next.
    for _ in range(_LASH_LAYERS):
        hits = rays.first_hit(start[alive], direction[mine[alive]])
        travelled[alive] += np.where(hits.triangle >= 0, hits.distance + step, np.inf)
        found = travelled[alive] < limit[mine[alive]]
        alive = alive[found]
        if not len(alive):
            break
        corners = lashes.triangles[hits.triangle[found]]
        uv = np.einsum("ncx,nc->nx", lashes.texcoord[corners], hits.barycentric[found])
        through[alive] *= 1 - sample_bilinear(lashes.opacity, uv)
        start[alive] = origin + travelled[alive, None] * direction[mine[alive]]
    return mine, through


def _lash_radiance(geometry: Geometry, light: _Light) -> Float:
    """``(3,)`` radiance of a lash: hairs have no side that faces away, they take the light from all around."""
    lashes = geometry.lashes
    if lashes is None or lashes.colour is None:
        return np.zeros(3, np.float32)
    return np.asarray(lashes.colour[0] * _shading(light, light.direction[None])[0], np.float32)


def _near_lashes(geometry: Geometry, camera: Camera, x: Float, y: Float) -> NDArray[np.bool_]:
    """Pixel positions inside the box that the lashes project to."""
    if geometry.lashes is None:
        return np.zeros(x.shape, bool)
    top, bottom, left, right = _box(camera, geometry.lashes.positions)
    return (x >= left) & (x < right) & (y >= top) & (y < bottom)


def lash_layer(
    scene: Scene, camera: Camera, lighting: SphericalHarmonicsLighting, supersample: int = 4
) -> tuple[Float, Float]:
    """The lashes alone, to be laid over a picture without them: ``(H, W)`` opacity and their ``(3,)`` radiance."""
    geometry, light = geometry_of(scene), _Light.of(lighting)
    origin = camera.centre.astype(np.float32)
    cover = np.zeros((camera.height, camera.width), np.float32)
    if geometry.lashes is None:
        return cover, _lash_radiance(geometry, light)
    top, bottom, left, right = _box(camera, geometry.lashes.positions)
    steps = (np.arange(supersample) + 0.5) / supersample
    for down in steps:
        for across in steps:
            x, y = np.meshgrid(np.arange(left, right) + across, np.arange(top, bottom) + down)
            direction = camera.pixel_rays(x.ravel(), y.ravel()).astype(np.float32)
            limit = geometry.rays.first_hit(origin, direction).distance
            mine, through = _through_lashes(geometry, limit, origin, direction, np.ones(len(direction), bool))
            part = np.zeros(len(direction), np.float32)
            part[mine] = 1 - through[:, 0]
            cover[top:bottom, left:right] += part.reshape(x.shape) / supersample**2
    return cover, _lash_radiance(geometry, light)


def _box(camera: Camera, points: Float, margin: float = 2.0) -> tuple[int, int, int, int]:
    """Rows and columns ``(top, bottom, left, right)`` of the picture that ``points`` can project to."""
    if (camera.to_camera(points)[:, 2] <= 0).any():
        return 0, camera.height, 0, camera.width
    seen = camera.project(points)
    low, high = np.floor(seen.min(axis=0) - margin), np.ceil(seen.max(axis=0) + margin)
    left, right = np.clip([low[0], high[0]], 0, camera.width).astype(int)
    top, bottom = np.clip([low[1], high[1]], 0, camera.height).astype(int)
    return top, bottom, left, right


def geometry_of(scene: Scene) -> Geometry:
    """The ray-casting form of a scene, built at the first call and kept with the scene."""
    found = scene.__dict__.get("_geometry")
    if not isinstance(found, Geometry):
        found = Geometry(scene)
        scene.__dict__["_geometry"] = found
    return found


def shade_view(
    scene: Scene,
    camera: Camera | None = None,
    lighting: SphericalHarmonicsLighting | None = None,
    supersample: int = 1,
    lashes: bool = True,
) -> View:
    """Renders ``scene``.

    Args:
        camera, lighting: the scene's own where None.
        supersample: radiance and alpha are averaged over ``supersample``² rays a pixel; 1 takes the pixel's centre
            alone, which is what metrics want. The other maps are always those of the centre.
        lashes: whether lashes are drawn over the eyes.

    Raises:
        UsageError: ``supersample`` outside 1 to 8.
    """
    if not 1 <= supersample <= 8:
        raise UsageError(f"supersample must be between 1 and 8, got {supersample}.")
    camera = camera or scene.camera
    light = _Light.of(lighting or scene.lighting)
    geometry = geometry_of(scene)
    top, bottom, left, right = box = _box(camera, geometry.positions)
    shape = (bottom - top, right - left)
    sky = np.full(shape[0] * shape[1], np.nan, np.float32)
    centre = _samples_at(geometry, camera, box, (0.5, 0.5), light, lashes, sky)
    hit = centre.hits.triangle >= 0
    if supersample == 1:
        radiance, alpha = centre.radiance, hit.astype(np.float32)
    else:
        radiance, alpha = _average(geometry, camera, box, supersample, light, lashes, sky)

    def framed(values: NDArray[np.generic], fill: float = 0) -> NDArray[np.generic]:
        out = np.full((camera.height, camera.width, *values.shape[1:]), fill, values.dtype)
        out[top:bottom, left:right] = values.reshape(*shape, *values.shape[1:])
        return out

    triangle = np.where(hit, geometry.triangle_ids[np.maximum(centre.hits.triangle, 0)], -1).astype(np.int32)
    return View(
        scene=scene,
        camera=camera,
        radiance=framed(radiance),  # type: ignore[arg-type]
        alpha=framed(alpha),  # type: ignore[arg-type]
        triangle=framed(triangle, -1),  # type: ignore[arg-type]
        barycentric=framed(centre.hits.barycentric),  # type: ignore[arg-type]
        uv=framed(centre.uv),  # type: ignore[arg-type]
        normal=framed(centre.normal),  # type: ignore[arg-type]
        skin=framed(centre.skin),  # type: ignore[arg-type]
    )


def _samples_at(
    geometry: Geometry,
    camera: Camera,
    box: tuple[int, int, int, int],
    offset: tuple[float, float],
    light: _Light,
    lashes: bool,
    sky: Float,
) -> _Samples:
    """One ray a pixel of the box, at ``offset`` (x, y) within the pixel; ``sky`` as in :func:`_shade`."""
    top, bottom, left, right = box
    x, y = np.meshgrid(np.arange(left, right) + offset[0], np.arange(top, bottom) + offset[1])
    direction = camera.pixel_rays(x.ravel(), y.ravel()).astype(np.float32)
    origin = camera.centre.astype(np.float32)
    samples = _shade(geometry, origin, direction, light, sky)
    if lashes and geometry.lashes is not None:
        near = _near_lashes(geometry, camera, x, y).ravel()
        mine, through = _through_lashes(geometry, samples.hits.distance, origin, direction, near)
        samples.radiance[mine] = samples.radiance[mine] * through + _lash_radiance(geometry, light) * (1 - through)
    return samples


def _average(
    geometry: Geometry,
    camera: Camera,
    box: tuple[int, int, int, int],
    count: int,
    light: _Light,
    lashes: bool,
    sky: Float,
) -> tuple[Float, Float]:
    """Radiance ``(N, 3)`` of the covered share, and that share ``(N,)``, over a regular ``count``² grid a pixel."""
    area = (box[1] - box[0]) * (box[3] - box[2])
    total, covered = np.zeros((area, 3), np.float32), np.zeros(area, np.float32)
    steps = (np.arange(count) + 0.5) / count
    for down in steps:
        for across in steps:
            samples = _samples_at(geometry, camera, box, (float(across), float(down)), light, lashes, sky)
            total += samples.radiance
            covered += samples.hits.triangle >= 0
    return (total / np.maximum(covered, 1)[:, None]).astype(np.float32), (covered / count**2).astype(np.float32)


class GBufferRenderer:
    """The renderer ``gbuffer`` of the registry.

    Args:
        supersample: see :func:`shade_view`.
    """

    name = "gbuffer"

    def __init__(self, supersample: int = 2) -> None:
        self.supersample = supersample

    @property
    def version(self) -> str:
        """Of mesoface, whose own it is."""
        return __version__

    @property
    def parameters(self) -> dict[str, int]:
        """What a picture depends on besides scene, camera and light."""
        return {"supersample": self.supersample}

    def render(
        self,
        scene: Scene,
        camera: Camera | None = None,
        lighting: SphericalHarmonicsLighting | None = None,
        lashes: bool = True,
    ) -> View:
        """A view under ``camera`` and ``lighting`` (the scene's own where None)."""
        return shade_view(scene, camera, lighting, self.supersample, lashes)

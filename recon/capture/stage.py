"""The synthetic light stage: what a polarised camera inside a sphere of lights sees of a head of which all is known.

Diffuse light is Lambertian with self-occlusion and light from skin to skin (:mod:`recon.capture.gradient_light`).
Mirror reflection is a microfacet lobe (GGX with height-correlated shadowing, Walter et al. 2007, Heitz 2014; Fresnel
by Schlick 1994), integrated over the visible normals (Heitz 2018) with the same shadows. Light that enters skin in one
place and leaves it in another is not modelled, nor is the mirror image of the head in its own skin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from recon.capture.gradient_light import StageInterior, responses
from recon.fitting.camera import Camera
from recon.progress import Progress, no_progress
from recon.rendering.gbuffer import Geometry, geometry_of
from recon.rendering.parts import Surface
from recon.rendering.rays import Hits, RayScene
from recon.rendering.sampling import sample_bilinear
from recon.rendering.scene import Part, Scene

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

_BATCH = 500_000
# The principled model's parameter ``specular`` scales a reflectance of 8 % at right angles (Burley 2012).
_REFLECTANCE_OF_SPECULAR = 0.08


@dataclass(frozen=True, eq=False)
class StageView:
    """Everything about one camera's picture, ``(H, W, …)``; zero where the picture shows no head.

    Attributes:
        camera: from where.
        diffuse: ``(H, W, 4, 3)`` float32 radiance under the patterns ``1, g_x, g_y, g_z`` (see ``gradient_light``).
        specular: ``(H, W, 4)`` float32 the same of the mirror reflection, without colour.
        albedo: ``(H, W, 3)`` float32 linear, the truth.
        normals: ``(H, W, 3)`` float32 unit, the truth, model frame.
        openness: ``(H, W)`` float32 share of the stage that the surface sees.
        head: ``(H, W)`` bool: the picture shows the head there.
        skin: ``(H, W)`` bool: it shows skin of the face, whose albedo is the subject's texture.
        face: ``(H, W)`` bool: skin in the face region of the model, the eyes' surroundings included.
        uv: ``(H, W, 2)`` float32 texture coordinates on skin.
    """

    camera: Camera
    diffuse: Float
    specular: Float
    albedo: Float
    normals: Float
    openness: Float
    head: Mask
    skin: Mask
    face: Mask
    uv: Float


class Stage:
    """A head in the stage, ready to be photographed.

    Args:
        scene: shape and texture; its own camera and light are not used.
        binary: whether the gradients are hemispheres.
        normal_map: ``(S, S, 3)`` float32 unit normals in the model frame over the UV square (row 0 at v = 1), which
            replace those of the mesh on skin; None keeps them smooth.
        gloss_map: ``(S, S)`` float32 factor of the skin's mirror reflection over the UV square; None is 1 throughout.
        diffuse_rays, specular_rays: directions a pixel.
    """

    def __init__(
        self,
        scene: Scene,
        binary: bool = False,
        normal_map: Float | None = None,
        gloss_map: Float | None = None,
        diffuse_rays: int = 256,
        specular_rays: int = 64,
    ) -> None:
        self.scene = scene
        self.binary = binary
        self.normal_map = normal_map
        self.gloss_map = gloss_map
        self.diffuse_rays = diffuse_rays
        self.specular_rays = specular_rays

    @cached_property
    def geometry(self) -> Geometry:
        """All that is opaque; lashes are left out."""
        return geometry_of(self.scene)

    @cached_property
    def interior(self) -> StageInterior:
        """The head as it lights itself."""
        geometry = self.geometry
        colours = np.concatenate([_vertex_colours(part) for part in geometry.opaque])
        return StageInterior(
            geometry.positions,
            geometry.triangles,
            colours,
            self.scene.model.metres_per_unit,
            geometry.normals,
            self.binary,
        )

    def photograph(self, camera: Camera, progress: Progress = no_progress) -> StageView:
        """The picture of ``camera``: one ray through each pixel's centre; ``progress`` counts pixels."""
        geometry = self.geometry
        x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        direction = camera.pixel_rays(x.ravel(), y.ravel()).astype(np.float32)
        hits = geometry.rays.first_hit(camera.centre.astype(np.float32), direction)
        head = np.flatnonzero(hits.triangle >= 0)
        seen = Hits(hits.triangle[head], hits.distance[head], hits.barycentric[head])
        points = np.einsum("ncx,nc->nx", geometry.positions[geometry.triangles[seen.triangle]], seen.barycentric)
        surface = self._surface(seen)
        light = self.interior.irradiance(points, surface.normal, self.diffuse_rays, progress)
        mirrored = self._specular(points, surface, -direction[head])

        def framed(values: NDArray[np.generic]) -> NDArray[np.generic]:
            out = np.zeros((camera.height * camera.width, *values.shape[1:]), values.dtype)
            out[head] = values
            return out.reshape(camera.height, camera.width, *values.shape[1:])

        return StageView(
            camera,
            framed(light.total * surface.albedo[:, None, :]),  # type: ignore[arg-type]
            framed(mirrored),  # type: ignore[arg-type]
            framed(surface.albedo),  # type: ignore[arg-type]
            framed(surface.normal),  # type: ignore[arg-type]
            framed(light.openness),  # type: ignore[arg-type]
            framed(np.ones(len(head), bool)),  # type: ignore[arg-type]
            framed(surface.skin),  # type: ignore[arg-type]
            framed(surface.face),  # type: ignore[arg-type]
            framed(surface.uv),  # type: ignore[arg-type]
        )

    def _surface(self, hits: Hits) -> _SurfaceAt:
        """Colour, gloss and normal where rays of the camera meet the head."""
        geometry, count = self.geometry, len(hits.triangle)
        albedo = np.zeros((count, 3), np.float32)
        normal = geometry.normal(hits.triangle, hits.barycentric)
        roughness, reflectance, gloss = (
            np.zeros(count, np.float32),
            np.zeros(count, np.float32),
            np.ones(count, np.float32),
        )
        skin, texcoord = np.zeros(count, bool), np.zeros((count, 2), np.float32)
        owner = geometry.part_of[hits.triangle]
        for k, part in enumerate(geometry.opaque):
            mine = np.flatnonzero(owner == k)
            corners = part.triangles[hits.triangle[mine] - geometry.part_start[k]]
            weights = hits.barycentric[mine]
            albedo[mine], uv = _part_albedo(part, corners, weights)
            roughness[mine], reflectance[mine] = part.roughness, _REFLECTANCE_OF_SPECULAR * part.specular
            if part.topology.surface is Surface.SKIN and uv is not None:
                skin[mine], texcoord[mine] = True, uv
                if self.normal_map is not None:
                    bent = sample_bilinear(self.normal_map, uv)
                    normal[mine] = bent / np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-6)
                if self.gloss_map is not None:
                    gloss[mine] = sample_bilinear(self.gloss_map[..., None], uv)[:, 0]
        return _SurfaceAt(albedo, normal, roughness, reflectance, gloss, skin, self._in_face(hits) & skin, texcoord)

    def _in_face(self, hits: Hits) -> Mask:
        """``(N,)`` whether the model's region ``face`` is hit."""
        model = self.scene.model
        region = model.regions.get("face")
        if region is None:
            return np.ones(len(hits.triangle), bool)
        corners = model.triangles[self.geometry.triangle_ids[hits.triangle]]
        return np.asarray((region[corners] * hits.barycentric).sum(axis=1) > 0.5)

    def _specular(self, points: Float, surface: _SurfaceAt, towards_camera: Float) -> Float:
        """``(N, 4)`` mirrored radiance under the four patterns."""
        out = np.zeros((len(points), 4), np.float32)
        step = max(1, _BATCH // self.specular_rays)
        for start in range(0, len(points), step):
            part = slice(start, start + step)
            out[part] = specular_response(
                self.interior.rays,
                points[part] + 1.5e-4 / self.scene.model.metres_per_unit * surface.normal[part],
                surface.normal[part],
                towards_camera[part],
                surface.roughness[part],
                surface.reflectance[part],
                self.binary,
                self.specular_rays,
            )
        return out * surface.gloss[:, None]


@dataclass(frozen=True, eq=False)
class _SurfaceAt:
    """The surface at N hits."""

    albedo: Float
    normal: Float
    roughness: Float
    reflectance: Float
    gloss: Float
    skin: Mask
    face: Mask
    uv: Float


def _part_albedo(part: Part, corners: NDArray[np.int32], weights: Float) -> tuple[Float, Float | None]:
    """``(N, 3)`` colour of a part at points of its triangles, and their texture coordinates if it has any."""
    uv = None if part.texcoord is None else np.einsum("ncx,nc->nx", part.texcoord[corners], weights)
    if part.texture is not None and uv is not None:
        return sample_bilinear(part.texture, uv), uv
    if part.colour is None:
        raise ValueError(f"part {part.name} has neither a texture nor colours")
    return np.einsum("ncx,nc->nx", part.colour[corners], weights).astype(np.float32), uv


def _vertex_colours(part: Part) -> Float:
    """``(N, 3)`` colour of a part's own vertices, for the light that it throws back."""
    if part.texture is not None and part.texcoord is not None:
        return sample_bilinear(part.texture, part.texcoord)
    if part.colour is None:
        raise ValueError(f"part {part.name} has neither a texture nor colours")
    return part.colour


def specular_response(
    rays: RayScene,
    points: Float,
    normals: Float,
    towards_camera: Float,
    roughness: Float,
    reflectance: Float,
    binary: bool,
    count: int,
) -> Float:
    """Radiance mirrored to the camera under the patterns ``1, g_x, g_y, g_z``.

    Args:
        rays: the head, for shadows.
        points: ``(N, 3)``, lifted off the surface.
        normals, towards_camera: ``(N, 3)`` unit.
        roughness: ``(N,)``; the GGX parameter is its square.
        reflectance: ``(N,)`` at right angles.
        binary: whether gradients are hemispheres.
        count: directions a point.

    Returns:
        ``(N, 4)`` float32.
    """
    frame = _frames(normals)
    view = np.einsum("nix,nx->ni", frame, towards_camera)
    # At the silhouette a smooth normal can point away from the camera: such a point is seen edge-on.
    view[:, 2] = np.maximum(view[:, 2], 1e-3)
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    alpha = np.maximum(roughness**2, 1e-3)[:, None]
    half = _visible_normals(view[:, None], alpha, qmc.Halton(2, scramble=False).random(count + 1)[1:])
    cosine = np.einsum("ni,nki->nk", view, half)
    light = 2 * cosine[..., None] * half - view[:, None]
    up = light[..., 2] > 1e-4
    fresnel = reflectance[:, None] + (1 - reflectance[:, None]) * (1 - np.clip(cosine, 0, 1)) ** 5
    seen, lit = _smith(view[:, None, 2], alpha), _smith(np.maximum(light[..., 2], 1e-4), alpha)
    weight = np.where(up, fresnel * (1 + seen) / (1 + seen + lit), 0)
    world = np.einsum("nki,nix->nkx", light, frame, optimize=True).astype(np.float32)
    origins = np.repeat(points, count, axis=0)
    free = rays.first_hit(origins, world.reshape(-1, 3)).triangle.reshape(-1, count) < 0
    return np.asarray(
        np.einsum("nk,nkp->np", (weight * free).astype(np.float32), responses(world, binary)) / count, np.float32
    )


def _frames(normals: Float) -> Float:
    """``(N, 3, 3)`` rows tangent, bitangent, normal."""
    helper = np.where(np.abs(normals[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    tangent = np.cross(helper, normals)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    return np.stack([tangent, np.cross(normals, tangent), normals], axis=1).astype(np.float32)


def _visible_normals(view: Float, alpha: Float, uniform: NDArray[np.float64]) -> Float:
    """``(N, K, 3)`` GGX microfacet normals as often as ``view`` ``(N, 1, 3)`` sees them (Heitz 2018)."""
    stretched = view * np.stack([alpha, alpha, np.ones_like(alpha)], axis=-1)
    stretched = stretched / np.linalg.norm(stretched, axis=-1, keepdims=True)
    flat = stretched[..., 0] ** 2 + stretched[..., 1] ** 2
    first = np.stack([-stretched[..., 1], stretched[..., 0], np.zeros_like(flat)], axis=-1)
    first = np.where(flat[..., None] > 1e-12, first / np.sqrt(np.maximum(flat, 1e-12))[..., None], [1.0, 0.0, 0.0])
    second = np.cross(stretched, first)
    radius, azimuth = np.sqrt(uniform[:, 0]), 2 * np.pi * uniform[:, 1]
    a, b = radius * np.cos(azimuth), radius * np.sin(azimuth)
    share = 0.5 * (1 + stretched[..., 2])
    b = (1 - share) * np.sqrt(1 - a**2) + share * b
    c = np.sqrt(np.maximum(1 - a**2 - b**2, 0))
    half = a[..., None] * first + b[..., None] * second + c[..., None] * stretched
    half = half * np.stack([alpha, alpha, np.ones_like(alpha)], axis=-1)
    half[..., 2] = np.maximum(half[..., 2], 1e-6)
    return np.asarray(half / np.linalg.norm(half, axis=-1, keepdims=True), np.float32)


def _smith(cosine: Float, alpha: Float) -> Float:
    """Smith's Λ of GGX for directions at ``cosine`` to the normal."""
    tangent = np.maximum(1 - cosine**2, 0) / np.maximum(cosine**2, 1e-8)
    return np.asarray(0.5 * (np.sqrt(1 + alpha**2 * tangent) - 1), np.float32)

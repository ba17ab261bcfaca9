"""From what a path tracer gives to a view: coverage taken out, grain filtered from skin, lashes laid over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.denoise import denoise
from recon.rendering.gbuffer import lash_layer, shade_view
from recon.rendering.parts import Surface, surface_of
from recon.rendering.scene import Scene
from recon.rendering.view import View

Float = NDArray[np.float32]

# Between these levels under even white light an eye shows its white: the iris is darker, a catch-light brighter.
_WHITE = (0.15, 0.65)


def albedo_view(scene: Scene, camera: Camera) -> View:
    """What the camera sees, as the g-buffer has it; under even white light of radiance 1 it shows the albedo itself."""
    return shade_view(scene, camera, SphericalHarmonicsLighting.ambient(), supersample=3, lashes=False)


def finished(
    scene: Scene,
    camera: Camera,
    lighting: SphericalHarmonicsLighting,
    pixels: Float,
    denoised: bool,
    lashes: bool,
    seen: View | None = None,
) -> View:
    """The view that a path tracer's picture comes to.

    Args:
        pixels: ``(H, W, 4)`` float32 radiance times coverage, and coverage; without lashes.
        denoised: whether the light on matte surfaces is filtered.
        lashes: whether lashes are laid over. Paths would spend their few bounces on passing between the hairs.
        seen: :func:`albedo_view`, where it is known already.
    """
    seen = seen or albedo_view(scene, camera)
    alpha = np.clip(pixels[..., 3], 0, 1)
    radiance = np.where(alpha[..., None] > 0, pixels[..., :3] / np.maximum(pixels[..., 3:], 1e-6), 0)
    if denoised:
        radiance = _denoised(radiance.astype(np.float32), alpha, seen)
    if lashes:
        cover, colour = lash_layer(scene, camera, lighting)
        radiance = radiance * (1 - cover[..., None]) + colour * cover[..., None]
    return replace(seen, radiance=radiance.astype(np.float32), alpha=alpha.astype(np.float32))


def _denoised(radiance: Float, alpha: Float, seen: View) -> Float:
    """Skin and mouth, and by themselves the whites of the eyes; irises and catch-lights, which are sharp, are left."""
    model = seen.scene.model
    shown = np.maximum(seen.triangle, 0)
    hit = seen.triangle >= 0
    eyes = [i for i, name in enumerate(model.material_names) if surface_of(model, name) is Surface.EYE]
    eye = hit & np.isin(model.triangle_material[shown], eyes)
    position = np.einsum("hwcx,hwc->hwx", seen.scene.vertices[model.triangles[shown]], seen.barycentric)
    # At the silhouette, where the smooth normal turns away from the camera, paths end in the dark inside the head.
    towards = seen.camera.centre - position
    facing = np.einsum("hwx,hwx->hw", towards / np.linalg.norm(towards, axis=-1, keepdims=True), seen.normal)
    matte = (alpha > 0) & (seen.alpha > 0) & ~eye
    result = denoise(radiance, seen.radiance, position, seen.normal, matte, matte & hit & (facing > 0.1))
    level = seen.radiance.min(axis=-1)
    white = eye & (alpha == 1) & (level > _WHITE[0]) & (level < _WHITE[1])
    return denoise(result, seen.radiance, position, seen.normal, white, white)

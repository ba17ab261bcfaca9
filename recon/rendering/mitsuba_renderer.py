"""The path tracer, for pictures that people judge: Mitsuba 3 in its variant ``scalar_rgb``, which needs no LLVM.

Skin is Burley's principled model (roughness .45, specular .35, a little flatness for the softness that scattering
under the skin gives); eyes are glossy, so their catch-lights are reflections of the light that is there. Light is an
environment map: the studio's panels, or spherical harmonics through :func:`recon.rendering.environment.bake`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import AssetError, UsageError
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.environment import bake
from recon.rendering.gbuffer import shade_view
from recon.rendering.parts import Surface
from recon.rendering.scene import Part, Scene
from recon.rendering.view import View

VARIANT = "scalar_rgb"
_DEPTH = 4  # bounces beyond the third are lost in the noise on a head
_FLATNESS = {Surface.SKIN: 0.35, Surface.HEAD: 0.35}


def load_mitsuba() -> Any:
    """The module ``mitsuba`` with its variant set.

    Raises:
        AssetError: it is not installed, or cannot run here.
    """
    try:
        import mitsuba

        mitsuba.set_variant(VARIANT)
    except ImportError as error:
        raise AssetError(
            f"the renderer 'mitsuba' needs the package mitsuba, which cannot be imported here ({error}): "
            "install it with 'pip install mitsuba', or use the renderer 'gbuffer'."
        ) from error
    return mitsuba


def _bitmap(mi: Any, values: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "type": "bitmap",
        "bitmap": mi.Bitmap(np.array(values, np.float32, order="C")),
        "raw": True,  # values are linear already
        "filter_type": "bilinear",
        "wrap_mode": "clamp",
    }


def _material(mi: Any, part: Part) -> dict[str, Any]:
    if part.opacity is not None and part.colour is not None:
        hair = {"type": "diffuse", "reflectance": {"type": "rgb", "value": part.colour[0].tolist()}}
        return {
            "type": "mask",
            "opacity": _bitmap(mi, part.opacity),
            "nested": {"type": "twosided", "inner": hair},
        }
    if part.texture is not None:
        base = _bitmap(mi, np.clip(part.texture, 0, 1))
    else:
        base = {"type": "mesh_attribute", "name": "vertex_color"}
    return {
        "type": "principled",
        "base_color": base,
        "roughness": part.roughness,
        "specular": part.specular,
        "flatness": _FLATNESS.get(part.topology.surface, 0.0),
    }


def mesh(
    mi: Any,
    name: str,
    material: dict[str, Any],
    positions: NDArray[np.floating],
    triangles: NDArray[np.integer],
    normals: NDArray[np.floating],
    texcoord: NDArray[np.floating] | None = None,
    colour: NDArray[np.floating] | None = None,
) -> Any:
    """A Mitsuba mesh made in memory. ``texcoord`` ``(N, 2)`` has v up; ``colour`` ``(N, 3)`` is linear."""
    import drjit

    floats, integers = drjit.scalar.ArrayXf, drjit.scalar.ArrayXu
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(material)
    result = mi.Mesh(
        name,
        len(positions),
        len(triangles),
        props=properties,
        has_vertex_normals=True,
        has_vertex_texcoords=texcoord is not None,
    )
    if colour is not None:
        result.add_attribute("vertex_color", 3, floats(np.asarray(colour, np.float32).ravel()))
    parameters = mi.traverse(result)
    parameters["vertex_positions"] = floats(np.asarray(positions, np.float32).ravel())
    parameters["vertex_normals"] = floats(np.asarray(normals, np.float32).ravel())
    parameters["faces"] = integers(np.asarray(triangles, np.uint32).ravel())
    if texcoord is not None:
        parameters["vertex_texcoords"] = floats(np.asarray(texcoord, np.float32).ravel())
    parameters.update()
    return result


def sensor(mi: Any, camera: Camera, samples: int, seed: int) -> dict[str, Any]:
    """The pinhole camera as a Mitsuba sensor, whose own frame has x to the left, y up and z into the scene."""
    pose = np.eye(4)
    pose[:3, :3] = camera.rotation.T @ np.diag([-1.0, -1.0, 1.0])
    pose[:3, 3] = camera.centre
    return {
        "type": "perspective",
        "fov_axis": "x",
        "fov": float(np.degrees(2 * np.arctan(0.5 * camera.width / camera.focal))),
        "principal_point_offset_x": camera.principal[0] / camera.width - 0.5,
        "principal_point_offset_y": camera.principal[1] / camera.height - 0.5,
        "to_world": mi.ScalarTransform4f(pose),
        "near_clip": 1e-2,
        "far_clip": 1e5,
        "film": {
            "type": "hdrfilm",
            "width": camera.width,
            "height": camera.height,
            "pixel_format": "rgba",
            "component_format": "float32",
            # Pixels that share no samples make the picture independent of the order in which threads finish.
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent", "sample_count": samples, "seed": seed},
    }


def environment_emitter(mi: Any, radiance: NDArray[np.floating]) -> dict[str, Any]:
    """An environment map of :mod:`recon.rendering.environment` as a Mitsuba emitter."""
    return {"type": "envmap", "bitmap": mi.Bitmap(np.array(radiance, np.float32, order="C")), "scale": 1.0}


def trace(mi: Any, shapes: dict[str, Any], camera: Camera, emitter: dict[str, Any], samples: int, seed: int) -> Any:
    """``(H, W, 4)`` float32: radiance times coverage, and coverage."""
    world = mi.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": _DEPTH, "hide_emitters": True},
            "sensor": sensor(mi, camera, samples, seed),
            "light": emitter,
            **shapes,
        }
    )
    return np.array(mi.render(world, spp=samples, seed=seed), np.float32)


class MitsubaRenderer:
    """The renderer ``mitsuba`` of the registry.

    Args:
        samples: paths a pixel.
        seed: of the sampler.
    """

    name = "mitsuba"

    def __init__(self, samples: int = 64, seed: int = 0) -> None:
        if not 1 <= samples <= 65536:
            raise UsageError(f"samples a pixel must be between 1 and 65536, got {samples}.")
        self.samples = samples
        self.seed = seed

    def render(
        self,
        scene: Scene,
        camera: Camera | None = None,
        lighting: SphericalHarmonicsLighting | None = None,
        lashes: bool = True,
    ) -> View:
        """A path-traced view; its geometry maps are those of the g-buffer renderer.

        Raises:
            AssetError: the package mitsuba is missing.
        """
        mi = load_mitsuba()
        camera = camera or scene.camera
        shapes = {
            part.name: mesh(
                mi,
                part.name,
                _material(mi, part),
                part.positions,
                part.triangles,
                part.normals,
                part.texcoord,
                part.colour,
            )
            for part in scene.parts
            if lashes or part.opacity is None
        }
        emitter = environment_emitter(mi, bake(lighting or scene.lighting))
        pixels = trace(mi, shapes, camera, emitter, self.samples, self.seed)
        alpha = np.clip(pixels[..., 3], 0, 1)
        radiance = pixels[..., :3] / np.maximum(pixels[..., 3:], 1e-6) * (alpha[..., None] > 0)
        seen = shade_view(scene, camera, lighting, lashes=False)
        return View(
            scene=scene,
            camera=camera,
            radiance=radiance.astype(np.float32),
            alpha=alpha.astype(np.float32),
            triangle=seen.triangle,
            barycentric=seen.barycentric,
            uv=seen.uv,
            normal=seen.normal,
            skin=seen.skin,
        )

"""The path tracer, for pictures that people judge: Mitsuba 3 in its variant ``scalar_rgb``, which needs no LLVM.

Skin is Burley's principled model (roughness .45, specular .35, a little flatness for the softness that scattering
under the skin gives); eyes are glossy, so their catch-lights are reflections of the light that is there. Light is an
environment map: the studio's panels, or spherical harmonics through :func:`recon.rendering.environment.bake`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import AssetError, UsageError
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.environment import bake
from recon.rendering.parts import Surface, surface_of
from recon.rendering.path_traced import albedo_view, finished
from recon.rendering.scene import ENCLOSED, Part, Scene
from recon.rendering.view import View, allowed_threads

VARIANT = "scalar_rgb"
_DEPTH = 4  # bounces beyond the third are lost in the noise on a head
_REFINEMENT = 8  # times as many paths on eyes and mouths, as long as that
_REFINED_SHARE = 0.25  # costs no more than this share of the whole picture
_FLATNESS = {Surface.SKIN: 0.35, Surface.HEAD: 0.35}


def load_mitsuba() -> Any:
    """The module ``mitsuba`` with its variant set.

    Raises:
        AssetError: it is not installed, or cannot run here.
    """
    try:
        import mitsuba

        mitsuba.set_variant(VARIANT)
        if (threads := allowed_threads()) is not None:
            import drjit

            # With one, Dr.Jit has no thread besides the caller's. Rendering does with it; EXR files go through
            # recon.exr, because `Bitmap` would wait for another thread without end.
            drjit.set_thread_count(threads)
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
    if part.texture is not None:
        base = _bitmap(mi, np.clip(part.texture, 0, 1))
    else:
        base = {"type": "mesh_attribute", "name": "vertex_color"}
    principled = {
        "type": "principled",
        "base_color": base,
        "roughness": (
            part.roughness if part.vertex_roughness is None else {"type": "mesh_attribute", "name": "vertex_roughness"}
        ),
        "specular": part.specular,
        "flatness": _FLATNESS.get(part.topology.surface, 0.0),
    }
    # At the silhouette a smooth normal can point away from the camera, where a one-sided surface would be black.
    return {"type": "twosided", "inner": principled}


def mesh(
    mi: Any,
    name: str,
    material: dict[str, Any],
    positions: NDArray[np.floating],
    triangles: NDArray[np.integer],
    normals: NDArray[np.floating],
    texcoord: NDArray[np.floating] | None = None,
    colour: NDArray[np.floating] | None = None,
    roughness: NDArray[np.floating] | None = None,
) -> Any:
    """A Mitsuba mesh made in memory: ``texcoord`` ``(N, 2)`` with v up, linear ``colour`` ``(N, 3)``, ``roughness``
    ``(N,)``."""
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
    if roughness is not None:
        result.add_attribute("vertex_roughness", 1, floats(np.asarray(roughness, np.float32)))
    parameters = mi.traverse(result)
    parameters["vertex_positions"] = floats(np.asarray(positions, np.float32).ravel())
    parameters["vertex_normals"] = floats(np.asarray(normals, np.float32).ravel())
    parameters["faces"] = integers(np.asarray(triangles, np.uint32).ravel())
    if texcoord is not None:
        # Mitsuba puts the origin of a bitmap at its upper left.
        flipped = np.stack([texcoord[:, 0], 1 - texcoord[:, 1]], axis=-1)
        parameters["vertex_texcoords"] = floats(flipped.astype(np.float32).ravel())
    parameters.update()
    return result


def _shape(mi: Any, part: Part) -> Any:
    """A part as a Mitsuba mesh."""
    return mesh(
        mi,
        part.name,
        _material(mi, part),
        part.positions,
        part.triangles,
        part.normals,
        part.texcoord,
        part.colour,
        part.vertex_roughness,
    )


def sensor(mi: Any, camera: Camera, samples: int, seed: int) -> dict[str, Any]:
    """The pinhole camera as a Mitsuba sensor, whose own frame has x to the left, y up and z into the scene."""
    pose = np.eye(4)
    pose[:3, :3] = camera.rotation.T @ np.diag([-1.0, -1.0, 1.0])
    pose[:3, 3] = camera.centre
    return {
        "type": "perspective",
        "fov_axis": "x",
        "fov": float(np.degrees(2 * np.arctan(0.5 * camera.width / camera.focal))),
        # Mitsuba counts the offset from the principal point to the film's centre.
        "principal_point_offset_x": 0.5 - camera.principal[0] / camera.width,
        "principal_point_offset_y": 0.5 - camera.principal[1] / camera.height,
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


def trace(
    mi: Any,
    shapes: dict[str, Any],
    camera: Camera,
    emitter: dict[str, Any],
    samples: int,
    seed: int,
    box: tuple[int, int, int, int] | None = None,
) -> NDArray[np.float32]:
    """``(H, W, 4)`` float32: radiance times coverage, and coverage; of ``box`` (top, bottom, left, right) if given."""
    looking = sensor(mi, camera, samples, seed)
    if box is not None:
        top, bottom, left, right = (int(edge) for edge in box)
        crop = {"offset_x": left, "offset_y": top, "width": right - left, "height": bottom - top}
        looking["film"].update({f"crop_{name}": value for name, value in crop.items()})
    world = mi.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": _DEPTH, "hide_emitters": True},
            "sensor": looking,
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
        denoised: whether the grain is filtered from the light on skin, see :mod:`recon.rendering.denoise`.
    """

    name = "mitsuba"

    def __init__(self, samples: int = 64, seed: int = 0, denoised: bool = True) -> None:
        if not 1 <= samples <= 65536:
            raise UsageError(f"samples a pixel must be between 1 and 65536, got {samples}.")
        self.samples = samples
        self.seed = seed
        self.denoised = denoised

    @property
    def version(self) -> str:
        """Of the package mitsuba."""
        return version("mitsuba")

    @property
    def parameters(self) -> dict[str, Any]:
        """What a picture depends on besides scene, camera and light."""
        return {
            "samples": self.samples,
            "seed": self.seed,
            "denoised": self.denoised,
            "variant": VARIANT,
            "bounces": _DEPTH - 1,
        }

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
        camera, lighting = camera or scene.camera, lighting or scene.lighting
        # Lashes are laid over afterwards: paths would spend their few bounces on passing between the hairs.
        solid = [part for part in scene.parts if part.opacity is None]
        shapes = {part.name: _shape(mi, part) for part in solid}
        light = environment_emitter(mi, bake(lighting))
        seen = albedo_view(scene, camera)
        pixels = trace(mi, shapes, camera, light, self.samples, self.seed)
        self._refine(pixels, mi, shapes, camera, light, seen)
        return finished(scene, camera, lighting, pixels, self.denoised, lashes, seen)

    def _refine(
        self, pixels: NDArray[np.float32], mi: Any, shapes: dict[str, Any], camera: Camera, light: Any, seen: View
    ) -> None:
        """Traces eyes and open mouths again with more paths, in place: they are small, glossy and not filtered."""
        model = seen.scene.model
        material = model.triangle_material[np.maximum(seen.triangle, 0)]
        groups: dict[str, list[int]] = {}
        for i, name in enumerate(model.material_names):
            surface = surface_of(model, name)
            if surface in ENCLOSED and not name.startswith("eye_socket"):
                groups.setdefault(name if surface is Surface.EYE else "mouth", []).append(i)
        for chosen in groups.values():
            rows, columns = np.nonzero((seen.triangle >= 0) & np.isin(material, chosen))
            if not len(rows):
                continue
            box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
            area = (box[1] - box[0]) * (box[3] - box[2])
            factor = min(_REFINEMENT, int(_REFINED_SHARE * camera.width * camera.height / area))
            if factor < 2:
                continue
            again = trace(mi, shapes, camera, light, factor * self.samples, self.seed, box)
            pixels[box[0] : box[1], box[2] : box[3]] = again

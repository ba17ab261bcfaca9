"""The pictures of a result: the head under the fitted camera and light, laid over the photograph and cropped.

A crop is a box ``(left, top, right, bottom)`` in whole pixels of the photograph; views are not resampled, so a pixel
of a view is the pixel of the photograph at the same place of the box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.colour import srgb_to_linear
from recon.errors import InputError
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.fitting.fit import Fit
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.images import read_png
from recon.methods.contract import Reconstruction
from recon.rendering import RENDERERS
from recon.rendering.compositing import composite, face_alpha, over_background
from recon.rendering.export import write_glb
from recon.rendering.gbuffer import GBufferRenderer, shade_view
from recon.rendering.parts import part_topologies
from recon.rendering.scene import Scene
from recon.rendering.view import Renderer, View
from recon.rendering.views import region_centre, render_view

Box = tuple[int, int, int, int]

# Hair and chin around the face, in parts of the distance between the outer eye corners.
MARGIN = 0.4
# Pixels over which the rendered face passes into the photograph at its edge.
FEATHER = 8.0


def crop_box(model: MorphableModel, fit: Fit) -> Box:
    """The part of the photograph around the fitted face, inside the picture and never empty."""
    face = model.regions["face"]
    seen = fit.camera.project(fit.vertices[face] if face.any() else fit.vertices)
    margin = MARGIN * fit.interocular
    left, top = np.floor(seen.min(axis=0) - margin).astype(int)
    right, bottom = np.ceil(seen.max(axis=0) + margin).astype(int)
    width, height = fit.camera.width, fit.camera.height
    left, top = int(np.clip(left, 0, width - 1)), int(np.clip(top, 0, height - 1))
    return left, top, int(np.clip(right, left + 1, width)), int(np.clip(bottom, top + 1, height))


def cropped(picture: NDArray[Any], box: Box) -> NDArray[Any]:
    """The part of a picture ``(H, W, …)`` inside ``box``."""
    left, top, right, bottom = box
    return picture[top:bottom, left:right]


def cropped_camera(camera: Camera, box: Box) -> Camera:
    """The camera whose picture is the part of ``camera``'s picture inside ``box``."""
    left, top, right, bottom = box
    principal = (camera.principal[0] - left, camera.principal[1] - top)
    return replace(camera, principal=principal, width=right - left, height=bottom - top)


def scene_of(model: MorphableModel, made: Reconstruction, box: Box) -> Scene:
    """The reconstruction as the renderers take it, seen by the camera of the crop."""
    albedo = np.clip(np.nan_to_num(made.albedo), 0.0, 1.0).astype(np.float32)
    return Scene(model, made.vertices, albedo, cropped_camera(made.camera, box), made.lighting)


@dataclass(frozen=True, eq=False)
class FittedView:
    """The head over the photograph.

    Attributes:
        srgb: ``(h, w, 3)`` float32 sRGB-encoded.
        mask: ``(h, w)`` bool: pixels that show the method's texture and nothing of the photograph.
    """

    srgb: NDArray[np.float32]
    mask: NDArray[np.bool_]


def fitted_view(
    photograph: NDArray[np.float32], scene: Scene, mask: NDArray[np.bool_], hidden: NDArray[np.bool_], renderer: str
) -> FittedView:
    """The head under its own camera and light over the photograph, see :func:`over_photograph`.

    Args:
        renderer: registry name.
    """
    return over_photograph(photograph, render_view(scene, "fitted", renderer=_renderer(renderer)), mask, hidden)


def over_photograph(
    photograph: NDArray[np.float32], view: View, mask: NDArray[np.bool_], hidden: NDArray[np.bool_]
) -> FittedView:
    """A view under the photograph's own camera, laid over it.

    Args:
        photograph: ``(h, w, 3)`` float32 sRGB-encoded, cropped like the view's camera.
        mask: ``(S, S)`` bool: texels that the method vouches for; elsewhere the photograph stays.
        hidden: ``(h, w)`` bool: pixels that the protocol withheld; the whole rendered head is shown there, eyes and
            all, because there is no photograph to show.
    """
    base = photograph
    if hidden.any():
        base = np.where(hidden[..., None], over_background(view), base)
    picture = composite(base, view, FEATHER, mask)
    return FittedView(picture, face_alpha(view, mask, FEATHER) >= 1.0)


def _renderer(name: str) -> Renderer:
    """The renderer called ``name``; the g-buffer with one ray a pixel, which is what metrics want and is fast."""
    if name == "gbuffer":
        return GBufferRenderer(supersample=1)
    return RENDERERS.get(name)()


@dataclass(frozen=True, eq=False)
class JudgedView:
    """Where the cropped photograph shows what.

    Attributes:
        masks: ``(h, w)`` bool by name: the texel that the pixel's centre shows lies in the UV mask of that name.
        places: pixel (x, y) of the middle of cheek, forehead and jaw, by the subject's own side.
    """

    masks: Mapping[str, NDArray[np.bool_]]
    places: Mapping[str, Mapping[str, tuple[float, float]]]


def judged_view(
    model: MorphableModel, fit: Fit, albedo: NDArray[np.float32], box: Box, maps: Mapping[str, NDArray[np.bool_]]
) -> JudgedView:
    """UV masks and skin regions as the cropped photograph shows them.

    Args:
        albedo: any ``(S, S, 3)`` albedo; only the geometry of the view is used.
        maps: ``(S, S)`` bool, row 0 at v = 1.
    """
    scene = Scene(model, fit.vertices, albedo, cropped_camera(fit.camera, box), fit.lighting)
    view = shade_view(scene, lashes=False)
    masks = {name: at_texels(mask, view.uv) & view.skin for name, mask in maps.items()}
    places = {
        side: {region: region_centre(view, region, side) for region in ("cheek", "forehead", "jaw")}
        for side in ("left", "right")
    }
    return JudgedView(masks, places)


def at_texels(mask: NDArray[np.bool_], uv: NDArray[np.float32]) -> NDArray[np.bool_]:
    """``(h, w)`` bool: ``mask`` ``(S, S)`` at the nearest texel of each ``uv`` ``(h, w, 2)``."""
    size = mask.shape[0]
    column = np.clip((uv[..., 0] * size).astype(int), 0, size - 1)
    row = np.clip(((1.0 - uv[..., 1]) * size).astype(int), 0, size - 1)
    return np.asarray(mask[row, column])


def write_head(path: Path, scene: Scene) -> None:
    """The textured mesh as GLB."""
    write_glb(path, scene)


def read_vertices(path: Path, model: MorphableModel, base: NDArray[np.floating]) -> NDArray[np.float32]:
    """``(V, 3)`` float32 vertices of a head that :func:`write_head` wrote, model frame and unit.

    Args:
        base: ``(V, 3)`` positions of vertices that belong to no drawn part, and so are not in the file.

    Raises:
        InputError: the file cannot be read, or is not of this face model.
    """
    import trimesh

    try:
        loaded = trimesh.load_scene(path, file_type="glb", process=False).geometry
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"'{path}' cannot be read ({error}): delete its folder and run again.") from error
    vertices = np.array(base, np.float32)
    for part in part_topologies(model):
        mesh = loaded.get(part.name)
        if mesh is None or len(mesh.vertices) != len(part.vertex_ids):
            raise InputError(
                f"'{path}' does not hold the part '{part.name}' of face model '{model.name}': delete its folder and "
                "run again."
            )
        vertices[part.vertex_ids] = np.asarray(mesh.vertices, np.float64) / model.metres_per_unit
    return vertices


def camera_from_record(record: Mapping[str, Any]) -> Camera:
    """The camera that ``reference.json`` describes."""
    principal = record["principal"]
    return Camera(
        np.asarray(record["rotation"], np.float64),
        np.asarray(record["translation"], np.float64),
        float(record["focal"]),
        (float(principal[0]), float(principal[1])),
        int(record["width"]),
        int(record["height"]),
    )


def scene_from_folder(model: MorphableModel, result: Path, reference: Mapping[str, Any]) -> Scene:
    """The scene of a result as the run folder holds it: camera and light are those of the fit, for every method.

    Args:
        result: folder with ``albedo.png`` and ``head.glb``.
        reference: content of ``reference.json``; the camera is that of its crop.

    Raises:
        InputError: a file cannot be read or is not of this face model.
    """
    fit = reference["fit"]
    base = model.vertices(np.asarray(fit["identity"], np.float32), np.asarray(fit["expression"], np.float32))
    vertices = read_vertices(result / "head.glb", model, base)
    albedo = srgb_to_linear(read_png(result / "albedo.png").astype(np.float32))
    left, top, right, bottom = reference["crop"]
    camera = cropped_camera(camera_from_record(fit["camera"]), (left, top, right, bottom))
    return Scene(model, vertices, albedo, camera, SphericalHarmonicsLighting(np.asarray(fit["lighting"], np.float64)))

"""The views that results are judged in: the fitted photograph, standard studio views, and crops at 1:1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError, UsageError
from recon.rendering.compositing import composite, over_background
from recon.rendering.gbuffer import GBufferRenderer
from recon.rendering.scene import Scene
from recon.rendering.view import Renderer, View
from recon.rendering.view_sets import view_named

Float = NDArray[np.float32]

# iBUG landmarks whose weighted mean marks the middle of a crop, on the subject's left and right. The weights are
# ours: they were chosen so that a crop a quarter of the face wide shows skin alone.
_CROPS: dict[str, dict[str, dict[int, float]]] = {
    "cheek": {
        "left": {46: 0.30, 35: 0.20, 54: 0.20, 14: 0.30},
        "right": {41: 0.30, 31: 0.20, 48: 0.20, 2: 0.30},
    },
    "forehead": {
        "left": {22: 0.36, 21: 0.36, 24: 0.36, 19: 0.36, 33: -0.44},
        "right": {22: 0.36, 21: 0.36, 24: 0.36, 19: 0.36, 33: -0.44},
    },
    "jaw": {
        "left": {11: 0.34, 12: 0.30, 54: 0.36},
        "right": {5: 0.34, 4: 0.30, 48: 0.36},
    },
}


def render_view(scene: Scene, name: str, width: int = 512, height: int = 640, renderer: Renderer | None = None) -> View:
    """The view called ``name``, see :mod:`recon.rendering.view_sets`.

    Args:
        width, height: pixels; the fitted view has the photograph's size.
        renderer: draws it; the g-buffer renderer where None.

    Raises:
        UsageError: unknown view.
    """
    drawn_by = renderer or GBufferRenderer()
    if name == "fitted":
        # Lashes are left out: the photograph keeps its own, and ours would fall on the skin around them. So is gloss:
        # an albedo that was divided out of the photograph has it in it, and where light falls in from behind, which no
        # photograph tells, a second one would draw a pale line around the face.
        matte = replace(scene, materials=replace(scene.materials, gloss=0.0))
        return drawn_by.render(matte, lashes=False)
    wanted = view_named(name)
    return drawn_by.render(scene, wanted.camera(scene.model, scene.vertices, width, height), wanted.light())


def standard_view(
    scene: Scene,
    name: str,
    width: int = 512,
    height: int = 640,
    renderer: Renderer | None = None,
    photograph_srgb: Float | None = None,
    mask: NDArray[np.bool_] | None = None,
    feather_px: float = 8.0,
) -> Float:
    """The picture of the view called ``name``, ``(H, W, 3)`` float32 sRGB-encoded.

    ``fitted`` is composited over ``photograph_srgb`` inside the UV ``mask``; the others stand before neutral grey.

    Raises:
        UsageError: unknown view, or ``fitted`` without a photograph.
    """
    if name == "fitted" and photograph_srgb is None:
        raise UsageError("view 'fitted' is composited over the photograph: give the photograph.")
    view = render_view(scene, name, width, height, renderer)
    if name == "fitted" and photograph_srgb is not None:
        return composite(photograph_srgb, view, feather_px, mask)
    return over_background(view)


def region_centre(view: View, region: str, side: str = "left") -> tuple[float, float]:
    """Pixel position (x, y) of the middle of ``cheek``, ``forehead`` or ``jaw`` in a view.

    Args:
        side: ``left`` or ``right``, the subject's own.

    Raises:
        UsageError: unknown region or side.
    """
    if region not in _CROPS or side not in ("left", "right"):
        raise UsageError(f"no crop '{side} {region}'. Regions: {', '.join(_CROPS)}; sides: left, right.")
    weights = _CROPS[region][side]
    landmarks = view.scene.model.landmarks(view.scene.vertices)
    point = sum(weight * landmarks[index].astype(np.float64) for index, weight in weights.items())
    x, y = view.camera.project(np.asarray(point))
    return float(x), float(y)


def region_crop(view: View, region: str, side_px: int, picture: Float | None = None, side: str = "left") -> Float:
    """A square cut out at 1:1 around a skin region, ``(side_px, side_px, 3)`` float32 sRGB-encoded.

    The place follows from the mesh and the camera alone, so crops of several methods, and of the photograph under the
    fitted camera, show the same skin. The square is moved inwards where it would leave the picture.

    Args:
        region: ``cheek``, ``forehead`` or ``jaw``.
        picture: ``(H, W, 3)`` sRGB-encoded picture to cut from, of the view's size; None takes the view itself.
        side: ``left`` or ``right``, the subject's own.

    Raises:
        InputError: the picture is smaller than the crop, or of another size than the view.
        UsageError: unknown region or side.
    """
    height, width = view.alpha.shape
    shown = over_background(view) if picture is None else picture
    if shown.shape[:2] != (height, width):
        raise InputError(f"the picture is {shown.shape[1]}×{shown.shape[0]}, its view {width}×{height}.")
    if not 0 < side_px <= min(width, height):
        raise InputError(f"a crop of {side_px} px does not fit into a picture of {width}×{height}.")
    x, y = region_centre(view, region, side)
    left = int(np.clip(round(x - side_px / 2), 0, width - side_px))
    top = int(np.clip(round(y - side_px / 2), 0, height - side_px))
    return shown[top : top + side_px, left : left + side_px]

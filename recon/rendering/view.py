"""What a renderer returns: radiance, coverage, and which point of the model every pixel shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.scene import Scene

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class View:
    """A rendered picture of a scene, ``(H, W)`` maps; geometry is that of each pixel's centre.

    Attributes:
        scene: what was rendered.
        camera: from where.
        radiance: ``(H, W, 3)`` float32 linear RGB of the head where it covers the pixel (not multiplied by alpha), 0
            elsewhere. May exceed 1.
        alpha: float32 in [0, 1], share of the pixel that the head covers.
        triangle: int32 into the model's triangles, −1 where the pixel's centre shows none.
        barycentric: ``(H, W, 3)`` float32.
        uv: ``(H, W, 2)`` float32 in the UV square on skin, 0 elsewhere.
        normal: ``(H, W, 3)`` float32 unit, model frame.
        skin: bool, the pixel's centre shows the textured skin.
    """

    scene: Scene
    camera: Camera
    radiance: Float
    alpha: Float
    triangle: NDArray[np.int32]
    barycentric: Float
    uv: Float
    normal: Float
    skin: NDArray[np.bool_]


class Renderer(Protocol):
    """Draws scenes; registered under the entry-point group ``mesoface.renderers``.

    Attributes:
        name: registry name.
    """

    name: str

    @property
    def version(self) -> str:
        """Of the library that draws; recorded with every picture."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What a picture depends on besides scene, camera and light, in the types of JSON; recorded with it."""
        ...

    def render(
        self,
        scene: Scene,
        camera: Camera | None = None,
        lighting: SphericalHarmonicsLighting | None = None,
        lashes: bool = True,
    ) -> View:
        """A view under ``camera`` and ``lighting`` (the scene's own where None). Deterministic."""
        ...


def allowed_threads() -> int | None:
    """How many threads a renderer may use: ``OMP_NUM_THREADS``, which worker processes are given; None for all."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else None

"""What a processed light stage capture is: image-space maps a camera, in a stated frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.data.subject import Licence
from recon.fitting.camera import Camera

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CapturedView:
    """The maps of one camera, all ``(H, W, …)`` in its picture; directions are in the capture's frame.

    Attributes:
        name: of the camera, unique in the capture.
        camera: pose and lens in the capture's frame and unit; None where the capture states a view direction alone.
        diffuse_albedo: ``(H, W, 3)`` float32 linear. Linear sRGB and absolute where the report says
            ``calibrated``, else the camera's own colours at the recorded exposure.
        specular_albedo: ``(H, W, 3)`` float32 in the same units: the share of light from all around that the surface
            mirrors to the camera (about 0.03 to 0.06 on skin). None where there are no polarised pairs.
        diffuse_normals: ``(H, W, 3)`` float32 unit; zero outside ``measured``.
        specular_normals: the same from the specular images, or None.
        measured: ``(H, W)`` bool: inside the picture's own mask, bright enough, not clipped. Where it is False, maps
            hold nothing that was measured.
        mask: ``(H, W)`` bool: ``measured``, and open enough to the light to be trusted (``openness``).
        openness: ``(H, W)`` float32, the cosine-weighted share of the surroundings that each pixel's surface sees,
            computed from the capture's mesh, or None where it has none.
        report: figures about these maps that JSON can hold, see :mod:`recon.capture.sequence`.
    """

    name: str
    camera: Camera | None
    diffuse_albedo: Float
    specular_albedo: Float | None
    diffuse_normals: Float
    specular_normals: Float | None
    measured: Mask
    mask: Mask
    openness: Float | None
    report: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Capture:
    """A captured person.

    Attributes:
        id: letters, digits, ``-``, ``_`` and ``.`` only.
        frame: what the frame of all directions and positions is, in the words of ``subject.toml``; right-handed.
        metres_per_unit: factor from the frame's length unit to metres.
        views: one a camera, in the order of ``subject.toml``.
        mesh: file with the geometry in the capture's frame, or None.
        landmarks: ``(68, 3)`` float64 iBUG landmarks in the capture's frame, or None.
        licence: terms of the pictures.
        attributes: what the source recorded of the person.
        synthetic: whether the person is computer-made.
    """

    id: str
    frame: str
    metres_per_unit: float
    views: tuple[CapturedView, ...]
    mesh: Path | None
    landmarks: NDArray[np.float64] | None
    licence: Licence
    attributes: Mapping[str, str] = field(default_factory=dict)
    synthetic: bool = False

"""The standard views in which every method is shown, and the sets that they come in.

===========  ==========================================================================================================
``fitted``   the photograph's own camera and light, composited over the photograph
``studio``   the whole head under the standard studio's light, from the front and 35° to either side
``turntable``  seven cameras from 60° to the subject's right to 60° to the left; what lies further back no photograph
             tells about
``closeup``  cheek, eyes and mouth: the studio's cameras at 1.2 m with a longer lens, so perspective is the same
``relight``  the front view under five fixed lights, :func:`recon.rendering.environment.relights`
===========  ==========================================================================================================

Cameras follow from the face model's landmarks alone, and lights from nothing, so all methods are shown alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recon.errors import UsageError
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.rendering.environment import RELIGHTS, EnvironmentLighting, relights, standard_studio

Float = NDArray[np.float32]

# 1.2 m: the distance of the synthetic trial and of portrait practice; nearer, the nose grows.
_DISTANCE_METRES = 1.2
STUDIO = "studio"


@dataclass(frozen=True)
class StandardView:
    """A camera and a light.

    Attributes:
        name: unique.
        yaw: degrees by which the camera stands towards the subject's left.
        lighting: ``studio``, or a name of :func:`recon.rendering.environment.relights`.
        zoom: how much longer the lens is than that of the whole head.
        centre: iBUG landmarks whose weighted mean lies in the middle of the picture; empty: that of the whole head.
    """

    name: str
    yaw: float = 0.0
    lighting: str = STUDIO
    zoom: float = 1.0
    centre: dict[int, float] = field(default_factory=dict)

    def camera(self, model: MorphableModel, vertices: Float, width: int, height: int) -> Camera:
        """Where it is seen from, for a picture of ``width`` × ``height`` pixels."""
        camera = studio_camera(model, vertices, self.yaw, width, height)
        if not self.centre:
            return camera
        landmarks = model.landmarks(vertices).astype(np.float64)
        point = np.asarray(sum(weight * landmarks[index] for index, weight in self.centre.items()))
        offset = self.zoom * (camera.project(point) - np.asarray(camera.principal))
        principal = (width / 2 - float(offset[0]), height / 2 - float(offset[1]))
        return replace(camera, focal=self.zoom * camera.focal, principal=principal)

    def light(self) -> EnvironmentLighting:
        """What lights it."""
        return _lights()[self.lighting]


@lru_cache(maxsize=1)
def _lights() -> dict[str, EnvironmentLighting]:
    return {STUDIO: standard_studio(), **relights()}


def _turned(name: str, angle: int) -> StandardView:
    if angle == 0:
        return StandardView(f"{name}-front")
    return StandardView(f"{name}-{'left' if angle > 0 else 'right'}-{abs(angle)}", float(angle))


def _evenly(*landmarks: int) -> dict[int, float]:
    return dict.fromkeys(landmarks, 1.0 / len(landmarks))


_SETS: dict[str, tuple[StandardView, ...]] = {
    "studio": (
        StandardView("front"),
        StandardView("three_quarter", 35.0),
        StandardView("three_quarter_right", -35.0),
    ),
    "turntable": tuple(_turned("turntable", angle) for angle in (-60, -40, -20, 0, 20, 40, 60)),
    "closeup": (
        StandardView("closeup-left", 25.0, zoom=2.6, centre=_evenly(45, 35, 54, 13)),
        StandardView("closeup-right", -25.0, zoom=2.6, centre=_evenly(36, 31, 48, 3)),
        StandardView("closeup-eyes", zoom=2.2, centre=_evenly(36, 39, 42, 45)),
        StandardView("closeup-mouth", zoom=3.0, centre=_evenly(48, 51, 54, 57)),
    ),
    "relight": tuple(StandardView(f"relight-{light}", lighting=light) for light in RELIGHTS),
}
_VIEWS = {view.name: view for views in _SETS.values() for view in views}

FITTED = "fitted"
SETS: dict[str, tuple[str, ...]] = {
    FITTED: (FITTED,),
    **{name: tuple(view.name for view in views) for name, views in _SETS.items()},
}
"""Names of the views of each set."""

VIEWS = (FITTED, *_VIEWS)
"""Names of all views."""


def view_named(name: str) -> StandardView:
    """The standard view called ``name``; ``fitted``, which is each photograph's own, is none.

    Raises:
        UsageError: unknown view.
    """
    if name not in _VIEWS:
        raise UsageError(f"unknown view '{name}'. Known: {', '.join(VIEWS)}.")
    return _VIEWS[name]


def chosen_views(names: Sequence[str]) -> tuple[str, ...]:
    """The views that sets and single views name, each once, in the order given.

    Raises:
        UsageError: a name that is neither, or none at all; the message offers the nearest.
    """
    found: dict[str, None] = {}
    for name in names:
        if name not in SETS and name not in VIEWS:
            near = difflib.get_close_matches(name, [*SETS, *VIEWS], n=1, cutoff=0.0)[0]
            raise UsageError(
                f"unknown view '{name}': did you mean '{near}'? Sets: {', '.join(SETS)}; a single view of a set can be "
                f"named too, for example {SETS['relight'][0]}."
            )
        found.update(dict.fromkeys(SETS.get(name, (name,))))
    if not found:
        raise UsageError(f"--views names nothing: give at least one of {', '.join(SETS)}.")
    return tuple(found)


def studio_camera(model: MorphableModel, vertices: Float, yaw: float, width: int, height: int) -> Camera:
    """A portrait camera 1.2 m from the face, turned ``yaw`` degrees towards the subject's left.

    The face (landmarks, from brows to chin) takes 55 % of the picture's smaller side, so that faces of all sizes and
    all methods are framed alike.
    """
    landmarks = model.landmarks(vertices)
    brow, chin = landmarks[17:27].mean(axis=0), landmarks[8]
    eyes = landmarks[[36, 45]].mean(axis=0)
    span = float(np.linalg.norm(brow - chin))
    target = np.array([eyes[0], 0.5 * (brow[1] + chin[1]) + 0.22 * span, eyes[2] - 0.35 * span])
    angle = np.radians(yaw)
    forward = -np.array([np.sin(angle), 0.0, np.cos(angle)])
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    distance = _DISTANCE_METRES / model.metres_per_unit
    focal = 0.46 * min(width / 0.8, height) * distance / span
    return Camera(rotation, -rotation @ (target - distance * forward), focal, (width / 2, height / 2), width, height)

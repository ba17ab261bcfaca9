"""The pinhole camera: model frame → camera frame → pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Camera:
    """A perspective camera with square pixels.

    The camera frame has x to the right, y down and z into the scene; pixel ``(row i, column j)`` covers
    ``[j, j+1] × [i, i+1]``, so its centre lies at ``(j + 0.5, i + 0.5)``.

    Attributes:
        rotation: ``(3, 3)`` float64, model frame to camera frame.
        translation: ``(3,)`` float64, in the model's unit: ``x_camera = rotation @ x_model + translation``.
        focal: focal length in pixels.
        principal: ``(x, y)`` principal point in pixels.
        width, height: image size in pixels.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    focal: float
    principal: tuple[float, float]
    width: int
    height: int

    def to_camera(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(..., 3)`` model-frame points in the camera frame, float64."""
        return np.asarray(points @ self.rotation.T + self.translation, dtype=np.float64)

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(..., 2)`` float64 pixel positions (x, y) of ``(..., 3)`` model-frame points."""
        seen = self.to_camera(points)
        return self.focal * seen[..., :2] / seen[..., 2:] + np.asarray(self.principal)

    @property
    def centre(self) -> NDArray[np.float64]:
        """``(3,)`` float64 position of the camera in the model frame."""
        return -self.rotation.T @ self.translation

    def pixel_rays(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(N, 3)`` float64 unit directions, in the model frame, through pixel positions ``x``, ``y`` ``(N,)``."""
        direction = np.stack(
            [(x - self.principal[0]) / self.focal, (y - self.principal[1]) / self.focal, np.ones_like(x)], axis=-1
        )
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        return np.asarray(direction @ self.rotation)

    def resized(self, factor: float) -> Camera:
        """The same camera for an image scaled by ``factor`` (width and height are rounded)."""
        return replace(
            self,
            focal=self.focal * factor,
            principal=(self.principal[0] * factor, self.principal[1] * factor),
            width=round(self.width * factor),
            height=round(self.height * factor),
        )

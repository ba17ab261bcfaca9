"""The pose and projection that the fit solves for, with analytic derivatives.

A pinhole camera written so that its unknowns are as independent as one photograph allows: the size of the face in the
image (well determined) apart from its distance (hardly determined). With ``q = R (X − c)`` about a pivot ``c`` in the
middle of the face::

    u = s (q_x + t_x) / (1 + q_z / d) + principal_x        s: pixels per unit at the pivot, d: distance of the pivot
    v = s (q_y + t_y) / (1 + q_z / d) + principal_y

which is the camera of :mod:`recon.fitting.camera` with focal length ``s·d``, and weak perspective for ``d → ∞``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recon.fitting.camera import Camera

Array = NDArray[np.float64]

# Order of the unknowns: rotation (3), shift (2), log scale, log distance.
POSE_SIZE = 7
LOG_DISTANCE = 6


def rotation_of(vector: Array) -> Array:
    """``(3, 3)`` rotation by the angle ``|vector|`` (radian) about ``vector`` ``(3,)`` (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle if angle > 0 else np.zeros(3)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)


@dataclass(frozen=True, eq=False)
class Pose:
    """Where the head is and how it is projected.

    Attributes:
        rotation: ``(3, 3)`` model frame to camera frame (x right, y down, z into the scene).
        shift: ``(2,)`` position of the pivot across the optical axis, model units.
        log_scale: log of pixels per model unit at the pivot.
        log_distance: log of the distance from the camera to the pivot along the optical axis, model units.
        pivot: ``(3,)`` point of the model frame about which the head turns (constant).
        principal: ``(2,)`` principal point, pixels (constant).
    """

    rotation: Array
    shift: Array
    log_scale: float
    log_distance: float
    pivot: Array
    principal: Array

    def moved(self, step: Array) -> Pose:
        """The pose after a step ``(7,)`` of its unknowns; the rotation is multiplied from the left."""
        return replace(
            self,
            rotation=rotation_of(step[:3]) @ self.rotation,
            shift=self.shift + step[3:5],
            log_scale=self.log_scale + float(step[5]),
            log_distance=self.log_distance + float(step[6]),
        )

    def project(self, points: NDArray[np.floating]) -> Array:
        """``(N, 2)`` pixel positions of ``points`` ``(N, 3)`` of the model frame."""
        turned = (points - self.pivot) @ self.rotation.T
        depth = 1.0 + turned[:, 2:] * np.exp(-self.log_distance)
        return np.asarray(np.exp(self.log_scale) * (turned[:, :2] + self.shift) / depth + self.principal)

    def derivatives(self, points: NDArray[np.floating]) -> tuple[Array, Array, Array]:
        """Projection of ``points`` ``(N, 3)`` with its derivatives.

        Returns:
            positions ``(N, 2)``, derivative by the pose ``(N, 2, 7)``, derivative by the point ``(N, 2, 3)``.
        """
        turned = (points - self.pivot) @ self.rotation.T
        nearness = np.exp(-self.log_distance)
        depth = 1.0 + turned[:, 2] * nearness
        gain = np.exp(self.log_scale) / depth
        across = turned[:, :2] + self.shift
        offset = gain[:, None] * across

        by_turned = np.zeros((len(turned), 2, 3))
        by_turned[:, 0, 0] = by_turned[:, 1, 1] = gain
        by_turned[:, :, 2] = -offset * (nearness / depth)[:, None]

        by_pose = np.empty((len(turned), 2, POSE_SIZE))
        by_pose[:, :, :3] = np.cross(turned[:, None, :], by_turned)
        by_pose[:, :, 3:5] = by_turned[:, :, :2]
        by_pose[:, :, 5] = offset
        by_pose[:, :, 6] = offset * (turned[:, 2] * nearness / depth)[:, None]
        return offset + self.principal, by_pose, by_turned @ self.rotation

    def camera(self, width: int, height: int) -> Camera:
        """The same projection as a pinhole camera for an image of ``width`` × ``height`` pixels."""
        distance = float(np.exp(self.log_distance))
        position = np.array([self.shift[0], self.shift[1], distance])
        return Camera(
            rotation=self.rotation,
            translation=position - self.rotation @ self.pivot,
            focal=float(np.exp(self.log_scale)) * distance,
            principal=(float(self.principal[0]), float(self.principal[1])),
            width=width,
            height=height,
        )

    @property
    def yaw(self) -> float:
        """Degrees by which the face is turned sideways; positive when it looks to the right of the image."""
        forward = self.rotation[:, 2]
        return float(np.degrees(np.arctan2(forward[0], -forward[2])))

    @property
    def pitch(self) -> float:
        """Degrees by which the face looks up."""
        return float(np.degrees(np.arcsin(np.clip(-self.rotation[1, 2], -1.0, 1.0))))

    @property
    def roll(self) -> float:
        """Degrees by which the top of the head leans to the right of the image."""
        up = self.rotation[:, 1]
        return float(np.degrees(np.arctan2(up[0], -up[1])))


def pose_from_points(points: Array, positions: Array, principal: Array, distance: float) -> Pose:
    """Scaled-orthographic pose from ``points`` ``(N, 3)`` and their pixel ``positions`` ``(N, 2)``, least squares.

    ``distance`` (model units) is taken as given: it cannot be seen under this camera.
    """
    pivot = points.mean(axis=0)
    middle = positions.mean(axis=0)
    affine = np.linalg.lstsq(points - pivot, positions - middle, rcond=None)[0].T
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    scale = float(sizes.mean())
    return Pose(
        rotation=np.vstack([rows, np.cross(rows[0], rows[1])]),
        shift=(middle - principal) / scale,
        log_scale=float(np.log(scale)),
        log_distance=float(np.log(distance)),
        pivot=np.asarray(pivot, dtype=np.float64),
        principal=np.asarray(principal, dtype=np.float64),
    )

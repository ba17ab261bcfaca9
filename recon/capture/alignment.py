"""Landmarks of a scan, the similarity that brings them to a face model's, and what that says of the scan's unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.face_model.model import MorphableModel

Float = NDArray[np.float64]

JAW = slice(0, 17)
"""The jaw's landmarks lie on the contour of a picture, not at places of the skin: they never take part."""

LEAST_LANDMARKS = 12
"""Between brows and mouth: fewer do not place a face."""


@dataclass(frozen=True, eq=False)
class ScanLandmarks:
    """68 iBUG landmarks on a scan.

    Attributes:
        points: ``(68, 3)`` float64 in the scan's frame; NaN where unknown.
        origin: ``given`` or ``detected``.
    """

    points: Float
    origin: str = "given"

    @property
    def known(self) -> NDArray[np.bool_]:
        """``(68,)`` bool: those that registration can use."""
        known = np.asarray(np.isfinite(self.points).all(axis=1), bool)
        known[JAW] = False
        return known


def best_similarity(source: Float, target: Float, with_scale: bool) -> Float:
    """``(4, 4)`` similarity (rigid if not ``with_scale``) that takes ``source`` ``(N, 3)`` nearest to ``target``.

    Umeyama (1991), closed form, least squares, never a reflection.
    """
    centre, aim = source.mean(axis=0), target.mean(axis=0)
    covariance = (target - aim).T @ (source - centre)
    left, sizes, right = np.linalg.svd(covariance)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * signs) @ right
    scale = float((sizes * signs).sum() / ((source - centre) ** 2).sum()) if with_scale else 1.0
    transform = np.eye(4)
    transform[:3, :3] = scale * rotation
    transform[:3, 3] = aim - transform[:3, :3] @ centre
    return transform


def guessed_unit(landmarks: ScanLandmarks, model: MorphableModel, choices: tuple[float, ...]) -> float | None:
    """Which of ``choices`` (millimetres in a unit) makes the face as large as the model's, within a quarter; else None.

    Adults' faces differ by a tenth in size, units by factors of 2.5 and more.
    """
    known = landmarks.known
    if int(known.sum()) < LEAST_LANDMARKS:
        return None
    target = model.landmarks(model.mean).astype(np.float64)[known]
    similarity = best_similarity(landmarks.points[known], target, with_scale=True)
    millimetres = float(np.cbrt(np.linalg.det(similarity[:3, :3]))) * model.metres_per_unit * 1000
    nearest = min(choices, key=lambda unit: abs(np.log(millimetres / unit)))
    return nearest if abs(np.log(millimetres / nearest)) < np.log(1.25) else None

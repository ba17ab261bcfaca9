"""How well a processed synthetic capture agrees with what it was rendered from.

Angles are between recovered and true normals, in degrees; colours are compared by CIEDE2000 (sRGB primaries, D65) of
the linear albedo. Figures are given for three sets of pixels of each camera: ``trusted`` (``CapturedView.mask``),
``measured`` (nothing left out for want of light) and ``face`` (``measured`` within the model's face region).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.capture.capture import Capture, CapturedView
from recon.capture.linear_images import read_stored
from recon.capture.stage_folder import TRUTH
from recon.colour import linear_to_srgb

Float = NDArray[np.float32]


def has_truth(folder: Path) -> bool:
    """Whether the truth lies beside the raw sequence in ``folder``."""
    return (Path(folder) / TRUTH).is_dir()


def angles(first: Float, second: Float) -> NDArray[np.float64]:
    """Degrees between unit vectors ``(..., 3)``; exact for small angles, where the arc cosine is not."""
    cross = np.linalg.norm(np.cross(first.astype(np.float64), second), axis=-1)
    return np.asarray(np.degrees(np.arctan2(cross, (first.astype(np.float64) * second).sum(axis=-1))))


def colour_differences(first: Float, second: Float) -> NDArray[np.float64]:
    """CIEDE2000 of linear sRGB colours ``(N, 3)``."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    lab = [rgb2lab(linear_to_srgb(colours)[None].astype(np.float64))[0] for colours in (first, second)]
    return np.asarray(deltaE_ciede2000(*lab))


def measure_recovery(capture: Capture, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Errors by camera, set of pixels and quantity.

    Args:
        capture: processed from ``folder``.
        folder: a raw sequence with its truth.

    Returns:
        For each camera and set: ``share`` of the measured pixels, mean and 95th percentile of ``normal_degrees``,
        ``specular_degrees`` (where there are specular normals) and ``albedo_delta_e``.

    Raises:
        ImageError: a file of the truth is missing or damaged.
    """
    truth = Path(folder) / TRUTH
    return {view.name: _of_view(view, truth) for view in capture.views}


def _of_view(view: CapturedView, truth: Path) -> dict[str, dict[str, float]]:
    albedo = read_stored(truth / f"{view.name}_albedo.exr").values
    normals = read_stored(truth / f"{view.name}_normals.exr").values
    face = read_stored(truth / f"{view.name}_face.png").values > 0.5
    sets = {"trusted": view.mask, "measured": view.measured, "face": view.measured & face}
    found = {}
    for name, pixels in sets.items():
        if not pixels.any():
            continue
        errors = {
            "normal_degrees": angles(view.diffuse_normals[pixels], normals[pixels]),
            "albedo_delta_e": colour_differences(view.diffuse_albedo[pixels], albedo[pixels]),
        }
        if view.specular_normals is not None:
            errors["specular_degrees"] = angles(view.specular_normals[pixels], normals[pixels])
        found[name] = {"share": float(pixels.sum() / view.measured.sum())}
        for quantity, values in errors.items():
            found[name][quantity] = float(values.mean())
            found[name][f"{quantity}_p95"] = float(np.percentile(values, 95))
    return found

"""Closed-form estimate of the light on a face of one skin colour, and the gauge between skin and light.

Only the product of albedo and light is seen. The gauge, used throughout the fit:

* **Level.** The light is such that the mean shading over the visible skin is 1 in every channel. Albedo = photograph /
  shading then keeps the photograph's own brightness and colour: a picture taken too dark gives an albedo too dark.
* **Colour.** The light is white but for what changes over the face: per channel, the first and second band may deviate
  from the light of the luminance, against a prior that is much tighter than that of the luminance.
* **Shape.** Coefficients have Gaussian priors relative to the mean: a face shows one half of the sphere of normals, and
  without a prior the unseen half is arbitrary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.colour import LUMINANCE
from recon.fitting.lighting import SphericalHarmonicsLighting, irradiance_basis

Array = NDArray[np.float64]

# Standard deviation of the coefficients of bands 0, 1, 2, relative to the constant one (a point light alone has
# sqrt(3) and sqrt(5) in all of a band; the light that people are photographed in is well below). Wider priors took
# stubble, red noses and hair shadows of the London set for light; narrower ones leave side light in the albedo.
LIGHT_DEVIATION = np.array([0.1] + [0.3] * 3 + [0.12] * 5)
# The same for the deviation of one channel from the luminance: blood, stubble and tan are albedo, not light.
CHROMA_SHARE = np.array([1.0] + [0.1] * 8)
# Coefficients of the harmonics that are odd from the subject's left to right: x, xy, xz.
SIDEWAYS = (3, 4, 7)
# Light from one side and a fall-off to both sides look alike where only one half of the face is seen (turned away or
# withheld). Then the fall-off is believed: the sideways deviations shrink to this share. With the full deviation, six
# London faces of which one half was withheld got 1.8 times too much light on the hidden half.
HALF_SEEN_SHARE = 0.05
# Skin differs in brightness by about this fraction from place to place…
SKIN_VARIATION = 0.15
# …and over patches so large that a face holds only about this many independent ones.
INDEPENDENT_PATCHES = 80
# Log ratio to the median brightness at which a sample counts half in the first of the robust rounds.
FIRST_CONTRAST = 0.5
# The shading of the samples nowhere falls below this fraction of its mean (the photograph is divided by it), that of
# any other normal of the front of a head below the second one (it is rendered in this light).
DARKEST, DARKEST_FORWARD = 0.4, 0.05


@dataclass(frozen=True, eq=False)
class LightEstimate:
    """Light and skin colour.

    Attributes:
        lighting: model frame, mean shading 1 over the samples.
        skin: ``(3,)`` linear RGB of the skin under the gauge above.
        residual: root mean square of photograph / (skin × shading) − 1 over the samples, robustly weighted.
        weights: ``(N,)`` how well each sample agrees, in [0, 1].
    """

    lighting: SphericalHarmonicsLighting
    skin: Array
    residual: float
    weights: Array


def estimate_light(
    radiance: Array, normals: Array, albedo: Array | None = None, trust: Array | None = None, rounds: int = 8
) -> LightEstimate:
    """Light from the ``radiance`` ``(N, 3)`` of skin with ``normals`` ``(N, 3)``.

    ``albedo`` ``(N, 3)``: of each sample, up to one factor a channel; None: the same everywhere.
    ``trust`` ``(N,)``: weight of each sample before any robust one; None: all the same.
    Robust by iteratively reweighted least squares (Cauchy), so that beard, shadows and highlights count less.
    """
    basis = irradiance_basis(normals)
    relief = np.ones_like(radiance) if albedo is None else albedo / albedo.mean(axis=0)
    even = radiance / np.maximum(relief, 0.05)
    trusted = np.ones(len(radiance)) if trust is None else trust
    # Hair over a forehead is many times darker than skin; a first fit to all of it would find light from below and
    # believe it. So the first one is to what is about as bright as the median.
    brightness = even @ LUMINANCE
    contrast = np.log(np.maximum(brightness, 1e-6) / max(float(np.median(brightness)), 1e-6))
    weights = trusted / (1.0 + (contrast / FIRST_CONTRAST) ** 2)
    deviation = _deviation(normals, trusted)
    tint = deviation * CHROMA_SHARE
    mean = np.maximum(np.median(even, axis=0), 1e-6)
    coefficients = np.zeros((9, 3))
    for _ in range(rounds):
        target = even / mean
        grey = _ridge(basis, target @ LUMINANCE, weights, deviation, constant=1.0)
        colour = np.stack([_ridge(basis, target[:, c] - basis @ grey, weights, tint, 0.0) for c in range(3)], axis=1)
        coefficients = grey[:, None] + colour
        shading = basis @ coefficients
        level = np.average(shading, axis=0, weights=weights)
        coefficients, mean = coefficients / level, mean * level
        error = np.abs((even / mean) / np.maximum(shading / level, 0.05) - 1.0).mean(axis=1)
        weights = trusted / (1.0 + (error / (2.0 * SKIN_VARIATION)) ** 2)
    lighting = lifted(SphericalHarmonicsLighting(coefficients), _FORWARD, DARKEST_FORWARD)
    level = np.average(basis @ lighting.coefficients, axis=0, weights=weights)
    mean = mean * level
    lighting = lifted(SphericalHarmonicsLighting(lighting.coefficients / level), normals, DARKEST)
    shading = basis @ lighting.coefficients
    error = even / (mean * shading) - 1.0
    residual = float(np.sqrt(np.average(np.mean(error**2, axis=1), weights=weights)))
    return LightEstimate(lighting, mean, residual, weights)


def _deviation(normals: Array, trusted: Array) -> Array:
    """``(9,)`` prior deviation of the light, sideways harmonics held back where one side of the face is missing."""
    left, right = (float(trusted[side].sum()) for side in (normals[:, 0] > 0.15, normals[:, 0] < -0.15))
    balance = min(left, right) / max(left, right, 1e-9)
    # The side of the nose that faces the hidden half is seen too; it alone does not count as a second side.
    share = HALF_SEEN_SHARE + (1.0 - HALF_SEEN_SHARE) * float(np.clip((balance - 0.15) / 0.35, 0.0, 1.0))
    deviation = LIGHT_DEVIATION.copy()
    deviation[list(SIDEWAYS)] *= share
    return deviation


def _ridge(basis: Array, target: Array, weights: Array, deviation: Array, constant: float) -> Array:
    """``(9,)`` coefficients of ``target`` ``(N,)`` with Gaussian priors about a light of shading ``constant``."""
    prior = np.zeros(9)
    prior[0] = constant / 0.28209479177387814
    scale = INDEPENDENT_PATCHES / (weights.sum() * SKIN_VARIATION**2)
    precision = np.diag(1.0 / (deviation / 0.28209479177387814) ** 2)
    hessian = scale * (basis * weights[:, None]).T @ basis + precision
    right = scale * basis.T @ (weights * target) + precision @ prior
    return np.asarray(np.linalg.solve(hessian, right))


def lifted(
    lighting: SphericalHarmonicsLighting, normals: NDArray[np.floating], darkest: float
) -> SphericalHarmonicsLighting:
    """The light mixed with just so much of its own mean that no shading at ``normals`` is below ``darkest`` × mean.

    The mean over the ``normals`` ``(N, 3)`` is kept; a light that is bright enough everywhere is returned as it is.
    """
    shading = irradiance_basis(normals) @ lighting.coefficients
    mean = shading.mean(axis=0)
    lowest = float(np.min(shading / mean))
    if lowest >= darkest:
        return lighting
    share = (darkest - lowest) / (1.0 - lowest)
    coefficients = lighting.coefficients * (1.0 - share)
    coefficients[0] += share * mean / 0.28209479177387814
    return SphericalHarmonicsLighting(coefficients)


def _even_directions(count: int) -> Array:
    """``(count, 3)`` unit vectors spread evenly over the sphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    height, turn = 1.0 - 2.0 * index / count, index * np.pi * (1.0 + np.sqrt(5.0))
    ring = np.sqrt(1.0 - height**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)


# All normals but those that face backwards: a head is seen from there by nobody, and there SH light rings most.
_FORWARD = np.stack([direction for direction in _even_directions(600) if direction[2] > -0.1])

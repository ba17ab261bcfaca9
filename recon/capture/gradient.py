r"""Albedo and normals from images under polarised spherical gradient light.

The light stage's sphere shines with the radiance ``P_i(ω) = (ω_i + 1) / 2`` (``i`` is x, y or z; ω points to the
light), with its complement ``P̄_i = (1 − ω_i) / 2``, or with ``P_c = 1`` (full-on). A Lambertian surface of albedo ρ
and normal n that sees all of the sphere over it reflects ``(ρ/π) ∫ P(ω) max(n·ω, 0) dω``. With
``∫ max(n·ω, 0) dω = π`` and ``∫ ω max(n·ω, 0) dω = (2π/3) n``::

    L_c = ρ        L_i = ρ (1/2 + n_i / 3)        L̄_i = ρ (1/2 − n_i / 3)

so that ``n_i = 3 (L_i/L_c − 1/2) = 1.5 (L_i − L̄_i) / L_c`` (Ma et al. 2007, *Rapid acquisition of specular and
diffuse normal maps from polarized spherical gradient illumination*). Under binary hemispheres, radiance 1 where
ω_i > 0 and 0 elsewhere, ``X_i = ρ (1 + n_i) / 2`` and ``n_i = (X_i − X̄_i) / (X_i + X̄_i)`` (binary patterns: Kampouris
et al. 2018). On convex, matt and unshadowed surfaces these vectors have unit length by themselves; occlusion changes
their length and turns them towards the light that is left, see :mod:`recon.capture.occlusion`.

A mirror shows the pattern along the reflected ray r: ``S_i = S_c (r_i + 1) / 2``, so ``r_i = 2 S_i/S_c − 1``, and the
normal halves the angle between r and the view direction v. A glossy lobe averages ω, which leaves the direction of r
(for a lobe that is symmetric about it) but shortens it; ``n = normalize(r + v)`` as it is usually printed would then
lean towards v, so r is normalised first. Gradients that are binary say no more of r than the sign of its components.

Diffuse and specular light are told apart by polarisation: the surface's mirror reflection keeps the polarisation of
the stage and passes the parallel filter alone, diffuse light has lost it and half of it passes either filter
(Ma et al. 2007; Ghosh et al. 2011, *Multiview face capture using polarized spherical gradient illumination*).

All intensities are linear and free of ambient light; functions are per pixel and work on any shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

# Below this share of the brightest light a quotient of intensities says nothing; only guards the division.
_LEAST = 1e-9


def separate(cross: Float, parallel: Float) -> tuple[Float, Float, NDArray[np.bool_]]:
    """Diffuse and specular light of a polarised pair: ``D = 2 · I_cross``, ``S = I_parallel − I_cross``.

    Args:
        cross, parallel: the same shape.

    Returns:
        diffuse; specular, where negative clamped to zero; and where it was clamped, bool. Noise alone makes about half
        of the pixels negative where nothing is specular: a much larger share says that the pair does not belong
        together or that the filters are confused.
    """
    difference = parallel - cross
    return 2 * cross, np.maximum(difference, 0), difference < 0


def _ratio(numerator: Float, denominator: Float) -> Float:
    """The quotient, 0 where the denominator is not positive."""
    lit = denominator > _LEAST
    return np.asarray(np.where(lit, numerator / np.where(lit, denominator, 1), 0), np.float32)


def diffuse_component(lit: Float, full: Float, complement: Float | None = None) -> Float:
    """Component ``n_i`` of the normal of a Lambertian surface under linear gradients.

    Args:
        lit: intensity under ``P_i``.
        full: under full-on light.
        complement: under ``P̄_i``, where it was taken; it halves the weight of an error in ``full``.
    """
    if complement is None:
        return 3 * (_ratio(lit, full) - np.float32(0.5))
    return np.float32(1.5) * _ratio(lit - complement, full)


def binary_component(lit: Float, complement: Float) -> Float:
    """Component ``n_i`` of the normal of a Lambertian surface under binary hemispheres."""
    return _ratio(lit - complement, lit + complement)


def reflected_component(lit: Float, full: Float, complement: Float | None = None) -> Float:
    """Component ``r_i`` of the reflected ray, from specular intensities under linear gradients.

    With the complement ``(S_i − S̄_i) / S_c``, which is the same for ``S_i + S̄_i = S_c`` and less noisy.
    """
    if complement is None:
        return 2 * _ratio(lit, full) - 1
    return _ratio(lit - complement, full)


def complement_residual(lit: Float, complement: Float, full: Float) -> Float:
    """``(L_i + L̄_i) / L_c − 1``: zero but for noise; motion, flicker or a wrong file make it large."""
    return _ratio(lit + complement, full) - 1


def normalised(vectors: Float) -> tuple[Float, Float]:
    """Unit vectors ``(..., 3)`` (zero where there is no direction), and the lengths ``(...)`` that they had."""
    length = np.linalg.norm(vectors, axis=-1)
    unit = np.where(length[..., None] > _LEAST, vectors / np.maximum(length, _LEAST)[..., None], 0)
    return unit.astype(np.float32), length.astype(np.float32)


def half_way(reflected: Float, view: Float) -> Float:
    """Normals ``(..., 3)`` that mirror ``view``, the unit direction to the camera, into ``reflected`` (any length)."""
    towards = normalised(reflected)[0]
    return normalised(towards + view)[0]

"""Second-order spherical-harmonics lighting of a Lambertian surface (Ramamoorthi and Hanrahan 2001)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A_l / pi of the clamped cosine for l = 0, 1, 2: what is left of each band in radiance of a surface of albedo 1.
_BAND = np.array([1.0] + [2.0 / 3.0] * 3 + [0.25] * 5)


def sh_basis(normals: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, 9)`` real spherical harmonics, orthonormal on the sphere, at unit ``normals`` ``(N, 3)``.

    Order: Y00, Y1-1 (y), Y10 (z), Y11 (x), Y2-2 (xy), Y2-1 (yz), Y20, Y21 (xz), Y22.
    """
    x, y, z = np.asarray(normals, dtype=np.float64).T
    return np.stack(
        [
            np.full_like(x, 0.28209479177387814),
            0.4886025119029199 * y,
            0.4886025119029199 * z,
            0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            1.0925484305920792 * y * z,
            0.31539156525252005 * (3.0 * z * z - 1.0),
            1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ],
        axis=-1,
    )


def irradiance_basis(normals: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, 9)``: the harmonics convolved with the clamped cosine and divided by π, at ``normals`` ``(N, 3)``."""
    return sh_basis(normals) * _BAND


def irradiance_gradient(normals: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, 9, 3)``: derivative of :func:`irradiance_basis` by the normal, its polynomials taken over all of space.

    Only the part tangent to the sphere has a meaning; the derivative of a unit normal picks it out.
    """
    x, y, z = np.asarray(normals, dtype=np.float64).T
    gradient = np.zeros((len(x), 9, 3))
    gradient[:, 1, 1] = gradient[:, 2, 2] = gradient[:, 3, 0] = 0.4886025119029199
    second = 1.0925484305920792
    gradient[:, 4, 0], gradient[:, 4, 1] = second * y, second * x
    gradient[:, 5, 1], gradient[:, 5, 2] = second * z, second * y
    gradient[:, 6, 2] = 6.0 * 0.31539156525252005 * z
    gradient[:, 7, 0], gradient[:, 7, 2] = second * z, second * x
    gradient[:, 8, 0], gradient[:, 8, 1] = second * x, -second * y
    return gradient * _BAND[:, None]


@dataclass(frozen=True, eq=False)
class SphericalHarmonicsLighting:
    """Distant light in the model frame.

    Attributes:
        coefficients: ``(9, 3)`` float64 radiance coefficients of the environment, linear RGB.
    """

    coefficients: NDArray[np.float64]

    def shading(self, normals: NDArray[np.floating]) -> NDArray[np.float32]:
        """``(N, 3)`` float32: radiance of a Lambertian surface of albedo 1 (irradiance / π); may be ≤ 0 in theory."""
        return (irradiance_basis(normals) @ self.coefficients).astype(np.float32)

    @staticmethod
    def ambient(radiance: float = 1.0) -> SphericalHarmonicsLighting:
        """White light of equal ``radiance`` from everywhere: shading equals ``radiance`` at every normal."""
        coefficients = np.zeros((9, 3))
        coefficients[0] = radiance / 0.28209479177387814
        return SphericalHarmonicsLighting(coefficients)

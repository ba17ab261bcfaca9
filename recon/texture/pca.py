"""The PCA texture model: mean and principal components of complete textures, fitted to whatever texels are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Published with the trial this method grew from: ridge = 0.02 · trace / n of the coefficient normal equations.
RIDGE = 0.02
# People from very light to very dark differ so much in lightness that it alone explains 98 % of the variance: with that
# one component nobody could have a hue of their own.
LEAST_COMPONENTS = 8


@dataclass(frozen=True, eq=False)
class TexturePCA:
    """``texture = mean + Σ c_k basis_k`` over sRGB-encoded textures, coefficients N(0, 1).

    Attributes:
        mean: ``(S, S, 3)`` float32.
        basis: ``(K, S, S, 3)`` float32, scaled by the standard deviations.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]

    def coefficients(
        self, texture: NDArray[np.floating], known: NDArray[np.bool_], ridge: float = RIDGE
    ) -> NDArray[np.float32]:
        """``(K,)`` ridge estimate from the ``known`` ``(S, S)`` texels of an ``(S, S, 3)`` texture.

        Minimises ``‖texture − mean − Σ c_k basis_k‖² + λ‖c‖²`` over the known texels with
        ``λ = ridge · trace(BᵀB) / K``, which keeps the prior's strength the same for any number of known texels.
        """
        if not len(self.basis):  # textures that are all the same
            return np.zeros(0, np.float32)
        basis = self.basis[:, known].reshape(len(self.basis), -1)
        target = (texture[known] - self.mean[known]).reshape(-1).astype(np.float32)
        normal = basis @ basis.T
        normal[np.diag_indices_from(normal)] += ridge * np.trace(normal) / len(normal)
        return np.linalg.solve(normal.astype(np.float64), (basis @ target).astype(np.float64)).astype(np.float32)

    def texture(self, coefficients: NDArray[np.floating]) -> NDArray[np.float32]:
        """``(S, S, 3)`` float32 sRGB-encoded texture, clipped to [0, 1]."""
        flat = self.basis.reshape(len(self.basis), self.mean.size)
        out = self.mean + (coefficients.astype(np.float32) @ flat).reshape(self.mean.shape)
        return np.clip(out, 0.0, 1.0)


def fit_pca(
    textures: NDArray[np.floating],
    components: int | None = None,
    variance: float = 0.98,
    least: int = LEAST_COMPONENTS,
) -> TexturePCA:
    """Principal components of ``(N, S, S, 3)`` textures through their N × N Gram matrix.

    Args:
        components: how many to keep; by default as many as explain ``variance``, but not fewer than ``least``.
    """
    count = len(textures)
    flat = textures.reshape(count, -1).astype(np.float32)
    mean = flat.mean(axis=0)
    flat -= mean
    values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64) / max(count - 1, 1))
    order = np.argsort(values)[::-1][: count - 1]
    values, vectors = np.maximum(values[order], 0.0), vectors[:, order]
    if components is None:
        share = np.cumsum(values) / max(values.sum(), 1e-12)
        components = max(least, int(np.searchsorted(share, variance) + 1))
    components = min(components, int((values > 1e-9 * max(values[0], 1e-30)).sum())) if len(values) else 0
    # A unit combination of centred samples, scaled so that its coefficient has unit variance.
    mixing = vectors[:, :components] / np.sqrt(max(count - 1, 1))
    basis = (mixing.T.astype(np.float32) @ flat).reshape(components, *textures.shape[1:])
    return TexturePCA(mean.reshape(textures.shape[1:]), basis)

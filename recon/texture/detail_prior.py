"""How strong skin detail is, where: a prior over local band energies, conditioned on what a photograph shows.

Local log standard deviations of the detail bands vary smoothly over a face and together across people: the oily nose,
the stubbled jaw, the rough skin of the old. They are modelled as jointly Gaussian with the texture database as
samples, and the unknown ones are predicted by kernel ridge regression (the conditional mean with a shrunk sample
covariance). What is known depends on the photograph: all bands on visible skin, or coarse ones alone when it is
blurred, or nothing but the colour. The ridge and the bias of the prediction (the mean of a logarithm is not the
logarithm of a mean) are set by leaving out one database person at a time under the very same conditions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted local log standard deviations and how good such predictions are.

    Attributes:
        log_deviation: ``(B, P)`` float64.
        ridge: the ridge that leave-one-out chose.
        spread: ``(B,)`` leave-one-out standard deviation of the log energy over the unknown places.
        bias: ``(B,)`` what was added to the log standard deviation.
    """

    log_deviation: Array
    ridge: float
    spread: Array
    bias: Array


def predict_deviation(
    samples: Array, observed: Array, known: NDArray[np.bool_], context: Array, observed_context: Array
) -> Prediction:
    """Conditional mean of ``(B, P)`` log standard deviations given the known ones and a context vector.

    Args:
        samples: ``(N, B, P)`` of the database.
        observed: ``(B, P)`` of the photograph; read only where ``known``.
        known: ``(B, P)`` bool.
        context: ``(N, C)`` of the database: what is known of any photograph (colour, coarse structure), standardised.
        observed_context: ``(C,)`` of the photograph, same scale.
    """
    count = len(samples)
    level, own_level = _levels(samples, known), _levels(observed[None], known)[0]
    samples, observed = samples - level[:, :, None], observed - own_level[:, None]
    flat = samples.reshape(count, -1)
    mean = flat.mean(axis=0)
    centred = flat - mean
    mask = known.ravel()
    places = max(int(mask.sum()), 1)
    # Known energies and context each count as one observation of unit size, however many numbers they are made of.
    kernel = context @ context.T / context.shape[1]
    against = context @ observed_context / context.shape[1]
    if mask.any():
        scale = 1.0 / (places * max(float(np.mean(centred[:, mask] ** 2)), 1e-12))
        kernel = 0.25 * kernel + scale * centred[:, mask] @ centred[:, mask].T * 4.0
        against = 0.25 * against + scale * centred[:, mask] @ (observed.ravel()[mask] - mean[mask]) * 4.0
    unknown = ~known
    for band in range(known.shape[0]):
        if not unknown[band].any():
            unknown[band] = True

    best: tuple[float, float, Array, Array] | None = None
    for ridge in _RIDGES:
        residual = _leave_one_out(centred, kernel, ridge * float(np.trace(kernel)) / count)
        log_ratio = _energy_ratio(centred, residual, mean, unknown)
        spread = log_ratio.std(axis=0)
        if best is None or float(spread.sum()) < best[0]:
            best = (float(spread.sum()), ridge, spread, np.median(log_ratio, axis=0))
    assert best is not None
    _, ridge, spread, bias = best
    system = kernel + ridge * np.trace(kernel) / count * np.eye(count)
    predicted = mean + np.linalg.solve(system, against) @ centred
    # A photograph unlike all of the database (another renderer, another camera) would else be extrapolated from, and a
    # regression in logarithms goes wrong by factors: nowhere is skin smoother or rougher than somebody's is there.
    predicted = np.clip(predicted, flat.min(axis=0), flat.max(axis=0))
    result = predicted.reshape(known.shape) + 0.5 * bias[:, None]
    return Prediction(np.where(known, observed, result) + own_level[:, None], ridge, spread, 0.5 * bias)


def _levels(values: Array, known: NDArray[np.bool_]) -> Array:
    """``(N, B)`` mean of ``(N, B, P)`` over the known places of each band; 0 where none is known.

    How strong a band is on the whole follows the sharpness of the camera as much as the skin: where some of it is
    seen, its level is the photograph's own, and the database is asked for the pattern alone.
    """
    places = known.sum(axis=1)
    return np.asarray(np.where(known, values, 0.0).sum(axis=2) / np.maximum(places, 1))


def _leave_one_out(centred: Array, kernel: Array, ridge: float) -> Array:
    """``(N, D)`` true minus predicted for every sample left out in turn (closed form of kernel ridge)."""
    inverse = np.linalg.inv(kernel + ridge * np.eye(len(kernel)))
    return (inverse @ centred) / np.diag(inverse)[:, None]


def _energy_ratio(centred: Array, residual: Array, mean: Array, unknown: NDArray[np.bool_]) -> Array:
    """``(N, B)`` log of true over predicted energy, each summed over the unknown places of a band."""
    count, bands = len(centred), len(unknown)
    truth = np.exp(2.0 * (centred + mean)).reshape(count, bands, -1)
    guess = np.exp(2.0 * (centred + mean - residual)).reshape(count, bands, -1)
    return np.stack(
        [np.log(truth[:, b, unknown[b]].sum(axis=1) / guess[:, b, unknown[b]].sum(axis=1)) for b in range(bands)],
        axis=1,
    )

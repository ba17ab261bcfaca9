"""Signal detection (Green and Swets 1966): whether raters can tell renderings from photographs, apart from their bias.

A rendering is the signal, saying *fake* is the response: hits are renderings called fake, false alarms photographs
called fake. With ``z = Φ⁻¹``

- ``d′ = z(H) − z(F)``: 0 where renderings cannot be told from photographs, whatever a rater tends to say;
- ``c = −(z(H) + z(F)) / 2``: positive for raters who tend to say *real*.

Rates of 0 and 1 have no z, so half a count is added to hits and false alarms and one to the trials of either kind: the
log-linear correction (Hautus 1995), applied to everybody, which biases less than correcting the extreme ones alone.
Errors are by the delta method (Gourevitch and Galanter 1967): ``var d′ = H(1−H)/(n_s φ(z_H)²) + F(1−F)/(n_n φ(z_F)²)``,
``var c = var d′ / 4``. In the split-face design the rater compares two halves of one face, so its d′ tells one such
design from another and not from single pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics import statistics
from metrics.statistics import RESAMPLES, SEED, Z_95
from recon.errors import InputError
from study.analysis.fooling import Verdicts
from study.analysis.resampling import percentile_interval, resampling_weights
from study.contract import PHOTOGRAPH

Float = NDArray[np.float64]

LEAST_OWN_TRIALS = 8
"""Of either kind, for a rater's own d′ to enter a mean. The correction pulls rates of few trials further to ½ than
those of many: one rendering beside six photographs gives raters of d′ = 0 and c = 0.5 a mean of 0.22."""


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Arrays of one shape: d′, criterion c, and their standard errors; NaN where a kind of trial is missing."""

    d_prime: Float
    criterion: Float
    d_prime_error: Float
    criterion_error: Float


def sensitivity(
    hits: ArrayLike, signals: ArrayLike, false_alarms: ArrayLike, noises: ArrayLike, *, log_linear: bool = True
) -> Sensitivity:
    """d′ and c from counts, which broadcast.

    Args:
        hits: of ``signals`` trials with a signal; likewise ``false_alarms`` of ``noises`` trials without.
        log_linear: corrects as the module says; without it rates of 0 and 1 give infinite d′.
    """
    from scipy.special import ndtri

    counts = [np.asarray(value, np.float64) for value in (hits, signals, false_alarms, noises)]
    h, s, f, n = np.broadcast_arrays(*counts)
    half = 0.5 if log_linear else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        hit = np.where(s > 0, (h + half) / (s + 2 * half), np.nan)
        alarm = np.where(n > 0, (f + half) / (n + 2 * half), np.nan)
        z_hit, z_alarm = ndtri(hit), ndtri(alarm)
        variance = hit * (1 - hit) / ((s + 2 * half) * _density(z_hit) ** 2)
        variance = variance + alarm * (1 - alarm) / ((n + 2 * half) * _density(z_alarm) ** 2)
        error = np.sqrt(variance)
        return Sensitivity(z_hit - z_alarm, -0.5 * (z_hit + z_alarm), error, 0.5 * error)


def _density(z: Float) -> Float:
    return np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi)


@dataclass(frozen=True, eq=False)
class Detection:
    """How well renderings of a condition were told from photographs.

    Attributes:
        hit_rate, false_alarm_rate: pooled over raters, uncorrected; of renderings and photographs called fake.
        d_prime, d_prime_low, d_prime_high: of pooled counts, with the 95 % interval by bootstrap over raters, or from
            the standard error where all raters answered alike; likewise the criterion. Pooling raters of different
            criteria draws d′ towards 0, hence the next.
        mean_d_prime, mean_low, mean_high: mean of the own d′ of the ``own_raters`` who saw at least
            :data:`LEAST_OWN_TRIALS` of either kind, with its BCa interval; NaN where nobody did.
        by_rater: ``(R,)`` arrays, in the order of the raters of the verdicts; NaN where a rater lacks a kind of trial.
        raters: who saw both kinds.
    """

    condition: str
    raters: int
    hit_rate: float
    false_alarm_rate: float
    d_prime: float
    d_prime_low: float
    d_prime_high: float
    criterion: float
    criterion_low: float
    criterion_high: float
    mean_d_prime: float
    mean_low: float
    mean_high: float
    own_raters: int
    by_rater: Sensitivity


def detections(verdicts: Verdicts, *, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[Detection, ...]:
    """One for each condition but the photographs, over the raters who saw both.

    Raises:
        InputError: there are no verdicts of photographs, without which bias and sensitivity cannot be told apart.
    """
    if PHOTOGRAPH not in verdicts.names:
        raise InputError("there are no verdicts of photographs: d′ needs them beside those of renderings.")
    fake = verdicts.shown - verdicts.real
    noise = verdicts.names.index(PHOTOGRAPH)
    return tuple(
        _detection(
            name,
            np.stack([fake[:, i], verdicts.shown[:, i], fake[:, noise], verdicts.shown[:, noise]], axis=1),
            resamples,
            seed,
        )
        for i, name in enumerate(verdicts.names)
        if i != noise
    )


def _detection(condition: str, counts: Float, resamples: int, seed: int) -> Detection:
    """Of ``counts`` ``(R, 4)``: hits, signals, false alarms, noises of each rater."""
    both = (counts[:, 1] > 0) & (counts[:, 3] > 0)
    total = counts[both].sum(axis=0)
    pooled = sensitivity(*total)
    drawn = sensitivity(*(resampling_weights(max(1, both.sum()), resamples, seed) @ _at_least_one(counts[both])).T)
    replicates = np.stack([drawn.d_prime, drawn.criterion], axis=1)
    low, high = percentile_interval(replicates, int(both.sum()))
    half = Z_95 * np.array([pooled.d_prime_error, pooled.criterion_error])
    estimate, flat = np.array([pooled.d_prime, pooled.criterion]), low == high
    low, high = np.where(flat, estimate - half, low), np.where(flat, estimate + half, high)
    own = sensitivity(*counts.T)
    enough = counts[:, [1, 3]].min(axis=1) >= LEAST_OWN_TRIALS
    mean = statistics.mean_intervals(np.where(enough, own.d_prime, np.nan)[None], seed=seed)
    with np.errstate(invalid="ignore"):
        hit, alarm = total[0] / total[1], total[2] / total[3]
    return Detection(
        condition, int(both.sum()), float(hit), float(alarm), float(pooled.d_prime), float(low[0]), float(high[0]),
        float(pooled.criterion), float(low[1]), float(high[1]), float(mean.value[0]), float(mean.low[0]),
        float(mean.high[0]), int(enough.sum()), own,
    )  # fmt: skip


def _at_least_one(counts: Float) -> Float:
    """Nobody at all is drawn as somebody without a trial, whose d′ is NaN."""
    return counts if len(counts) else np.zeros((1, 4))

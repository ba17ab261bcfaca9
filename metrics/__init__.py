"""Numbers for every result of a run, and what may be concluded from them.

A metric compares a result with its reference (the photograph, or the truth where a subject has one) inside a region
and says which library, version, parameters and direction its number has. :data:`METRICS` names the known ones;
``metrics.evaluate`` computes what a run still lacks.
"""

from __future__ import annotations

from metrics.contract import Metric, SetMetric
from recon.registry import Registry

METRICS: Registry[Metric] = Registry(
    "metric",
    "mesoface.metrics",
    {
        "psnr": "metrics.pixel:PSNR",
        "ssim": "metrics.pixel:SSIM",
        "delta-e": "metrics.pixel:DELTA_E",
        "detail": "metrics.detail:DETAIL",
        "coverage": "metrics.contract:COVERAGE",
        "truth-albedo": "metrics.truth:ALBEDO",
        "truth-tone": "metrics.truth:TONE",
        "truth-detail": "metrics.truth:DETAIL",
        "truth-shape": "metrics.shape:SHAPE",
    },
)

SET_METRICS: Registry[SetMetric] = Registry("set metric", "mesoface.set_metrics", {})

__all__ = ["METRICS", "Metric", "SET_METRICS", "SetMetric"]

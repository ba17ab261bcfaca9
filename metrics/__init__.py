"""Numbers for every result of a run, and what may be concluded from them.

A metric compares a result with its reference (the photograph, or the truth where a subject has one) inside a region
and says which library, version, parameters and direction its number has. :data:`METRICS` names the known ones;
``metrics.evaluate`` computes what a run still lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.late_names import late_names
from recon.registry import Registry

if TYPE_CHECKING:
    from metrics.contract import Metric, SetMetric

METRICS: Registry[Metric] = Registry(
    "metric",
    "mesoface.metrics",
    {
        "psnr": "metrics.pixel:PSNR",
        "ssim": "metrics.pixel:SSIM",
        "ms-ssim": "metrics.ms_ssim:MS_SSIM",
        "flip": "metrics.flip:FLIP",
        "delta-e": "metrics.pixel:DELTA_E",
        "lpips-alex": "metrics.perceptual:ALEX",
        "lpips-vgg": "metrics.perceptual:VGG",
        "lpips-squeeze": "metrics.perceptual:SQUEEZE",
        "dists": "metrics.dists:DISTS",
        "vgg16-unlearned": "metrics.unlearned:VGG16",
        "vgg16-hed-unlearned": "metrics.unlearned:VGG16_HED",
        "detail": "metrics.detail:DETAIL",
        "spectrum": "metrics.spectrum:SPECTRUM",
        "local-energy": "metrics.local_energy:LOCAL_ENERGY",
        "placement": "metrics.local_energy:PLACEMENT",
        "patches": "metrics.patches:PATCH_DISTANCE",
        "gram": "metrics.gram:GRAM",
        "gram-vgg16-hed": "metrics.gram:GRAM_VGG16_HED",
        "gram-vgg19": "metrics.gram:GRAM_VGG19",
        "skin-tone": "metrics.skin_tone:TONE",
        "identity": "metrics.identity:IDENTITY",
        "coverage": "metrics.contract:COVERAGE",
        "truth-albedo": "metrics.truth:ALBEDO",
        "truth-tone": "metrics.truth:TONE",
        "truth-detail": "metrics.truth:DETAIL",
        "truth-shape": "metrics.shape:SHAPE",
        "truth-scan": "metrics.scan_distance:SCAN",
    },
)

SET_METRICS: Registry[SetMetric] = Registry(
    "set metric",
    "mesoface.set_metrics",
    {
        "identity-impostors": "metrics.identity:IMPOSTORS",
        "skin-tone-groups": "metrics.skin_tone:TONE_GROUP_ERRORS",
        "truth-tone-groups": "metrics.truth:TONE_GROUP_ERRORS",
        "kid": "metrics.kid:KID",
    },
)

__all__ = ["METRICS", "Metric", "SET_METRICS", "SetMetric"]

# A help text names metrics and waits for no NumPy.
__getattr__ = late_names(__name__, {"contract": ("Metric", "SetMetric")})

"""Whether a fit can be trusted: pass, doubt or fail, with the reasons in words.

Thresholds come from the distribution over the London set (neutral, frontal, sharp: what a good fit looks like); see
the table that ``benchmarks/fit.py`` prints. *Doubt* begins well outside of that distribution, *fail* where the model
no longer lies on the face. Yaw: on heads rendered at 40° to 60° the detector's landmarks made the fit answer 8° to 14°
too little, and the model left the far cheek by a hundredth of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "doubt", "fail"]


@dataclass(frozen=True)
class Threshold:
    """Limits of one quantity; above ``doubt`` the fit is doubtful, above ``fail`` it failed.

    Attributes:
        quantity: key of the measured value.
        doubt, fail: limits.
        words: what to tell the user; ``{value}`` is replaced.
    """

    quantity: str
    doubt: float
    fail: float
    words: str


_EYES = "of the distance between the eyes"
THRESHOLDS = (
    Threshold("landmark_error_relative", 0.055, 0.11, f"landmarks are off by {{value:.1%}} {_EYES}"),
    Threshold("inner_error_relative", 0.035, 0.07, f"eyes, nose and mouth are off by {{value:.1%}} {_EYES}"),
    Threshold(
        "identity_rms", 1.0, 1.6, "the face shape is unlikely (mean square coefficient {value:.2f}, not below 1)"
    ),
    Threshold("identity_largest", 3.5, 6.0, "a face shape coefficient is extreme ({value:.1f} standard deviations)"),
    Threshold("yaw", 30.0, 70.0, "the head is turned by {value:.0f}°"),
    Threshold("pitch", 35.0, 60.0, "the head is tilted up or down by {value:.0f}°"),
    Threshold("landmark_spread", 0.03, 0.10, "the landmark detector is unsure (spread {value:.1%})"),
    Threshold("light_residual", 0.40, 0.90, "the skin's brightness is off by {value:.0%} from any smooth light"),
    Threshold(
        "missing_skin", 0.60, 0.95, "{value:.0%} of the visible skin cannot be used (withheld, clipped, black, cut off)"
    ),
)
# Fewer pixels than this between the outer eye corners leave no texture to speak of.
DOUBTFUL_INTEROCULAR, TOO_SMALL_INTEROCULAR = 40.0, 12.0


def judge(measured: dict[str, float]) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on ``measured`` quantities (those of ``THRESHOLDS`` that are present, and ``interocular``)."""
    reasons: list[str] = []
    worst = 0
    for threshold in THRESHOLDS:
        value = measured.get(threshold.quantity)
        if value is None:
            continue
        # A value that is not a number is never good.
        grade = 2 if not value <= threshold.fail else 1 if value > threshold.doubt else 0
        if grade:
            reasons.append(threshold.words.format(value=value))
            worst = max(worst, grade)
    eyes = measured["interocular"]
    if not eyes >= DOUBTFUL_INTEROCULAR:
        worst = max(worst, 1 if eyes >= TOO_SMALL_INTEROCULAR else 2)
        reasons.append(f"the face is small ({eyes:.0f} px between the outer eye corners)")
    verdicts: tuple[Verdict, Verdict, Verdict] = ("pass", "doubt", "fail")
    return verdicts[worst], tuple(reasons)

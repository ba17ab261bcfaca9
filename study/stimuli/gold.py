"""Gold items: pictures with a known answer, to tell raters who look from raters who click.

A copy of the photograph that is strongly blurred and reduced to few steps of brightness is obviously not real; the
photograph as it is (in a split face: photograph beside photograph) is real. The first is made here, the second is a
condition.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recon.colour import linear_to_srgb, luminance, srgb_to_linear

Float = NDArray[np.float32]

# Standard deviation of the blur in parts of the distance between the outer eye corners: eyes and lips become blots.
BLUR = 0.05
# Steps of brightness, evenly spaced in sRGB.
STEPS = 8


def degraded(linear: Float, eyes: float) -> Float:
    """``(h, w, 3)`` linear RGB, blurred and posterised; colours keep their hue.

    Args:
        eyes: distance between the outer eye corners in pixels.
    """
    sigma = BLUR * eyes
    soft = gaussian_filter(linear, (sigma, sigma, 0), mode="nearest")
    light = luminance(soft)
    step = (np.floor(np.minimum(linear_to_srgb(light) * STEPS, STEPS - 1)) + 0.5) / STEPS
    return np.asarray(soft * (srgb_to_linear(step) / np.maximum(light, 1e-6))[..., None], np.float32)

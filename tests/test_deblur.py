"""Undoing blur against the closed form of its transfer function, g (2 − g) for a sine that a blur passes with g."""

from __future__ import annotations

import numpy as np
import pytest

from recon.texture.deblur import not_restored, restored
from recon.texture.masked import masked_gaussian

EVERYWHERE = np.ones((256, 256), bool)
INNER = (slice(64, -64), slice(64, -64))
BLUR = 4.0


def sine(wavelength: float) -> np.ndarray:
    return np.broadcast_to(np.sin(2 * np.pi * np.arange(256) / wavelength), (256, 256)).astype(np.float32)


def amplitude(image: np.ndarray, reference: np.ndarray) -> float:
    return float((image[INNER] * reference[INNER]).sum() / (reference[INNER] ** 2).sum())


@pytest.mark.parametrize("wavelength", [16, 32, 64])
def test_transfer_follows_the_closed_form(wavelength: float) -> None:
    pattern = sine(wavelength)
    passed = np.exp(-0.5 * (2 * np.pi / wavelength * BLUR) ** 2)
    once = masked_gaussian(pattern, EVERYWHERE, BLUR)
    # The kernel is cut at three standard deviations, which changes g by up to 0.01.
    assert amplitude(restored(once, EVERYWHERE, BLUR), pattern) == pytest.approx(passed * (2 - passed), abs=0.03)
    assert amplitude(not_restored(pattern, EVERYWHERE, BLUR), pattern) == pytest.approx((1 - passed) ** 2, abs=0.03)


def test_what_is_shown_and_what_is_missing_make_the_whole() -> None:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((64, 64)).astype(np.float32)
    mask = np.zeros((64, 64), bool)
    mask[8:50, 5:60] = True
    shown = restored(masked_gaussian(image, mask, BLUR) * mask, mask, BLUR)
    whole = shown + not_restored(image, mask, BLUR)
    np.testing.assert_allclose(whole[mask], image[mask], atol=1e-5)
    assert not whole[~mask].any()


def test_nothing_outside_the_mask_is_read() -> None:
    image = np.full((32, 32, 3), 0.5, np.float32)
    mask = np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    image[~mask] = np.nan
    out = restored(image, mask, BLUR)
    np.testing.assert_allclose(out[mask], 0.5, atol=1e-6)
    assert not out[~mask].any()

"""MS-SSIM: second opinions on whole pictures, an independent masked one on regions, and that nothing leaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from skimage import data

from metrics.contract import Judged
from metrics.ms_ssim import C1, C2, EXPONENTS, LEAST_SIDE, MS_SSIM, RADIUS, SIGMA, ms_ssim


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A colour photograph and a blurred, noisy copy."""
    clean = (data.astronaut()[:400, 60:420] / 255.0).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.06, clean.shape)
    return clean, np.clip(0.9 * clean + noise, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """An oval with the holes that eyes and mouth leave, off the grid of every scale."""
    rows, columns = np.mgrid[:400, :360]
    oval = np.hypot((rows - 203) / 1.25, columns - 181) < 141
    for row, column in ((150, 120), (150, 245), (290, 180)):
        oval &= np.hypot(rows - row, (columns - column) / 1.5) > 18
    return oval


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, -1, 0)))[None]


def grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture.mean(axis=-1, keepdims=True), 3, axis=-1)


def test_a_whole_grey_picture_gives_what_pytorch_msssim_gives(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Grey, because pytorch-msssim multiplies the scales of R, G and B one by one; sides of whole cells, because it
    pads odd ones."""
    from pytorch_msssim import ms_ssim as second_opinion

    clean, noisy = (grey(picture[:384, :352]) for picture in pair)
    expected = float(second_opinion(tensor(noisy), tensor(clean), data_range=1.0))
    assert ms_ssim(noisy, clean, np.ones(clean.shape[:2], bool)) == pytest.approx(expected, abs=1e-5)


def test_a_whole_colour_picture_gives_what_torchmetrics_gives(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """To 1e-3: torchmetrics also counts windows of the last scale that reach over the border and are mirrored there."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as second_opinion

    clean, noisy = pair
    expected = float(second_opinion(tensor(noisy), tensor(clean), data_range=1.0))
    assert ms_ssim(noisy, clean, np.ones(clean.shape[:2], bool)) == pytest.approx(expected, abs=1e-3)


def masked_by_definition(result: np.ndarray, reference: np.ndarray, region: np.ndarray) -> float:
    """The module's equations in float64 on the whole picture: no box, no padding, no shared moments."""
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    taps /= taps.sum()

    def window(plane: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            plane = correlate1d(plane, taps, axis=axis, mode="constant")
        return plane[RADIUS:-RADIUS, RADIUS:-RADIUS]

    def halve(plane: np.ndarray) -> np.ndarray:
        rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
        return plane[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))

    weight, product = region.astype(float), 1.0
    x, y = (np.where(region[..., None], picture, 0).astype(float) for picture in (result, reference))
    for index, exponent in enumerate(EXPONENTS):
        centre, reached = weight[RADIUS:-RADIUS, RADIUS:-RADIUS], np.maximum(window(weight), 1e-12)
        total = 0.0
        for c in range(3):
            a, b = x[..., c], y[..., c]
            ma, mb, aa, bb, ab = (window(weight * p) / reached for p in (a, b, a * a, b * b, a * b))
            value = (2 * (ab - ma * mb) + C2) / (aa - ma**2 + bb - mb**2 + C2)
            if index == len(EXPONENTS) - 1:
                value = value * (2 * ma * mb + C1) / (ma**2 + mb**2 + C1)
            total += (centre * value).sum() / centre.sum() / 3
        product *= max(total, 0) ** exponent
        coarser = halve(weight)
        safe = np.where(coarser > 0, coarser, 1)
        x, y = (np.stack([halve(weight * p[..., c]) / safe for c in range(3)], axis=-1) for p in (x, y))
        weight = coarser
    return product


def test_a_region_gives_what_the_definition_gives(pair: tuple[np.ndarray, np.ndarray], face: np.ndarray) -> None:
    clean, noisy = pair
    for region in (
        face,
        face & (np.arange(360) > 140),
        np.roll(face, (-20, -37), (0, 1)),
        np.roll(face, (21, 38), (0, 1)),
    ):
        assert ms_ssim(noisy, clean, region) == pytest.approx(masked_by_definition(noisy, clean, region), abs=2e-6)


@pytest.mark.parametrize("poison", [np.nan, 1e9, -1e9])
def test_nothing_outside_the_region_is_read(
    pair: tuple[np.ndarray, np.ndarray], face: np.ndarray, poison: float
) -> None:
    spoiled = [np.where(face[..., None], picture, np.float32(poison)) for picture in pair]
    assert ms_ssim(spoiled[1], spoiled[0], face) == ms_ssim(pair[1], pair[0], face)


def test_equal_inside_the_region_is_one_whatever_is_outside(
    pair: tuple[np.ndarray, np.ndarray], face: np.ndarray
) -> None:
    clean, noisy = pair
    assert ms_ssim(np.where(face[..., None], clean, noisy), clean, face) == pytest.approx(1.0, abs=1e-6)


def test_errors_beside_a_hole_count_in_full(pair: tuple[np.ndarray, np.ndarray], face: np.ndarray) -> None:
    """An error inside the region lowers the value, though no window of the coarsest scale lies inside it."""
    clean, _ = pair
    rows, columns = np.mgrid[:400, :360]
    beside = face & (np.hypot(rows - 150, columns - 120) < 40)
    wrong = np.where(beside[..., None], 1 - clean, clean)
    assert ms_ssim(wrong, clean, face) < 0.98


def test_a_region_that_does_not_hold_five_scales_has_no_value(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    side = np.zeros(clean.shape[:2], bool)
    side[:, : LEAST_SIDE - 1] = True
    assert np.isnan(ms_ssim(noisy, clean, side))
    side[:, :LEAST_SIDE] = True
    assert np.isfinite(ms_ssim(noisy, clean, side))
    assert np.isnan(ms_ssim(noisy, clean, np.zeros_like(side)))
    assert np.isnan(ms_ssim(noisy[:100], clean[:100], np.ones((100, 360), bool)))


def test_the_least_picture_has_one_window_at_the_coarsest_scale(pair: tuple[np.ndarray, np.ndarray]) -> None:
    from pytorch_msssim import ms_ssim as second_opinion

    clean, noisy = (grey(picture[:LEAST_SIDE, :LEAST_SIDE]) for picture in pair)
    expected = float(second_opinion(tensor(noisy), tensor(clean), data_range=1.0))
    assert ms_ssim(noisy, clean, np.ones((LEAST_SIDE, LEAST_SIDE), bool)) == pytest.approx(expected, abs=1e-5)


def test_a_batch_gives_what_single_results_give(pair: tuple[np.ndarray, np.ndarray], face: np.ndarray) -> None:
    clean, noisy = pair
    half = face & (np.arange(360) > 140)
    batch = [Judged(r, clean, m, m, m) for r, m in ((noisy, face), (clean, face), (noisy, half), (noisy, face[::-1]))]
    found = [values[0] for values in MS_SSIM.measure(batch, "cpu")]
    assert found == [ms_ssim(judged.result, clean, judged.region) for judged in batch]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_cpu_gives(pair: tuple[np.ndarray, np.ndarray], face: np.ndarray) -> None:
    assert ms_ssim(pair[1], pair[0], face, "cuda") == pytest.approx(ms_ssim(pair[1], pair[0], face), abs=1e-5)

"""Filters inside a mask: nothing outside is read, and on a full mask they are the plain filters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, label

from recon.texture.bands import split_bands
from recon.texture.detail_bands import band_sigmas
from recon.texture.gaussian import filtered_by_torch, filtering_on, gaussian
from recon.texture.masked import dilate, erode, extend, feather, large_components, masked_gaussian
from recon.texture.residual import join_detail, local_deviation, split_detail


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    rows, columns = np.mgrid[:60, :50]
    disc = np.hypot(rows - 30, columns - 22) < 19
    disc[25:30, 20:24] = False
    return disc


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (60, 50, 3)).astype(np.float32)


def disc(radius: int) -> np.ndarray:
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(rows**2 + columns**2 <= radius**2)


@pytest.mark.filterwarnings("ignore:invalid value")  # arithmetic on what is thrown away
@pytest.mark.parametrize("fill", [np.nan, np.inf, 1e9, -1e9])
def test_what_lies_outside_is_never_read(mask: np.ndarray, image: np.ndarray, fill: float) -> None:
    spoilt = np.where(mask[..., None], image, fill).astype(np.float32)
    for sigma in (0.0, 0.7, 3.0):
        assert np.array_equal(masked_gaussian(spoilt, mask, sigma), masked_gaussian(image, mask, sigma))
    assert np.array_equal(extend(spoilt, mask), extend(image, mask))
    one, other = split_detail(spoilt, mask), split_detail(image, mask)
    for name in ("low", "luma", "chroma", "beta"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    bands = [np.stack(split_bands(picture[..., 0], mask, (1.0, 2.0))[0]) for picture in (spoilt, image)]
    assert np.array_equal(*bands)
    deviations = [local_deviation(picture[..., 0], mask, 2.0) for picture in (spoilt, image)]
    assert np.array_equal(*deviations)


def test_on_a_full_mask_it_is_scipys_filter(image: np.ndarray) -> None:
    everywhere = np.ones(image.shape[:2], bool)
    found = masked_gaussian(image, everywhere, 2.0, truncate=3.0)
    expected = gaussian_filter(image, (2, 2, 0), truncate=3.0)
    assert np.abs(found - expected)[7:-7, 7:-7].max() < 1e-6
    grey = masked_gaussian(image[..., 0], everywhere, 2.0)
    assert np.array_equal(grey, found[..., 0])


def test_the_masked_mean_is_the_weighted_mean_of_seen_texels(mask: np.ndarray, image: np.ndarray) -> None:
    """Against the definition, one texel at a time."""
    sigma, reach = 1.5, 5  # 3 · 1.5 rounds to 5
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (steps / sigma) ** 2)
    weights = np.outer(kernel, kernel)
    found = masked_gaussian(image, mask, sigma)
    for row, column in [(30, 5), (24, 22), (12, 22), (30, 22)]:
        window = (slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1))
        share = weights * mask[window]
        expected = (share[..., None] * image[window]).sum(axis=(0, 1)) / share.sum()
        assert found[row, column] == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def scattered() -> np.ndarray:
    """Holes all over, a hair one texel wide, two texels far from anything, one of them in the corner."""
    rng = np.random.default_rng(7)
    mask = np.zeros((200, 190), bool)
    mask[20:100, 15:90] = rng.random((80, 75)) < 0.4
    mask[120:170, 150] = True
    mask[170, 30] = mask[199, 189] = True
    return mask


@pytest.mark.parametrize("sigma", [3.0, 4.0, 8.0, 20.0, 45.0])
def test_small_weights_divide_as_well_as_large_ones(
    scattered: np.ndarray, sigma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the definition in double precision, values over eight decades, weights down to the least that counts.

    Inside the mask the weight is at least that of the kernel's middle, 1 / (2 π σ²); beyond, down to 1e-6.
    """
    rng = np.random.default_rng(8)
    image = (10 ** rng.uniform(-4, 0, scattered.shape)).astype(np.float32)
    image[:, 100:] *= 1e-4

    def sums(values: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(values.astype(np.float64), sigma, mode="constant", truncate=3.0))

    weight = sums(scattered)
    counts, never = weight > 1.00001e-6, weight < 0.99999e-6
    expected = sums(np.where(scattered, image, 0)) / np.where(counts, weight, 1)
    found = masked_gaussian(image, scattered, sigma)
    np.testing.assert_allclose(found[scattered], expected[scattered], rtol=3e-7)
    np.testing.assert_allclose(found[counts], expected[counts], rtol=1e-6)
    assert not found[never].any()
    constant = masked_gaussian(np.full(scattered.shape, 0.37, np.float32), scattered, sigma)
    np.testing.assert_allclose(constant[counts], 0.37, rtol=3e-7)
    # No worse than direct passes.
    monkeypatch.setattr("recon.texture.gaussian.SPECTRAL_RADIUS", 1000)
    monkeypatch.setattr("recon.texture.masked._normalisations", {})
    directly = masked_gaussian(image, scattered, sigma)

    def error(values: np.ndarray) -> float:
        return float(np.abs(values[scattered] / expected[scattered] - 1.0).max())

    assert error(found) <= 1.5 * error(directly)


@pytest.mark.parametrize("sigma", [0.0, 1.5, 6.0])
def test_a_mask_that_is_moved_moves_its_means(sigma: float) -> None:
    """Only the mask with its surroundings is filtered: to where it lies, and to the square's edges, nothing is due."""
    rng = np.random.default_rng(9)
    patch, values = rng.random((14, 11)) > 0.3, rng.random((14, 11, 3)).astype(np.float32)
    found = []
    for row, column in ((30, 40), (50, 25)):
        mask, image = np.zeros((100, 90), bool), rng.random((100, 90, 3)).astype(np.float32)
        mask[row : row + 14, column : column + 11] = patch
        image[row : row + 14, column : column + 11] = values
        means = masked_gaussian(image, mask, sigma)
        found.append(np.roll(means, (-row, -column), axis=(0, 1)))
    np.testing.assert_array_equal(*found)
    assert found[0].any()
    corner = np.zeros((100, 90), bool)
    corner[:14, :11] = patch
    padded = np.zeros((100, 90, 3), np.float32)
    padded[:14, :11] = values
    cut = masked_gaussian(padded, corner, sigma)
    np.testing.assert_allclose(cut[:60, :50], found[0][:60, :50], rtol=3e-7, atol=1e-9)


def test_a_constant_stays_and_out_of_reach_is_zero(mask: np.ndarray) -> None:
    smooth = masked_gaussian(np.full(mask.shape, 0.37, np.float32), mask, 2.0)
    assert smooth[mask] == pytest.approx(0.37, abs=1e-6)
    assert (smooth[:, 49] == 0).all()
    assert not masked_gaussian(np.ones_like(mask, np.float32), np.zeros_like(mask), 2.0).any()


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_erosion_and_dilation_are_those_by_a_disc(mask: np.ndarray, radius: int) -> None:
    assert np.array_equal(erode(mask, radius), binary_erosion(mask, disc(radius)))
    assert np.array_equal(dilate(mask, radius), binary_dilation(mask, disc(radius)))


def test_the_edge_of_the_square_counts_as_outside() -> None:
    full = np.ones((9, 9), bool)
    assert np.array_equal(erode(full, 2.0), np.pad(np.ones((5, 5), bool), 2))
    assert not dilate(~full, 3.0).any() and not erode(~full, 3.0).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 4.0))
def test_opening_never_grows_and_erosion_is_dilation_of_the_outside(seed: int, radius: float) -> None:
    mask = gaussian_filter(np.random.default_rng(seed).normal(size=(24, 20)), 1.5) > 0
    small, large = erode(mask, radius), dilate(mask, radius)
    assert not (small & ~mask).any() and not (mask & ~large).any()
    assert not (dilate(small, radius) & ~mask).any()
    outside = np.pad(~mask, 1, constant_values=True)
    assert np.array_equal(small, ~dilate(outside, radius)[1:-1, 1:-1])


def test_feather_rises_from_zero_to_one(mask: np.ndarray) -> None:
    soft = feather(mask, 6.0)
    assert (soft[~mask] == 0).all() and (soft[mask] > 0).all()
    # At `width` texels from the nearest one outside it is 1, half way it is a half.
    assert (soft[erode(mask, 5.999)] == 1).all() and (soft[mask & ~erode(mask, 5.999)] < 1).all()
    line = feather(np.pad(np.ones((1, 40), bool), ((20, 20), (0, 0))) | np.ones((41, 40), bool), 8.0)[20]
    assert line[3] == pytest.approx(0.5) and (np.diff(line[:8]) > 0).all()


def test_extension_keeps_what_is_known_and_invents_no_new_extremes(mask: np.ndarray, image: np.ndarray) -> None:
    full = extend(image, mask)
    assert np.abs(full[mask] - image[mask]).max() < 1e-6
    known = image[mask]
    assert (full >= known.min(axis=0) - 1e-5).all() and (full <= known.max(axis=0) + 1e-5).all()
    assert extend(np.full((60, 50), 0.4), mask) == pytest.approx(0.4, abs=1e-6)
    single = np.zeros((13, 7), bool)
    single[3, 2] = True
    assert extend(np.where(single, 0.9, np.nan), single) == pytest.approx(0.9, abs=1e-6)


def test_extension_continues_smoothly(mask: np.ndarray) -> None:
    """A slow ramp goes on without a step at the rim of what is known."""
    ramp = np.broadcast_to(np.linspace(0.3, 0.6, 50, dtype=np.float32), mask.shape)
    full = extend(ramp, mask)
    near = dilate(mask, 2.0)
    assert np.abs(full - ramp)[near].max() < 0.03
    assert np.abs(np.diff(full, axis=1)).max() < 0.03


def test_specks_are_dropped_by_their_share() -> None:
    mask = np.zeros((30, 30), bool)
    mask[2:22, 2:22] = True  # 400 texels
    mask[25:29, 25:29] = True  # 16 texels
    mask[24, 2] = True
    assert label(large_components(mask, 0.02))[1] == 2
    assert large_components(mask, 0.05).sum() == 400
    assert not large_components(np.zeros_like(mask), 0.1).any()


def test_bands_and_their_rest_add_up(mask: np.ndarray, image: np.ndarray) -> None:
    bands, rest = split_bands(image[..., 0], mask, (1.0, 2.0, 4.0))
    assert bands.shape == (3, 60, 50) and bands.dtype == rest.dtype == np.float32
    assert np.abs(bands.sum(axis=0) + rest - image[..., 0])[mask].max() < 1e-6
    assert (bands[:, ~mask] == 0).all() and (rest[~mask] == 0).all()
    assert band_sigmas(512) == (1.0, 2.0, 4.0) and band_sigmas(128) == (0.25, 0.5, 1.0)


def test_a_sine_falls_into_bands_by_its_transfer_function() -> None:
    """Gaussian transfer function ``exp(−σ²ω²/2)``; the kernel is cut at 3 σ, which costs a percent."""
    omega = 2 * np.pi / 10
    wave = np.broadcast_to(np.sin(omega * np.arange(120)), (120, 120))
    bands, _ = split_bands(wave, np.ones((120, 120), bool), (1.0, 2.0, 4.0))
    passed = np.exp(-0.5 * (np.array([0.0, 1.0, 2.0, 4.0]) * omega) ** 2)
    inner = bands[:, 30:-30, 30:-30]
    assert inner.std(axis=(1, 2)) * np.sqrt(2) == pytest.approx(passed[:-1] - passed[1:], abs=0.015)


def test_split_and_joined_detail_is_the_albedo(mask: np.ndarray, image: np.ndarray) -> None:
    soft = (0.4 + 0.2 * (image - 0.5)).astype(np.float32)  # relative detail below the limit of 0.6
    parts = split_detail(soft, mask)
    joined = join_detail(parts.low, parts.luma, parts.chroma, parts.beta)
    assert np.abs(joined - soft)[mask].max() < 1e-5
    assert (parts.luma[~mask] == 0).all() and (parts.chroma[~mask] == 0).all()
    # β is the least-squares regression of each channel on the luma detail, so ε is orthogonal to it.
    assert np.abs((parts.chroma[mask] * parts.luma[mask][:, None]).sum(axis=0)).max() < 1e-3


def test_grey_detail_is_all_luma(mask: np.ndarray, image: np.ndarray) -> None:
    """Equal relative detail in all channels: β = 1 and no chroma is left."""
    grain = 1 + 0.1 * (image[..., :1] - 0.5)
    parts = split_detail((grain * np.array([0.5, 0.3, 0.2])).astype(np.float32), mask)
    assert parts.beta == pytest.approx([1, 1, 1], abs=1e-4)
    assert np.abs(parts.chroma).max() < 1e-5


def test_the_filter_of_a_gpu_is_the_filter_of_the_host() -> None:
    """The kernel is SciPy's; torch on the host stands for torch on a GPU."""
    rng = np.random.default_rng(3)
    for shape in ((41, 57), (41, 57, 3)):
        image = rng.normal(size=shape).astype(np.float32)
        for sigma, truncate in ((0.4, 3.0), (2.5, 3.0), (7.0, 4.0)):
            host = gaussian(image, sigma, truncate)
            assert host.shape == shape
            np.testing.assert_allclose(filtered_by_torch(image, sigma, truncate, "cpu"), host, atol=2e-6)


def test_what_is_kept_of_a_mask_is_not_taken_for_another_mask() -> None:
    """A constant stays constant inside any mask; the second time the kept normalisation is used."""
    rng = np.random.default_rng(4)
    for mask in (rng.random((30, 40)) > 0.5, rng.random((30, 40)) > 0.5, rng.random((40, 30)) > 0.5):
        for sigma in (1.0, 3.0, 1.0):
            np.testing.assert_allclose(masked_gaussian(np.full(mask.shape, 2.0), mask, sigma)[mask], 2.0, atol=1e-5)


def test_what_is_kept_on_one_device_is_not_used_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what a database keeps for everybody would depend on what its process filtered on a GPU before."""
    monkeypatch.setattr("recon.texture.gaussian.filtered_by_torch", lambda image, *_: np.full_like(image, 0.5))
    mask = np.random.default_rng(6).random((20, 30)) > 0.5
    with filtering_on("cuda"):
        np.testing.assert_array_equal(masked_gaussian(np.ones(mask.shape), mask, 2.0), 1.0)
        with filtering_on("cpu"):
            np.testing.assert_allclose(masked_gaussian(np.full(mask.shape, 2.0), mask, 2.0)[mask], 2.0, atol=1e-5)

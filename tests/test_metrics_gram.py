"""Correlation distance: the definition, closed forms, what is loaded, and that masks do not leak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from relief_toy import SIZE, blurred, judged, region, relief, skin, spoiled, white
from scipy.ndimage import gaussian_filter

from metrics.contract import Judged, Memo
from metrics.detail import relative_detail
from metrics.gram import (
    FILTERS,
    GRAM,
    GRAM_VGG16_HED,
    GRAM_VGG19,
    SIZES,
    UNIT_CONTRAST,
    bank_distances,
    correlation_distance,
    masked_correlations,
)
from metrics.networks.weights import tensors_sha256
from metrics.regions import eroded
from recon.errors import AssetError
from recon.texture.features import RESIDUAL_LAYERS, FilterBank, load_extractor


def distances(pair: Judged) -> list[float]:
    """Luma fine and coarse, chroma fine and coarse."""
    return list(bank_distances([pair], "cpu")[0])


def grain(down: float, across: float, seed: int) -> np.ndarray:
    """Noise of deviation 1 drawn out along one axis."""
    field = gaussian_filter(white(seed), (down, across))
    return np.asarray(field / field.std())


def test_correlations_are_those_of_the_definition() -> None:
    """G = 1/|M| Σ F Fᵀ over the texels whose window of 11² lies where the bands are not lopsided."""
    detail = relative_detail(skin(0.04 * relief(0)), region())
    bank = FilterBank(1, sizes=SIZES, filters=FILTERS)
    residual = torch.from_numpy(detail.bands[0].sum(axis=0) / np.float32(UNIT_CONTRAST))
    features = bank(residual[None, None])[0][0].numpy().astype(np.float64)
    seen = features[:, eroded(detail.counted, 5)]
    found = masked_correlations(detail, bank, "cpu")[0]
    assert found is not None
    assert found.numpy() == pytest.approx(seen @ seen.T / seen.shape[1], rel=1e-3, abs=1e-4)


def test_a_gpu_is_told_to_compute_in_full_float32() -> None:
    """TF32 is PyTorch's default for convolutions, and would make numbers of a GPU others than those of a processor."""
    allowed: list[bool] = []

    class Watched(FilterBank):
        def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
            allowed.append(torch.backends.cudnn.allow_tf32)
            return super().forward(image)

    before = torch.backends.cudnn.allow_tf32
    detail = relative_detail(skin(0.04 * relief(0)), region())
    masked_correlations(detail, Watched(1, sizes=SIZES, filters=FILTERS), "cpu")
    assert (before, allowed, torch.backends.cudnn.allow_tf32) == (True, [False], True)


def test_equal_textures_have_no_distance() -> None:
    picture = skin(0.05 * relief(0), 0.02 * relief(1))
    assert distances(judged(picture, picture.copy())) == [0.0] * 4


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_contrast_counts_by_its_square(factor: float) -> None:
    """The bank is rectified and linear; only the local mean that divides the detail moves besides."""
    one, two = (skin(c * 0.02 * relief(0), c * 0.01 * relief(1)) for c in (1.0, factor))
    assert distances(judged(two, one)) == pytest.approx([abs(factor**2 - 1)] * 4, rel=0.06)


def test_direction_is_seen_beyond_energy() -> None:
    """Grain of equal power that runs across instead of down; another draw of the same grain is the scale."""
    down = skin(0.03 * grain(3.0, 0.7, 0))
    again, across = skin(0.03 * grain(3.0, 0.7, 1)), skin(0.03 * grain(0.7, 3.0, 2))
    for same, turned in zip(distances(judged(again, down))[:2], distances(judged(across, down))[:2], strict=True):
        assert turned > 5 * same


def test_distance_grows_with_blur() -> None:
    picture = skin(0.04 * relief(0), 0.02 * relief(1))
    softer = [distances(judged(blurred(picture, s), picture)) for s in (0.0, 0.5, 2.0)]
    assert (np.diff(softer, axis=0) > 0).all()


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_outside_the_region_is_read(poison: float) -> None:
    ours, theirs = skin(0.04 * relief(0), 0.02 * relief(1)), skin(0.05 * relief(2), 0.02 * relief(3))
    found = distances(judged(spoiled(ours, poison), spoiled(theirs, -poison)))
    assert found == distances(judged(ours, theirs)) and min(found) > 0


def test_too_little_skin_and_a_flat_reference_have_no_value() -> None:
    picture, black = skin(0.04 * relief(0)), np.zeros((SIZE, SIZE, 3), np.float32)
    small = np.zeros((SIZE, SIZE), bool)
    small[100:170, 100:170] = True  # 46², of which the fine layer sees 36² and the coarse one 24²
    fine, coarse = distances(judged(picture, picture, small))[:2]
    assert fine == 0.0 and np.isnan(coarse)
    assert np.isnan(distances(judged(picture, picture, np.zeros_like(small)))).all()
    assert np.isnan(distances(judged(picture, black))).all()


def test_the_reference_is_worked_out_once() -> None:
    """A second result is compared with what is kept, whatever its own copy of the reference holds."""
    one, two, reference = (skin(0.04 * relief(seed), 0.02 * relief(seed + 5)) for seed in range(3))
    kept = Memo()
    distances(judged(one, reference, kept=kept))
    assert distances(judged(two, np.full_like(reference, np.nan), kept=kept)) == distances(judged(two, reference))


def test_the_distance_is_relative_and_needs_both() -> None:
    matrix = torch.eye(3)
    assert correlation_distance(3 * matrix, matrix) == pytest.approx(2.0)
    assert np.isnan(correlation_distance(None, matrix)) and np.isnan(correlation_distance(matrix, None))
    assert np.isnan(correlation_distance(matrix, 0 * matrix))


def test_absent_weights_are_said_to_be_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert GRAM.weights is None and GRAM_VGG19.weights is not None
    monkeypatch.setenv("MESOFACE_ASSET_VGG19", str(tmp_path / "nowhere.pth"))
    with pytest.raises(AssetError, match="vgg19"):
        GRAM_VGG19.weights()


def test_the_edge_detector_sees_texture_and_says_what_it_holds(asset: Callable[[str], Path]) -> None:
    file = asset("vgg16-hed")
    assert GRAM_VGG16_HED.weights is not None
    weights = GRAM_VGG16_HED.weights()
    held = load_extractor("vgg16-hed", 1, RESIDUAL_LAYERS).state_dict()
    assert (weights.net, weights.sha256, weights.source) == ("vgg16-hed", tensors_sha256(held), file.name)
    mask = region().copy()
    mask[:, 280:] = False
    picture, other = skin(0.04 * relief(0)), skin(0.04 * relief(1))
    batch = [
        judged(spoiled(result, poison, mask), picture, mask)
        for result, poison in ((picture, 0), (other, 0), (other, np.nan), (blurred(picture, 2.0), 0))
    ]
    same, alike, spoilt, soft = GRAM_VGG16_HED.measure(batch, "cpu")
    assert list(same) == [0.0] * len(RESIDUAL_LAYERS) and list(alike) == list(spoilt)
    assert (np.array(soft) > 2 * np.array(alike)).all() and min(alike) > 0

"""Synthesis: losses fall, texture gains the energy of the truth, the same call gives the same bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from texture_toy import skin_texture, toy_database
from torch import Tensor

from recon.texture.bands import split_bands
from recon.texture.cells import cell_names
from recon.texture.combination import Combination
from recon.texture.correlation import cell_correlations, cell_means, image_cells
from recon.texture.detail_database import DetailDatabase, whiten
from recon.texture.features import FilterBank
from recon.texture.residual import split_detail
from recon.texture.skin_detail import Matched, donor_detail, synthesise_detail
from recon.texture.synthesis import CorrelationTarget, correlation_loss, minimise

SIDE = 64


def woven(seed: int) -> np.ndarray:
    """``(S, S)`` grain of unit deviation, three times as long across as down."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), (0.6, 1.8), mode="wrap")
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def targets_from(image: np.ndarray, bank: FilterBank, cells: Tensor) -> list[CorrelationTarget]:
    maps = bank(torch.from_numpy(image)[None, None])
    found = []
    for feature, cell in zip(maps, image_cells(bank.layers, cells, maps), strict=True):
        mean = cell_means(feature[0], cell)
        found.append(CorrelationTarget(cell, cell_correlations(feature[0], cell, mean), torch.ones(len(cells)), mean))
    return found


@pytest.fixture(scope="module")
def bank() -> FilterBank:
    return FilterBank(filters=16)


@pytest.fixture(scope="module")
def whole() -> Tensor:
    return torch.ones((1, SIDE, SIDE), dtype=torch.bool)


def band_energy(image: np.ndarray) -> np.ndarray:
    bands, _ = split_bands(image, np.ones(image.shape, bool), (1.0, 2.0, 4.0))
    return np.asarray((bands**2).mean(axis=(1, 2)))


def test_the_loss_is_zero_at_the_truth_and_one_without_texture(bank: FilterBank, whole: Tensor) -> None:
    """``‖G − Ĝ‖² / ‖Ĝ‖²``: nothing at the target itself; one a layer where G is zero."""
    image = woven(0)
    targets = targets_from(image, bank, whole)
    maps = bank(torch.from_numpy(image)[None, None])
    assert float(correlation_loss(targets, maps)) == pytest.approx(0, abs=1e-10)
    at_mean = [torch.zeros_like(f) + t.mean.view(1, -1, 1, 1) for f, t in zip(maps, targets, strict=True)]
    assert float(correlation_loss(targets, at_mean)) == pytest.approx(2.0, abs=1e-5)


def test_the_loss_weighs_cells(bank: FilterBank) -> None:
    """A cell of weight zero has no say, whatever its texels do."""
    cells = torch.zeros((2, SIDE, SIDE), dtype=torch.bool)
    cells[0, :, :32], cells[1, :, 32:] = True, True
    targets = targets_from(woven(0), bank, cells)
    spoilt = woven(0)
    spoilt[:, 48:] = 5.0
    maps = bank(torch.from_numpy(spoilt)[None, None])
    assert float(correlation_loss(targets, maps)) > 0.1
    ignoring = [CorrelationTarget(t.cells, t.correlations, torch.tensor([1.0, 0.0]), t.mean) for t in targets]
    assert float(correlation_loss(ignoring, maps)) == pytest.approx(0, abs=1e-8)


@pytest.fixture(scope="module")
def synthesised(bank: FilterBank, whole: Tensor) -> tuple[np.ndarray, list[float]]:
    """From a soft, weak start to the correlations of woven grain."""
    targets = targets_from(woven(0), bank, whole)
    start = torch.from_numpy(0.3 * gaussian_filter(woven(1), 1.0))[None, None]
    image, record = minimise(start, lambda x: correlation_loss(targets, bank(x)), 60)
    assert record.first == record.losses[0] and record.last == min(record.losses)
    return image[0, 0].numpy(), record.losses


def test_synthesis_lowers_its_loss(synthesised: tuple[np.ndarray, list[float]]) -> None:
    _, losses = synthesised
    assert min(losses) < 0.02 * losses[0]


def test_synthesis_raises_the_energy_of_every_band_to_the_truths(synthesised: tuple[np.ndarray, list[float]]) -> None:
    image, _ = synthesised
    truth = band_energy(woven(0))
    before = band_energy(0.3 * gaussian_filter(woven(1), 1.0)) / truth
    after = band_energy(image) / truth
    assert (before < 0.2).all()
    assert after == pytest.approx([1, 1, 1], abs=0.3)


def test_synthesis_learns_the_direction_of_the_grain(synthesised: tuple[np.ndarray, list[float]]) -> None:
    """How much longer the grain is across than down: its correlation over two texels, as that of the pattern."""

    def lean(image: np.ndarray) -> float:
        centred = image - image.mean()
        return float(((centred[:, 2:] * centred[:, :-2]).mean() - (centred[2:] * centred[:-2]).mean()) / image.var())

    image, _ = synthesised
    assert lean(image) == pytest.approx(lean(woven(0)), abs=0.15)
    assert lean(woven(0)) > 0.3


def test_the_same_call_gives_the_same_bits(bank: FilterBank, whole: Tensor) -> None:
    targets = targets_from(woven(0), bank, whole)
    start = torch.from_numpy(woven(1))[None, None]
    runs = [minimise(start, lambda x: correlation_loss(targets, bank(x)), 5) for _ in range(2)]
    assert torch.equal(runs[0][0], runs[1][0]) and runs[0][1].losses == runs[1][1].losses
    assert torch.equal(start, torch.from_numpy(woven(1))[None, None])  # the start is left alone


def test_the_best_image_is_returned_not_the_last() -> None:
    """A quadratic has its minimum in closed form; the image that is returned has the loss that is reported."""
    goal = torch.linspace(-1, 1, 36).reshape(1, 1, 6, 6)
    scale = torch.linspace(1, 30, 36).reshape(1, 1, 6, 6)

    def loss(image: Tensor) -> Tensor:
        return (scale * (image - goal).square()).sum()

    image, record = minimise(torch.zeros(1, 1, 6, 6), loss, 40)
    assert float(loss(image)) == pytest.approx(record.last, abs=1e-9) and record.last < 1e-6
    assert not image.requires_grad
    losses: list[float] = []

    def souring(image: Tensor) -> Tensor:
        losses.append(float(loss(image.detach())) + 1e3 * len(losses))
        return loss(image) + 1e3 * (len(losses) - 1)

    image, record = minimise(torch.zeros(1, 1, 6, 6), souring, 40)
    assert record.losses == pytest.approx(losses) and len(losses) > 4
    assert losses[0] == min(losses) and image.abs().max() == 0


@pytest.fixture(scope="module")
def details(tmp_path_factory: pytest.TempPathFactory) -> DetailDatabase:
    return DetailDatabase(toy_database(tmp_path_factory.mktemp("synthesis")))


def test_skin_detail_comes_nearer_to_its_database(details: DetailDatabase) -> None:
    """At every scale the loss falls; outside the skin nothing is drawn."""
    bank = FilterBank(filters=8)
    matched = Matched(Combination(np.eye(6)[1], 0.0, 0.0, 1))
    _, detail = donor_detail(details, np.eye(6)[4])
    start = whiten(detail[..., 0], details.domain.skin, details.domain)
    first, record = synthesise_detail(start, matched, details, bank, None, iterations=(6, 6, 6))
    assert all(last < 0.8 * begin for begin, last in record["losses"])
    assert (first[~details.domain.skin] == 0).all() and np.isfinite(first).all()
    again, _ = synthesise_detail(start, matched, details, bank, None, iterations=(6, 6, 6))
    assert np.array_equal(first, again)


def test_own_detail_outside_what_is_seen_is_not_read(details: DetailDatabase) -> None:
    """Half of a face is seen; what its photograph holds on the other half changes nothing, its own half does."""
    bank = FilterBank(filters=8)
    seen = details.valid[2] & details.domain.cells[::2].any(axis=0)
    albedo = skin_texture(2)[details.domain.box]
    matched = Matched(Combination(np.full(6, 1 / 6), 0.0, 0.0, 1))
    _, detail = donor_detail(details, np.eye(6)[4])
    start = whiten(detail[..., 0], details.domain.skin, details.domain)
    results = []
    for picture in (albedo, np.where(seen[..., None], albedo, np.float32(np.nan))):
        white = whiten(split_detail(picture, seen, details.domain.scale).luma, seen, details.domain)
        results.append(synthesise_detail(start, matched, details, bank, (white, seen), iterations=(2, 2, 2))[0])
    assert np.array_equal(*results)
    without, _ = synthesise_detail(start, matched, details, bank, None, iterations=(2, 2, 2))
    assert not np.array_equal(results[0], without)


def test_a_hidden_cell_takes_after_its_mirror_image(details: DetailDatabase) -> None:
    """One half is seen; other detail on its cheek changes the synthesis of both cheeks and of little else."""
    names, cells = cell_names(), details.domain.cells
    bank = FilterBank(filters=8)
    seen = details.valid[2] & cells[::2].any(axis=0)
    cheek = cells[names.index("cheeks/right")]
    matched = Matched(Combination(np.full(6, 1 / 6), 0.0, 0.0, 1))
    _, detail = donor_detail(details, np.eye(6)[4])
    start = whiten(detail[..., 0], details.domain.skin, details.domain)
    plain = details.whitened(2) * seen
    striped = np.where(cheek & seen, np.float32(1.5) * np.sign(np.sin(np.arange(cheek.shape[1]))), plain)
    runs = [
        synthesise_detail(start, matched, details, bank, (own.astype(np.float32), seen), iterations=(3, 3, 3))[0]
        for own in (plain, striped)
    ]
    change = [np.abs(runs[1] - runs[0])[cell & details.domain.skin].mean() for cell in cells]
    other = change[names.index("forehead/left")]
    assert min(change[names.index("cheeks/left")], change[names.index("cheeks/right")]) > 1.3 * other

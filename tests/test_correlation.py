"""Masked correlations against plain ones on a crop, unions of cells, and that nothing outside a mask matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from texture_toy import face, toy_database
from torch import Tensor

from recon.methods.deep_inference import objective
from recon.texture.correlation import LayerCells, cell_correlations, cell_means, erode_for, image_cells, layer_cells
from recon.texture.database import open_database
from recon.texture.face_correlations import FaceCorrelations
from recon.texture.features import FilterBank, Layer

PIXEL = Layer("pixels", 1, 0.0)


@pytest.fixture(scope="module")
def bank() -> FilterBank:
    return FilterBank(filters=4)


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.randn((1, 1, 72, 80), generator=torch.Generator().manual_seed(5))


def box(rows: slice, columns: slice, shape: tuple[int, int] = (72, 80)) -> Tensor:
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


def test_by_the_definition() -> None:
    """``(1/|M|) Σ_{p∈M} (F_p − μ)(F_p − μ)ᵀ``, one texel at a time."""
    features = torch.randn((3, 6, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
    mean = torch.tensor([0.3, -0.1, 0.7])
    mask = torch.rand((6, 5), generator=torch.Generator().manual_seed(1)) > 0.5
    found = cell_correlations(features, layer_cells(mask[None], PIXEL, (6, 5)), mean)[0].numpy()
    expected = np.zeros((3, 3))
    for row, column in mask.nonzero().tolist():
        value = (features[:, row, column] - mean).numpy().astype(np.float64)
        expected += np.outer(value, value)
    assert found == pytest.approx(expected / int(mask.sum()), abs=1e-6)


def test_masked_on_the_picture_equals_plain_on_the_crop(bank: FilterBank, noise: Tensor) -> None:
    """Inside an eroded rectangle the features are those of the crop alone, at both levels of the pyramid."""
    rows, columns, radius = slice(8, 64), slice(10, 70), 12
    mask = erode_for(box(rows, columns), radius)
    maps = bank(noise)
    cropped = bank(noise[:, :, rows, columns])
    cells = image_cells(bank.layers, mask[None], maps)
    for layer, feature, crop, cell in zip(bank.layers, maps, cropped, cells, strict=True):
        margin = radius // layer.stride
        inner = crop[0, :, margin:-margin, margin:-margin].flatten(1)
        plain = (inner @ inner.T) / inner.shape[1]
        found = cell_correlations(feature[0], cell)[0]
        assert torch.allclose(found, plain, rtol=1e-4, atol=1e-6), layer.name
        assert torch.allclose(cell_means(feature[0], cell), inner.mean(dim=1), rtol=1e-4, atol=1e-6)


def test_a_union_of_cells_is_the_area_weighted_mean(bank: FilterBank, noise: Tensor) -> None:
    """Cells whose borders lie between texels of every level partition each level exactly."""
    first, second, third = (
        box(slice(0, 32), slice(0, 40)),
        box(slice(32, 60), slice(0, 80)),
        box(slice(0, 32), slice(40, 72)),
    )
    parts, union = torch.stack([first, second, third]), (first | second | third)[None]
    maps = bank(noise)
    for layer, feature in zip(bank.layers, maps, strict=True):
        size = (feature.shape[-2], feature.shape[-1])
        cells, whole = layer_cells(parts, layer, size), layer_cells(union, layer, size)
        share = cells.areas / cells.areas.sum()
        combined = (share[:, None, None] * cell_correlations(feature[0], cells)).sum(dim=0)
        assert torch.allclose(combined, cell_correlations(feature[0], whole)[0], rtol=1e-4, atol=1e-7)


def test_texels_half_inside_count_by_their_share() -> None:
    layer = Layer("half", 2, 0.0)
    mask = box(slice(0, 4), slice(0, 5), (8, 8))
    cells = layer_cells(mask[None], layer, (4, 4))
    # Rows 0 and 1; columns 0 and 1 whole, column 2 by half.
    assert cells.texels.tolist() == [0, 1, 2, 4, 5, 6]
    assert cells.weights.tolist() == [1, 1, 0.5, 1, 1, 0.5] and cells.areas.tolist() == [5.0]
    features = torch.randn((2, 4, 4), generator=torch.Generator().manual_seed(4))
    chosen = features.flatten(1)[:, cells.texels].double().numpy()
    expected = (chosen * cells.weights.numpy()) @ chosen.T / 5.0
    assert cell_correlations(features, cells)[0].numpy() == pytest.approx(expected, abs=1e-6)
    thin = layer_cells(box(slice(0, 1), slice(0, 1), (8, 8))[None], layer, (4, 4))
    assert thin.counts == (0,) and cell_correlations(torch.ones(3, 4, 4), thin).abs().max() == 0


def test_odd_sides_are_reduced_like_the_features(bank: FilterBank) -> None:
    image = torch.randn((1, 1, 33, 27), generator=torch.Generator().manual_seed(2))
    cells = image_cells(bank.layers, torch.ones((1, 33, 27), dtype=torch.bool), bank(image))
    assert [cell.counts[0] for cell in cells] == [33 * 27, 17 * 14]
    with pytest.raises(ValueError, match="level1"):
        layer_cells(torch.ones((1, 30, 27), dtype=torch.bool), bank.layers[1], (17, 14))


def test_a_wrong_fill_outside_changes_nothing_once_eroded(bank: FilterBank, noise: Tensor) -> None:
    """A fill of a thousand times the signal begins one texel outside the seen skin."""
    yy, xx = torch.meshgrid(torch.arange(72.0), torch.arange(80.0), indexing="ij")
    seen = ((yy - 36) ** 2 + (xx - 40) ** 2).sqrt() < 31
    wrong = torch.where(seen, noise, 1e3 * torch.randn(noise.shape, generator=torch.Generator().manual_seed(8)))
    for number, layer in enumerate(bank.layers):
        eroded = erode_for(seen, layer.radius)
        one, other = (
            cell_correlations(maps[number][0], layer_cells(eroded[None], layer, tuple(maps[number].shape[-2:])))
            for maps in (bank(noise), bank(wrong))
        )
        assert eroded.sum() > 300
        assert torch.allclose(one, other, rtol=1e-5), layer.name
        # The erosion is what saves it: without it the fill wins.
        naive = layer_cells(seen[None], layer, tuple(bank(wrong)[number].shape[-2:]))
        assert cell_correlations(bank(wrong)[number][0], naive).abs().max() > 100 * one.abs().max()


def test_erosion_is_by_a_square_and_from_the_edge() -> None:
    mask = torch.ones((12, 12), dtype=torch.bool)
    mask[6, 6] = False
    eroded = erode_for(mask, 2.9)
    expected = torch.zeros_like(mask)
    expected[2:10, 2:10] = True
    expected[4:9, 4:9] = False
    assert torch.equal(eroded, expected)
    assert torch.equal(erode_for(mask, 0.5), mask)


def test_correlations_are_symmetric_and_positive(bank: FilterBank, noise: Tensor) -> None:
    cells = image_cells(bank.layers, box(slice(5, 50), slice(5, 50))[None], bank(noise))
    for feature, cell in zip(bank(noise), cells, strict=True):
        found = cell_correlations(feature[0], cell, cell_means(feature[0], cell))[0].double()
        assert torch.allclose(found, found.T)
        assert torch.linalg.eigvalsh(found).min() > -1e-6
        assert feature.requires_grad is False


def test_a_face_is_the_area_weighted_mean_of_its_sides(tmp_path: Path) -> None:
    """What is cached per side of the face, in half precision, gives the correlation over all skin."""
    database = toy_database(tmp_path, size=64)
    faces = FaceCorrelations(database, FilterBank(channels=3, filters=4))
    texture = database.textures[3][faces.box].astype(np.float32)
    (whole, _), *_ = faces.measure(texture, (faces.sides[0] | faces.sides[1])[None], scale=1)
    (_, areas), *_ = faces.measure(texture, faces.sides, scale=1)
    assert np.array_equal(faces.sides.any(axis=0), faces.skin) and not faces.sides.all(axis=0).any()
    # The midline lies between texels of the finest level, where the sides are a partition.
    stored = faces.correlations(1)[0][3].astype(np.float32) * faces.unit(1)[0]
    combined = np.einsum("s,scd->cd", areas / areas.sum(), stored)
    assert np.abs(combined - whole[0]).max() < 2e-3 * np.abs(whole[0]).max()
    assert faces.side_share(faces.sides[1]).tolist() == [0, 1]
    again = FaceCorrelations(open_database(database.folder, face()), FilterBank(channels=3, filters=4))
    assert np.array_equal(again.correlations(1)[0], faces.correlations(1)[0])


@pytest.mark.parametrize("radius", [0.5, 1.0, 3.0, 6.4])
def test_erosion_for_a_layer_leaves_what_no_square_around_the_outside_covers(radius: float) -> None:
    """Morphological erosion by a square, by its definition in SciPy; outside the picture nothing is skin."""
    mask = torch.from_numpy(np.random.default_rng(5).random((33, 47)) > 0.01)
    side = 2 * int(radius) + 1
    wanted = scipy.ndimage.binary_erosion(mask.numpy(), np.ones((side, side), bool), border_value=0)
    np.testing.assert_array_equal(erode_for(mask, radius).numpy(), wanted)


def test_faces_are_measured_by_cudnn_in_full_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cuDNN a GPU unfolds every layer into its whole neighbourhood: nine times the memory."""
    told: list[tuple[bool, bool]] = []
    bank = FilterBank(channels=3, filters=4)
    faces = FaceCorrelations(toy_database(tmp_path, size=64), bank)
    own = FilterBank.forward

    def watched(self: FilterBank, image: Tensor) -> list[Tensor]:
        told.append((torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32))
        return own(self, image)

    monkeypatch.setattr(FilterBank, "forward", watched)
    faces.measure(faces.database.textures[3][faces.box].astype(np.float32), faces.sides, scale=1)
    assert told == [(True, False)] and torch.backends.cudnn.allow_tf32


def test_gradient_is_that_of_the_written_out_formula() -> None:
    draw = torch.Generator().manual_seed(7)
    features = torch.randn(5, 18, 22, generator=draw, dtype=torch.float64, requires_grad=True)
    areas = torch.zeros(3, 18, 22, dtype=torch.bool)
    areas[0, 2:11, 3:12] = True
    areas[2, 8:16, 9:20] = True  # overlaps the first; the second is empty
    found = layer_cells(areas, Layer("whole", 1, 0.0), (18, 22))
    cells = LayerCells(found.texels, found.weights.double(), found.counts, found.areas.double())
    mean = torch.randn(5, generator=draw, dtype=torch.float64)
    outer = torch.randn(3, 5, 5, generator=draw, dtype=torch.float64)

    plain = []
    for area in areas:
        shifted = features[:, area] - mean[:, None]
        plain.append(shifted @ shifted.T / max(int(area.sum()), 1))
    (expected,) = torch.autograd.grad((torch.stack(plain) * outer).sum(), features)
    (gradient,) = torch.autograd.grad((cell_correlations(features, cells, mean) * outer).sum(), features)

    torch.testing.assert_close(cell_correlations(features, cells, mean), torch.stack(plain))
    torch.testing.assert_close(gradient, expected)


def test_a_layer_without_texels_inside_the_skin_says_nothing(tmp_path: Path) -> None:
    faces = FaceCorrelations(toy_database(tmp_path, size=64), FilterBank(channels=3, filters=4))
    weights = np.full(len(faces.database), 1.0 / len(faces.database))
    faces.combined(weights, 1)
    lonely = np.zeros_like(faces.sides)
    lonely[:, ::4, ::4] = True  # no 2 × 2 texels of the second level are half covered
    faces.sides = lonely
    image = torch.full((1, 3, *faces.skin.shape), 0.5)

    loss = objective(image, weights, faces, 2000.0, 1)

    assert torch.isfinite(loss(image + 0.1))

"""Skin detail: the prior over its strength, what blur was done, and giving it the predicted energy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from texture_toy import face, skin_area, skin_texture, toy_database

from recon.texture.bands import split_bands
from recon.texture.cells import cell_names, mirror_cell, skin_cells
from recon.texture.combination import Combination
from recon.texture.detail_bands import band_sigmas
from recon.texture.detail_database import (
    BLURS,
    DetailDatabase,
    context_vector,
    fill_unseen,
    reduce_by,
    whiten,
)
from recon.texture.detail_prior import _leave_one_out, predict_deviation
from recon.texture.features import FilterBank
from recon.texture.masked import erode, masked_gaussian
from recon.texture.residual import Residual, split_detail
from recon.texture.skin_detail import (
    donor_detail,
    estimate_blur,
    match_database,
    predict_energy,
    shape_energy,
)
from recon.texture.uv_map import uv_map

SIZE = 128


@pytest.fixture(scope="module")
def details(tmp_path_factory: pytest.TempPathFactory) -> DetailDatabase:
    return DetailDatabase(toy_database(tmp_path_factory.mktemp("details"), SIZE))


def observed_person(details: DetailDatabase, index: int, blur: float = 0.0) -> tuple[Residual, np.ndarray, np.ndarray]:
    """Residual, albedo and seen skin of a database person, blurred by ``blur`` texels at 512²."""
    albedo = skin_texture(index, details.database.size)[details.domain.box]
    seen = details.valid[index]
    if blur > 0:
        everywhere = np.ones(seen.shape, bool)
        albedo = masked_gaussian(albedo, everywhere, blur * details.domain.scale)
    return split_detail(albedo, seen, details.domain.scale), albedo, seen


# --- the prior -------------------------------------------------------------------------------------------------------


def made_up_people(count: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """``(N, 2, 40)`` log deviations driven by three factors a person, and their context that shows the factors."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(count, 3))
    shapes = rng.normal(size=(3, 2, 40)) * 0.3
    samples = -3.0 + np.einsum("nf,fbp->nbp", factors, shapes) + 0.02 * rng.normal(size=(count, 2, 40))
    context = factors @ rng.normal(size=(3, 20)) + 0.1 * rng.normal(size=(count, 20))
    return samples, context - context.mean(axis=0)


def test_leaving_one_out_in_closed_form_is_leaving_one_out() -> None:
    """Against refitting the kernel ridge without each sample."""
    rng = np.random.default_rng(1)
    samples, features = rng.normal(size=(9, 12)), rng.normal(size=(9, 5))
    kernel, ridge = features @ features.T, 0.3
    found = _leave_one_out(samples, kernel, ridge)
    for left in range(9):
        rest = np.arange(9) != left
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + ridge * np.eye(8), kernel[rest, left])
        assert found[left] == pytest.approx(samples[left] - weights @ samples[rest], abs=1e-10)


def test_known_places_come_back_unchanged() -> None:
    samples, context = made_up_people()
    known = np.zeros((2, 40), bool)
    known[0, :25] = True
    result = predict_deviation(samples, np.where(known, samples[3], np.nan), known, context, context[3])
    assert np.array_equal(result.log_deviation[known], samples[3][known])
    assert np.isfinite(result.log_deviation).all()


@pytest.mark.parametrize("known_share", [0.0, 0.6])
def test_a_members_own_pattern_is_predicted_better_than_the_mean(known_share: float) -> None:
    """From its context alone, or from half of its places; each person is in the database."""
    samples, context = made_up_people()
    known = np.zeros((2, 40), bool)
    known[:, : int(40 * known_share)] = True
    errors, baseline = [], []
    for person in range(len(samples)):
        result = predict_deviation(samples, np.where(known, samples[person], np.nan), known, context, context[person])
        errors.append(((result.log_deviation - samples[person])[~known] ** 2).mean())
        baseline.append(((samples.mean(axis=0) - samples[person])[~known] ** 2).mean())
    assert np.mean(errors) < 0.1 * np.mean(baseline)


def test_a_stranger_is_predicted_from_context() -> None:
    """Each person left out of the database in turn: a quarter of the mean's squared error, at most."""
    samples, context = made_up_people(20)
    known = np.zeros((2, 40), bool)
    errors, baseline = [], []
    for person in range(len(samples)):
        rest = np.arange(len(samples)) != person
        result = predict_deviation(samples[rest], samples[person], known, context[rest], context[person])
        errors.append(((result.log_deviation - samples[person]) ** 2).mean())
        baseline.append(((samples[rest].mean(axis=0) - samples[person]) ** 2).mean())
    assert np.mean(errors) < 0.25 * np.mean(baseline)


@pytest.mark.parametrize("known_share", [0.0, 0.5])
def test_nowhere_is_a_stranger_predicted_rougher_than_anybody_is_there(known_share: float) -> None:
    """Far outside of the database's contexts and patterns a linear rule would go on for ever."""
    samples, context = made_up_people()
    known = np.zeros((2, 40), bool)
    known[:, : int(40 * known_share)] = True
    level = np.where(known, samples, 0).sum(axis=2) / max(int(known[0].sum()), 1)
    pattern = samples - level[..., None]
    for far in (50.0, -50.0):
        strange = np.where(known, far * samples[0], np.nan)
        found = predict_deviation(samples, strange, known, context, far * context[0])
        own = np.where(known, strange, 0).sum(axis=1) / max(int(known[0].sum()), 1)
        guess = found.log_deviation - own[:, None] - found.bias[:, None]
        assert (guess <= pattern.max(axis=0) + 1e-9)[~known].all()
        assert (guess >= pattern.min(axis=0) - 1e-9)[~known].all()


def test_without_information_the_prediction_is_the_mean() -> None:
    """A context that is the same for all says nothing; the bias is then that of a mean of logarithms."""
    samples, _ = made_up_people()
    flat = np.zeros((len(samples), 4))
    flat[:, 0] = 1e-9
    result = predict_deviation(samples, samples[0], np.zeros((2, 40), bool), flat, flat[0] * 0)
    offset = result.log_deviation - samples.mean(axis=0)
    assert np.abs(offset - result.bias[:, None]).max() < 1e-9


def test_unseen_places_take_the_mean_and_the_persons_offset() -> None:
    ramp = 0.1 * np.arange(6, dtype=np.float32)
    values = np.stack([level + ramp[None] for level in np.float32([0.0, 1.0, 2.0])])
    seen = np.ones((3, 6), bool)
    seen[2, 3:] = False
    filled = fill_unseen(np.where(seen[:, None], values, 99.0), seen)
    assert np.array_equal(filled[:2], values[:2]) and np.array_equal(filled[2, :, :3], values[2, :, :3])
    # At places 3–5 the others average 0.5 + 0.1 p; the third person lies 1.0 above the mean of all three elsewhere.
    assert filled[2, 0, 3:] == pytest.approx(0.5 + 0.1 * np.arange(3, 6) + 1.0, abs=1e-6)


# --- the database of detail ------------------------------------------------------------------------------------------


def test_cells_partition_the_skin_and_mirror_each_other() -> None:
    layout = uv_map(face(), SIZE)
    cells = skin_cells(face(), layout, skin_area())
    assert (cells.sum(axis=0) == skin_area()).all()
    names = cell_names()
    assert len(names) == len(cells) and all(cell.any() for cell in cells)
    for index, name in enumerate(names):
        region, side = name.split("/")
        assert names[mirror_cell(index)] == f"{region}/{'left' if side == 'right' else 'right'}"
        # The toy face is symmetric in the UV square, up to the texels that a region's border cuts.
        assert (cells[index] != cells[mirror_cell(index)][:, ::-1]).sum() <= 0.05 * cells[index].sum()
        columns = np.nonzero(cells[index].any(axis=0))[0]
        assert (columns.max() < 64) == (side == "right")


def test_moles_are_not_lent(tmp_path: Path) -> None:
    """A dark spot on one person's cheek is left out of what others may take from her."""
    from texture_toy import PEOPLE

    from recon.texture.database_build import database_from_textures

    textures = [skin_texture(k) for k in range(6)]
    mole = (slice(84, 87), slice(30, 33))
    textures[2][mole] *= 0.4
    known = np.ones((SIZE, SIZE), bool)
    entries = [(name, texture, known) for name, texture in zip(PEOPLE, textures, strict=True)]
    built = DetailDatabase(database_from_textures(entries, face(), tmp_path, SIZE, "toy", "CC0", skin_area()))
    rows, columns = built.domain.box
    inside = (slice(84 - rows.start, 87 - rows.start), slice(30 - columns.start, 33 - columns.start))
    assert built.domain.skin[inside].all()
    assert not built.valid[2][inside].any()
    assert (built.residuals[2][inside] == 0).all()
    others = [index for index in range(6) if index != 2]
    assert np.mean([built.valid[index][inside].mean() for index in others]) > 0.9
    assert built.valid[2].sum() > 0.8 * built.domain.skin.sum()


def test_whitened_detail_has_unit_deviation(details: DetailDatabase) -> None:
    seen = details.valid[0]
    white = details.whitened(0)
    assert white[seen].std() == pytest.approx(1.0, abs=0.1) and (white[~seen] == 0).all()
    scaled = whiten(3.0 * details.residuals[0][..., 0].astype(np.float32), seen, details.domain)
    assert scaled == pytest.approx(white, abs=1e-3)


def test_reduction_is_the_mean_over_blocks() -> None:
    import torch

    image = torch.arange(24.0).reshape(1, 1, 4, 6)
    assert reduce_by(image, 2)[0, 0].tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    assert reduce_by(image, 1) is image


def test_context_tells_tone_and_not_place_of_the_unseen(details: DetailDatabase) -> None:
    albedo = skin_texture(1)[details.domain.box]
    seen = details.valid[1]
    found = context_vector(albedo, seen, details.domain, 0.0)
    logs = np.log(albedo[seen]).mean(axis=0)
    assert found[:3] == pytest.approx([logs.mean(), logs[0] - logs[1], logs[1] - logs[2]], abs=1e-5)
    spoilt = np.where(seen[..., None], albedo, 1e3).astype(np.float32)
    assert np.array_equal(context_vector(spoilt, seen, details.domain, 0.0), found)


# --- blur, matching, energy ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> DetailDatabase:
    """People whose grain is equally wide and differs in strength alone, as one camera sees skin; 256 texels."""
    from texture_toy import PEOPLE, grainy_texture

    from recon.texture.database_build import database_from_textures

    known = np.ones((256, 256), bool)
    people = ((name, grainy_texture(k, 256), known) for k, name in enumerate(PEOPLE))
    folder = tmp_path_factory.mktemp("alike")
    return DetailDatabase(database_from_textures(people, face(), folder, 256, "toy", "CC0", skin_area(256)))


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> DetailDatabase:
    return DetailDatabase(toy_database(tmp_path_factory.mktemp("larger"), 256))


@pytest.mark.parametrize("index", [0, 3, 5])
def test_the_blur_of_a_member_is_found_to_one_step(alike: DetailDatabase, index: int) -> None:
    from texture_toy import grainy_texture

    seen, everywhere = alike.valid[index], np.ones(alike.domain.skin.shape, bool)
    sharp = grainy_texture(index, 256)[alike.domain.box]
    for step, blur in enumerate(BLURS):
        blurred = masked_gaussian(sharp, everywhere, blur * alike.domain.scale)
        found = BLURS.index(estimate_blur(split_detail(blurred, seen, alike.domain.scale), seen, alike))
        assert abs(found - step) <= 1, (blur, BLURS[found])


def test_energy_of_seen_skin_is_its_own(details: DetailDatabase) -> None:
    """A member seen sharply and whole: what is predicted is what was measured."""
    observed, albedo, seen = observed_person(details, 2)
    prediction = predict_energy(observed, albedo, seen, 0.0, details)
    assert prediction.log_deviation.shape == (6, int(details.domain.places.sum()))
    difference = np.abs(prediction.log_deviation - details.deviations[2])
    assert np.median(difference) < 0.02


def test_energy_of_the_hidden_half_is_predicted_from_the_seen(details: DetailDatabase) -> None:
    """Members seen by half: the seen places are theirs, the hidden ones nearer to theirs than the mean of all is."""
    grid, places = details.domain.grid, details.domain.places
    half = details.domain.cells[1::2].any(axis=0)
    hidden = ~half[grid][places]
    errors, baseline = [], []
    for index in range(6):
        albedo, seen = skin_texture(index)[details.domain.box], details.valid[index] & half
        prediction = predict_energy(split_detail(albedo, seen, 0.25), albedo, seen, 0.0, details).log_deviation
        own, mean = details.deviations[index], details.deviations.mean(axis=0)
        errors.append(np.abs(prediction - own)[:, hidden].mean())
        baseline.append(np.abs(mean - own)[:, hidden].mean())
        inner = erode(seen, 4.0)[grid][places]
        assert inner.sum() > 50 and np.median(np.abs(prediction - own)[:, inner]) < 0.05
    assert np.mean(errors) < 0.7 * np.mean(baseline)


def test_a_member_is_matched_to_itself(details: DetailDatabase) -> None:
    bank = FilterBank()
    for index in (1, 4):
        for blur in (0.0, 2.8):
            observed, _, seen = observed_person(details, index, blur)
            white = whiten(observed.luma, seen, details.domain)
            for kind in ("convex", "nearest"):
                weights = match_database(white, seen, blur, details, bank, kind).combination.weights
                assert weights.argmax() == index and weights[index] > 0.5, (index, blur, kind, weights)


def test_without_a_visible_cell_all_weigh_the_same(details: DetailDatabase) -> None:
    nothing = np.zeros_like(details.domain.skin)
    matched = match_database(np.zeros(nothing.shape, np.float32), nothing, 0.0, details, FilterBank())
    assert matched.combination.weights == pytest.approx(np.full(6, 1 / 6)) and "note" in matched.record


def test_the_donor_is_the_heaviest_and_gives_only_seen_detail(details: DetailDatabase) -> None:
    donor, detail = donor_detail(details, np.array([0.1, 0.1, 0.6, 0.1, 0.1, 0.0]))
    assert donor == 2
    own = details.valid[2]
    assert np.array_equal(detail[own], details.residuals[2][own].astype(np.float32))
    assert (detail[~details.domain.skin] == 0).all()
    combination = Combination(np.eye(6)[5], 0.0, 0.0, 1)
    assert donor_detail(details, combination.weights)[0] == 5


def energies(luma: np.ndarray, details: DetailDatabase) -> np.ndarray:
    bands, _ = split_bands(luma, details.domain.skin, band_sigmas(details.database.size))
    return np.asarray((bands[:, details.domain.skin] ** 2).mean(axis=1))


@pytest.mark.parametrize(
    ("donor", "tolerance"),
    # One's own grain needs no more than a factor. Where a stranger's is much wider or finer, scaling one band moves
    # the next, and the rounds leave a part.
    [(0, 0.1), (2, 0.3)],
)
@pytest.mark.parametrize("person", [0, 3])
def test_detail_is_given_the_predicted_energy(
    larger: DetailDatabase, person: int, donor: int, tolerance: float
) -> None:
    """Grain a third as strong as it should be is given this person's local energies in every band."""
    detail = larger.residuals[(person + donor) % 6].astype(np.float32)
    target = larger.deviations[person].astype(np.float64)
    nothing = np.zeros(larger.domain.skin.shape, np.float32)
    luma, chroma = shape_energy(detail[..., 0] / 3, detail[..., 1:], target, nothing, 0.0, larger)
    bands, _ = split_bands(luma, larger.domain.skin, band_sigmas(256))
    grid, places = larger.domain.grid, larger.domain.places
    for band, wanted in zip(bands, target, strict=False):
        local = masked_gaussian(band**2, larger.domain.skin, larger.domain.window())[grid][places]
        assert abs(np.log(local.mean() / np.exp(2 * wanted).mean())) < tolerance
    # ε carries no luminance, and nothing is drawn outside the skin.
    assert np.abs(chroma @ np.array([0.2126, 0.7152, 0.0722])).max() < 1e-6
    assert (luma[~larger.domain.skin] == 0).all() and (chroma[~larger.domain.skin] == 0).all()


def test_what_a_blurred_photograph_shows_is_kept(larger: DetailDatabase) -> None:
    """The coarse remainder stays in place; with what is added above the blur it has the energy that was wanted."""
    observed, _, seen = observed_person(larger, 1, 4.0)
    remainder = np.where(seen, observed.luma, 0).astype(np.float32)
    donor = larger.residuals[4].astype(np.float32)
    target = larger.deviations[1].astype(np.float64)
    luma, _ = shape_energy(donor[..., 0], donor[..., 1:], target, remainder, 4.0, larger)
    skin = larger.domain.skin
    coarse = [masked_gaussian(part, skin, 4.0)[skin] for part in (luma, remainder)]
    assert np.corrcoef(*coarse)[0, 1] > 0.8
    # Where no band feels the edge of the mask. The coarse band makes up for what blur took below it, by a tenth.
    inner = erode(skin, 3.0 * max(band_sigmas(256)))
    within = inner[larger.domain.grid][larger.domain.places]
    bands, _ = split_bands(luma, skin, band_sigmas(256))
    for band, wanted, surplus in zip(bands, target[:3], (1.0, 1.0, 1.1), strict=True):
        share = np.square(band[inner]).mean() / np.exp(2 * wanted[within]).mean()
        # A stranger's grain is much finer than what is wanted: the passes come near, step by step.
        assert abs(np.log(share / surplus)) < 0.15


def test_residuals_are_only_of_seen_skin(details: DetailDatabase) -> None:
    assert (details.residuals[~details.valid] == 0).all()
    assert details.residuals.shape == (6, *details.domain.skin.shape, 4)
    assert replace(details.domain).places.sum() == details.deviations.shape[2]

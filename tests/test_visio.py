"""The method ``visio`` on a small made-up set: complete results, whose skin is used, seeds, detail, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from texture_toy import (
    PEOPLE,
    PERSON,
    SIZE,
    Map,
    face,
    known_fit,
    observation_of,
    observations_of,
    photograph_of,
    photograph_under_test,
    photographed_database,
    skin_area,
    skin_texture,
)

from recon.colour import srgb_to_linear
from recon.data.subject import Photograph
from recon.errors import DatabaseError, UsageError
from recon.methods import METHODS, Context, Reconstruction
from recon.methods.visio_inference import library_of
from recon.texture.bands import split_bands
from recon.texture.database import TextureDatabase
from recon.texture.database_build import database_from_textures
from recon.texture.detail_bands import band_sigmas
from recon.texture.gradient_blend import blend
from recon.texture.masked import erode
from recon.texture.observation import Observation
from recon.texture.quilting import quilt
from recon.texture.residual import split_detail


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> TextureDatabase:
    return photographed_database(tmp_path_factory.mktemp("visio"))


@pytest.fixture(scope="module")
def photograph() -> Photograph:
    return photograph_under_test()


@pytest.fixture(scope="module")
def observations(photograph: Photograph) -> dict[str, Observation]:
    return observations_of(photograph)


def context_of(observation: Observation, database: TextureDatabase | None, **changes: Any) -> Context:
    return replace(Context(face(), observation, database, size=SIZE), **changes)


def reconstruct(photograph: Photograph, context: Context, method: str = "visio") -> Reconstruction:
    return METHODS.get(method)().reconstruct(photograph, context)


@pytest.fixture(scope="module")
def results(
    photograph: Photograph, observations: dict[str, Observation], database: TextureDatabase
) -> dict[str, Reconstruction]:
    return {name: reconstruct(photograph, context_of(seen, database)) for name, seen in observations.items()}


def detail_energy(albedo: Map, mask: np.ndarray) -> np.ndarray:
    luma = split_detail(albedo, mask, SIZE / 512).luma
    bands, _ = split_bands(luma, mask, band_sigmas(SIZE))
    return np.asarray((bands[:, mask] ** 2).mean(axis=1))


def test_a_result_is_a_complete_albedo_and_a_head(results: dict[str, Reconstruction]) -> None:
    for result in results.values():
        assert result.albedo.shape == (SIZE, SIZE, 3) and result.albedo.dtype == np.float32
        assert np.isfinite(result.albedo).all() and result.albedo.min() >= 0 and result.albedo.max() <= 1
        assert result.mask.any() and result.albedo[result.mask].min() > 0.005  # no hole
        assert np.array_equal(result.vertices, face().mean)
        assert all(seconds >= 0 for seconds in result.record["timings"].values())


def test_the_seed_decides(
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
    results: dict[str, Reconstruction],
) -> None:
    again, other = (
        reconstruct(photograph, context_of(observations["identity"], database, seed=seed)).albedo for seed in (0, 1)
    )
    assert again.tobytes() == results["identity"].albedo.tobytes()
    assert not np.array_equal(other, again)


def test_the_record_says_whose_skin_it_is(results: dict[str, Reconstruction]) -> None:
    for result in results.values():
        record = result.record
        assert set(record["donors"]) <= set(PEOPLE) and len(record["donors"]) >= 2
        assert sum(record["donors"].values()) + record["unowned"] == pytest.approx(1, abs=1e-3)
        assert list(record["donors"].values()) == sorted(record["donors"].values(), reverse=True)
        assert record["components"] >= 1 and record["places"] > 20
    assert results["blur:3"].record["blur"] > results["identity"].record["blur"] == 0.0


@pytest.mark.parametrize("protocol", ["identity", "occlude:right", "blur:3"])
def test_it_has_the_detail_that_pca_lacks(
    protocol: str,
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
    results: dict[str, Reconstruction],
) -> None:
    """Energy of three bands over that of the sharp photograph: nearer to 1 than the PCA texture's in the finest."""
    mask = erode(database.skin_mask, 2.0) & observations["identity"].skin
    truth = detail_energy(observations["identity"].albedo, mask)
    found = detail_energy(results[protocol].albedo, mask) / truth
    soft = detail_energy(reconstruct(photograph, context_of(observations[protocol], database), "pca").albedo, mask)
    assert (found > 1.5 * soft / truth).all(), (found, soft / truth)
    assert abs(np.log(found[0])) < abs(np.log(soft[0] / truth[0]))
    assert (found > 0.3).all() and (found < 3.0).all(), found


def test_the_unseen_half_has_the_persons_tone(database: TextureDatabase, results: dict[str, Reconstruction]) -> None:
    half = erode(database.skin_mask, 2.0)
    half[:, SIZE // 2 - 4 :] = False  # the subject's right lies at small u
    tone = [np.log(t[half]).mean(axis=0) for t in (results["occlude:right"].albedo, skin_texture(PERSON))]
    assert np.abs(tone[0] - tone[1]).max() < 0.15


@pytest.mark.parametrize("cast", [(1.0, 1.0, 1.0), (1.1, 1.0, 0.75), (0.8, 1.0, 1.2)])
def test_a_colour_cast_that_nobody_in_the_database_has_is_kept(
    cast: tuple[float, float, float],
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
) -> None:
    """The tone of the skin inside is that of the photograph, as it is at the rim, to a few hundredths."""
    observation = observations["identity"]
    tinted = replace(observation, albedo=observation.albedo * np.array(cast, np.float32))
    found = reconstruct(photograph, context_of(tinted, database))
    inner = erode(database.skin_mask & observation.skin, 2.0)
    tone = np.log(found.albedo[inner] / tinted.albedo[inner])
    assert np.abs(np.median(tone, axis=0)).max() < 0.03


def test_what_is_withheld_or_unseen_is_not_read(
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
    results: dict[str, Reconstruction],
) -> None:
    observation = observations["occlude:right"]
    noise = np.random.default_rng(1).uniform(size=observation.albedo.shape).astype(np.float32)
    spoilt = replace(observation, albedo=np.where(observation.visible[..., None], observation.albedo, noise))
    found = reconstruct(photograph, context_of(spoilt, database))
    assert found.albedo.tobytes() == results["occlude:right"].albedo.tobytes()


def test_skin_that_was_completed_in_the_database_is_not_copied(
    photograph: Photograph, observations: dict[str, Observation], tmp_path: Path
) -> None:
    """Everybody's left half unseen but for one person: there, all is that person's."""
    entries = []
    for index, name in enumerate(PEOPLE):
        seen = np.ones((SIZE, SIZE), bool)
        if name not in ("cyd", "dov", "eva", "fay"):
            seen[:, SIZE // 2 :] = False
        elif name != "eva":
            seen[50:, SIZE // 2 :] = False
        entries.append((name, skin_texture(index), seen))
    database = database_from_textures(entries, face(), tmp_path, SIZE, "toy", "CC0", skin_area())
    library = library_of(database, 32, 12, 12)
    distance = np.zeros((len(library.corners), len(PEOPLE)))
    found = quilt(library, distance, 3, np.random.default_rng(0))
    y, x = np.nonzero(found.owner >= 0)
    sure = database.sure_skin()[(slice(None), *library.domain.box)]
    assert sure[found.owner[y, x], y, x].all()
    shown = np.zeros((SIZE, SIZE), np.int16)
    shown[library.domain.box] = found.owner + 1
    upper = shown[:44, SIZE // 2 + 8 :]
    assert set(np.unique(upper[upper > 0]) - 1) <= {2, 3, 4, 5} and (upper > 0).any()


def test_identical_people_come_back(tmp_path: Path) -> None:
    """A database of one texture under six names, and that face before the camera: its skin, to half precision."""
    texture = skin_texture(3)
    whole = np.ones((SIZE, SIZE), bool)
    database = database_from_textures(
        ((name, texture, whole) for name in PEOPLE), face(), tmp_path, SIZE, "toy", "CC0", skin_area()
    )
    observation = observation_of(texture)
    sharp = replace(observation, albedo=texture * observation.visible[..., None])
    found = reconstruct(photograph_of(texture, known_fit()), context_of(sharp, database))
    library = library_of(database, 32, 12, 12)
    inner = np.zeros((SIZE, SIZE), bool)
    # Marks (moles) are nobody's to lend; beyond them only the float16 of entries and details is left.
    inner[library.domain.box] = erode(library.valid.any(axis=0), 8.0)
    assert inner.sum() > 1000
    assert np.abs(found.albedo[inner] / texture[inner] - 1).max() < 0.01
    assert np.median(np.abs(found.albedo[inner] / texture[inner] - 1)) < 2e-3


def test_no_seam_shows(database: TextureDatabase) -> None:
    """Steps across seams are no larger than steps within patches."""
    library = library_of(database, 32, 12, 12)
    distance = np.zeros((len(library.corners), len(PEOPLE)))
    found = quilt(library, distance, 3, np.random.default_rng(2))
    blended = blend(found, library.detail, library.valid, library.skin, 3.0)
    seam = found.owner[:, 1:] != found.owner[:, :-1]
    both = (found.owner[:, 1:] >= 0) & (found.owner[:, :-1] >= 0)
    step = np.square(np.diff(blended, axis=1)).sum(axis=-1)
    assert (seam & both).sum() > 200
    assert step[seam & both].mean() < 1.1 * step[~seam & both].mean()


def test_a_persons_own_texture_is_at_no_distance(database: TextureDatabase) -> None:
    """With as many modes as people, each is nearest to themself everywhere, and expected about as rough as they are."""
    library = library_of(database, 32, 12, len(PEOPLE))
    for index in range(len(PEOPLE)):
        own = np.asarray(database.textures[index], np.float32)
        distance = library.distance(own)
        assert distance[:, index].max() < 1e-6
        assert (np.argmin(distance, axis=1) == index).all()
    coefficients = database.pca.coefficients(own, np.ones((SIZE, SIZE), bool), ridge=1e-6)
    assert library.people[-1] == pytest.approx(coefficients, abs=0.05)
    expected = library.expected_roughness(library.people.mean(axis=0))
    assert np.abs(expected - library.roughness.mean(axis=1)).mean() < 0.15


def test_expected_roughness_follows_the_global_model(database: TextureDatabase) -> None:
    """Forty people whose roughness is linear in three coefficients: of strangers' variance 95 % are explained."""
    rng = np.random.default_rng(4)
    people = rng.normal(size=(40, 3)).astype(np.float32)
    level, slope = rng.normal(size=(7, 1)), 0.2 * rng.normal(size=(7, 3))
    library = replace(library_of(database, 32, 12, 12), people=people, roughness=level + slope @ people.T)
    strangers = rng.normal(size=(5, 3)).astype(np.float32)
    truth = strangers @ slope.T
    error = np.stack([library.expected_roughness(new) for new in strangers]) - level[:, 0] - truth
    assert np.square(error).mean() < 0.05 * np.square(truth).mean()
    none = replace(library, people=np.zeros((40, 0), np.float32))
    assert none.expected_roughness(np.zeros(0, np.float32)) == pytest.approx(library.roughness.mean(axis=1))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"patch": 4}, "'patch' must be at least 8"),
        ({"overlap": 20}, "'overlap' must be at least 1 and at most half of 'patch'"),
        ({"modes": 0}, "'modes' must be at least 1"),
        ({"candidates": 0}, "'candidates' must be at least 1"),
        ({"agreement": float("nan")}, "'agreement' must be a number of at least 0"),
        ({"patches": 16}, "did you mean 'patch'"),
        ({"patch": "wide"}, "takes a int"),
    ],
)
def test_parameters_out_of_range(
    parameters: dict[str, Any],
    said: str,
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
) -> None:
    with pytest.raises(UsageError, match=said):
        reconstruct(photograph, context_of(observations["identity"], database, parameters=parameters))


def test_other_patches_work_and_differ(
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
    results: dict[str, Reconstruction],
) -> None:
    parameters = {"patch": 48, "overlap": 16, "modes": 4, "candidates": 1, "agreement": 0.0}
    found = reconstruct(photograph, context_of(observations["identity"], database, parameters=parameters))
    assert found.albedo[found.mask].min() > 0.005
    assert found.record["places"] < results["identity"].record["places"]


def test_it_needs_a_database_of_its_size(
    photograph: Photograph, observations: dict[str, Observation], database: TextureDatabase
) -> None:
    method = METHODS.get("visio")()
    assert method.needs_database
    assert "--database" in str(method.applies(context_of(observations["identity"], None)))
    assert method.applies(context_of(observations["identity"], database)) is None
    with pytest.raises(DatabaseError, match="--database"):
        reconstruct(photograph, context_of(observations["identity"], None))
    with pytest.raises(DatabaseError, match="4 are the least"):
        reconstruct(photograph, context_of(observations["identity"], database.without(["ada", "ben", "cyd"])))
    with pytest.raises(DatabaseError, match="--size 64"):
        reconstruct(photograph, context_of(observation_of(skin_texture(PERSON), size=64), database))


def test_a_face_without_skin_keeps_the_global_model(
    photograph: Photograph, observations: dict[str, Observation], database: TextureDatabase
) -> None:
    """Hardly any skin seen: as for ``pca`` the prior answers, and the blur is not guessed."""
    nothing = replace(observations["identity"], skin=np.zeros((SIZE, SIZE), bool))
    nothing.skin[60, 60:64] = True
    found = reconstruct(photograph, context_of(nothing, database))
    mask = erode(database.skin_mask, 7.0)
    assert found.record["blur"] == 0.0
    prior = srgb_to_linear(database.pca.mean)
    assert np.abs(np.log(found.albedo[mask].mean(axis=0) / prior[mask].mean(axis=0))).max() < 0.5

"""Every method on a small made-up set: shapes, determinism, what may not be read, and refusals in words."""

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

from recon.colour import linear_to_srgb
from recon.data.protocols import parse_protocol
from recon.data.subject import GroundTruth, Photograph
from recon.errors import DatabaseError, InputError, NoVisibleSkinError, UsageError
from recon.images import write_png
from recon.methods import METHODS, Context, Reconstruction
from recon.methods.parameters import settings
from recon.texture.bands import split_bands
from recon.texture.database import TextureDatabase
from recon.texture.detail_bands import band_sigmas
from recon.texture.masked import erode
from recon.texture.observation import Observation
from recon.texture.observe import observe, withheld_pixels
from recon.texture.residual import split_detail

# Few iterations: what is tested here does not depend on their number.
QUICK: dict[str, dict[str, Any]] = {
    "meso": {"iterations": (2, 2, 2)},
    "deep": {"iterations": (2, 2)},
    "deep-linear": {"iterations": (2, 2)},
    "deep-nearest": {"iterations": (2, 2)},
}
INFERRING = ("meso", "deep", "deep-linear", "deep-nearest", "visio", "pca", "mirror")
NEED_DATABASE = ("meso", "deep", "deep-linear", "deep-nearest", "visio", "pca")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> TextureDatabase:
    return photographed_database(tmp_path_factory.mktemp("methods"))


@pytest.fixture(scope="module")
def photograph() -> Photograph:
    return photograph_under_test()


@pytest.fixture(scope="module")
def observations(photograph: Photograph) -> dict[str, Observation]:
    return observations_of(photograph)


@pytest.fixture
def truth(tmp_path: Path) -> GroundTruth:
    np.save(tmp_path / "albedo.npy", skin_texture(PERSON).astype(np.float16))
    mask = np.zeros((SIZE, SIZE), bool)
    mask[30:90, 30:90] = True
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "vertices.npy", face().mean + 0.5)
    return GroundTruth("toy", tmp_path / "albedo.npy", tmp_path / "mask.npy", tmp_path / "vertices.npy")


def context_of(observation: Observation, database: TextureDatabase | None, method: str, **changes: Any) -> Context:
    context = Context(
        model=face(),
        observation=observation,
        database=database,
        features="filter-bank",
        size=SIZE,
        parameters=QUICK.get(method, {}),
    )
    return replace(context, **changes)


def reconstruct(method: str, photograph: Photograph, context: Context) -> Reconstruction:
    return METHODS.get(method)().reconstruct(photograph, context)


@pytest.fixture(scope="module")
def results(
    photograph: Photograph, observations: dict[str, Observation], database: TextureDatabase
) -> dict[tuple[str, str], Reconstruction]:
    """Every inferring method under every protocol, once."""
    return {
        (method, protocol): reconstruct(method, photograph, context_of(observation, database, method))
        for method in INFERRING
        for protocol, observation in observations.items()
    }


def inner_skin(database: TextureDatabase) -> np.ndarray:
    return erode(database.skin_mask, 2.0)


@pytest.mark.parametrize("protocol", ["identity", "occlude:right", "blur:3"])
@pytest.mark.parametrize("method", INFERRING)
def test_a_result_is_a_complete_albedo_and_a_head(
    method: str, protocol: str, results: dict[tuple[str, str], Reconstruction]
) -> None:
    result = results[method, protocol]
    assert result.albedo.shape == (SIZE, SIZE, 3) and result.albedo.dtype == np.float32
    assert np.isfinite(result.albedo).all() and result.albedo.min() >= 0 and result.albedo.max() <= 1
    assert result.mask.shape == (SIZE, SIZE) and result.mask.dtype == bool and result.mask.any()
    assert result.albedo[result.mask].min() > 0.005  # no hole
    assert np.array_equal(result.vertices, face().mean)
    assert result.record["fit_verdict"] == "pass"
    assert all(seconds >= 0 for seconds in result.record["timings"].values())


@pytest.mark.parametrize("method", INFERRING)
def test_the_same_call_gives_the_same_bytes(
    method: str,
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
    results: dict[tuple[str, str], Reconstruction],
) -> None:
    again = reconstruct(method, photograph, context_of(observations["occlude:right"], database, method))
    assert again.albedo.tobytes() == results[method, "occlude:right"].albedo.tobytes()


@pytest.mark.parametrize("method", INFERRING)
def test_background_and_the_withheld_half_are_not_read(
    method: str,
    photograph: Photograph,
    database: TextureDatabase,
    results: dict[tuple[str, str], Reconstruction],
) -> None:
    """Noise behind the head and on the hidden half leaves every byte of the result as it was."""
    fit, protocol = known_fit(), parse_protocol("occlude:right")
    hidden = withheld_pixels(fit.landmarks, photograph.srgb.shape[:2], "right")
    marker = photograph_of(np.ones((SIZE, SIZE, 3), np.float32), replace(fit, lighting=fit.lighting)).srgb
    # The toy's picture is grey (0.2 linear) where no ray meets the head; two pixels of its rim are left alone.
    grey = linear_to_srgb(np.array([0.2]))[0]
    background = erode(np.abs(marker - grey).max(axis=-1) < 1e-6, 2.0)
    assert background.sum() > 5000
    noise = np.random.default_rng(0).uniform(size=photograph.srgb.shape).astype(np.float32)
    spoilt = replace(photograph, srgb=np.where((hidden | background)[..., None], noise, photograph.srgb))
    observation = observe(spoilt, protocol, face(), SIZE, fit=fit)
    found = reconstruct(method, spoilt, context_of(observation, database, method))
    assert found.albedo.tobytes() == results[method, "occlude:right"].albedo.tobytes()


@pytest.mark.parametrize("method", INFERRING)
def test_albedo_outside_its_masks_is_not_read(
    method: str,
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
    results: dict[tuple[str, str], Reconstruction],
) -> None:
    """Texels that are neither skin nor visible may hold anything."""
    observation = observations["occlude:right"]
    noise = np.random.default_rng(1).uniform(size=observation.albedo.shape).astype(np.float32)
    spoilt = replace(observation, albedo=np.where(observation.visible[..., None], observation.albedo, noise))
    assert not np.array_equal(spoilt.albedo, observation.albedo)
    found = reconstruct(method, photograph, context_of(spoilt, database, method))
    assert found.albedo.tobytes() == results[method, "occlude:right"].albedo.tobytes()


@pytest.mark.parametrize(("method", "tolerance"), [("meso", 0.01), ("mirror", 1e-3)])
def test_sharply_seen_skin_is_kept(
    method: str,
    tolerance: float,
    photograph: Photograph,
    observations: dict[str, Observation],
    database: TextureDatabase,
) -> None:
    """Away from every rim, what is seen at least as sharply as the database's people comes back."""
    observation = observations["identity"]
    truth = skin_texture(PERSON)
    sharp = replace(observation, albedo=truth * observation.visible[..., None])
    found = reconstruct(method, photograph, context_of(sharp, database, method))
    inner = erode(observation.skin & database.skin_mask, 4.0)
    assert inner.sum() > 2000
    assert found.record.get("blur", 0.0) == 0.0
    assert np.quantile(np.abs(found.albedo[inner] / truth[inner] - 1), 0.95) < tolerance


@pytest.mark.parametrize("method", INFERRING)
def test_the_unseen_half_has_the_persons_tone(
    method: str, database: TextureDatabase, results: dict[tuple[str, str], Reconstruction]
) -> None:
    half = inner_skin(database).copy()
    half[:, SIZE // 2 - 4 :] = False  # the subject's right lies at small u
    tone = [
        np.log(texture[half]).mean(axis=0)
        for texture in (results[method, "occlude:right"].albedo, skin_texture(PERSON))
    ]
    assert np.abs(tone[0] - tone[1]).max() < 0.15


def detail_energy(albedo: Map, mask: np.ndarray) -> np.ndarray:
    luma = split_detail(albedo, mask, SIZE / 512).luma
    bands, _ = split_bands(luma, mask, band_sigmas(SIZE))
    return np.asarray((bands[:, mask] ** 2).mean(axis=1))


def test_meso_gives_a_blurred_face_the_detail_that_pca_lacks(
    observations: dict[str, Observation], database: TextureDatabase, results: dict[tuple[str, str], Reconstruction]
) -> None:
    """Energy over that of the sharp photograph, three bands: near 1 for ``meso``, far below for the photograph."""
    mask = inner_skin(database) & observations["identity"].skin & observations["blur:3"].skin
    truth = detail_energy(observations["identity"].albedo, mask)
    given = detail_energy(observations["blur:3"].albedo, mask) / truth
    found = detail_energy(results["meso", "blur:3"].albedo, mask) / truth
    soft = detail_energy(results["pca", "blur:3"].albedo, mask) / truth
    assert given[0] < 0.1 and soft[0] < 0.6
    assert (found > 0.4).all() and (found < 2.5).all(), found
    assert abs(np.log(found[0])) < abs(np.log(soft[0]))


def test_records_say_how_the_result_came_about(results: dict[tuple[str, str], Reconstruction]) -> None:
    for method in ("meso", "deep", "deep-linear", "deep-nearest"):
        record = results[method, "blur:3"].record
        assert record["extractor"]["name"] == "filter-bank" and len(record["extractor"]["identity"]) == 16
        assert set(record["weights"]) <= set(PEOPLE) and record["kkt"] < 1e-6
        assert all(last < first for first, last in record["losses"])
    assert sum(results["deep", "identity"].record["weights"].values()) == pytest.approx(1, abs=1e-3)
    assert list(results["deep-nearest", "identity"].record["weights"].values())[:2] == [1, 0]
    assert results["meso", "identity"].record["blur"] < results["meso", "blur:3"].record["blur"]
    assert results["mirror", "identity"].record["fill"] == "pca"


def test_the_three_combinations_differ(results: dict[tuple[str, str], Reconstruction]) -> None:
    albedos = [results[name, "identity"].albedo for name in ("deep", "deep-linear", "deep-nearest")]
    assert not np.array_equal(albedos[0], albedos[1]) and not np.array_equal(albedos[0], albedos[2])


def test_strength_is_a_factor_on_predicted_detail(
    photograph: Photograph, observations: dict[str, Observation], database: TextureDatabase
) -> None:
    energies = []
    for strength in (0.5, 1.0):
        context = context_of(observations["blur:3"], database, "meso")
        context = replace(context, parameters={**QUICK["meso"], "strength": strength})
        energies.append(detail_energy(reconstruct("meso", photograph, context).albedo, inner_skin(database)))
    assert energies[0][0] / energies[1][0] == pytest.approx(0.25, rel=0.3)


# --- lightstage, external, mirror without a database -----------------------------------------------------------------


def test_lightstage_hands_the_capture_over(
    photograph: Photograph, observations: dict[str, Observation], truth: GroundTruth
) -> None:
    context = context_of(observations["identity"], None, "lightstage", truth=truth)
    assert METHODS.get("lightstage")().applies(context) is None
    found = reconstruct("lightstage", photograph, context)
    assert np.array_equal(found.albedo, skin_texture(PERSON).astype(np.float16).astype(np.float32))
    assert np.array_equal(found.vertices, face().mean + np.float32(0.5))
    assert not (found.mask & ~np.load(truth.mask)).any() and found.mask.any()
    posed = reconstruct("lightstage", photograph, replace(context, truth=replace(truth, vertices=None)))
    assert np.array_equal(posed.vertices, face().mean)


def test_lightstage_needs_a_capture_that_fits(
    photograph: Photograph, observations: dict[str, Observation], truth: GroundTruth
) -> None:
    method = METHODS.get("lightstage")()
    context = context_of(observations["identity"], None, "lightstage")
    other = replace(context, truth=replace(truth, face_model="ict"))
    assert "no captured albedo" in str(method.applies(context))
    assert "'ict', not 'toy'" in str(method.applies(other))
    for wrong in (context, other):
        with pytest.raises(InputError, match=r"gil\.png"):
            method.reconstruct(photograph, wrong)
    np.save(truth.albedo, skin_texture(0, 64))
    with pytest.raises(InputError, match=r"albedo\.npy' is \(64, 64, 3\) and 'mask\.npy'"):
        method.reconstruct(photograph, replace(context, truth=truth))


@pytest.mark.parametrize("size", [SIZE, 64, 256])
def test_external_reads_what_another_system_wrote(
    size: int, photograph: Photograph, observations: dict[str, Observation], tmp_path: Path
) -> None:
    steps = np.linspace(0.2, 0.8, size)
    picture = np.stack(np.broadcast_arrays(steps[:, None], steps[None], 0.5), axis=-1).astype(np.float32)
    write_png(tmp_path / "blur-8" / "gil.png", picture)
    parameters = {"folder": str(tmp_path), "protocol": "blur:8"}
    context = context_of(observations["identity"], None, "external", parameters=parameters)
    found = reconstruct("external", photograph, context)
    expected = np.linspace(0.2, 0.8, SIZE)
    encoded = linear_to_srgb(found.albedo)
    assert found.albedo.shape == (SIZE, SIZE, 3)
    assert np.abs(encoded[4:-4, 64, 0] - expected[4:-4]).max() < 0.01
    assert np.abs(encoded[64, 4:-4, 1] - expected[4:-4]).max() < 0.01
    assert found.record["source_size"] == size


def test_external_says_what_is_missing_or_wrong(
    photograph: Photograph, observations: dict[str, Observation], tmp_path: Path
) -> None:
    method = METHODS.get("external")()
    context = context_of(observations["identity"], None, "external")
    assert "external.folder" in str(method.applies(context))
    context = replace(context, parameters={"folder": str(tmp_path)})
    assert method.applies(context) is None
    with pytest.raises(InputError, match=r"gil\.png does not exist"):
        method.reconstruct(photograph, context)
    write_png(tmp_path / "identity" / "gil.png", np.full((20, 30, 3), 0.5, np.float32))
    with pytest.raises(InputError, match="square"):
        method.reconstruct(photograph, context)


def test_mirror_works_without_a_database(photograph: Photograph, observations: dict[str, Observation]) -> None:
    found = reconstruct("mirror", photograph, context_of(observations["occlude:right"], None, "mirror"))
    assert found.record["fill"] == "smooth"
    area = erode(skin_area(), 4.0)
    assert found.albedo[area].min() > 0.02
    # The withheld half is the other half seen in a mirror, in its low frequencies.
    right = area.copy()
    right[:, SIZE // 2 - 6 :] = False
    difference = np.abs(np.log(found.albedo / found.albedo[:, ::-1]))[right & area[:, ::-1]]
    assert np.median(difference) < 0.05


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(METHODS))
def test_an_unknown_parameter_is_an_error_with_the_nearest_name(
    method: str, photograph: Photograph, observations: dict[str, Observation], database: TextureDatabase
) -> None:
    piece = METHODS.get(method)()
    wrong = {"iteration": 3, "colour": "red"} if piece.defaults else {"colour": "red"}
    context = context_of(observations["identity"], database, method, parameters=wrong)
    with pytest.raises(UsageError, match=rf"method '{method}' has no parameter"):
        piece.reconstruct(photograph, context)


def test_settings_are_converted_and_checked() -> None:
    defaults = {"iterations": (40, 30, 15), "content": 0.3, "combination": "convex"}
    assert settings("meso", defaults, {}) == defaults
    found = settings("meso", defaults, {"iterations": "4/3/2", "content": "0.5"})
    assert found == {"iterations": (4, 3, 2), "content": 0.5, "combination": "convex"}
    with pytest.raises(UsageError, match=r"did you mean 'content'\?"):
        settings("meso", defaults, {"contnet": 1})
    with pytest.raises(UsageError, match=r"'content' takes a float, got 'much'"):
        settings("meso", defaults, {"content": "much"})
    with pytest.raises(UsageError, match=r"'iterations' takes a tuple"):
        settings("meso", defaults, {"iterations": "4/x/2"})
    with pytest.raises(UsageError, match=r"'iterations' takes 3 numbers, like \(40, 30, 15\); got \(40, 12\)"):
        settings("meso", defaults, {"iterations": "40/12"})


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'deep-linear'"):
        METHODS.get("deeplinear")


@pytest.mark.parametrize("method", NEED_DATABASE)
def test_a_missing_or_unfit_database_is_named(
    method: str, photograph: Photograph, observations: dict[str, Observation], database: TextureDatabase
) -> None:
    piece = METHODS.get(method)()
    observation = observations["identity"]
    assert piece.needs_database and "--database" in str(piece.applies(context_of(observation, None, method)))
    assert piece.applies(context_of(observation, database, method)) is None
    with pytest.raises(DatabaseError, match="--database"):
        piece.reconstruct(photograph, context_of(observation, None, method))
    with pytest.raises(DatabaseError, match="4 are the least"):
        piece.reconstruct(photograph, context_of(observation, database.without(["ada", "ben", "cyd"]), method))
    small = observation_of(skin_texture(PERSON), size=64)
    with pytest.raises(DatabaseError, match="--size 64"):
        piece.reconstruct(photograph, context_of(small, database, method))


@pytest.mark.parametrize("method", ["meso", "deep"])
def test_a_face_that_shows_no_common_skin_is_refused(
    method: str, photograph: Photograph, observations: dict[str, Observation], database: TextureDatabase
) -> None:
    nothing = replace(observations["identity"], skin=np.zeros((SIZE, SIZE), bool))
    nothing.skin[0, :50] = True
    with pytest.raises(NoVisibleSkinError, match=r"gil\.png"):
        reconstruct(method, photograph, context_of(nothing, database, method))


@pytest.fixture(autouse=True)
def _no_assets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that is told its features needs no file and fetches none."""
    from recon import assets

    def refuse(*_: Any) -> None:
        raise AssertionError("a method touched the assets")

    monkeypatch.setattr(assets, "fetch", refuse)
    monkeypatch.setattr(assets, "require", refuse)

"""KID: the estimate against ``torch-fidelity``, ``torchmetrics`` and its closed form; the features inside a mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from network_weights import judged, pictures
from torch_fidelity import feature_extractor_inceptionv3 as inception
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.kid import poly_mmd

from metrics.contract import Memo
from metrics.kid import FEATURES, KID, LEAST_SUBJECTS, _load, kernel_distances, load_inception
from recon import assets
from recon.errors import AssetError


@pytest.fixture
def descriptors() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(0.3, 1, (30, 64)), generator.normal(0, 1, (30, 64))


def test_the_estimate_is_that_of_torch_fidelity_and_torchmetrics(descriptors: tuple[np.ndarray, np.ndarray]) -> None:
    """One subset that holds everybody is the estimate over all of them."""
    first, second = (torch.from_numpy(values) for values in descriptors)
    theirs = kid_features_to_metric(first, second, kid_subsets=1, kid_subset_size=30, rng_seed=1, verbose=False)
    ours = kernel_distances(*descriptors)[0]
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert ours == pytest.approx(float(poly_mmd(first, second)), rel=1e-9)


def test_the_unpaired_estimate_is_its_closed_form(descriptors: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (values[:5] for values in descriptors)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 64 + 1) ** 3

    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    expected = sum(k(x[i], x[j]) + k(y[i], y[j]) - 2 * k(x[i], y[j]) for i, j in pairs) / 20
    assert kernel_distances(x, y)[1] == pytest.approx(expected, rel=1e-9)


def test_results_that_equal_their_references_are_at_zero_unless_taken_as_strangers(
    descriptors: tuple[np.ndarray, np.ndarray],
) -> None:
    """Why there are two: the published estimate of a set beside itself is below zero."""
    strangers, unpaired = kernel_distances(descriptors[0], descriptors[0])
    assert unpaired == pytest.approx(0.0, abs=1e-12)
    assert strangers < -1e-3


def test_the_unpaired_estimate_is_unbiased_for_the_same_people() -> None:
    """Two independent noisy views of each person are drawn from one distribution: the distance is 0 on average."""
    generator = np.random.default_rng(1)
    found = []
    for _ in range(400):
        people = generator.normal(0, 1, (20, 8))
        views = [people + 0.3 * generator.normal(0, 1, people.shape) for _ in range(2)]
        found.append(kernel_distances(*views))
    strangers, unpaired = np.mean(found, axis=0)
    error = np.std(found, axis=0)[1] / len(found) ** 0.5
    assert abs(unpaired) < 3 * error
    assert strangers < -10 * error


def test_the_distance_does_not_depend_on_the_order_of_people_and_grows(
    descriptors: tuple[np.ndarray, np.ndarray],
) -> None:
    first, second = descriptors
    order = np.random.default_rng(3).permutation(30)
    assert kernel_distances(first[order], second[order]) == pytest.approx(kernel_distances(first, second))
    shifted = [kernel_distances(second + shift, second)[1] for shift in (0.0, 0.2, 0.5, 1.0)]
    assert shifted == sorted(shifted)


def test_few_subjects_have_no_value(descriptors: tuple[np.ndarray, np.ndarray]) -> None:
    names = [f"s{i}" for i in range(30)]
    few = LEAST_SUBJECTS - 1
    found = KID.gather(names[:few], *(values[:few].astype(np.float32) for values in descriptors))
    assert list(found) == ["KID", "KID (unpaired)"] and np.isnan(list(found.values())).all()
    found = KID.gather(names, *(values.astype(np.float32) for values in descriptors))
    assert np.isfinite(list(found.values())).all()
    assert KID.parameters["least_subjects"] == LEAST_SUBJECTS


@pytest.fixture(scope="module")
def random_weights() -> dict[str, torch.Tensor]:
    """Of the package's own network, scaled so that a signal keeps its size through all layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        network = inception.FeatureExtractorInceptionV3("random", ["2048"])
    return {
        name: value * 6**0.5 if name.endswith("conv.weight") else value for name, value in network.state_dict().items()
    }


@pytest.fixture(scope="module")
def weights_file(random_weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights as the package publishes its own (95 MB, removed at the end)."""
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(random_weights, path)
    yield path
    path.unlink()


@pytest.fixture
def network(weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESOFACE_ASSET_INCEPTION", str(weights_file))


@pytest.fixture
def ring() -> np.ndarray:
    rows, columns = np.mgrid[0:60, 0:90]
    distance = np.hypot(rows - 30, columns - 44)
    return (distance < 28) & (distance > 8)


@pytest.mark.usefixtures("network")
def test_features_are_those_of_the_package(weights_file: Path) -> None:
    """A square picture in 8 bits, without a mask."""
    ours, truth = pictures(48, 48)
    found = KID.describe([judged(ours, truth)], "cpu")[0]
    package = inception.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(weights_file))
    for descriptor, picture in zip(found, (ours, truth), strict=True):
        eight_bits = torch.from_numpy(np.rint(picture * 255).astype(np.uint8)).permute(2, 0, 1)[None]
        (expected,) = package(eight_bits)
        assert descriptor.shape == (FEATURES,) and descriptor.dtype == np.float32 and descriptor.std() > 0
        assert np.allclose(descriptor, expected[0].numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("network")
def test_nothing_outside_the_region_is_read_and_batches_are_single_results(ring: np.ndarray) -> None:
    ours, truth = pictures(60, 90)
    other = pictures(60, 90, seed=3)[0]
    spoiled = [np.where(ring[..., None], picture, np.nan).astype(np.float32) for picture in (ours, truth)]
    clean = KID.describe([judged(ours, truth, ring)], "cpu")[0]
    shared = Memo()
    tiny = np.zeros_like(ring)
    batch = [
        judged(p, spoiled[1], r, of_reference=shared) for p, r in ((other, ring), (ours, tiny), (spoiled[0], ring))
    ]
    found = KID.describe(batch, "cpu")
    assert np.isnan(found[1]).all()
    assert np.allclose(found[2], clean, rtol=1e-4, atol=1e-6)
    assert found[0][1] is found[2][1]  # the reference is described once
    assert not np.allclose(found[0][0], clean[0], rtol=1e-3)


@pytest.mark.usefixtures("network")
def test_weights_name_what_was_loaded() -> None:
    assert KID.weights is not None
    found = KID.weights()
    assert (found.net, len(found.sha256), found.source) == ("inception-v3-compat", 64, "weights.pth")
    assert load_inception().weights is found


@pytest.mark.parametrize("damage", ["truncated", "a layer missing", "another shape", "no numbers"])
def test_a_wrong_file_is_refused(
    damage: str, random_weights: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wrong.pth"
    stored = dict(random_weights)
    if damage == "a layer missing":
        del stored["Mixed_5b.branch1x1.conv.weight"]
    elif damage == "another shape":
        stored["fc.bias"] = torch.zeros(1000)
    elif damage == "no numbers":
        stored["fc.bias"] = torch.full((1008,), torch.nan)
    torch.save(stored, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1_000_000])
    monkeypatch.setenv("MESOFACE_ASSET_INCEPTION", str(path))
    with pytest.raises(AssetError, match=r"wrong\.pth.*mesoface assets fetch inception"):
        load_inception()
    path.unlink()


def test_absent_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "locate", lambda _: None)
    assert KID.weights is not None
    for attempt in (KID.weights, lambda: KID.describe([judged(*pictures(40, 40))], "cpu")):
        with pytest.raises(AssetError, match="mesoface assets fetch inception"):
            attempt()


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself would unpickle it: a file of weights is a program otherwise."""
    witness = tmp_path / "ran"

    class Program:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return open, (str(witness), "w")

    path = tmp_path / "weights.pth"
    torch.save({"fc.bias": Program()}, path)
    monkeypatch.setenv("MESOFACE_ASSET_INCEPTION", str(path))
    with pytest.raises(AssetError, match=r"weights\.pth"):
        load_inception()
    assert not witness.exists()
    _load.cache_clear()

"""LPIPS and its unlearned variant against ``lpips`` and ``torchmetrics`` on identical weights, and inside a mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from network_weights import NETS, as_input, counted, judged, pictures, random_features, torchvision_gives, write_weights
from torch import nn
from torchmetrics.functional.image.lpips import _NoTrainLpips

from metrics.contract import Memo
from metrics.networks.trunks import Trunk
from metrics.perceptual import ALEX, SQUEEZE, VGG, lpips_metric
from metrics.unlearned import VGG16
from recon import assets
from recon.errors import AssetError, ImageError

METRICS = {"alex": ALEX, "vgg": VGG, "squeeze": SQUEEZE}


@pytest.fixture(scope="module")
def features() -> dict[str, nn.Sequential]:
    return {net: random_features(net) for net in NETS}


@pytest.fixture(scope="module", autouse=True)
def trunks(features: dict[str, nn.Sequential], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Random trunks in the place of all assets (75 MB, removed at the end)."""
    folder = tmp_path_factory.mktemp("trunks")
    with pytest.MonkeyPatch.context() as patch:
        for net, layers in features.items():
            path = write_weights(layers, folder / f"{net}.pth")
            patch.setenv(f"MESOFACE_ASSET_LPIPS_{net.upper()}", str(path))
        yield
    for path in folder.iterdir():
        path.unlink()


def reference_lpips(net: str, layers: nn.Sequential, learned: bool = True) -> nn.Module:
    """The package ``lpips`` on the same trunk."""
    with torchvision_gives(net, layers):
        return lpips.LPIPS(net=net, lpips=learned, pnet_rand=True, verbose=False)


def value(metric: object, *pair: np.ndarray) -> float:
    return metric.measure([judged(*pair)], "cpu")[0][0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("net", NETS)
def test_it_is_lpips_where_the_region_is_the_whole_picture(net: str, features: dict[str, nn.Sequential]) -> None:
    ours, truth = pictures(61, 83)
    with torch.no_grad():
        expected = reference_lpips(net, features[net])(as_input(ours), as_input(truth), normalize=True).item()
    assert expected > 1e-3
    assert value(METRICS[net], ours, truth) == pytest.approx(expected, abs=1e-5, rel=1e-4)


@pytest.mark.parametrize("net", NETS)
def test_torchmetrics_says_the_same(net: str, features: dict[str, nn.Sequential]) -> None:
    ours, truth = pictures(64, 80, seed=1)
    with torchvision_gives(net, features[net]):
        other = _NoTrainLpips(net=net, pnet_rand=True)
    with torch.no_grad():
        expected = other(as_input(ours), as_input(truth), normalize=True).item()
    assert value(METRICS[net], ours, truth) == pytest.approx(expected, abs=1e-5, rel=1e-4)


def test_unlearned_is_the_baseline_of_lpips(features: dict[str, nn.Sequential]) -> None:
    ours, truth = pictures(48, 64)
    with torch.no_grad():
        expected = reference_lpips("vgg", features["vgg"], learned=False)(
            as_input(ours), as_input(truth), normalize=True
        ).item()
    assert value(VGG16, ours, truth) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("net", NETS)
def test_a_rectangle_is_measured_as_if_it_were_the_picture(net: str, features: dict[str, nn.Sequential]) -> None:
    ours, truth = pictures(90, 100)
    region = np.zeros((90, 100), bool)
    region[20:70, 31:95] = True
    with torch.no_grad():
        pair = (as_input(picture[20:70, 31:95]) for picture in (ours, truth))
        expected = reference_lpips(net, features[net])(*pair, normalize=True).item()
    assert value(METRICS[net], ours, truth, region) == pytest.approx(expected, abs=1e-5, rel=1e-4)


@pytest.fixture
def ring() -> np.ndarray:
    """A region with a curved rim and a hole, ``(96, 110)``."""
    rows, columns = np.mgrid[0:96, 0:110]
    distance = np.hypot(rows - 47, columns - 52)
    return (distance < 40) & (distance > 12)


@pytest.mark.parametrize("poison", [np.nan, 7.0])
@pytest.mark.parametrize("metric", [ALEX, VGG, SQUEEZE, VGG16], ids=lambda m: m.components[0].name)
def test_nothing_outside_the_region_is_read(metric: object, poison: float, ring: np.ndarray) -> None:
    ours, truth = pictures(96, 110)
    spoiled = [np.where(ring[..., None], picture, poison).astype(np.float32) for picture in (ours, truth)]
    clean = value(metric, ours, truth, ring)
    assert value(metric, *spoiled, ring) == clean > 0
    assert value(metric, spoiled[0], truth, ring) == clean


@pytest.mark.parametrize("metric", [ALEX, VGG, SQUEEZE, VGG16], ids=lambda m: m.components[0].name)
def test_distance_to_oneself_is_zero_and_order_does_not_matter(metric: object, ring: np.ndarray) -> None:
    ours, truth = pictures(96, 110)
    assert value(metric, truth, truth, ring) == 0.0
    assert value(metric, ours, truth, ring) == pytest.approx(value(metric, truth, ours, ring), rel=1e-5)


@pytest.mark.parametrize("net", NETS)
def test_more_noise_is_farther(net: str, ring: np.ndarray) -> None:
    _, truth = pictures(96, 110)
    noise = np.random.default_rng(2).normal(size=truth.shape)
    noisy = [np.clip(truth + sigma * noise, 0, 1).astype(np.float32) for sigma in (0.01, 0.03, 0.1, 0.3)]
    distances = [value(METRICS[net], picture, truth, ring) for picture in noisy]
    assert distances == sorted(distances) and distances[0] < 0.5 * distances[-1]


def test_a_batch_gives_what_its_members_give_alone(ring: np.ndarray) -> None:
    """Members of two regions and two pictures to a region; the third is too small to be looked at."""
    truth, first = pictures(96, 110)
    second = pictures(96, 110, seed=4)[0]
    other, tiny = ring.copy(), np.zeros_like(ring)
    other[:, 60:] = False
    shared = Memo()
    batch = [judged(p, truth, r, of_reference=shared) for p, r in ((first, ring), (first, other), (second, ring))]
    batch.insert(2, judged(first, truth, tiny, of_reference=shared))
    together = [row[0] for row in SQUEEZE.measure(batch, "cpu")]
    assert np.isnan(together[2])
    alone = [
        value(SQUEEZE, first, truth, ring),
        value(SQUEEZE, first, truth, other),
        value(SQUEEZE, second, truth, ring),
    ]
    assert together[:2] + together[3:] == pytest.approx(alone, rel=1e-5)


def test_metrics_of_one_trunk_and_results_of_one_reference_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, first = pictures(40, 48)
    second = pictures(40, 48, seed=4)[0]
    shared = Memo()
    batch = [judged(picture, truth, of_reference=shared) for picture in (first, second)]
    calls = counted(monkeypatch, Trunk, "features")
    VGG.measure(batch, "cpu")
    assert calls == [1, 2]  # the reference, then both results in one pass
    VGG16.measure(batch, "cpu")
    VGG.measure(batch, "cpu")
    assert calls == [1, 2]


def test_one_result_may_be_compared_with_two_references() -> None:
    """Its memo must not give the distance to the one for that to the other."""
    ours, truth = pictures(40, 48)
    other = pictures(40, 48, seed=9)[1]
    memo = Memo()
    near = SQUEEZE.measure([judged(ours, ours, of_result=memo)], "cpu")[0][0]
    far = SQUEEZE.measure([judged(ours, truth, of_result=memo)], "cpu")[0][0]
    assert near == 0.0
    assert far == value(SQUEEZE, ours, truth) != value(SQUEEZE, ours, other)


def test_large_pictures_are_averaged_to_the_limit() -> None:
    """Each pixel doubled: its mean over area is the pixel itself, in whatever light."""
    ours, truth = pictures(48, 64)
    region = np.zeros((48, 64), bool)
    region[3:44, 6:60] = True
    doubled = [np.repeat(np.repeat(array, 2, axis=0), 2, axis=1) for array in (ours, truth, region)]
    assert lpips_metric("squeeze", longest=54).measure([judged(*doubled)], "cpu")[0][0] == pytest.approx(
        value(SQUEEZE, ours, truth, region), rel=1e-3
    )


@pytest.mark.parametrize("shape", [(1, 1), (31, 200), (200, 31)])
def test_pictures_that_are_too_small_have_no_value(shape: tuple[int, int]) -> None:
    ours, truth = pictures(*shape)
    assert np.isnan(value(ALEX, ours, truth))


@pytest.mark.parametrize("net", NETS)
def test_the_smallest_picture_has_one(net: str) -> None:
    ours, truth = pictures(32, 32)
    one_pixel = np.zeros((32, 32), bool)
    one_pixel[5, 6] = True
    assert value(METRICS[net], ours, truth) > 0
    assert value(METRICS[net], ours, truth, one_pixel) > 0


@pytest.mark.parametrize("bad", [np.nan, -0.2, 255.0])
def test_values_that_are_no_colours_are_refused(bad: float) -> None:
    ours, truth = pictures(40, 40)
    ours[10, 10, 1] = bad
    with pytest.raises(ImageError, match=r"a result of 'Anna'.*\[0, 1\]"):
        ALEX.measure([judged(ours, truth)], "cpu")
    with pytest.raises(ImageError, match=r"the reference of 'Anna'.*\[0, 1\]"):
        ALEX.measure([judged(truth, ours)], "cpu")


def test_a_grey_picture_is_refused() -> None:
    ours, truth = pictures(40, 40)
    with pytest.raises(ImageError, match=r"a result of 'Anna' is an array \(40, 40\)"):
        ALEX.measure([judged(ours[..., 0], truth)], "cpu")


@pytest.mark.parametrize("metric", [ALEX, VGG16], ids=lambda m: m.components[0].name)
def test_absent_weights_say_how_to_get_them(metric: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "locate", lambda _: None)
    ours, truth = pictures(40, 40)
    for attempt in (metric.weights, lambda: value(metric, ours, truth)):  # type: ignore[attr-defined]
        with pytest.raises(AssetError, match=r"mesoface assets fetch lpips-(alex|vgg)"):
            attempt()


def test_weights_name_what_was_loaded(
    features: dict[str, nn.Sequential], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = SQUEEZE.weights()  # type: ignore[misc]
    assert (before.net, len(before.sha256)) == ("squeezenet", 64)
    assert before.source == f"squeeze.pth, lpips {SQUEEZE.version}"
    changed = {f"features.{name}": tensor.clone() for name, tensor in features["squeeze"].state_dict().items()}
    changed["features.0.bias"][3] += 1e-3
    path = tmp_path / "other.pth"
    torch.save(changed, path)
    monkeypatch.setenv("MESOFACE_ASSET_LPIPS_SQUEEZE", str(path))
    assert SQUEEZE.weights().sha256 != before.sha256  # type: ignore[misc]
    assert VGG.weights().sha256 != VGG16.weights().sha256  # type: ignore[misc]


@pytest.mark.parametrize("net", NETS)
def test_the_heads_are_those_of_the_package(net: str, features: dict[str, nn.Sequential]) -> None:
    """All of its layers, non-negative as the paper demands."""
    from metrics.perceptual import _heads

    heads, _ = _heads(net)
    package = [layer.model[1].weight.flatten() for layer in reference_lpips(net, features[net]).lins]
    assert len(heads) == len(package)
    for ours, theirs in zip(heads, package, strict=True):
        assert (ours >= 0).all() and np.allclose(ours, theirs.detach().numpy())


def test_knowing_a_metric_costs_no_import_of_torch() -> None:
    """``mesoface compare`` reads the names of all metrics, and answers at once."""
    import subprocess
    import sys

    program = (
        "import sys\nimport metrics.perceptual, metrics.unlearned, metrics.dists, metrics.kid\n"
        "assert not {'torch', 'torchvision', 'torchmetrics', 'lpips'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).resolve().parent.parent)

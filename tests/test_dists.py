"""DISTS against ``torchmetrics`` and ``piq`` on an identical trunk, and inside a mask."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import piq
import pytest
import torch
from network_weights import as_input, counted, judged, pictures, random_features, torchvision_gives, write_weights
from torch import nn
from torchmetrics.functional.image.dists import DISTSNetwork

from metrics.contract import Memo
from metrics.dists import DISTS, dists_metric
from metrics.networks.trunks import Trunk
from metrics.networks.weights import packaged_file
from recon import assets
from recon.errors import AssetError


@pytest.fixture(scope="module")
def features() -> nn.Sequential:
    return random_features("vgg")


@pytest.fixture(scope="module", autouse=True)
def trunk(features: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A random trunk in the place of the asset (59 MB, removed at the end)."""
    path = write_weights(features, tmp_path_factory.mktemp("trunk") / "vgg.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESOFACE_ASSET_LPIPS_VGG", str(path))
        yield
    path.unlink()


@pytest.fixture(scope="module")
def torchmetrics(features: nn.Sequential) -> nn.Module:
    with torchvision_gives("vgg", features):
        return DISTSNetwork().eval()


def value(*pair: np.ndarray) -> float:
    return DISTS.measure([judged(*pair)], "cpu")[0][0]


def test_it_is_torchmetrics_where_the_region_is_the_whole_picture(torchmetrics: nn.Module) -> None:
    ours, truth = pictures(61, 83)
    with torch.no_grad():
        expected = float(torchmetrics(as_input(ours), as_input(truth)))
    assert expected > 1e-3
    assert value(ours, truth) == pytest.approx(expected, abs=1e-5)


def test_piq_says_the_same(features: nn.Sequential, monkeypatch: pytest.MonkeyPatch) -> None:
    """``piq`` takes the same learned weights as a download; its pooling pads by one pixel, and ours by as much."""
    learned = packaged_file("torchmetrics", "functional", "image", "dists_models", "weights.pt")
    stored = torch.load(learned, weights_only=True)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: stored)
    trunk = copy.deepcopy(features)  # whose pooling it replaces
    monkeypatch.setattr("piq.perceptual.vgg16", lambda **_: SimpleNamespace(features=trunk))
    other = piq.DISTS()
    ours, truth = pictures(64, 80, seed=3)
    with torch.no_grad():
        expected = float(other(as_input(ours), as_input(truth)))
    assert value(ours, truth) == pytest.approx(expected, abs=1e-5)


def test_a_rectangle_is_measured_as_if_it_were_the_picture(torchmetrics: nn.Module) -> None:
    ours, truth = pictures(90, 100)
    region = np.zeros((90, 100), bool)
    region[20:70, 31:95] = True
    with torch.no_grad():
        expected = float(torchmetrics(*(as_input(picture[20:70, 31:95]) for picture in (ours, truth))))
    assert value(ours, truth, region) == pytest.approx(expected, abs=1e-5)


@pytest.fixture
def ring() -> np.ndarray:
    rows, columns = np.mgrid[0:80, 0:70]
    distance = np.hypot(rows - 40, columns - 35)
    return (distance < 32) & (distance > 8)


@pytest.mark.parametrize("poison", [np.nan, 7.0])
def test_nothing_outside_the_region_is_read(poison: float, ring: np.ndarray) -> None:
    ours, truth = pictures(80, 70)
    spoiled = [np.where(ring[..., None], picture, poison).astype(np.float32) for picture in (ours, truth)]
    clean = value(ours, truth, ring)
    assert value(*spoiled, ring) == clean > 0
    assert value(spoiled[0], truth, ring) == clean


def test_distance_to_oneself_is_zero_and_order_does_not_matter(ring: np.ndarray) -> None:
    ours, truth = pictures(80, 70)
    assert value(truth, truth, ring) == pytest.approx(0.0, abs=1e-6)
    assert value(ours, truth, ring) == pytest.approx(value(truth, ours, ring), abs=1e-6)
    flat = np.full_like(truth, 0.5)
    assert value(flat, flat) == pytest.approx(0.0, abs=1e-6)


def test_more_noise_is_farther(ring: np.ndarray) -> None:
    _, truth = pictures(80, 70)
    noise = np.random.default_rng(2).normal(size=truth.shape)
    noisy = [np.clip(truth + sigma * noise, 0, 1).astype(np.float32) for sigma in (0.01, 0.03, 0.1, 0.3)]
    distances = [value(picture, truth, ring) for picture in noisy]
    assert distances == sorted(distances) and distances[0] < 0.5 * distances[-1]


def test_a_batch_gives_what_its_members_give_alone(ring: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, first = pictures(80, 70)
    second = pictures(80, 70, seed=4)[0]
    shared = Memo()
    tiny = np.zeros_like(ring)
    alone = [value(first, truth, ring), value(second, truth, ring)]
    batch = [judged(p, truth, r, of_reference=shared) for p, r in ((first, ring), (first, tiny), (second, ring))]
    calls = counted(monkeypatch, Trunk, "features")
    together = [row[0] for row in DISTS.measure(batch, "cpu")]
    assert calls == [1, 2]  # the reference once, then both results in one pass
    assert np.isnan(together[1])
    assert [together[0], together[2]] == pytest.approx(alone, rel=1e-4)


def test_large_pictures_are_averaged_to_the_limit() -> None:
    """Each pixel doubled: its mean over area is the pixel itself, in whatever light."""
    ours, truth = pictures(48, 64)
    doubled = [np.repeat(np.repeat(array, 2, axis=0), 2, axis=1) for array in (ours, truth)]
    small = dists_metric(longest=64).measure([judged(*doubled)], "cpu")[0][0]
    assert small == pytest.approx(value(ours, truth), rel=1e-3)


def test_absent_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "locate", lambda _: None)
    assert DISTS.weights is not None
    for attempt in (DISTS.weights, lambda: value(*pictures(40, 40))):
        with pytest.raises(AssetError, match="mesoface assets fetch lpips-vgg"):
            attempt()


def test_weights_name_what_was_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert DISTS.weights is not None
    found = DISTS.weights()
    assert (found.net, len(found.sha256)) == ("vgg16", 64)
    assert found.source == f"vgg.pth, torchmetrics {DISTS.version}"
    monkeypatch.setattr("metrics.networks.weights.packaged_file", lambda *_: tmp_path / "absent.pt")
    from metrics.dists import _network
    from metrics.networks.trunks import load_trunk

    _network.cache_clear()
    with pytest.raises(AssetError, match="install the package 'torchmetrics' again"):
        _network(load_trunk("vgg16"))

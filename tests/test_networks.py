"""What networks are made of and what they see: weight files, trunks against torchvision, windows, area weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from network_weights import NETS, as_input, judged, pictures, random_features, write_weights
from torch import nn

from metrics.contract import Memo
from metrics.networks.features import chunks, exactly, places_of, rows_of, unit_length, weighted_mean
from metrics.networks.trunks import load_trunk, trunk_asset
from metrics.networks.weights import packaged_file, tensors_sha256
from metrics.networks.window import LEAST_SIDE, seen, window_of
from metrics.perceptual import SQUEEZE
from metrics.unlearned import VGG16_HED
from recon import assets
from recon.assets import asset_variable
from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import AssetError, ImageError

TRUNKS = {"alexnet": "alex", "vgg16": "vgg", "squeezenet": "squeeze"}
LPIPS_TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29), "squeeze": (1, 4, 7, 9, 10, 11, 12)}
"""Last layers of the slices in ``lpips.pretrained_networks``."""


Put = Callable[[str, Path], None]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """``put(trunk, path)``: the file is the asset of the trunk."""
    return lambda net, path: monkeypatch.setenv(asset_variable(trunk_asset(net)), str(path))


def test_the_vgg_that_is_spelt_out_is_torchvisions_and_does_without_its_import() -> None:
    from torchvision.models import vgg16

    from metrics.networks.trunks import _vgg16

    with torch.device("meta"):
        assert str(_vgg16()) == str(vgg16(weights=None).features)
    program = "import sys, metrics.networks.trunks as t\nt._vgg16()\nassert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).resolve().parent.parent)


def expected_taps(layers: nn.Sequential, taps: tuple[int, ...], value: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for index, layer in enumerate(layers):
        value = layer(value)
        if index in taps:
            found.append(value.clone())
    return found


@pytest.mark.parametrize("net", TRUNKS)
def test_trunks_are_torchvisions_with_the_weights_of_the_file(net: str, put: Put, tmp_path: Path) -> None:
    layers = random_features(TRUNKS[net])
    put(net, write_weights(layers, tmp_path / "weights.pth"))
    trunk = load_trunk(net)
    picture = as_input(pictures(64, 70)[0])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found = trunk.features(picture, torch.ones(64, 70, dtype=torch.bool))
    for ours, theirs in zip(found, expected_taps(layers, LPIPS_TAPS[TRUNKS[net]], (picture - mean) / std), strict=True):
        assert theirs.std() > 1e-3
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    loaded = {f"features.{name}": value for name, value in trunk.layers.state_dict().items()}
    stored = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert trunk.weights.sha256 == tensors_sha256(trunk.layers.state_dict())
    assert all(torch.equal(value, stored[name]) for name, value in loaded.items())
    (tmp_path / "weights.pth").unlink()


def test_the_edge_trunk_is_vgg16_with_caffes_colours(put: Put, tmp_path: Path) -> None:
    """Random weights in the layout of its Keras file (HWIO); max pooling, unlike the extractor of the methods."""
    layers = random_features("vgg")
    path = tmp_path / "hed.weights.h5"
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    names = [(block, number) for block, count in enumerate((2, 2, 3, 3, 3), start=1) for number in range(count)]
    with h5py.File(path, "w") as file:
        for (block, number), convolution in zip(names, convolutions, strict=True):
            group = file.create_group(f"block{block}/layers/{f'conv2d_{number}' if number else 'conv2d'}/vars")
            group["0"] = convolution.weight.permute(2, 3, 1, 0).numpy()
            assert convolution.bias is not None
            group["1"] = convolution.bias.numpy()
    put("vgg16-hed", path)
    picture = as_input(pictures(48, 40)[0])
    caffe = picture[:, [2, 1, 0]] * 255 - torch.tensor((104.00698793, 116.66876762, 122.67891434)).view(1, 3, 1, 1)
    trunk = load_trunk("vgg16-hed")
    found = trunk.features(picture, torch.ones(48, 40, dtype=torch.bool))
    for ours, theirs in zip(found, expected_taps(layers, LPIPS_TAPS["vgg"], caffe), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    assert (trunk.weights.net, trunk.weights.source) == ("vgg16-hed", "hed.weights.h5")
    path.unlink()


def test_the_real_edge_trunk_orders_noise_where_it_is_present() -> None:
    if assets.locate("vgg16-hed") is None:
        pytest.skip("needs the asset 'vgg16-hed' (mesoface assets fetch vgg16-hed)")
    _, truth = pictures(64, 64)
    noise = np.random.default_rng(2).normal(size=truth.shape)
    noisy = [np.clip(truth + sigma * noise, 0, 1).astype(np.float32) for sigma in (0.01, 0.03, 0.1, 0.3)]
    distances = [row[0] for row in VGG16_HED.measure([judged(picture, truth) for picture in noisy], "cpu")]
    assert distances == sorted(distances) and 0 < distances[0] < 0.5 * distances[-1]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("net", TRUNKS)
def test_absent_weights_are_an_error_and_never_a_random_net(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "locate", lambda _: None)
    with pytest.raises(AssetError, match=f"mesoface assets fetch {trunk_asset(net)}"):
        load_trunk(net)


@pytest.fixture(scope="module")
def squeezenet() -> dict[str, torch.Tensor]:
    return {f"features.{name}": value for name, value in random_features("squeeze").state_dict().items()}


def damaged(kind: str, stored: dict[str, torch.Tensor], path: Path) -> None:
    """Writes a file that is not the weights of SqueezeNet."""
    stored = dict(stored)
    match kind:
        case "a layer missing":
            del stored["features.12.squeeze.weight"]
        case "another shape":
            stored["features.0.weight"] = torch.zeros(64, 3, 5, 5)
        case "no numbers":
            stored["features.0.bias"] = torch.full((64,), torch.nan)
        case "infinite":
            stored["features.0.bias"] = torch.full((64,), torch.inf)
        case "no tensors":
            stored["features.0.bias"] = "weights"  # type: ignore[assignment]
        case "another net":
            stored = {f"features.{name}": value for name, value in random_features("alex").state_dict().items()}
    torch.save(stored, path)
    if kind == "a page of the web":
        path.write_text("<html>log in first</html>")
    if kind == "empty":
        path.write_bytes(b"")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    "kind",
    ["a layer missing", "another shape", "no numbers", "infinite", "no tensors", "another net", "a page of the web",
     "empty"],
)  # fmt: skip
def test_a_wrong_file_is_refused_and_named(
    kind: str, squeezenet: dict[str, torch.Tensor], put: Put, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.pth"
    damaged(kind, squeezenet, path)
    put("squeezenet", path)
    with pytest.raises(AssetError, match=r"wrong\.pth.*mesoface assets fetch lpips-squeeze"):
        load_trunk("squeezenet")


@pytest.mark.parametrize("newer", [True, False], ids=["zip", "older format"])
def test_a_truncated_file_is_refused_wherever_it_breaks_off(
    newer: bool, squeezenet: dict[str, torch.Tensor], put: Put, tmp_path: Path
) -> None:
    """torchvision publishes files in both of PyTorch's formats."""
    whole = tmp_path / "whole.pth"
    torch.save(squeezenet, whole, _use_new_zipfile_serialization=newer)
    put("squeezenet", whole)
    assert load_trunk("squeezenet").weights.net == "squeezenet"
    content = whole.read_bytes()
    path = tmp_path / "short.pth"
    put("squeezenet", path)
    for length in (1, 17, 100, 1000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(AssetError, match=r"short\.pth.*damaged"):
            load_trunk("squeezenet")


def test_a_file_that_changes_is_read_again(squeezenet: dict[str, torch.Tensor], put: Put, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(squeezenet, path)
    put("squeezenet", path)
    before = load_trunk("squeezenet")
    assert load_trunk("squeezenet") is before
    torch.save({**squeezenet, "features.0.bias": squeezenet["features.0.bias"] + 1}, path)
    os.utime(path, ns=(1, 1))
    assert load_trunk("squeezenet").weights.sha256 != before.weights.sha256


def test_the_hash_names_every_value() -> None:
    """Values, shapes and names, whatever the order in which they are stored."""
    one, other = torch.arange(6.0), torch.ones(2)
    first = tensors_sha256({"a": one, "b": other})
    assert first == tensors_sha256({"b": other.clone(), "a": one.clone()})
    changed = one.clone()
    changed[3] += 1e-6
    different = [{"a": changed, "b": other}, {"a": one.view(2, 3), "b": other}, {"a": one, "c": other}, {"a": one}]
    assert len({first, *map(tensors_sha256, different)}) == 5


def test_a_package_without_its_file_is_an_error() -> None:
    for package in ("lpips", "no_such_package"):
        with pytest.raises(AssetError, match=f"'{package}' lacks its file 'weights/v9/no.pth'"):
            packaged_file(package, "weights", "v9", "no.pth")


def test_a_window_is_the_box_around_the_region() -> None:
    region = np.zeros((100, 120), bool)
    region[20:70, 30:90] = True
    region[40, 40] = False
    window = window_of(region, region)
    assert window is not None and window.share is None
    assert window.demanded == (slice(20, 70), slice(30, 90)) and window.box == (slice(0, 50), slice(0, 60))
    assert np.array_equal(window.region, region[20:70, 30:90])


def test_a_small_region_is_seen_in_a_box_that_is_large_enough() -> None:
    region = np.zeros((100, 120), bool)
    region[99, 3:9] = True
    window = window_of(region, region)
    assert window is not None and window.region.shape == (LEAST_SIDE, LEAST_SIDE) and window.region.sum() == 6


def test_what_is_too_small_has_no_window() -> None:
    for shape in ((1, 1), (LEAST_SIDE - 1, 500)):
        assert window_of(*[np.ones(shape, bool)] * 2) is None
    assert window_of(*[np.zeros((100, 100), bool)] * 2) is None
    thin = np.zeros((2048, 2048), bool)
    thin[100, 100] = True  # a sixteenth of a pixel at the limit
    assert window_of(thin, np.ones_like(thin)) is None


def test_a_large_picture_is_the_mean_of_light_over_the_region() -> None:
    """Blocks of 2 × 2 pixels, closed form; pixels of the region alone count, and NaN outside is never read."""
    generator = np.random.default_rng(0)
    picture = generator.random((128, 160, 3)).astype(np.float32)
    region = generator.random((128, 160)) < 0.6
    picture[~region] = np.nan
    window = window_of(region, region, longest=80)
    assert window is not None
    small = seen(picture, region, window, Memo(), "it")
    blocks = np.where(region[..., None], srgb_to_linear(picture), 0.0).reshape(64, 2, 80, 2, 3).sum(axis=(1, 3))
    counts = region.reshape(64, 2, 80, 2).sum(axis=(1, 3))
    expected = np.where((counts >= 2)[..., None], linear_to_srgb(blocks / np.maximum(counts, 1)[..., None]), 0.0)
    assert np.array_equal(window.region, (counts >= 2)[window.box])
    assert np.allclose(small, expected[window.box], atol=1e-5)


@pytest.mark.parametrize("shape", [(700, 900), (1023, 611), (513, 512)])
def test_any_size_is_brought_to_the_limit_without_moving(shape: tuple[int, int]) -> None:
    """A ramp in linear light stays the ramp at the centres of the larger pixels, whatever the ratio and the box."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    ramp = np.stack([(rows + 0.5) / shape[0], (columns + 0.5) / shape[1], np.full(shape, 0.3)], axis=-1)
    region, demanded = np.zeros(shape, bool), np.ones(shape, bool)
    region[shape[0] // 5 : shape[0] // 2, shape[1] // 7 : shape[1] // 3] = True
    window = window_of(region, demanded)
    assert window is not None and window.share is not None and max(window.share.shape) == 512
    light = srgb_to_linear(seen(linear_to_srgb(ramp.astype(np.float32)), region, window, Memo(), "it"))
    y, x = (
        (np.arange(length)[part] + 0.5) / length for length, part in zip(window.share.shape, window.box, strict=True)
    )
    inner = np.zeros_like(window.region)
    inner[2:-2, 2:-2] = window.region[2:-2, 2:-2]
    expected = np.stack([*np.broadcast_arrays(y[:, None], x[None]), np.full(window.region.shape, 0.3)], axis=-1)
    assert inner.sum() > 1000
    assert np.abs(light - expected)[inner].max() < 1e-3


def test_the_scale_is_that_of_the_demanded_region() -> None:
    """Methods that vouch for more or less are looked at equally closely."""
    demanded = np.zeros((1500, 1500), bool)
    demanded[100:1124, 300:812] = True
    part = demanded.copy()
    part[600:] = False
    whole, less = window_of(demanded, demanded), window_of(part, demanded)
    assert whole is not None and less is not None
    assert whole.region.shape == (512, 256) and less.region.shape == (250, 256)


def test_a_picture_of_another_size_is_refused() -> None:
    region = np.ones((64, 64), bool)
    window = window_of(region, region)
    assert window is not None
    with pytest.raises(ImageError, match=r"it is an array \(64, 60, 3\)"):
        seen(np.zeros((64, 60, 3), np.float32), region, window, Memo(), "it")


def test_places_weigh_by_their_share_of_the_region() -> None:
    """A quarter, a half and all of a bin of 4 × 4 pixels; bins without any are left out."""
    region = torch.zeros(8, 12, dtype=torch.bool)
    region[0:2, 0:2] = True
    region[0:2, 4:8] = True
    region[4:8, 8:12] = True
    places = places_of(region, (2, 3))
    assert places.index.tolist() == [0, 1, 5]
    assert places.weights.tolist() == pytest.approx([0.25 / 1.75, 0.5 / 1.75, 1 / 1.75])
    features = torch.rand((2, 5, 2, 3), generator=torch.Generator().manual_seed(0))
    rows = rows_of(features, places)
    assert torch.equal(rows[1, 2], features[1, :, 1, 2])
    expected = (0.25 * features[..., 0, 0] + 0.5 * features[..., 0, 1] + features[..., 1, 2]) / 1.75
    assert torch.allclose(weighted_mean(rows, places), expected, atol=1e-6)


def test_a_whole_region_weighs_all_places_alike() -> None:
    places = places_of(torch.ones(50, 70, dtype=torch.bool), (12, 17))
    assert places.weights.tolist() == pytest.approx([1 / 204] * 204)


def test_measuring_is_exact_and_leaves_the_process_as_it_was() -> None:
    """TF32 would cost the fourth digit on a GPU; whoever else uses the process keeps his own choice."""
    before = torch.backends.cudnn.allow_tf32
    with exactly():
        assert torch.is_inference_mode_enabled()
        assert torch.backends.cudnn.enabled and not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before and not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("device", "size", "parts"),
    [("cpu", (512, 512), [1] * 5), ("cpu", (256, 256), [4, 1]), ("cuda:0", (512, 512), [4, 1])],
)
def test_a_batch_goes_through_in_parts_of_bounded_size(device: str, size: tuple[int, int], parts: list[int]) -> None:
    found = list(chunks(5, size, device))
    assert [part.stop - part.start for part in found] == parts
    assert [i for part in found for i in range(part.start, part.stop)] == list(range(5))
    assert len(list(chunks(2, (4000, 4000), device))) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_number(put: Put, tmp_path: Path) -> None:
    put("squeezenet", write_weights(random_features("squeeze"), tmp_path / "weights.pth"))
    ours, truth = pictures(96, 110)
    on_cpu, on_gpu = (SQUEEZE.measure([judged(ours, truth)], device)[0][0] for device in ("cpu", "cuda"))
    assert on_gpu == pytest.approx(on_cpu, rel=1e-5)


def test_unit_length_leaves_zeros_alone() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert unit_length(rows).tolist() == [pytest.approx([0.6, 0.8]), [0.0, 0.0]]


def test_every_net_of_lpips_has_a_trunk() -> None:
    from metrics.perceptual import TRUNK_OF

    assert set(TRUNK_OF) == set(NETS) and set(TRUNK_OF.values()) == set(TRUNKS)

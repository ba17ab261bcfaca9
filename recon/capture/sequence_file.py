"""The description of a raw gradient sequence: the file ``subject.toml`` in its folder.

Nothing about signs, axes, flips or encodings is guessed; what is missing is asked for. All keys::

    kind = "gradient-sequence"       # tells such a folder from a finished scan
    id = "person-01"
    licence = "CC BY 4.0"            # optional, with citation = "…" and redistributable = true or false
    synthetic = false                # optional

    [attributes]                     # optional: age, gender, … as strings

    [frame]
    name = "stage"                   # what the right-handed frame is; all directions and positions below are in it
    metres_per_unit = 0.01

    [gradients]
    kind = "linear"                  # (1 ± ω)/2, or "binary": hemispheres
    x = "+x"                         # towards which axis of the frame the light of the images 'x' grows …
    y = "+y"
    z = "-z"                         # … and so on; each axis once

    [encoding]
    transfer = "linear"              # what stored values are: "linear" light, or "srgb"
    saturation = 1.0                 # stored value, of at most 1 in integer files, from which a pixel counts as clipped
    flip = "none"                    # what turns the files into what the camera sees: "none", "left-right", "up-down",
                                     # "both"; masks and chart pictures are stored the same way

    [mesh]                           # optional: the head in the frame, for shadows and for transfer into a UV layout
    file = "mesh.ply"
    landmarks = [[x, y, z], …]       # optional: the 68 iBUG landmarks

    [[camera]]                       # one or more
    name = "front"
    folder = "front"                 # optional: of its image files
    size = [1024, 1024]              # width and height of the pictures
    rotation = [[…], […], […]]       # frame to camera (x right, y down, z forward) …
    translation = [x, y, z]          # … x_camera = rotation · x + translation
    focal = 2800.0                   # pixels
    principal = [512.0, 512.0]       # pixels
    view = [0, 0, 1]                 # instead of these four: the direction towards a camera far away
    mask = "mask.png"                # optional: white where there is skin to measure
    white = [0.8, 0.8, 0.8]          # optional: linear value of a white matt surface in the diffuse full-on image

    [camera.cross]                   # crossed polarisers; with [camera.parallel], or [camera.unpolarised] alone
    full = "cross_full.exr"
    x = "cross_x.exr"
    x_complement = "cross_x_complement.exr"   # optional under linear gradients; the same for y and z
    y = …
    ambient = "cross_ambient.exr"    # optional: all stage lights off

    [camera.checker]                 # optional, instead of white: 24-patch chart facing the camera under full-on light,
    image = "checker.exr"            # through the filter of the diffuse images (crossed, or none)
    ambient = "checker_ambient.exr"  # optional
    chart = "since-2014"             # or "before-2014"
    patches = [[x, y], …]            # 24 centres in pixels, dark skin first, black last
    radius = 8                       # half the side of the square that is averaged, pixels
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.capture.colour_checker import CHARTS
from recon.capture.toml_table import Table, read_toml
from recon.data.subject import Licence
from recon.errors import InputError
from recon.fitting.camera import Camera

FILE = "subject.toml"
KIND = "gradient-sequence"
AXES = ("x", "y", "z")
STATES = ("cross", "parallel", "unpolarised")
FLIPS = {"none": (), "left-right": (1,), "up-down": (0,), "both": (0, 1)}
"""Array axes to reverse, by the word in the file."""

_IMAGES = ("full", "ambient", *AXES, *(f"{axis}_complement" for axis in AXES))
_LENS = ("rotation", "translation", "focal", "principal")
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, eq=False)
class Checker:
    """A photographed colour chart; ``patches`` is ``(24, 2)`` pixel positions (x, y)."""

    image: Path
    ambient: Path | None
    chart: str
    patches: NDArray[np.float64]
    radius: float


@dataclass(frozen=True, eq=False)
class CameraFiles:
    """One camera and its images.

    Attributes:
        name: unique.
        width, height: of all its pictures, pixels.
        camera: pose and lens, or None where only ``view`` is known.
        view: ``(3,)`` unit direction towards a distant camera, or None.
        mask: picture of where to measure, or None.
        images: files by polarisation (``STATES``) and pattern (``full``, ``x``, ``x_complement``, …, ``ambient``).
        white: ``(3,)`` linear values of white, or None.
        checker: colour chart, or None.
    """

    name: str
    width: int
    height: int
    camera: Camera | None
    view: NDArray[np.float64] | None
    mask: Path | None
    images: Mapping[str, Mapping[str, Path]]
    white: NDArray[np.float64] | None
    checker: Checker | None

    @property
    def polarised(self) -> bool:
        """Whether there are cross and parallel images."""
        return "cross" in self.images


@dataclass(frozen=True, eq=False)
class SequenceFile:
    """What ``subject.toml`` says of a raw sequence.

    Attributes:
        path: the file.
        id, licence, attributes, synthetic: of the person.
        frame, metres_per_unit: of all positions and directions.
        binary: whether gradients are hemispheres.
        axes: for images x, y, z: index of the frame's axis, and sign.
        linear: whether stored values are linear light, else sRGB-encoded.
        saturation: stored value that counts as clipped.
        flip: array axes to reverse.
        mesh: file of the geometry, or None.
        landmarks: ``(68, 3)``, or None.
        cameras: at least one.
    """

    path: Path
    id: str
    licence: Licence
    attributes: Mapping[str, str]
    synthetic: bool
    frame: str
    metres_per_unit: float
    binary: bool
    axes: tuple[tuple[int, int], ...]
    linear: bool
    saturation: float
    flip: tuple[int, ...]
    mesh: Path | None
    landmarks: NDArray[np.float64] | None
    cameras: tuple[CameraFiles, ...]


def is_sequence(folder: Path) -> bool:
    """Whether ``folder`` holds a raw gradient sequence; a file ``subject.toml`` that is not TOML is an error."""
    path = Path(folder) / FILE
    return path.is_file() and read_toml(path).get("kind") == KIND


def read_sequence_file(folder: Path) -> SequenceFile:
    """Reads and checks ``subject.toml`` of a raw sequence; images are not opened.

    Raises:
        InputError: a key is missing, misspelt, contradicts another, or names a file that does not exist.
    """
    path = Path(folder) / FILE
    top = Table(read_toml(path), path, "the file's")
    if top.take("kind", f'"{KIND}"', str, needed=False) != KIND:
        raise InputError(f"'{path}' does not describe a raw sequence: it needs kind = \"{KIND}\".")
    name = str(top.take("id", "the person's id", str))
    if not _SAFE_ID.fullmatch(name):
        raise top.wrong("id", f"may hold letters, digits, '-', '_' and '.' only, not \"{name}\"")
    licence = Licence(
        top.take("licence", "the terms", str, needed=False) or "unknown",
        top.take("citation", "text", str, needed=False) or "",
        bool(top.take("redistributable", "true or false", bool, needed=False)),
    )
    attributes = top.take("attributes", "a table", dict, needed=False) or {}
    synthetic = bool(top.take("synthetic", "true or false", bool, needed=False))
    frame = Table(top.take("frame", "a table with name and metres_per_unit", dict), path, "[frame]")
    encoding = Table(top.take("encoding", "a table with transfer, saturation and flip", dict), path, "[encoding]")
    gradients = Table(top.take("gradients", "a table with kind, x, y and z", dict), path, "[gradients]")
    mesh, landmarks = _mesh(top, path)
    cameras = _cameras(top, path)
    binary = gradients.word("kind", ("linear", "binary")) == "binary"
    axes = _axes(gradients)
    result = SequenceFile(
        path=path,
        id=name,
        licence=licence,
        attributes={str(key): str(value) for key, value in attributes.items()},
        synthetic=synthetic,
        frame=str(frame.take("name", "what the frame is", str)),
        metres_per_unit=float(frame.number("metres_per_unit", "the frame's unit in metres") or 0),
        binary=binary,
        axes=axes,
        linear=encoding.word("transfer", ("linear", "srgb")) == "linear",
        saturation=float(encoding.number("saturation", "the stored value that counts as clipped") or 0),
        flip=FLIPS[encoding.word("flip", tuple(FLIPS))],
        mesh=mesh,
        landmarks=landmarks,
        cameras=cameras,
    )
    for table in (top, frame, encoding, gradients):
        table.done()
    _check_images(result)
    return result


def _axes(table: Table) -> tuple[tuple[int, int], ...]:
    """Index of the frame's axis and the sign, for each of the three gradients."""
    choices = tuple(f"{sign}{axis}" for axis in AXES for sign in "+-")
    words = [table.word(axis, choices) for axis in AXES]
    if len({word[1] for word in words}) != 3:
        raise table.wrong("x, y and z", f"must each name another axis, not {', '.join(words)}")
    return tuple((AXES.index(word[1]), 1 if word[0] == "+" else -1) for word in words)


def _mesh(top: Table, path: Path) -> tuple[Path | None, NDArray[np.float64] | None]:
    values = top.take("mesh", "a table with file", dict, needed=False)
    if values is None:
        return None, None
    table = Table(values, path, "[mesh]")
    file = table.file("file", path.parent)
    landmarks = table.array("landmarks", (68, 3), "the positions of the 68 iBUG landmarks", needed=False)
    table.done()
    if file is not None and not file.is_file():
        raise table.wrong("file", f"names '{file}', which does not exist: put the mesh there, or drop the table")
    return file, landmarks


def _cameras(top: Table, path: Path) -> tuple[CameraFiles, ...]:
    tables = top.take("camera", "one [[camera]] a camera", list)
    if not tables:
        raise top.wrong("camera", "is empty: describe at least one [[camera]]")
    cameras = tuple(_camera(Table(values, path, f"[[camera]] number {i + 1},")) for i, values in enumerate(tables))
    names = [camera.name for camera in cameras]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"'{path}': two cameras are called '{name}': give each a name of its own.")
    return cameras


def _camera(table: Table) -> CameraFiles:
    path = table.path
    name = str(table.take("name", "the camera's name", str))
    if not _SAFE_ID.fullmatch(name):
        raise table.wrong("name", f"may hold letters, digits, '-', '_' and '.' only, not \"{name}\"")
    folder = path.parent / str(table.take("folder", "the folder of its images", str, needed=False) or ".")
    size = table.array("size", (2,), "width and height in pixels")
    assert size is not None
    width, height = int(size[0]), int(size[1])
    if min(width, height) < 1:
        raise table.wrong("size", f"must be positive, not {width}×{height}")
    lens, view = _pose(table, width, height)
    images = {}
    for state in STATES:
        values = table.take(state, "a table of images", dict, needed=False)
        if values is not None:
            files = Table(values, path, f"camera '{name}', [camera.{state}]")
            found = {key: files.file(key, folder, needed=False) for key in _IMAGES}
            files.done()
            images[state] = {key: file for key, file in found.items() if file is not None}
    checker = table.take("checker", "a table", dict, needed=False)
    result = CameraFiles(
        name=name,
        width=width,
        height=height,
        camera=lens,
        view=view,
        mask=table.file("mask", folder, needed=False),
        images=images,
        white=table.array("white", (3,), "the linear values of white", needed=False),
        checker=None if checker is None else _checker(Table(checker, path, f"camera '{name}', checker"), folder),
    )
    table.done()
    if result.white is not None and (result.checker is not None or (result.white <= 0).any()):
        raise table.wrong("white", "must be positive, and there is no need of it beside a colour chart: drop one")
    return result


def _pose(table: Table, width: int, height: int) -> tuple[Camera | None, NDArray[np.float64] | None]:
    """The camera, or the direction towards it; exactly one of them."""
    view = table.array("view", (3,), "the direction towards the camera", needed=False)
    rotation = table.array("rotation", (3, 3), "the rotation from the frame to the camera", needed=view is None)
    translation = table.array("translation", (3,), "the translation from frame to camera", needed=view is None)
    focal = table.number("focal", "the focal length in pixels", needed=view is None)
    principal = table.array("principal", (2,), "the principal point in pixels", needed=view is None)
    if view is not None:
        if any(given is not None for given in (rotation, translation, focal, principal)):
            raise table.wrong("view", f"is for cameras without {', '.join(_LENS)}: drop one or the other")
        if not np.linalg.norm(view) > 0:
            raise table.wrong("view", "must not be zero")
        return None, view / np.linalg.norm(view)
    assert rotation is not None and translation is not None and focal is not None and principal is not None
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) or np.linalg.det(rotation) < 0:
        raise table.wrong("rotation", "is no rotation: its rows must be unit, at right angles and right-handed")
    return Camera(rotation, translation, focal, (float(principal[0]), float(principal[1])), width, height), None


def _checker(table: Table, folder: Path) -> Checker:
    image = table.file("image", folder)
    patches = table.array("patches", (24, 2), "the centres of the 24 patches in pixels")
    radius = table.number("radius", "half the side of the averaged squares in pixels")
    assert image is not None and patches is not None and radius is not None
    checker = Checker(image, table.file("ambient", folder, False), table.word("chart", tuple(CHARTS)), patches, radius)
    table.done()
    return checker


def _check_images(sequence: SequenceFile) -> None:
    """Every camera has a full set of images, and every file that is named exists."""
    for camera in sequence.cameras:
        where = f"'{sequence.path}': camera '{camera.name}'"
        states = set(camera.images)
        if states not in ({"cross", "parallel"}, {"unpolarised"}):
            raise InputError(
                f"{where} has images {' and '.join(sorted(states)) or 'of no polarisation'}: it needs either cross and "
                "parallel, or unpolarised alone."
            )
        for state, images in camera.images.items():
            _check_state(images, sequence.binary, f"{where}, [camera.{state}]")
        if camera.polarised and set(camera.images["cross"]) != set(camera.images["parallel"]):
            odd = sorted(set(camera.images["cross"]) ^ set(camera.images["parallel"]))[0]
            raise InputError(f"{where} has the image '{odd}' under one polarisation alone: add or drop its partner.")
        for file in _files(camera):
            if not file.is_file():
                raise InputError(f"{where} names the image '{file}', which does not exist: put it there.")


def _check_state(images: Mapping[str, Path], binary: bool, where: str) -> None:
    """Which patterns must be there: full-on and three gradients, or three pairs of hemispheres."""
    needed = [*AXES, *(f"{axis}_complement" for axis in AXES)] if binary else ["full", *AXES]
    for key in needed:
        if key not in images:
            why = " (hemispheres come in pairs)" if binary else ""
            raise InputError(f"{where} lacks the image '{key}'{why}: add it, or the sequence cannot be processed.")
    partners = [f"{axis}_complement" in images for axis in AXES]
    if any(partners) and not all(partners):
        raise InputError(f"{where} has complements of some gradients but not of all: add or drop them.")
    paths = [str(path) for path in images.values()]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"{where} gives '{path}' for two patterns: each needs an image of its own.")


def _files(camera: CameraFiles) -> list[Path]:
    files = [file for images in camera.images.values() for file in images.values()]
    files += [file for file in (camera.mask,) if file is not None]
    if camera.checker is not None:
        files += [file for file in (camera.checker.image, camera.checker.ambient) if file is not None]
    return files

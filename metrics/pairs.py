"""The two sides of a comparison, read from the run folder and brought to one size, with the regions judged.

=========  ==========  ==================  =====================================================================
space      reference   view                compared
=========  ==========  ==================  =====================================================================
``uv``     photograph  ``albedo``          albedo; that of the undegraded photograph, unwrapped with the same fit
                                           and light
``image``  photograph  ``fitted``          fitted view; the undegraded photograph, both cropped to the same box
``image``  photograph  ``mitsuba/fitted``  the same drawn by another renderer (``mesoface render``)
``uv``     truth       ``albedo``          albedo; the true albedo, averaged to the result's size in linear
                                           light, at 8 bits
``shape``  truth       ``head``            vertices of the head; those of the true head, both in millimetres
=========  ==========  ==================  =====================================================================

In pictures and maps the regions are the skin that the photograph shows, split into what the method was given
(``skin/visible``) and what was withheld (``skin/withheld``); against the truth, the part of it whose albedo is known.
The head has one region, ``face``: the face model's vertices of that name.

A file that is not what mesoface writes (of another size, with alpha, grey, 16 bits deep, truncated, absent) is refused
by name: nothing is converted, because a converted picture gives a number of something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Reference, Space, Surface
from recon.assets import file_sha256
from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import PairingError
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json

if TYPE_CHECKING:
    from recon.face_model.model import MorphableModel

REGIONS = ("skin/visible", "skin/withheld", "skin/all")

TRUTH_AT_SIZE = "mean over area or bilinear, in linear light, then 8 bits of sRGB as results have"
"""How the truth is brought to the size of a result; part of what identifies a value."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG, 11.2.1: colour types of the header, in words.
_COLOUR_TYPES = {
    0: "grey",
    2: "colour",
    3: "palette",
    4: "grey with an alpha channel",
    6: "colour with an alpha channel",
}
_GREY, _COLOUR = 0, 2
# Header and whatever chunks come before the pixels; a transparent colour is declared there.
_BEFORE_PIXELS = 8192
_MEND = "delete the folder of {} and run again"

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class Look:
    """One way of looking at results: what of them is compared with what."""

    reference: Reference
    space: Space
    view: str


ALBEDO = Look("photograph", "uv", "albedo")
FITTED = Look("photograph", "image", "fitted")
TRUE_ALBEDO = Look("truth", "uv", "albedo")
TRUE_HEAD = Look("truth", "shape", "head")


@dataclass(frozen=True, eq=False)
class ReferenceSide:
    """What the results of all methods are compared with.

    Attributes:
        picture: ``(H, W, 3)`` float32 sRGB-encoded in [0, 1], or ``(V, 3)`` float32 in millimetres.
        regions: the regions that are judged, by name, ``(H, W)`` or ``(V,)`` bool; none is empty.
        sha256: of the file that ``picture`` was read from.
        landmarks: ``(68, 2)`` float32 pixels of ``picture`` in the space ``image``, where the record has them.
        surface: in the space ``shape``.
    """

    picture: Float
    regions: Mapping[str, Mask]
    sha256: str
    landmarks: Float | None = None
    surface: Surface | None = None


@dataclass(frozen=True, eq=False)
class ResultSide:
    """A result as it is looked at.

    Attributes:
        picture: shaped like the reference's.
        vouched: ``(H, W)`` or ``(V,)`` bool: where the method vouches for the result.
        sha256: of the file that ``picture`` was read from.
    """

    picture: Float
    vouched: Mask
    sha256: str


def true_looks(folder: RunFolder, subject: str) -> list[Look]:
    """How results of ``subject`` can be compared with the truth: only as far as the subject came with one."""
    place = folder.reference(subject)
    files = {TRUE_ALBEDO: "truth_mask.png", TRUE_HEAD: "truth_vertices.npy"}  # the mask is written after the albedo
    return [look for look, name in files.items() if (place / name).is_file()]


def picture_name(look: Look) -> str:
    """The file, below a result's folder, that ``look`` looks at."""
    return {"uv": "albedo.png", "shape": "head.glb"}.get(look.space, f"views/{look.view}.png")


def picture_path(folder: RunFolder, key: ResultKey, look: Look) -> Path:
    """The file of a result that ``look`` looks at."""
    return folder.result(key) / picture_name(look)


def open_reference(folder: RunFolder, subject: str, protocol: str, look: Look) -> ReferenceSide:
    """What ``look`` compares results of ``subject`` under ``protocol`` with.

    Raises:
        PairingError: the reference is incomplete, or a file of it damaged or of another size.
        InputError: a record or the face model cannot be read.
    """
    record = folder.reference_record(subject, protocol)
    if record is None:
        raise PairingError(
            f"subject '{subject}' has no complete reference for protocol '{protocol}': run 'mesoface run' "
            "again with the same settings, it makes what is missing."
        )
    place = folder.judged(subject, protocol)
    if look == TRUE_HEAD:
        return _true_head(folder, subject)
    if look == TRUE_ALBEDO:
        return _true_albedo(folder, subject, place)
    if look.space == "uv":
        path = place / "albedo.png"
        picture = _colours(path, _MEND.format(place))
        return ReferenceSide(picture, _regions(place, "", path, picture), file_sha256(path))
    return _photograph(folder, subject, place, record)


def open_result(folder: RunFolder, key: ResultKey, look: Look, against: ReferenceSide) -> ResultSide:
    """The result ``key`` as ``look`` looks at it.

    Raises:
        PairingError: a file is missing, damaged, or not shaped like the reference.
        InputError: the head, or the face model's version of it, cannot be read.
    """
    path, mend = picture_path(folder, key, look), _MEND.format(key)
    if look.space == "shape":
        return _head(folder, key, path, against)
    mask = folder.result(key) / ("mask.png" if look.space == "uv" else "views/fitted_mask.png")
    picture, vouched = _colours(path, mend), _mask(mask, mend)
    for name, found in ((path, picture), (mask, vouched)):
        _same_size(name, found, "its reference", against.picture, mend)
    return ResultSide(picture, vouched, file_sha256(path))


def _photograph(folder: RunFolder, subject: str, place: Path, record: Mapping[str, Any]) -> ReferenceSide:
    path = folder.reference(subject) / "photo.png"
    left, top, right, bottom = record["crop"]
    whole = _colours(path, "run 'mesoface run' again")
    if not (0 <= left < right <= whole.shape[1] and 0 <= top < bottom <= whole.shape[0]):
        raise PairingError(
            f"'{path}' is {whole.shape[1]}×{whole.shape[0]}, the crop of '{place / 'reference.json'}' reaches to "
            f"{right}×{bottom}: run again into another folder with --out."
        )
    picture = np.ascontiguousarray(whole[top:bottom, left:right])
    points = record.get("fit", {}).get("landmarks")
    landmarks = None if points is None else np.asarray(points, np.float32) - np.array([left, top], np.float32)
    return ReferenceSide(picture, _regions(place, "image_", path, picture), file_sha256(path), landmarks=landmarks)


def _true_albedo(folder: RunFolder, subject: str, place: Path) -> ReferenceSide:
    from recon.methods.lightstage import resampled

    path, mend = folder.reference(subject) / "truth.png", "run again into another folder with --out"
    colours, known = _colours(path, mend), _mask(path.with_name("truth_mask.png"), mend)
    if colours.shape != (*known.shape, 3) or known.shape[0] != known.shape[1]:
        raise PairingError(
            f"the true albedo of '{subject}' is {colours.shape[1]}×{colours.shape[0]}, its mask "
            f"{known.shape[1]}×{known.shape[0]}, not one square: {mend}."
        )
    skin = _mask(place / "skin.png", _MEND.format(place))
    albedo, known = resampled(srgb_to_linear(colours), known, len(skin))
    # Results are stored at 8 bits. The rounding, a quarter of a ΔE2000 and a tenth of the fine detail of smooth skin,
    # would otherwise be counted against whoever returns the truth itself.
    picture = (np.floor(linear_to_srgb(albedo) * 255 + np.float32(0.5)) / 255).astype(np.float32)
    regions = _regions(place, "", path, picture, known)
    if not regions:
        raise PairingError(f"the true albedo of '{subject}' is known nowhere where the photograph shows skin.")
    return ReferenceSide(picture, regions, file_sha256(path))


def _true_head(folder: RunFolder, subject: str) -> ReferenceSide:
    path = folder.reference(subject) / "truth_vertices.npy"
    model, truth = _face_model(folder), _vertices(path)
    if truth.shape != model.mean.shape:
        raise PairingError(
            f"the true head of '{subject}' is {truth.shape}, a head of face model '{model.name}' "
            f"{model.mean.shape}: run again into another folder with --out."
        )
    truth = truth * _millimetres(model)
    face = np.asarray(model.regions["face"], bool)
    # A landmark lies inside a triangle; what stands for it is the nearest corner.
    nearest = model.landmark_barycentric.argmax(axis=1)
    landmarks = model.landmark_triangles[np.arange(len(nearest)), nearest].astype(np.int64)
    surface = Surface(np.asarray(model.triangles, np.int64), landmarks, truth[face])
    return ReferenceSide(truth, {"face": face}, file_sha256(path), surface=surface)


def _head(folder: RunFolder, key: ResultKey, path: Path, against: ReferenceSide) -> ResultSide:
    from recon.runs.views import read_vertices

    _must_exist(path)
    fit = read_json(folder.judged(key.subject, key.protocol) / "reference.json")["fit"]
    model = _face_model(folder)
    base = model.vertices(np.asarray(fit["identity"], np.float32), np.asarray(fit["expression"], np.float32))
    vertices = read_vertices(path, model, base) * _millimetres(model)
    if not np.isfinite(vertices).all():
        raise PairingError(f"'{path}' holds positions that are no numbers: {_MEND.format(key)}.")
    return ResultSide(vertices, np.ones(len(against.picture), bool), file_sha256(path))


def _face_model(folder: RunFolder) -> MorphableModel:
    from recon.face_model import load_face_model

    return load_face_model(folder.read_config()["settings"]["face_model"]["name"])


def _millimetres(model: MorphableModel) -> np.float32:
    return np.float32(1000.0 * model.metres_per_unit)


def _regions(place: Path, prefix: str, of: Path, picture: Float, known: Mask | None = None) -> dict[str, Mask]:
    """The regions of the picture that was read from ``of`` whose masks lie in ``place``, inside ``known``."""
    masks = []
    for name in ("skin", "withheld"):
        path = place / f"{prefix}{name}.png"
        masks.append(_mask(path, _MEND.format(place)))
        _same_size(path, masks[-1], f"'{of.name}'", picture, _MEND.format(place))
    skin, withheld = masks
    if known is not None:
        skin = skin & known
    parts = {"skin/visible": skin & ~withheld, "skin/withheld": skin & withheld, "skin/all": skin}
    return {name: parts[name] for name in REGIONS if parts[name].any()}


def _colours(path: Path, mend: str) -> Float:
    return _read(path, _COLOUR, 8, "8-bit colour picture without alpha", mend).astype(np.float32)


def _mask(path: Path, mend: str) -> Mask:
    return _read(path, _GREY, 1, "mask of one bit", mend).astype(bool)


def _read(path: Path, colour_type: int, depth: int, noun: str, mend: str) -> NDArray[np.generic]:
    """A PNG of exactly this kind: decoders give something for any other, of which nobody can say what it is."""
    from recon.images import read_png

    _must_exist(path)
    with path.open("rb") as stream:
        header = stream.read(_BEFORE_PIXELS)
    if header.startswith(_SIGNATURE) and len(header) > 25:
        depth_found, type_found = header[24], header[25]
        kind = _COLOUR_TYPES.get(type_found, "unknown")
        if b"tRNS" in header.split(b"IDAT")[0]:
            kind += " with a transparent value"
        if (type_found, depth_found) != (colour_type, depth) or "transparent" in kind:
            raise PairingError(f"'{path}' is no {noun} ({kind}, {depth_found} bits): {mend}.")
    found: NDArray[np.generic] = read_png(path)
    return found


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise PairingError(f"there is no partner '{path}': run 'mesoface run' again.")


def _vertices(path: Path) -> Float:
    """Finite positions of a true head; of any shape."""
    try:
        found = np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise PairingError(f"'{path}' cannot be read ({error}): run again into another folder with --out.") from error
    if not np.isfinite(found).all():
        raise PairingError(f"'{path}' holds positions that are no numbers: run again into another folder with --out.")
    return np.asarray(found, np.float32)


def _same_size(path: Path, found: NDArray[np.generic], noun: str, other: NDArray[np.generic], mend: str) -> None:
    if found.shape[:2] != other.shape[:2]:
        raise PairingError(
            f"'{path}' is {found.shape[1]}×{found.shape[0]}, {noun} {other.shape[1]}×{other.shape[0]}: {mend}."
        )

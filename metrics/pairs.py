"""A result and what it is compared with, read from the run folder and brought to one size, with the regions judged.

=========  ==========  ======================================================================================
space      reference   compared
=========  ==========  ======================================================================================
``uv``     photograph  albedo; that of the undegraded photograph, unwrapped with the same fit and light
``image``  photograph  fitted view; the undegraded photograph, both cropped to the same box
``uv``     truth       albedo; the true albedo, averaged to the result's size in linear light, at 8 bits
``shape``  truth       vertices of the head; those of the true head, both in millimetres
=========  ==========  ======================================================================================

In pictures and maps the regions are the skin that the photograph shows, split into what the method was given
(``skin/visible``) and what was withheld (``skin/withheld``); against the truth, the part of it whose albedo is known.
The head has one region, ``face``: the face model's vertices of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Reference
from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import PairingError
from recon.images import read_png
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json

REGIONS = ("skin/visible", "skin/withheld", "skin/all")

TRUTH_AT_SIZE = "mean over area or bilinear, in linear light, then 8 bits of sRGB as results have"
"""How the truth is brought to the size of a result; part of what identifies a value."""

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pair:
    """A result beside its reference.

    Attributes:
        result, reference: ``(H, W, 3)`` float32 sRGB-encoded in [0, 1], or ``(V, 3)`` float32 in millimetres.
        vouched: ``(H, W)`` or ``(V,)`` bool: where the method vouches for the result.
        regions: the regions that are judged, by name, shaped like ``vouched``; none is empty.
    """

    result: Float
    reference: Float
    vouched: Mask
    regions: Mapping[str, Mask]

    @property
    def whole(self) -> Mask:
        """All regions together, where the method vouches for its result."""
        return np.logical_or.reduce(list(self.regions.values())) & self.vouched


def spaces_of(folder: RunFolder, subject: str, reference: Reference) -> frozenset[str]:
    """Where results of ``subject`` have such a reference; of the truth only what the subject came with."""
    if reference == "photograph":
        return frozenset({"uv", "image"})
    place = folder.reference(subject)
    files = {"uv": "truth_mask.png", "shape": "truth_vertices.npy"}  # the mask is written after the albedo
    return frozenset(space for space, name in files.items() if (place / name).is_file())


def view_of(space: str) -> str:
    """What of a result is looked at in ``space``, as rows name it."""
    return {"uv": "albedo", "image": "fitted", "shape": "head"}.get(space, "")


def open_pair(folder: RunFolder, key: ResultKey, reference: Reference, space: str) -> Pair:
    """The result ``key`` and its reference in ``space``.

    Raises:
        PairingError: a file is missing, damaged or of another size.
        InputError: the head, or the face model's version of it, cannot be read.
    """
    return _READERS[reference, space](folder, key)


def _photographed_albedo(folder: RunFolder, key: ResultKey) -> Pair:
    reference = _reference_folder(folder, key)
    result = folder.result(key)
    ours, seen = _colours(result / "albedo.png", key), _colours(reference / "albedo.png", key)
    _same_shape(ours, seen, key, "albedo map")
    regions = _regions(_mask(reference / "skin.png", key), _mask(reference / "withheld.png", key))
    return Pair(ours, seen, _mask(result / "mask.png", key), regions)


def _fitted_view(folder: RunFolder, key: ResultKey) -> Pair:
    reference = _reference_folder(folder, key)
    left, top, right, bottom = read_json(reference / "reference.json")["crop"]
    photograph = _colours(folder.reference(key.subject) / "photo.png", key)[top:bottom, left:right]
    ours = _colours(folder.result(key) / "views" / "fitted.png", key)
    _same_shape(ours, photograph, key, "view")
    skin, withheld = _mask(reference / "image_skin.png", key), _mask(reference / "image_withheld.png", key)
    return Pair(
        ours, photograph, _mask(folder.result(key) / "views" / "fitted_mask.png", key), _regions(skin, withheld)
    )


def _true_albedo(folder: RunFolder, key: ResultKey) -> Pair:
    from recon.methods.lightstage import resampled

    reference, place = _reference_folder(folder, key), folder.reference(key.subject)
    result = folder.result(key)
    ours, known = _colours(result / "albedo.png", key), _mask(place / "truth_mask.png", key)
    colours = _colours(place / "truth.png", key)
    if colours.shape != (*known.shape, 3) or known.shape[0] != known.shape[1]:
        raise PairingError(
            f"the true albedo of '{key.subject}' is {colours.shape[1]}×{colours.shape[0]}, its mask "
            f"{known.shape[1]}×{known.shape[0]}, not one square: run again into another folder with --out."
        )
    albedo, known = resampled(srgb_to_linear(colours), known, len(ours))
    # Results are stored at 8 bits. The rounding, a quarter of a ΔE2000 and a tenth of the fine detail of smooth skin,
    # would otherwise be counted against whoever returns the truth itself.
    truth = (np.floor(linear_to_srgb(albedo) * 255 + np.float32(0.5)) / 255).astype(np.float32)
    _same_shape(ours, truth, key, "albedo map")
    regions = _regions(_mask(reference / "skin.png", key) & known, _mask(reference / "withheld.png", key))
    if not regions:
        raise PairingError(f"the true albedo of '{key.subject}' is known nowhere where the photograph shows skin.")
    return Pair(ours, truth, _mask(result / "mask.png", key), regions)


def _true_head(folder: RunFolder, key: ResultKey) -> Pair:
    from recon.face_model import load_face_model
    from recon.runs.views import read_vertices

    fit = read_json(_reference_folder(folder, key) / "reference.json")["fit"]
    model = load_face_model(folder.read_config()["settings"]["face_model"]["name"])
    truth = _vertices(folder.reference(key.subject) / "truth_vertices.npy")
    if truth.shape != model.mean.shape:
        raise PairingError(
            f"the true head of '{key.subject}' is {truth.shape}, a head of face model '{model.name}' "
            f"{model.mean.shape}: run again into another folder with --out."
        )
    base = model.vertices(np.asarray(fit["identity"], np.float32), np.asarray(fit["expression"], np.float32))
    ours = read_vertices(folder.result(key) / "head.glb", model, base)
    millimetres = np.float32(1000.0 * model.metres_per_unit)
    return Pair(
        ours * millimetres,
        truth * millimetres,
        np.ones(len(truth), bool),
        {"face": np.asarray(model.regions["face"], bool)},
    )


_READERS: Mapping[tuple[str, str], Callable[[RunFolder, ResultKey], Pair]] = {
    ("photograph", "uv"): _photographed_albedo,
    ("photograph", "image"): _fitted_view,
    ("truth", "uv"): _true_albedo,
    ("truth", "shape"): _true_head,
}


def _regions(skin: Mask, withheld: Mask) -> dict[str, Mask]:
    parts = {"skin/visible": skin & ~withheld, "skin/withheld": skin & withheld, "skin/all": skin}
    return {name: parts[name] for name in REGIONS if parts[name].any()}


def _reference_folder(folder: RunFolder, key: ResultKey) -> Path:
    if folder.reference_record(key.subject, key.protocol) is None:
        raise PairingError(
            f"subject '{key.subject}' has no complete reference for protocol '{key.protocol}': run 'mesoface run' "
            "again with the same settings, it makes what is missing."
        )
    return folder.judged(key.subject, key.protocol)


def _colours(path: Path, key: ResultKey) -> Float:
    found = _read(path, key)
    if found.ndim != 3:
        raise PairingError(f"'{path}' is no colour picture: delete the folder of {key} and run again.")
    return found.astype(np.float32)


def _mask(path: Path, key: ResultKey) -> Mask:
    found = _read(path, key)
    if found.dtype != np.bool_ or found.ndim != 2:
        raise PairingError(f"'{path}' is no mask: delete the folder of {key} and run again.")
    return found.astype(bool)


def _read(path: Path, key: ResultKey) -> NDArray[np.generic]:
    if not path.is_file():
        raise PairingError(f"{key} has no partner '{path.name}' in '{path.parent}': run 'mesoface run' again.")
    found: NDArray[np.generic] = read_png(path)
    return found


def _vertices(path: Path) -> Float:
    """Finite positions of a true head; of any shape."""
    try:
        found = np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise PairingError(f"'{path}' cannot be read ({error}): run again into another folder with --out.") from error
    if not np.isfinite(found).all():
        raise PairingError(f"'{path}' holds positions that are no numbers: run again into another folder with --out.")
    return np.asarray(found, np.float32)


def _same_shape(ours: Float, truth: Float, key: ResultKey, noun: str) -> None:
    if ours.shape != truth.shape:
        raise PairingError(
            f"the {noun} of {key} is {ours.shape[1]}×{ours.shape[0]}, its reference {truth.shape[1]}×{truth.shape[0]}: "
            "delete that result's folder and run again."
        )

"""Maps of a finished scan: albedo, specular, roughness, normals, displacement, in the scan's UV layout.

Colour spaces are declared in ``subject.toml`` or guessed from the file, and a guess is always reported: floating-point
files hold linear light, integers of 8 bits sRGB, integers of 16 bits sRGB as well, since that is what painting programs
save. Maps that are no colours (roughness, normals, displacement) are taken as they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.capture.linear_images import read_stored
from recon.colour import srgb_to_linear
from recon.errors import ImageError

COLOURS = ("albedo", "specular")
"""Kinds whose values are light, and are kept linear."""

KINDS = (*COLOURS, "roughness", "normal", "displacement")
"""Names of maps in ``subject.toml``, of files in a plain folder, and in :class:`recon.data.subject.GroundTruth`."""

LEAST_SIDE = 128
"""An albedo map with fewer texels a side than this holds no texture of skin."""

_MOST_ABOVE_ONE = 0.02


@dataclass(frozen=True)
class MapFile:
    """A map and what is declared of it.

    Attributes:
        path: the file.
        colour_space: ``linear``, ``srgb``, or None: guessed from the file.
        scale: factor to the values that the kind has here: albedo and specular as a share of the light.
        space: of a normal map: ``tangent`` or ``object``.
    """

    path: Path
    colour_space: str | None = None
    scale: float = 1.0
    space: str = "tangent"


@dataclass(frozen=True, eq=False)
class TextureMap:
    """A map in memory.

    Attributes:
        kind: one of ``KINDS``.
        values: ``(H, W, 3)`` or ``(H, W, 1)`` float32; colours linear, row 0 at v = 1.
        record: file, colour space, whether that was guessed, size; as JSON keeps it.
        notes: what the user should know.
    """

    kind: str
    values: NDArray[np.float32]
    record: dict[str, object]
    notes: tuple[str, ...] = ()


def read_map(kind: str, file: MapFile) -> TextureMap:
    """The map ``kind`` in ``file``.

    Raises:
        ImageError: absent, damaged, not finite, too small, 8 bits declared linear, or of the wrong number of channels.
    """
    stored = read_stored(file.path)
    values = stored.values if stored.values.ndim == 3 else stored.values[..., None]
    if min(values.shape[:2]) < LEAST_SIDE:
        raise ImageError(
            f"'{file.path}' has {values.shape[1]}×{values.shape[0]} texels, an {kind} map needs {LEAST_SIDE} a side: "
            "export it at its full size."
        )
    notes: list[str] = []
    space = "as stored"
    if kind in COLOURS:
        space = file.colour_space or ("linear" if stored.floating else "srgb")
        if space == "linear" and not stored.floating and stored.bits == 8:
            raise ImageError(
                f"'{file.path}' has 8 bits a channel and is declared linear, which leaves dark skin a dozen steps: "
                'declare colour_space = "srgb" if that is what it is, or save it with 16 bits or as EXR.'
            )
        if space == "srgb" and stored.floating:
            notes.append(f"'{file.path.name}' holds floating-point numbers and is declared sRGB")
        if space == "srgb":
            values = srgb_to_linear(values)
        if file.colour_space is None:
            notes.append(
                f"the colour space of '{file.path.name}' was taken for {'linear' if space == 'linear' else 'sRGB'} "
                f"({'floating point' if stored.floating else f'{stored.bits} bits'})"
            )
        values = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values
        values, colour_notes = _in_range(_scaled(values, file.scale), file.path)
        notes += colour_notes
    elif kind == "normal" and values.shape[2] != 3:
        raise ImageError(f"'{file.path}' has one channel, a normal map has three: export it as RGB.")
    elif kind in {"roughness", "displacement"}:
        values = values[..., :1] * np.float32(file.scale)
    record = {
        "file": file.path.name,
        "colour_space": space,
        "guessed": kind in COLOURS and file.colour_space is None,
        "size": [values.shape[1], values.shape[0]],
        "bits": stored.bits,
        "floating": stored.floating,
        "scale": file.scale,
    }
    return TextureMap(kind, np.asarray(values, np.float32), record, tuple(notes))


def _in_range(values: NDArray[np.float32], path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Colours clipped to [0, 1], a share of light; much beyond it says that the scale is another."""
    above, below = float((values > 1).any(axis=2).mean()), float((values < 0).any(axis=2).mean())
    if above > 0.5:
        raise ImageError(
            f"'{path}' exceeds 1 in {above:.0%} of its texels, so it is no share of light: give the factor to "
            "albedo in subject.toml, [maps.…] scale."
        )
    notes = []
    if above > _MOST_ABOVE_ONE:
        notes.append(f"{above:.0%} of '{path.name}' is above 1 and was clipped")
    if below > _MOST_ABOVE_ONE:
        notes.append(f"{below:.0%} of '{path.name}' is below 0 and was clipped")
    return np.clip(values, 0, 1, out=values), notes


def _scaled(values: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """In place: a map of 8192² texels takes 800 MB."""
    values *= np.float32(scale)
    return values


def read_maps(files: Mapping[str, MapFile]) -> dict[str, TextureMap]:
    """All maps of a scan.

    Raises:
        ImageError: as for :func:`read_map`, or sizes that cannot belong to one UV layout.
    """
    maps = {kind: read_map(kind, file) for kind, file in files.items()}
    first = maps.get("albedo")
    for kind, found in maps.items():
        if first is None or kind == "albedo":
            continue
        (height, width), (other_height, other_width) = first.values.shape[:2], found.values.shape[:2]
        ratio = np.log2(other_width / width)
        if width * other_height != height * other_width or abs(ratio - round(ratio)) > 1e-9:
            raise ImageError(
                f"'{files[kind].path}' is {other_width}×{other_height}, but the albedo '{files['albedo'].path.name}' "
                f"{width}×{height}: maps of one UV layout are equally large, or halved or doubled; export them alike."
            )
    return maps

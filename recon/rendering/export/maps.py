"""The albedo map by itself, as studios pass maps on: OpenEXR (linear, half float) and PNG (sRGB-encoded, 16 bits).

Outside the UV island both continue with the nearest texel of it, so that filtering at its border mixes nothing in.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.errors import ImageError
from recon.exr import REC_709, write_exr
from recon.png16 import write_png16
from recon.rendering.export.provenance import Provenance
from recon.rendering.export.surfaces import png_text


def write_albedo_exr(path: Path, albedo: NDArray[np.floating], provenance: Provenance) -> None:
    """Writes linear RGB ``(S, S, 3)`` as OpenEXR, half float, with primaries, licence and provenance in its header.

    Raises:
        AssetError: the package OpenEXR is missing.
        ImageError: a value is not finite.
        StorageError: the file cannot be written.
    """
    _check(path, albedo)
    said = {
        "owner": provenance.copyright,
        "comments": "; ".join(provenance.lines()),
        "software": provenance.record()["made_by"],
    }
    write_exr(path, albedo, half=True, header={**REC_709, **said})


def write_albedo_png(path: Path, albedo: NDArray[np.floating], provenance: Provenance) -> None:
    """Writes linear RGB ``(S, S, 3)`` as PNG of 16 bits a channel, sRGB-encoded, with the licence in its text chunks.

    Raises:
        ImageError: a value is not finite.
        StorageError: the file cannot be written.
    """
    _check(path, albedo)
    write_png16(path, linear_to_srgb(albedo), png_text(provenance), srgb=True)


def _check(path: Path, albedo: NDArray[np.floating]) -> None:
    if albedo.ndim != 3 or albedo.shape[2] != 3:
        raise ImageError(f"'{path}' was not written: a map has three channels, this one is {albedo.shape}.")
    if not np.isfinite(albedo).all():
        raise ImageError(f"'{path}' was not written: the albedo holds values that are not finite.")

"""One head into the formats that were asked for, in a folder of its own.

::

    head.obj head.mtl             OBJ
    head.glb, head-mobile.glb     glTF
    head.usdc head.mtlx           USD and MaterialX
    textures/*.png                what OBJ, USD and MaterialX refer to
    albedo.exr                    the map, linear, half float
    albedo-16bit.png              the map, sRGB-encoded
    mask.png                      texels that the method vouches for, beside either map
    LICENCE.txt
    export.json                   provenance, conventions, parts, sha256 of each file; written last
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import UsageError
from recon.images import write_png
from recon.rendering.export.gltf import write_glb
from recon.rendering.export.maps import write_albedo_exr, write_albedo_png
from recon.rendering.export.materialx import load_materialx, write_materialx
from recon.rendering.export.obj import write_obj
from recon.rendering.export.provenance import Provenance
from recon.rendering.export.surfaces import CONVENTIONS, write_textures
from recon.rendering.export.usd import load_usd, write_usd
from recon.rendering.sampling import padded
from recon.rendering.scene import Scene
from recon.storage import make_folder, read_json, write_json, write_text

FORMATS = ("obj", "glb", "usd", "exr", "png")
"""What a head can be written as; ``usd`` includes MaterialX."""

RECORD = "export.json"


@dataclass(frozen=True, eq=False)
class Head:
    """A head that can be handed on.

    Attributes:
        scene: shape and albedo.
        mask: ``(S, S)`` bool: texels that the method vouches for; the rest is completed.
        provenance: where it comes from.
    """

    scene: Scene
    mask: NDArray[np.bool_]
    provenance: Provenance


def check_formats(formats: Sequence[str], mobile: bool) -> tuple[str, ...]:
    """The formats, each once, in the order of ``FORMATS``; that their packages are there is checked before any work.

    Raises:
        UsageError: an unknown format, none, or ``mobile`` without GLB.
        AssetError: a package of the extra ``[usd]`` is missing.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"there is no export format '{name}'. Known: {', '.join(FORMATS)}.")
    chosen = tuple(name for name in FORMATS if name in set(formats))
    if not chosen:
        raise UsageError(f"--format names nothing: give at least one of {', '.join(FORMATS)}.")
    if mobile and "glb" not in chosen:
        raise UsageError("--mobile is a preset of glb: add it to --format, or leave --mobile out.")
    if "usd" in chosen:
        load_usd()
        load_materialx()
    return chosen


def export_head(
    folder: Path,
    head: Head,
    formats: Sequence[str],
    mobile: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes a head to ``folder`` and returns the record of ``export.json``.

    Args:
        formats: of ``FORMATS``.
        mobile: the GLB is ``head-mobile.glb``, of at most 3 MB.
        notes: goes into the record as well.

    Raises:
        UsageError, AssetError: see :func:`check_formats`.
        StorageError: a file cannot be written; nothing is half written, and ``export.json`` is absent.
    """
    chosen = check_formats(formats, mobile)
    scene, provenance = head.scene, head.provenance
    make_folder(folder)
    (folder / RECORD).unlink(missing_ok=True)
    files = ["LICENCE.txt"]
    write_text(folder / "LICENCE.txt", provenance.notice())
    if {"obj", "usd"} & set(chosen):
        textures = write_textures(folder, scene, provenance)
        files += sorted(set(textures.values()))
    if "obj" in chosen:
        files += write_obj(folder, scene, provenance, textures)
    if "glb" in chosen:
        files.append("head-mobile.glb" if mobile else "head.glb")
        write_glb(folder / files[-1], scene, provenance, mobile=mobile)
    if "usd" in chosen:
        write_usd(folder / "head.usdc", scene, provenance, textures)
        write_materialx(folder / "head.mtlx", scene, provenance, textures)
        files += ["head.usdc", "head.mtlx"]
    if {"exr", "png"} & set(chosen):
        files += _maps(folder, head, chosen)
    record = {
        **provenance.record(),
        **(notes or {}),
        "formats": list(chosen),
        "mobile": mobile,
        "conventions": CONVENTIONS,
    }
    record["parts"] = [part.name for part in scene.parts]
    record["files"] = hashes(folder, files)
    write_json(folder / RECORD, record)
    return record


def _maps(folder: Path, head: Head, chosen: Sequence[str]) -> list[str]:
    albedo = padded(head.scene.albedo, head.scene.model)
    write_png(folder / "mask.png", head.mask)
    files = ["mask.png"]
    if "exr" in chosen:
        write_albedo_exr(folder / "albedo.exr", albedo, head.provenance)
        files.append("albedo.exr")
    if "png" in chosen:
        write_albedo_png(folder / "albedo-16bit.png", albedo, head.provenance)
        files.append("albedo-16bit.png")
    return files


def hashes(folder: Path, files: Sequence[str]) -> dict[str, str]:
    """sha256 of each named file of ``folder``."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(files)}


def is_exported(folder: Path, provenance: Mapping[str, Any], formats: Sequence[str], mobile: bool) -> bool:
    """Whether ``folder`` holds a complete export of that head in those formats."""
    path = folder / RECORD
    if not path.is_file():
        return False
    record = read_json(path)
    same = all(record.get(key) == value for key, value in provenance.items())
    wanted = record.get("formats") == list(formats) and record.get("mobile") == mobile
    return same and wanted and all((folder / name).is_file() for name in record["files"])

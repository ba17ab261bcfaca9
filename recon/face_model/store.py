"""The compact file of a converted face model: one uncompressed ``.npz`` that loads in a fraction of a second.

The bases are kept as float16, with one float32 scale a mode so that the largest displacement of the mode is 1: half
precision then errs by at most 2⁻¹² of that displacement (1.6 µm for the largest mode of ICT-FaceKit, 13 mm). Positions
and texture coordinates stay float32.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.assets import cache_folder
from recon.errors import AssetError, StorageError
from recon.face_model.model import MorphableModel
from recon.storage import atomic_path

# Part of the file name: a new layout, or a new rule by which regions are derived, makes a new file.
FORMAT = 3

_ARRAYS = ("mean", "triangles", "uv", "uv_triangles", "triangle_material")
_LANDMARKS = ("landmark_triangles", "landmark_barycentric")
_BASES = ("identity_basis", "expression_basis")


_EXTRA = "extra_"


def write_model(path: Path, model: MorphableModel, extras: Mapping[str, NDArray[np.generic]] | None = None) -> None:
    """Write ``model``, and further named arrays that belong to it, to ``path``, atomically.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    arrays: dict[str, NDArray[np.generic]] = {name: getattr(model, name) for name in (*_ARRAYS, *_LANDMARKS)}
    for name in _BASES:
        arrays[name], arrays[f"{name}_scale"] = _packed(getattr(model, name))
    arrays["jaw_slides"] = np.concatenate(model.jaw_slides)
    arrays["jaw_slide_sizes"] = np.array([len(slide) for slide in model.jaw_slides], dtype=np.int32)
    region_names = list(model.regions)
    arrays["regions"] = np.stack([model.regions[name] for name in region_names])
    text = {
        "name": model.name,
        "unit": model.unit,
        "metres_per_unit": model.metres_per_unit,
        "licence": model.licence,
        "version": model.version,
        "expression_names": model.expression_names,
        "material_names": model.material_names,
        "uv_materials": sorted(model.uv_materials),
        "region_names": region_names,
    }
    arrays["text"] = np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)
    arrays |= {f"{_EXTRA}{name}": array for name, array in (extras or {}).items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_model(path: Path) -> MorphableModel:
    """Read the model that :func:`write_model` wrote.

    Raises:
        StorageError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        text = json.loads(arrays["text"].tobytes())
        slides = np.split(arrays["jaw_slides"], np.cumsum(arrays["jaw_slide_sizes"])[:-1])
        return MorphableModel(
            name=text["name"],
            unit=text["unit"],
            metres_per_unit=text["metres_per_unit"],
            licence=text["licence"],
            version=text["version"],
            expression_names=tuple(text["expression_names"]),
            material_names=tuple(text["material_names"]),
            uv_materials=frozenset(text["uv_materials"]),
            jaw_slides=tuple(slides),
            regions=dict(zip(text["region_names"], arrays["regions"], strict=True)),
            mean=arrays["mean"],
            triangles=arrays["triangles"],
            uv=arrays["uv"],
            uv_triangles=arrays["uv_triangles"],
            triangle_material=arrays["triangle_material"],
            landmark_triangles=arrays["landmark_triangles"],
            landmark_barycentric=arrays["landmark_barycentric"],
            identity_basis=_unpacked(arrays["identity_basis"], arrays["identity_basis_scale"]),
            expression_basis=_unpacked(arrays["expression_basis"], arrays["expression_basis_scale"]),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(f"{path} is not a readable face model ({error}): delete it, it is made anew.") from error


def read_extras(path: Path) -> dict[str, NDArray[np.generic]]:
    """The further arrays that were written with a model.

    Raises:
        StorageError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name.removeprefix(_EXTRA): file[name] for name in file.files if name.startswith(_EXTRA)}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(f"{path} is not a readable face model ({error}): delete it, it is made anew.") from error


def cached_model(
    path: Path, convert: Callable[[], tuple[MorphableModel, Mapping[str, NDArray[np.generic]]]]
) -> MorphableModel:
    """The model kept at ``path``; if it is absent or damaged, converted and kept there first, with its extras.

    What is returned is always what the file holds, so that the first run and all later ones compute the same.
    """
    if path.is_file():
        try:
            return read_model(path)
        except StorageError:
            # A file of another program or a failing disk: converting anew is the mend.
            path.unlink(missing_ok=True)
    model, extras = convert()
    write_model(path, replace(model, version=content_version(model)), extras)
    return read_model(path)


def compact_path(name: str, source: Path, probe: str) -> Path:
    """Where the compact file of model ``name`` made from ``source`` is kept; it need not exist yet.

    The name carries size and modification time of the source, so that a changed source is converted anew.

    Args:
        name: of the model.
        source: zip or folder that it is converted from.
        probe: a file inside the source folder that stands for all of it.

    Raises:
        AssetError: ``source`` cannot be read.
    """
    found = [path for path in (source / probe, *source.glob(f"*/{probe}")) if path.is_file()] if source.is_dir() else []
    try:
        state = (found[0] if found else source).stat()
    except OSError as error:
        raise AssetError(
            f"'{source}', from which the model {name} is made, cannot be read ({error.strerror}): name another place "
            f"with `mesoface assets add {name} PATH`."
        ) from error
    stamp = hashlib.sha256(f"{source.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:8]
    return cache_folder("face_model") / f"{name}-{FORMAT}-{stamp}.npz"


def newest_compact(name: str) -> Path | None:
    """The compact file of ``name`` that was made last, whatever its source was; None if there is none."""
    kept = cache_folder("face_model").glob(f"{name}-{FORMAT}-*.npz")
    return max(kept, key=lambda path: path.stat().st_mtime, default=None)


def content_version(model: MorphableModel) -> str:
    """Twelve hexadecimal digits that identify the model's data, however it was packaged."""
    digest = hashlib.sha256(f"{FORMAT} {model.name} {model.expression_names} {model.material_names}".encode())
    for name in (*_ARRAYS, *_LANDMARKS, *_BASES):
        digest.update(np.ascontiguousarray(getattr(model, name)).data)
    for name, mask in model.regions.items():
        digest.update(name.encode())
        digest.update(np.packbits(mask).data)
    return digest.hexdigest()[:12]


def _packed(basis: NDArray[np.float32]) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Basis as float16 in [−1, 1] and its ``(K,)`` scales."""
    scale = np.abs(basis).max(axis=(1, 2), initial=0.0)
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    return (basis / scale[:, None, None]).astype(np.float16), scale


def _unpacked(packed: NDArray[np.float16], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return packed.astype(np.float32) * scale[:, None, None]

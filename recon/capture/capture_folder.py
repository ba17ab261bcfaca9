"""A processed capture on disk: a folder a camera with its maps, a preview, and the report, which is written last."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.capture.capture import Capture, CapturedView
from recon.colour import linear_to_srgb
from recon.exr import write_exr
from recon.images import write_png
from recon.storage import write_json

Float = NDArray[np.float32]

REPORT = "capture.json"
"""A folder without it is not finished."""

_SPECULAR_SHOWN = 8.0  # specular albedo of skin is about 0.04


def write_capture(folder: Path, capture: Capture) -> None:
    """Writes ``<camera>/diffuse_albedo.exr`` (linear), ``specular_albedo.exr``, ``diffuse_normals.exr`` and
    ``specular_normals.exr`` (components from −1 to 1 in the capture's frame), ``openness.exr``, ``mask.png``,
    ``measured.png`` and ``preview.png``, and ``capture.json`` with camera and report of each.

    Raises:
        StorageError: the folder cannot be written.
    """
    (folder / REPORT).unlink(missing_ok=True)
    for view in capture.views:
        _write_view(folder / view.name, view)
    write_json(
        folder / REPORT,
        {
            "id": capture.id,
            "frame": capture.frame,
            "metres_per_unit": capture.metres_per_unit,
            "licence": capture.licence.name,
            "citation": capture.licence.citation,
            "synthetic": capture.synthetic,
            "attributes": dict(capture.attributes),
            "views": {view.name: {"camera": _camera(view), **view.report} for view in capture.views},
        },
    )


def _write_view(folder: Path, view: CapturedView) -> None:
    maps = {
        "diffuse_albedo": view.diffuse_albedo,
        "specular_albedo": view.specular_albedo,
        "diffuse_normals": view.diffuse_normals,
        "specular_normals": view.specular_normals,
        "openness": view.openness,
    }
    for name, values in maps.items():
        if values is None:
            (folder / f"{name}.exr").unlink(missing_ok=True)  # of an earlier, different processing
        else:
            write_exr(folder / f"{name}.exr", values)
    write_png(folder / "mask.png", view.mask)
    write_png(folder / "measured.png", view.measured)
    write_png(folder / "preview.png", preview(view))


def preview(view: CapturedView) -> Float:
    """``(H, n·W, 3)`` float32 sRGB-encoded: albedo, specular albedo made brighter, diffuse and specular normals."""
    tiles = [linear_to_srgb(view.diffuse_albedo)]
    if view.specular_albedo is not None:
        tiles.append(linear_to_srgb(_SPECULAR_SHOWN * view.specular_albedo))
    tiles += [0.5 + 0.5 * n for n in (view.diffuse_normals, view.specular_normals) if n is not None]
    return np.concatenate(tiles, axis=1).astype(np.float32)


def _camera(view: CapturedView) -> dict[str, object] | None:
    camera = view.camera
    if camera is None:
        return None
    return {
        "rotation": camera.rotation.tolist(),
        "translation": camera.translation.tolist(),
        "focal": camera.focal,
        "principal": list(camera.principal),
        "size": [camera.width, camera.height],
    }

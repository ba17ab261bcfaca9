"""A small run, and what another system might have written for it, for tests of imported results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from texture_toy import face, known_fit, photograph_of, skin_texture

from recon.colour import linear_to_srgb
from recon.images import read_png, write_png
from recon.methods.contract import Reconstruction
from recon.runs.folder import ResultKey, RunFolder, file_hashes
from recon.runs.views import crop_box, cropped, fitted_view, scene_of, write_head
from recon.storage import write_json
from recon.texture.completion import face_masks

SIZE = 128
PEOPLE = ("anna", "bert")
PROTOCOLS = ("identity", "blur:3")
Outcome = tuple[int, dict[str, Any], str]


def albedo_of(name: str) -> np.ndarray:
    """Linear albedo of a person, as 8 bits of sRGB hold it."""
    from recon.colour import srgb_to_linear

    return srgb_to_linear(np.floor(linear_to_srgb(skin_texture(PEOPLE.index(name), SIZE)) * 255 + 0.5) / 255)


def write_reference(run: RunFolder, name: str, protocol: str) -> None:
    fit = known_fit()
    place, box = run.judged(name, protocol), crop_box(face(), fit)
    write_png(place / "albedo.png", linear_to_srgb(albedo_of(name)))
    write_png(run.given(name, protocol), photograph_of(albedo_of(name), fit, samples=1).srgb)
    camera = {
        "rotation": fit.camera.rotation,
        "translation": fit.camera.translation,
        "focal": fit.camera.focal,
        "principal": list(fit.camera.principal),
        "width": fit.camera.width,
        "height": fit.camera.height,
    }
    known = {
        "identity": fit.identity,
        "expression": fit.expression,
        "landmarks": fit.landmarks,
        "camera": camera,
        "lighting": fit.lighting.coefficients,
        "verdict": "pass",
        "reasons": [],
        "landmark_error": 0.0,
        "interocular": fit.interocular,
        "notes": [],
    }
    write_json(place / "reference.json", {"crop": list(box), "fit": known, "files": file_hashes(place, ["albedo.png"])})


def write_result(run: RunFolder, key: ResultKey) -> None:
    """A result as the run itself makes it, of the method ``own``."""
    fit, place = known_fit(), run.result(key)
    box = crop_box(face(), fit)
    mask = face_masks(face(), SIZE).face
    made = Reconstruction(fit.vertices, albedo_of(key.subject), mask, fit.camera, fit.lighting)
    scene = scene_of(face(), made, box)
    given = cropped(read_png(run.given(key.subject, key.protocol)), box)
    view = fitted_view(given, scene, mask, np.zeros(given.shape[:2], bool), "gbuffer")
    write_png(place / "albedo.png", linear_to_srgb(made.albedo))
    write_png(place / "mask.png", mask)
    write_head(place / "head.glb", scene)
    write_png(place / "views" / "fitted.png", view.srgb)
    write_png(place / "views" / "fitted_mask.png", view.mask)
    files = ["albedo.png", "mask.png", "head.glb", "views/fitted.png", "views/fitted_mask.png"]
    write_json(place / "result.json", {"inputs": {}, "files": file_hashes(place, files)})


def everyone() -> Iterator[tuple[str, str]]:
    return ((protocol, name) for protocol in PROTOCOLS for name in PEOPLE)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }

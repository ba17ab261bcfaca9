"""Run folders with pictures that a test chooses: what stimuli are made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.images import write_png
from recon.runs.folder import FORMAT, ResultKey, RunFolder, file_hashes
from recon.storage import write_json

WIDTH, HEIGHT = 240, 300
EYES = 80.0
CROP = (20, 30, 220, 290)
OPEN = {"name": "CC BY 4.0", "citation": "A. Author (2017)", "redistributable": True}
UNKNOWN = {"name": "unknown", "citation": "", "redistributable": False}
METHODS = ("alpha", "beta", "gamma")
RESULT_FILES = ["views/fitted.png", "views/fitted_mask.png"]

Picture = NDArray[np.float32]


def landmarks(slope: float = 0.0, shift: float = 0.0) -> NDArray[np.float64]:
    """68 points of a face whose outer eye corners are 80 px apart around x = 120; chin and bridge 105 px apart.

    Args:
        slope: of the midline ``x = 120 + slope (y − 120)``.
        shift: of the midline to the right, as turning the head does; the eyes stay.
    """
    points = np.full((68, 2), 120.0)
    points[36], points[45] = (80, 120), (160, 120)
    for index, y in zip((27, 28, 29, 30, 33, 51, 62, 66, 57, 8), (115, 125, 135, 145, 155, 172, 176, 178, 185, 220),
                        strict=True):  # fmt: skip
        points[index] = 120 + slope * (y - 120) + shift, y
    return points


def photograph(seed: int = 0) -> Picture:
    """``(300, 240, 3)`` sRGB: a slope of light with noise, in whole 8-bit steps."""
    rng = np.random.default_rng(seed)
    light = np.linspace(0.3, 0.8, WIDTH)[None, :, None] * np.array([1.0, 0.8, 0.7])
    return eight_bits(light + rng.normal(0, 0.03, (HEIGHT, WIDTH, 3)))


def eight_bits(srgb: NDArray[np.floating]) -> Picture:
    """What a PNG keeps."""
    return (np.round(np.clip(srgb, 0, 1) * 255) / 255).astype(np.float32)


def rendering(seed: int) -> Picture:
    """``(260, 200, 3)`` sRGB over the crop: another noise, different on every pixel."""
    rng = np.random.default_rng(1000 + seed)
    return eight_bits(rng.uniform(0.2, 0.9, (CROP[3] - CROP[1], CROP[2] - CROP[0], 3)))


def skin() -> NDArray[np.bool_]:
    """``(260, 200)`` bool over the crop: an oval with two eyes left out."""
    y, x = np.mgrid[CROP[1] : CROP[3], CROP[0] : CROP[2]]
    oval = ((x - 120) / 60) ** 2 + ((y - 150) / 85) ** 2 < 1
    eyes = ((np.abs(x - 120) - 25) / 12) ** 2 + ((y - 120) / 7) ** 2 < 1
    return oval & ~eyes


def make_run(
    path: Path,
    methods: tuple[str, ...] = ("alpha", "beta"),
    subjects: tuple[str, ...] = ("s1", "s2"),
    protocol: str = "identity",
    licence: Mapping[str, Any] = OPEN,
    points: NDArray[np.float64] | None = None,
    verdict: str = "pass",
) -> RunFolder:
    """A finished run of one protocol."""
    folder = RunFolder(path)
    write_json(folder.config, {"format": FORMAT, "methods": {name: {} for name in methods}, "protocols": [protocol],
                               "subjects": list(subjects)})  # fmt: skip
    for number, subject in enumerate(subjects):
        write_png(folder.reference(subject) / "photo.png", photograph(number))
        write_json(folder.reference(subject) / "subject.json",
                   {"sha256": f"photograph {number}", "attributes": {}, "licence": dict(licence)})  # fmt: skip
        found = landmarks() if points is None else points
        fit = {"landmarks": found.tolist(), "verdict": verdict, "reasons": [] if verdict == "pass" else ["far off"]}
        write_json(folder.judged(subject, protocol) / "reference.json",
                   {"crop": list(CROP), "fit": fit, "files": {}})  # fmt: skip
        for method in methods:
            picture = rendering(10 * number + METHODS.index(method))
            add_result(folder, ResultKey(method, protocol, subject), picture, skin())
    return folder


def add_result(folder: RunFolder, key: ResultKey, picture: Picture, mask: NDArray[np.bool_]) -> None:
    """Write a result's view, and its record last."""
    place = folder.result(key)
    write_png(place / "views" / "fitted.png", picture)
    write_png(place / "views" / "fitted_mask.png", mask)
    write_json(place / "result.json", {"method": key.method, "files": file_hashes(place, RESULT_FILES)})

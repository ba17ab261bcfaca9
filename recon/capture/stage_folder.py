"""A synthetic stage's pictures as a raw sequence on disk: sensor, colour chart, ``subject.toml``, and the truth beside.

The camera records the linear colours of its own filters (a 3×3 mixture of linear sRGB), with shot noise and read noise,
clips, and stores 16 bits or floats. Crossed polarisers pass half of the diffuse light, parallel ones the same half and
all mirror reflection; unpolarised room light passes either by half.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture.colour_checker import chart_reflectances
from recon.capture.sequence_file import AXES, FILE, FLIPS, KIND
from recon.capture.stage import Stage, StageView
from recon.errors import UsageError
from recon.exr import write_exr
from recon.fitting.camera import Camera
from recon.images import write_png
from recon.png16 import write_png16
from recon.progress import Progress, no_progress
from recon.rendering.sampling import sample_bilinear
from recon.storage import atomic_path, make_folder, write_text

Float = NDArray[np.float32]

TRUTH = "truth"
"""Folder inside a synthetic capture with what its images were rendered from."""

_CHART = "since-2014"
_PATCH = 24  # pixels
_MARGIN = 8
_BRIGHTEST = 0.8  # of the sensor's range, for the brightest half percent of the head
_MIXTURE = ((0.62, 0.30, 0.08), (0.20, 0.72, 0.08), (0.04, 0.26, 0.70))


@dataclass(frozen=True)
class Sensor:
    """How pictures are taken and stored.

    Attributes:
        full_well: electrons of a pixel at its limit; 60,000 is a full-frame camera at base sensitivity.
        read_noise: electrons, standard deviation.
        frames: exposures that are averaged.
        ambient: room light as a share of the stage's full-on light, a little brighter from above.
        mixture: rows are the camera's red, green and blue as sums of linear sRGB.
        polarised: cross and parallel pairs, else unpolarised images.
        complements: whether complementary gradients are taken.
        axes: towards which axis of the frame the light of images x, y and z grows.
        flip: how files are stored, a word of ``sequence_file.FLIPS``.
        suffix: ``.png`` (16 bits) or ``.exr``.
    """

    full_well: float = 60_000.0
    read_noise: float = 6.0
    frames: int = 1
    ambient: float = 0.01
    mixture: tuple[tuple[float, float, float], ...] = _MIXTURE
    polarised: bool = True
    complements: bool = True
    axes: tuple[str, str, str] = ("+x", "+y", "+z")
    flip: str = "none"
    suffix: str = ".png"


def write_sequence(
    folder: Path,
    stage: Stage,
    cameras: Mapping[str, Camera],
    sensor: Sensor,
    name: str,
    skin: NDArray[np.bool_] | None = None,
    attributes: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> None:
    """Photographs the head in ``stage`` and writes a raw sequence that :mod:`recon.capture.sequence_file` describes.

    ``subject.toml`` is written last: a folder without it is no capture. ``truth/`` gets, a camera, albedo and normals
    (EXR), openness (EXR) and the face region (PNG).

    Args:
        folder: to write to.
        stage: the head.
        cameras: by name.
        sensor: of all cameras.
        name: the subject's id.
        skin: ``(S, S)`` bool over the UV square: bare skin, which is what the mask shows; None takes all skin.
        attributes: for ``subject.toml``.
        seed: of the noise.
        progress: counts cameras.

    Raises:
        UsageError: ``folder`` holds a capture already.
        StorageError: it cannot be written.
    """
    folder = Path(folder)
    if (folder / FILE).exists():
        raise UsageError(f"'{folder}' holds a capture already: choose another folder, or delete that one.")
    make_folder(folder)
    tables = []
    progress(0, len(cameras))
    for index, (label, camera) in enumerate(cameras.items()):
        rng = np.random.default_rng([seed, index])
        view = stage.photograph(camera)
        files = _write_view(folder / label, view, sensor, stage.binary, _mask(view, skin), rng)
        _write_truth(folder / TRUTH, label, view)
        tables.append(_camera_table(label, camera, files))
        progress(index + 1, len(cameras))
    _write_mesh(folder / "mesh.ply", stage)
    write_text(folder / FILE, _description(stage, sensor, name, attributes or {}) + "".join(tables))


def _mask(view: StageView, skin: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Skin that is nowhere under hair."""
    if skin is None:
        return view.skin
    share = sample_bilinear(skin[..., None].astype(np.float32), view.uv.reshape(-1, 2))
    return view.skin & (share.reshape(view.skin.shape) > 0.99)


def _write_view(
    folder: Path,
    view: StageView,
    sensor: Sensor,
    binary: bool,
    mask: NDArray[np.bool_],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Writes one camera's images; their names by polarisation and pattern, with the chart's table and the mask."""
    light = _patterns(view, sensor, binary)
    mixture = np.asarray(sensor.mixture, np.float32)
    brightest = [np.percentile((image[view.head] @ mixture.T).max(axis=-1), 99.5) for image in light.values()]
    gain = _BRIGHTEST / float(max(brightest))
    write = write_exr if sensor.suffix == ".exr" else write_png16
    flip = FLIPS[sensor.flip]
    states: dict[str, dict[str, str]] = {}
    for (state, pattern), radiance in light.items():
        file = f"{state}_{pattern}{sensor.suffix}"
        recorded = _record(radiance @ mixture.T * gain, sensor, rng)
        write(folder / file, np.flip(recorded, flip))
        states.setdefault(state, {})[pattern] = file
    write_png(folder / "mask.png", np.ascontiguousarray(np.flip(mask, flip)))
    chart, patches = _chart(mixture, gain, sensor, rng)
    write(folder / f"checker{sensor.suffix}", np.flip(chart, flip))
    checker = {
        "image": f"checker{sensor.suffix}",
        "chart": _CHART,
        "patches": patches.tolist(),
        "radius": _PATCH // 4,
    }
    return {"images": states, "mask": "mask.png", "checker": checker}


def _patterns(view: StageView, sensor: Sensor, binary: bool) -> dict[tuple[str, str], Float]:
    """``(H, W, 3)`` radiance that passes the filters, by polarisation and pattern, room light included."""
    # Weights of the responses 1, g_x, g_y, g_z that make each pattern.
    weights: dict[str, Float] = {"full": np.array([1, 0, 0, 0], np.float32)}
    for key, word in zip(AXES, sensor.axes, strict=True):
        lit = np.zeros(4, np.float32)
        lit[0], lit[1 + AXES.index(word[1])] = 0.5, 0.5 if word[0] == "+" else -0.5
        weights[key] = lit
        if sensor.complements or binary:
            weights[f"{key}_complement"] = lit * np.array([1, -1, -1, -1], np.float32)
    room = sensor.ambient * np.array([1, 0, 0.5, 0], np.float32)
    weights["ambient"] = np.zeros(4, np.float32)
    filters: dict[str, tuple[float, float]] = {"cross": (0.5, 0), "parallel": (0.5, 1)}
    if not sensor.polarised:
        filters = {"unpolarised": (1, 1)}
    light = {}
    for state, (diffuse, specular) in filters.items():
        for pattern, weight in weights.items():
            radiance = diffuse * _summed(view.diffuse, weight) + specular * _summed(view.specular, weight)[..., None]
            half = 0.5 if sensor.polarised else 1.0
            radiance += half * (_summed(view.diffuse, room) + _summed(view.specular, room)[..., None])
            light[state, pattern] = radiance.astype(np.float32)
    return light


def _summed(response: Float, weight: Float) -> Float:
    return np.asarray(np.tensordot(response, weight, axes=([2], [0])), np.float32)


def _record(signal: Float, sensor: Sensor, rng: np.random.Generator) -> Float:
    """What the sensor reads of ``signal`` (1 is its limit): noise, then clipping."""
    electrons = np.maximum(signal, 0) * sensor.full_well
    deviation = np.sqrt((electrons + sensor.read_noise**2) / sensor.frames) / sensor.full_well
    # A black level above zero would have to be subtracted again: read noise is cut off at zero instead.
    return np.clip(signal + rng.normal(size=signal.shape) * deviation, 0, 1).astype(np.float32)


def _chart(mixture: Float, gain: float, sensor: Sensor, rng: np.random.Generator) -> tuple[Float, NDArray[np.float64]]:
    """The picture of the colour chart facing the camera, and its patches' centres (x, y)."""
    step = _PATCH + _MARGIN
    share = 0.5 if sensor.polarised else 1.0
    colours = share * gain * np.maximum(chart_reflectances(_CHART), 0) @ mixture.T
    picture = np.full((4 * step + _MARGIN, 6 * step + _MARGIN, 3), 0.03 * share * gain, np.float32)
    centres = np.array(
        [
            (_MARGIN + column * step + _PATCH / 2, _MARGIN + row * step + _PATCH / 2)
            for row in range(4)
            for column in range(6)
        ]
    )
    for (x, y), colour in zip(centres.astype(int), colours, strict=True):
        picture[y - _PATCH // 2 : y + _PATCH // 2, x - _PATCH // 2 : x + _PATCH // 2] = colour
    return _record(picture, sensor, rng), centres


def _write_truth(folder: Path, label: str, view: StageView) -> None:
    write_exr(folder / f"{label}_albedo.exr", view.albedo)
    write_exr(folder / f"{label}_normals.exr", view.normals)
    write_exr(folder / f"{label}_openness.exr", view.openness)
    write_png(folder / f"{label}_face.png", view.face)


def _write_mesh(path: Path, stage: Stage) -> None:
    """The opaque surfaces as PLY, positions in the frame's unit."""
    import trimesh

    mesh = trimesh.Trimesh(stage.geometry.positions, stage.geometry.triangles, process=False)
    data: bytes = mesh.export(file_type="ply", vertex_normal=False)  # type: ignore[assignment]
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


_JSON: Callable[[Any], str] = json.dumps  # strings, numbers and arrays of them are written alike in TOML


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_JSON(value)}\n" for key, value in values.items())


def _description(stage: Stage, sensor: Sensor, name: str, attributes: Mapping[str, str]) -> str:
    """All of ``subject.toml`` but the cameras."""
    model = stage.scene.model
    landmarks = np.round(model.landmarks(stage.scene.vertices).astype(np.float64), 5).tolist()
    top: dict[str, Any] = {
        "kind": KIND,
        "id": name,
        "licence": "CC0-1.0",
        "citation": "made by mesoface",
        "redistributable": True,
        "synthetic": True,
    }
    gradients = dict(zip(AXES, sensor.axes, strict=True))
    tables: Sequence[tuple[str, Mapping[str, Any]]] = (
        ("attributes", dict(attributes)),
        ("frame", {"name": f"the face model '{model.name}'", "metres_per_unit": model.metres_per_unit}),
        ("gradients", {"kind": "binary" if stage.binary else "linear", **gradients}),
        ("encoding", {"transfer": "linear", "saturation": 1.0, "flip": sensor.flip}),
        ("mesh", {"file": "mesh.ply", "landmarks": landmarks}),
    )
    return _lines(top) + "".join(f"\n[{title}]\n{_lines(values)}" for title, values in tables)


def _camera_table(label: str, camera: Camera, files: Mapping[str, Any]) -> str:
    table = {
        "name": label,
        "folder": label,
        "size": [camera.width, camera.height],
        "rotation": camera.rotation.tolist(),
        "translation": camera.translation.tolist(),
        "focal": camera.focal,
        "principal": list(camera.principal),
        "mask": files["mask"],
    }
    text = f"\n[[camera]]\n{_lines(table)}"
    for state, images in files["images"].items():
        text += f"\n[camera.{state}]\n{_lines(images)}"
    return text + f"\n[camera.checker]\n{_lines(files['checker'])}"

"""Blender's path tracer Cycles, for skin that light enters: random-walk subsurface scattering.

The picture is drawn by :mod:`recon.rendering.cycles_process` in a process of its own, from a folder with the whole
scene in it: ``bpy`` holds global state, can end its process, and exists for one version of Python at a time. Skin is
the principled model with the random walk of d'Eon and Wrenninge (Christensen and Burley's "skin" parametrisation in
Cycles); camera, environment map, meshes, albedo, roughness and index of refraction are those of the Mitsuba renderer.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.code_version import code_version
from recon.errors import AssetError, RenderError, UsageError
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering.environment import bake
from recon.rendering.export.surfaces import index_of_refraction
from recon.rendering.parts import Surface
from recon.rendering.path_traced import finished
from recon.rendering.scene import Part, Scene
from recon.rendering.view import View, allowed_threads

INTERPRETER = "MESOFACE_BPY_PYTHON"
# Mean free paths under skin in metres, linear RGB: red light goes farthest. 1/σt' of "skin1" as Jensen, Marschner,
# Levoy, Hanrahan (2001) measured it, from σs' = 0.74, 0.88, 1.01 and σa = 0.032, 0.17, 0.48 per millimetre. σs' is
# reduced, so the walk itself is isotropic; how much is absorbed on the way follows from the albedo.
SCATTERING = (1.30e-3, 0.95e-3, 0.67e-3)
_BOUNCES = 4
_SCATTERS = (Surface.SKIN, Surface.HEAD)
# Drawn as one object: where skin passes into the inside of eyes and mouth, light does not leave the body.
_BODY = (Surface.SKIN, Surface.HEAD, Surface.CAVITY)


def interpreter() -> Path:
    """The Python that has the package ``bpy``: the one that ``MESOFACE_BPY_PYTHON`` names, else this one.

    Raises:
        AssetError: neither has it.
    """
    named = os.environ.get(INTERPRETER)
    if named:
        if not Path(named).is_file():
            raise AssetError(f"{INTERPRETER} names '{named}', which is no file: name a Python that has bpy.")
        return Path(named)
    if importlib.util.find_spec("bpy") is None:
        raise AssetError(
            "the renderer 'cycles' needs Blender's package bpy, which is not installed here: install it with "
            f"\"pip install 'mesoface[cycles]'\" (Python 3.11), or name another Python that has it by {INTERPRETER}."
        )
    return Path(sys.executable)


def write_scene(
    folder: Path,
    parts: tuple[Part, ...],
    metres_per_unit: float,
    camera: Camera,
    environment: NDArray[np.floating],
    settings: Mapping[str, Any],
) -> None:
    """Lays a scene into ``folder`` as :mod:`recon.rendering.cycles_process` reads it; lengths become metres.

    Args:
        environment: ``(H, 2H, 3)`` of :mod:`recon.rendering.environment`.
        settings: samples, seed, denoised, bounces, threads, scattering (three metres, or None for opaque skin).
    """
    arrays: dict[str, NDArray[Any]] = {"environment": np.asarray(environment, np.float32)}
    described = {}
    for part in parts:
        arrays[f"{part.name}.positions"] = part.positions * metres_per_unit
        arrays[f"{part.name}.normals"] = part.normals
        arrays[f"{part.name}.triangles"] = part.triangles
        for field in ("texcoord", "texture", "colour", "vertex_roughness"):
            if getattr(part, field) is not None:
                arrays[f"{part.name}.{field}"] = getattr(part, field)
        described[part.name] = {
            "roughness": part.roughness,
            "ior": index_of_refraction(part),
            "scattering": settings["scattering"] if part.topology.surface in _SCATTERS else None,
        }
    body = [part.name for part in parts if part.topology.surface in _BODY]
    others = [[part.name] for part in parts if part.name not in body]
    order = {
        **settings,
        "parts": described,
        "bodies": [body, *others] if body else others,
        "camera": {
            "width": camera.width,
            "height": camera.height,
            "focal": float(camera.focal),
            "principal": [float(value) for value in camera.principal],
            "rotation": camera.rotation.tolist(),
            "centre": (camera.centre * metres_per_unit).tolist(),
        },
    }
    np.savez(folder / "scene.npz", **arrays)  # type: ignore[arg-type]
    (folder / "scene.json").write_text(json.dumps(order), encoding="utf-8")


def draw(folder: Path) -> NDArray[np.float32]:
    """Runs Cycles on the scene in ``folder``: ``(H, W, 4)`` float32 radiance times coverage, and coverage.

    Raises:
        AssetError: no Python with the package ``bpy``.
        RenderError: Blender ended without a picture; the message has its last words.
    """
    program = Path(__file__).with_name("cycles_process.py")
    # Another interpreter must not find this one's packages.
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    log = folder / "log.txt"
    with log.open("wb") as said:
        # The program ends when its standard input does, so that no Blender outlives a killed mesoface.
        command = [str(interpreter()), str(program), str(folder)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, env=environment
        ) as process:
            try:
                code = process.wait()
            except BaseException:
                process.kill()
                raise
    picture = folder / "picture.npy"
    if code != 0 or not picture.is_file():
        raise RenderError(_epitaph(code, log.read_text(encoding="utf-8", errors="replace")))
    return np.asarray(np.load(picture), np.float32)


def _epitaph(code: int, said: str) -> str:
    """How Blender ended, in words."""
    if "No module named 'bpy'" in said:
        return f"'{interpreter()}' has no package bpy: install it there, or name another Python by {INTERPRETER}."
    if code < 0:
        name = signal.Signals(-code).name
        how = f"was killed ({name}), most likely for want of memory" if name == "SIGKILL" else f"crashed ({name})"
    else:
        how = f"ended with code {code} and no picture"
    last = " ".join(line.strip() for line in said.strip().splitlines()[-2:])
    return f"Blender {how}{f': {last}' if last else ''}; try again, or use --renderer mitsuba."


@lru_cache(maxsize=1)
def blender_version() -> str:
    """Version of the package ``bpy`` that :func:`interpreter` has; ``unknown`` where it does not say.

    Raises:
        AssetError: no Python with the package ``bpy``.
    """
    ask = "from importlib.metadata import version; print(version('bpy'))"
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    try:
        answer = subprocess.run(
            [str(interpreter()), "-c", ask], capture_output=True, text=True, timeout=60, env=environment, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise AssetError(
            f"'{interpreter()}' has no package bpy: install it there with 'pip install bpy', or name another Python by "
            f"{INTERPRETER}."
        ) from error
    return answer.stdout.strip()


class CyclesRenderer:
    """The renderer ``cycles`` of the registry.

    Args:
        samples: paths a pixel.
        seed: of the sampler.
        denoised: whether Open Image Denoise takes the grain out; skin keeps its texture, see
            :mod:`recon.rendering.denoise`.
        scattering: mean free path under skin in metres, linear RGB; None for opaque skin.
    """

    name = "cycles"

    def __init__(
        self,
        samples: int = 16,
        seed: int = 0,
        denoised: bool = True,
        scattering: tuple[float, float, float] | None = SCATTERING,
    ) -> None:
        if not 1 <= samples <= 65536:
            raise UsageError(f"samples a pixel must be between 1 and 65536, got {samples}.")
        self.samples = samples
        self.seed = seed
        self.denoised = denoised
        self.scattering = scattering

    @property
    def version(self) -> str:
        """Of Blender."""
        return blender_version()

    @property
    def parameters(self) -> dict[str, Any]:
        """What a picture depends on besides scene, camera and light."""
        return {
            "samples": self.samples,
            "seed": self.seed,
            "denoised": self.denoised,
            "bounces": _BOUNCES,
            "scattering": self.scattering,
            "program": code_version("recon.rendering.cycles_process"),
        }

    def render(
        self,
        scene: Scene,
        camera: Camera | None = None,
        lighting: SphericalHarmonicsLighting | None = None,
        lashes: bool = True,
    ) -> View:
        """A path-traced view; its geometry maps are those of the g-buffer renderer.

        Raises:
            AssetError: no Python with the package ``bpy``.
            RenderError: Blender ended without a picture.
        """
        camera, lighting = camera or scene.camera, lighting or scene.lighting
        solid = tuple(part for part in scene.parts if part.opacity is None)
        settings = {**self.parameters, "threads": allowed_threads()}
        with tempfile.TemporaryDirectory(prefix="mesoface-cycles-") as name:
            write_scene(Path(name), solid, scene.model.metres_per_unit, camera, bake(lighting), settings)
            pixels = draw(Path(name))
        return finished(scene, camera, lighting, pixels, self.denoised, lashes)

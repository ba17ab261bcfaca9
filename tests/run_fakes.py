"""Stand-ins for the slow parts of a run, so that its orchestration can be tested in seconds.

As a module: :func:`install` puts them in place. As a script: carries out a run with real worker processes, which
import this file too; ``python run_fakes.py OUT DATA METHODS PROTOCOLS JOBS|SCHEDULER``. Workers of a running Dask
cluster have it as their preload.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from skimage.transform import resize

from recon.colour import srgb_to_linear
from recon.data.subject import Photograph
from recon.errors import FaceNotFoundError
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.fitting.fit import Fit
from recon.fitting.landmarks import Landmarks
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.methods.contract import Context, Reconstruction
from recon.runs.views import FittedView, JudgedView
from recon.texture.observation import Observation

FILE = Path(__file__)
SIZE = 64


def face_model() -> MorphableModel:
    """Two triangles that fill the UV square."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return MorphableModel(
        name="fake",
        unit="centimetre",
        metres_per_unit=0.01,
        licence="none",
        version="1",
        mean=corners,
        identity_basis=np.zeros((1, 4, 3), np.float32),
        expression_basis=np.zeros((1, 4, 3), np.float32),
        expression_names=("none",),
        triangles=triangles,
        uv=(corners[:, :2] + 1) / 2,
        uv_triangles=triangles,
        material_names=("face",),
        triangle_material=np.zeros(2, np.int16),
        uv_materials=frozenset({"face"}),
        landmark_triangles=np.zeros((68, 3), np.int32),
        landmark_barycentric=np.full((68, 3), 1 / 3, np.float32),
        jaw_slides=tuple(np.zeros(1, np.int32) for _ in range(17)),
        regions={"face": np.ones(4, bool)},
    )


def detect_landmarks(photograph: Photograph) -> Landmarks:
    """Points on a grid; a photograph whose corner is black shows nobody."""
    if photograph.srgb[0, 0].max() < 0.05:
        raise FaceNotFoundError(f"no face was found in '{photograph.name}'.")
    height, width = photograph.srgb.shape[:2]
    points = np.stack([np.linspace(0.2, 0.8, 68) * width, np.full(68, 0.5 * height)], axis=-1).astype(np.float32)
    points[27], points[8] = (0.5 * width, 0.2 * height), (0.5 * width, 0.9 * height)
    points[36], points[45] = (0.3 * width, 0.4 * height), (0.7 * width, 0.4 * height)
    return Landmarks(points, (0.0, 0.0, float(width), float(height)))


def fit_face(photograph: Photograph, model: MorphableModel, **options: Any) -> Fit:
    height, width = photograph.srgb.shape[:2]
    camera = Camera(np.eye(3), np.array([0.0, 0.0, 10.0]), 500.0, (width / 2, height / 2), width, height)
    return Fit(
        identity=np.zeros(1, np.float32),
        expression=np.zeros(1, np.float32),
        vertices=model.mean,
        camera=camera,
        lighting=SphericalHarmonicsLighting.ambient(),
        landmarks=options["landmarks"].points,
        landmark_error=1.0,
        interocular=0.4 * width,
        verdict="pass",
        record={"seconds": time.perf_counter()},
    )


def observe(photograph: Photograph, protocol: Any, model: MorphableModel, size: int, *, fit: Fit) -> Observation:
    """The whole photograph is the face; the subject's right is the picture's left."""
    everywhere = np.ones((size, size), bool)
    withheld = np.zeros((size, size), bool)
    if protocol.withheld_side:
        withheld[:, : size // 2 + 1] = True
        if protocol.withheld_side == "left":
            withheld = withheld[:, ::-1]
    visible = everywhere & ~withheld
    albedo = srgb_to_linear(resize(photograph.srgb, (size, size), anti_aliasing=True)) * visible[..., None]
    return Observation(fit, albedo, visible, visible, visible.astype(np.float32), withheld, {"timings": time.time()})


def unwrap_reference(photograph: Photograph, observation: Observation, model: MorphableModel) -> Observation:
    albedo = srgb_to_linear(resize(photograph.srgb, (observation.size,) * 2, anti_aliasing=True))
    everywhere = np.ones((observation.size,) * 2, bool)
    return replace(observation, albedo=albedo, visible=everywhere, skin=everywhere)


def judged_view(model: Any, fit: Fit, albedo: Any, box: Any, maps: Any) -> JudgedView:
    shape = (box[3] - box[1], box[2] - box[0])
    masks = {name: resize(mask.astype(float), shape, order=0) > 0.5 for name, mask in maps.items()}
    middle = dict.fromkeys(("cheek", "forehead", "jaw"), (0.5 * shape[1], 0.5 * shape[0]))
    places = {"left": middle, "right": middle}
    return JudgedView(masks, places)


def fitted_view(photograph: Any, scene: Reconstruction, mask: Any, hidden: Any, renderer: str) -> FittedView:
    shape = photograph.shape[:2]
    return FittedView(resize(scene.albedo, (*shape, 3)).astype(np.float32), np.ones(shape, bool))


def write_head(path: Path, scene: Any) -> None:
    from recon.storage import write_text

    write_text(path, "head")


class Quick:
    """Returns what was seen, grey elsewhere."""

    name = "quick"
    needs_database = False
    defaults: ClassVar[dict[str, Any]] = {"strength": 1.0, "steps": 3}

    def applies(self, context: Context) -> str | None:
        return None

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        seen = context.observation
        rng = np.random.default_rng(context.seed)
        albedo = np.where(seen.visible[..., None], seen.albedo, 0.3) * context.parameters["strength"]
        albedo = np.clip(albedo + rng.normal(0, 0.01, albedo.shape), 0, 1).astype(np.float32)
        record = {"losses": np.arange(3.0), "extractor": "none", "timings": {"all": time.time()}}
        mask = np.ones(seen.visible.shape, bool)
        return Reconstruction(seen.fit.vertices, albedo, mask, seen.fit.camera, seen.fit.lighting, record)


class Slow(Quick):
    """As ``quick``, but gives a killer time to strike."""

    name = "slow"

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        time.sleep(0.15)
        return super().reconstruct(photograph, context)


class Failing(Quick):
    """Fails on subject ``b``, by a defect."""

    name = "failing"

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        if photograph.name.startswith("b"):
            raise ValueError("seven is not eight")
        return super().reconstruct(photograph, context)


class Dying(Quick):
    """Is killed on subject ``b``, as the system does when memory runs out."""

    name = "dying"

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        if photograph.name.startswith("b"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reconstruct(photograph, context)


class Picky(Quick):
    """Applies to nobody."""

    name = "picky"

    def applies(self, context: Context) -> str | None:
        return "no captured albedo"


class Needy(Quick):
    """Needs a database, and says whom it holds."""

    name = "needy"
    needs_database = True

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        made = super().reconstruct(photograph, context)
        assert context.database is not None
        return replace(made, record={**made.record, "people": list(context.database.ids)})


class Greedy(Quick):
    """Finds no room in the GPU's memory for a subject's first try, and notes in ``MARKS`` which process tried."""

    name = "greedy"
    MARKS = "MESOFACE_TEST_GPU"

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        from torch import OutOfMemoryError

        with (Path(os.environ[self.MARKS]) / photograph.name).open("a+") as marks:
            marks.write(f"{os.getpid()}\n")
            marks.seek(0)
            if len(marks.readlines()) == 1:
                raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().reconstruct(photograph, context)


class Loading(Quick):
    """Says in which thread it was loaded, and how often."""

    name = "loading"

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self) -> None:
        self.loaded.append(threading.current_thread().name)

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        made = super().reconstruct(photograph, context)
        return replace(made, record={**made.record, "loaded": [*self.loaded]})


class Unloadable(Quick):
    """Lacks a library."""

    name = "unloadable"

    def load(self) -> None:
        raise ModuleNotFoundError("No module named 'nothing'")


METHODS = {method.name: method for method in (Quick, Slow, Failing, Dying, Picky, Needy, Greedy, Loading, Unloadable)}


def install(patch: Callable[[str, Any], None]) -> None:
    """Puts the stand-ins in place with ``patch(dotted_name, value)``."""
    patch("recon.face_model.load_face_model", lambda name="auto": face_model())
    patch("recon.runs.execution.assets.require", lambda name: Path(__file__))
    patch("recon.runs.execution.assets.locate", lambda name: None)
    patch("recon.fitting.detect_landmarks", detect_landmarks)
    patch("recon.fitting.fit_face", fit_face)
    for place in ("recon.runs.execution", "recon.runs.subject", "recon.runs.config"):
        patch(f"{place}.load_method", lambda name: METHODS[name]())
    for name in ("observe", "unwrap_reference", "judged_view", "fitted_view", "write_head"):
        patch(f"recon.runs.subject.{name}", globals()[name])
    patch("recon.runs.subject.scene_of", lambda model, made, box: made)
    patch("recon.texture.database.TextureDatabase.albedo_model", None)
    patch("recon.texture.database.TextureDatabase.textures", None)
    patch("recon.texture.database.TextureDatabase.skin_mask", None)


def write_people(folder: Path, names: str = "abcd") -> Path:
    """A folder of photographs of noise, one a letter; an upper-case letter shows nobody."""
    from recon.images import write_png

    for index, name in enumerate(names):
        picture = np.random.default_rng(index).uniform(0.2, 0.9, (12, 12, 3))
        picture = resize(picture, (160, 128), order=1)
        if name.isupper():
            picture[:20, :20] = 0
        write_png(folder / f"{name.lower()}.png", picture.astype(np.float32))
    return folder


def _patch_for_good(dotted: str, value: Any) -> None:
    import pkgutil

    owner, _, name = dotted.rpartition(".")
    setattr(pkgutil.resolve_name(owner), name, value)


def dask_setup(worker: Any) -> None:
    """What Dask calls where this file is a worker's preload."""
    install(_patch_for_good)


# Worker processes import the script as __mp_main__.
if __name__ in {"__main__", "__mp_main__"}:
    install(_patch_for_good)

if __name__ == "__main__":
    from recon.cluster import on_cluster
    from recon.data.protocols import parse_protocols
    from recon.errors import MesofaceError
    from recon.runs import RunConfig, execute

    out, data, methods, protocols, where = sys.argv[1:6]
    config = RunConfig(
        out=Path(out),
        data=f"folder={data}",
        methods=tuple(methods.split(",")),
        protocols=parse_protocols(protocols),
        size=SIZE,
        jobs=int(where) if where.isdigit() else None,
    )
    try:
        with on_cluster(None if where.isdigit() else where):
            summary = execute(config, lambda stage, done, total: None)
    except MesofaceError as error:
        sys.exit(f"mesoface: {error}")
    sys.stdout.write(f"made {len(summary.made)} kept {summary.kept} failed {len(summary.failed)}\n")

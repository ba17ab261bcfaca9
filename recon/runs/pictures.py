"""More pictures of a run that exists: any renderer, any standard view, added beside its results.

::

    results/<method>/<protocol>/<subject>/views/<renderer>/<view>.png    for screens; fitted: laid over the photograph
                                                           <view>.exr    radiance and coverage, linear, half float
                                                           <view>.json   renderer, its version and code, parameters,
                                                                         size, what it was made from, sha256 of both;
                                                                         written last

A picture whose record says what would be made now is kept; any other is made again. The scene comes from the run folder
alone: the mesh of ``head.glb``, the map of ``albedo.png``, camera and light of ``reference.json``.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recon.code_version import code_version
from recon.data.protocols import parse_protocol
from recon.errors import InputError, MesofaceError, StorageError, UsageError
from recon.face_model.model import MorphableModel
from recon.images import read_png, write_png
from recon.rendering import RENDERERS
from recon.rendering.compositing import tone_mapped
from recon.rendering.hdr import write_radiance
from recon.rendering.view import Renderer
from recon.rendering.view_sets import FITTED
from recon.rendering.views import render_view
from recon.runs.config import default_jobs
from recon.runs.folder import ResultKey, RunFolder, complete_record, file_hashes, has_head
from recon.runs.lock import locked
from recon.runs.parts import RECORDS, picture_parts
from recon.runs.record import plain
from recon.runs.views import cropped, over_photograph, scene_from_folder
from recon.storage import read_json, write_json
from recon.texture.observe import withheld_pixels
from recon.worker_pool import Died, Needs, Report, Reported, at_hand, work_through

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PictureOrder:
    """What is asked for; travels to every worker.

    Attributes:
        run: the run folder.
        renderer: registry name.
        views: names of standard views, sets resolved.
        width, height: pixels of all views but ``fitted``, which has the size of the cropped photograph.
        samples: paths or rays a pixel; None takes the renderer's own.
    """

    run: Path
    renderer: str
    views: tuple[str, ...]
    width: int = 512
    height: int = 640
    samples: int | None = None

    def __post_init__(self) -> None:
        if not (16 <= self.width <= 8192 and 16 <= self.height <= 8192):
            raise UsageError(f"--size {self.width}x{self.height}: each side must be between 16 and 8192 pixels.")

    def make_renderer(self) -> Renderer:
        """The renderer with the number of samples asked for.

        Raises:
            UsageError: unknown renderer, or a number of samples that it cannot take.
        """
        kind: Callable[..., Renderer] = RENDERERS.get(self.renderer)
        if self.samples is None:
            return kind()
        if self.renderer == "gbuffer":
            side = math.isqrt(self.samples)
            if side * side != self.samples or not 1 <= side <= 8:
                raise UsageError(f"--samples {self.samples}: 'gbuffer' takes 1, 4, 9, 16, 25, 36, 49 or 64 rays.")
            return kind(supersample=side)
        return kind(samples=self.samples)


@dataclass(frozen=True)
class PictureTask:
    """A result and the views that it lacks."""

    key: ResultKey
    views: tuple[str, ...]


@dataclass(frozen=True)
class PictureOutcome:
    """What became of one picture: ``seconds`` it took, or the ``message`` why there is none."""

    key: ResultKey
    view: str
    seconds: float = 0.0
    message: str = ""

    def __str__(self) -> str:
        return f"{self.key} · {self.view}"


@dataclass(frozen=True)
class PictureSummary:
    """What rendering a run came to.

    Attributes:
        folder: the run folder.
        made, failed: pictures.
        kept: pictures that were there already.
        seconds: mean time a picture that was made, over one worker; 0 where none was.
    """

    folder: RunFolder
    made: tuple[PictureOutcome, ...]
    failed: tuple[PictureOutcome, ...]
    kept: int
    seconds: float


def render_run(
    order: PictureOrder,
    progress: Progress,
    methods: Sequence[str] = (),
    protocols: Sequence[str] = (),
    subjects: Sequence[str] = (),
    jobs: int | None = None,
) -> PictureSummary:
    """Make the pictures that the run folder lacks; may be killed at any time and called again.

    Args:
        methods, protocols, subjects: of the run; empty for all.
        jobs: worker processes; None for as many as cores and memory allow.

    Raises:
        UsageError: not a run, a run that is being worked on, or a name that it does not have.
        AssetError: the renderer's package, or the face model, is missing.
        StorageError: the disk is full; every picture that was finished is kept.
    """
    folder = RunFolder(order.run)
    config = folder.read_config()
    for name in methods:
        if config["methods"].get(name, {}).get("imported") == "views":
            raise UsageError(f"'{name}' was imported as views: it has no heads that could be rendered.")
    wanted = [_chosen(given, list(config[noun]), noun) for given, noun in
              ((methods, "methods"), (protocols, "protocols"), (subjects, "subjects"))]  # fmt: skip
    with locked(folder.lock, f"run '{order.run}'"):
        tasks, kept = pending(order, folder, *wanted)
        return _carry_out(order, folder, tasks, kept, jobs, progress)


def _chosen(given: Sequence[str], known: list[str], noun: str) -> list[str]:
    for name in given:
        if name not in known:
            raise UsageError(f"this run has no {noun.rstrip('s')} '{name}'; it has {', '.join(known)}.")
    return [name for name in known if name in given] if given else known


def pending(
    order: PictureOrder, folder: RunFolder, methods: Sequence[str], protocols: Sequence[str], subjects: Sequence[str]
) -> tuple[list[PictureTask], int]:
    """The results with the views that they lack, and how many pictures are there already.

    Results that were imported as pictures have no head that could be drawn, and lack nothing.
    """
    renderer = order.make_renderer()
    tasks, kept = [], 0
    for key, result in folder.results():
        if key.method not in methods or key.protocol not in protocols or key.subject not in subjects:
            continue
        if not has_head(result):
            continue
        inputs = inputs_of(folder, key, result)
        missing = []
        for view in order.views:
            record = complete_record(_place(folder, key, order.renderer, view).with_suffix(".json"))
            if record is not None and {**record, "files": None} == {**recipe(order, renderer, view, inputs)}:
                kept += 1
            else:
                missing.append(view)
        if missing:
            tasks.append(PictureTask(key, tuple(missing)))
    return tasks, kept


def _place(folder: RunFolder, key: ResultKey, renderer: str, view: str) -> Path:
    """Path of a picture without its suffix (views' names have no dot)."""
    return folder.result(key) / "views" / renderer / view


def inputs_of(folder: RunFolder, key: ResultKey, result: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of what a result's scene is read from."""
    reference = folder.judged(key.subject, key.protocol) / "reference.json"
    if not reference.is_file():
        raise InputError(f"'{reference}' is missing: run the same 'mesoface run' again, which writes it.")
    files = {name: result["files"][name] for name in ("albedo.png", "head.glb", "mask.png")}
    return {**files, "reference.json": hashlib.sha256(reference.read_bytes()).hexdigest()}


def recipe(order: PictureOrder, renderer: Renderer, view: str, inputs: Mapping[str, str]) -> dict[str, Any]:
    """All that a picture follows from, in the types of JSON, as its record says it; ``files`` is still None.

    The code that draws is part of it: pictures of a study must not come from two versions of a renderer.
    """
    return {
        "view": view,
        "renderer": renderer.name,
        "version": renderer.version,
        "parameters": plain(dict(renderer.parameters)),
        "code": [code_version(name) for name in ("recon.rendering.views", type(renderer).__module__) if _ours(name)],
        "size": None if view == FITTED else [order.width, order.height],
        "inputs": dict(inputs),
        "files": None,
    }


def _ours(module: str) -> bool:
    """Whether a module is of this package; the version of a renderer from outside stands for its code."""
    return module.startswith("recon.")


class PictureWorker:
    """Holds what all pictures share: face model and renderer; called with a :class:`PictureTask`."""

    def __init__(self, order: PictureOrder) -> None:
        from recon.face_model import load_face_model

        self.order = order
        self.folder = RunFolder(order.run)
        self.model: MorphableModel = load_face_model(self.folder.read_config()["settings"]["face_model"]["name"])
        self.renderer = order.make_renderer()

    def __call__(self, task: PictureTask, report: Report) -> None:
        """Makes the views that ``task`` lacks; reports a :class:`PictureOutcome` for each.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        for view in task.views:
            started = time.perf_counter()
            try:
                self._make(task.key, view)
            except StorageError:
                raise
            except MesofaceError as error:
                report(PictureOutcome(task.key, view, message=str(error)))
            except Exception as error:
                report(PictureOutcome(task.key, view, message=f"{type(error).__name__}: {error}"))
            else:
                report(PictureOutcome(task.key, view, seconds=time.perf_counter() - started))

    def _make(self, key: ResultKey, view: str) -> None:
        """One picture: the record goes first and comes last, so that it never vouches for another picture's files."""
        place = _place(self.folder, key, self.order.renderer, view)
        place.with_suffix(".json").unlink(missing_ok=True)
        result = read_json(self.folder.result(key) / "result.json")
        reference = read_json(self.folder.judged(key.subject, key.protocol) / "reference.json")
        scene = scene_from_folder(self.model, self.folder.result(key), reference)
        drawn = render_view(scene, view, self.order.width, self.order.height, self.renderer)
        if view == FITTED:
            given = read_png(self.folder.given(key.subject, key.protocol))
            hidden = hidden_pixels(self.folder, key, reference, given.shape)
            mask = read_png(self.folder.result(key) / "mask.png").astype(bool)
            shown = over_photograph(cropped(given, tuple(reference["crop"])), drawn, mask, hidden).srgb
        else:
            shown = tone_mapped(drawn)
        write_radiance(place.with_suffix(".exr"), drawn.radiance, drawn.alpha)
        write_png(place.with_suffix(".png"), shown)
        record = recipe(self.order, self.renderer, view, inputs_of(self.folder, key, result))
        files = file_hashes(place.parent, [f"{place.name}.png", f"{place.name}.exr"])
        write_json(place.with_suffix(".json"), {**record, "files": files})


def hidden_pixels(
    folder: RunFolder, key: ResultKey, reference: Mapping[str, Any], shape: tuple[int, ...]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """``(h, w)`` bool over the cropped photograph: pixels that the protocol withheld, as the run painted them over."""
    box = tuple(reference["crop"])
    side = parse_protocol(key.protocol).withheld_side
    if not side:
        return np.zeros((box[3] - box[1], box[2] - box[0]), bool)
    landmarks = np.asarray(reference["fit"]["landmarks"], np.float32)
    of_half = cropped(withheld_pixels(landmarks, shape[:2], side), box)
    return np.asarray(of_half | read_png(folder.judged(key.subject, key.protocol) / "image_withheld.png").astype(bool))


def prepare_pictures(order: PictureOrder) -> PictureWorker:
    """What a worker process calls once."""
    return PictureWorker(order)


def _carry_out(
    order: PictureOrder, folder: RunFolder, tasks: list[PictureTask], kept: int, jobs: int | None, progress: Progress
) -> PictureSummary:
    total = sum(len(task.views) for task in tasks)
    workers = min(jobs or default_jobs(len(tasks)), max(1, len(tasks)))
    threads = max(1, (os.cpu_count() or 1) // workers)
    outcomes: dict[tuple[ResultKey, str], PictureOutcome] = {}
    stage = f"rendering with {order.renderer}"
    progress(stage, 0, total)
    face_model = folder.read_config()["settings"]["face_model"]["name"]
    parts = partial(picture_parts, order.renderer)
    with at_hand(Needs(folder.path, face_model=face_model, parts=parts, records=RECORDS)):
        for event in work_through(tasks, prepare_pictures, order, jobs=workers, threads=threads):
            if isinstance(event, Reported):
                outcomes[event.content.key, event.content.view] = event.content
            elif isinstance(event, Died):
                for view in event.task.views:
                    outcomes.setdefault(
                        (event.task.key, view), PictureOutcome(event.task.key, view, message=event.reason)
                    )
            progress(stage, len(outcomes), total)
    made = tuple(sorted((o for o in outcomes.values() if not o.message), key=str))
    failed = tuple(sorted((o for o in outcomes.values() if o.message), key=str))
    return PictureSummary(folder, made, failed, kept, float(np.mean([o.seconds for o in made])) if made else 0.0)

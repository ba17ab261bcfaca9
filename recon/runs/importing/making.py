"""Makes results of a run from another system's files; continues where it was stopped.

Views are cut to the run's crop. Albedo maps and meshes become heads, seen by the run's own camera under its own light,
exactly as the results of methods are; a result holds the same files, those of kind ``views`` only ``views/fitted.png``
and ``views/fitted_mask.png``. ``result.json`` is written last, and its ``inputs`` name the sha256 of every file that it
was made of: what is up to date is kept.
"""

from __future__ import annotations

import os
import re
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import InputError, MesofaceError, StorageError, UsageError
from recon.face_model.model import MorphableModel
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.images import read_png, write_png
from recon.methods import METHODS
from recon.methods.lightstage import resampled
from recon.rendering.scene import Scene
from recon.runs.config import default_jobs, mesoface_version
from recon.runs.folder import ResultKey, RunFolder, file_hashes, write_config
from recon.runs.importing.pictures import read_mask, read_picture
from recon.runs.importing.scan_folder import laid_over
from recon.runs.importing.survey import Found, Kind, Survey
from recon.runs.lock import locked
from recon.runs.pictures import hidden_pixels
from recon.runs.record import plain
from recon.runs.subject import clear, write_failure
from recon.runs.views import Box, camera_from_record, cropped, cropped_camera, fitted_view, write_head
from recon.storage import read_json, write_json
from recon.texture.completion import face_masks
from recon.worker_pool import Died, Report, Reported, work_through

Progress = Callable[[int, int | None], None]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_OF_FIT = ("verdict", "reasons", "landmark_error", "interocular", "notes")


@dataclass(frozen=True)
class Terms:
    """What is known of the other system.

    Attributes:
        source: where its results come from: a paper, an address, a version.
        licence: under which they may be used.
    """

    source: str
    licence: str = "unknown"


@dataclass(frozen=True)
class ImportOrder:
    """What every worker needs.

    Attributes:
        parameters: of the imported method, as its results' records state them.
    """

    run: Path
    kind: Kind
    parameters: Mapping[str, Any]
    face_model: Mapping[str, Any]
    size: int
    renderer: str


@dataclass(frozen=True)
class Imported:
    """What importing came to.

    Attributes:
        made: results made now.
        kept: results that were there already, of the very same files.
        removed: results of an earlier import that were replaced by nothing.
        failed: what could not be made, with the reason.
    """

    made: tuple[ResultKey, ...]
    kept: int
    removed: tuple[ResultKey, ...]
    failed: tuple[tuple[ResultKey, str], ...]


def check_name(run: RunFolder, method: str) -> None:
    """Whether results of a method of that name may be imported.

    Raises:
        UsageError: it is no name for a folder, or mesoface itself makes results under it.
    """
    if not _NAME.fullmatch(method):
        raise UsageError(f"--method '{method}': use letters, digits, '-', '_', '.' and '+' only.")
    parameters = run.read_config()["methods"].get(method)
    if method in METHODS or (parameters is not None and "imported" not in parameters):
        raise UsageError(f"'{method}' is a method of mesoface: give the imported one another name, say '{method}-2'.")


def import_results(
    found: Survey,
    run: RunFolder,
    method: str,
    terms: Terms,
    force: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Makes a result of everything in ``found`` that is usable.

    Args:
        force: replace an earlier import under this name: results that the folder has no usable file for are removed.
            Without it, results are added to those of an earlier import from the same source.

    Raises:
        UsageError: the name is taken, or results of it would change without ``force``; nothing was written.
        InputError: nothing is usable.
        StorageError: the disk is full; everything finished is kept.
    """
    check_name(run, method)
    if not found.usable:
        raise InputError(f"none of the {len(found.found)} files can be used: {found.found[0].problem}")
    with locked(run.lock, f"run '{run.path}'"):
        config = run.read_config()
        order = _order(run, found.kind, terms, config)
        tasks, stale = _to_do(found, run, order)
        before = config["methods"].get(method)
        other_terms = before is not None and any(
            before.get(name) != order.parameters[name] for name in order.parameters
        )
        earlier = [key for key, _ in run.results() if key.method == method]
        if not force and (stale or (other_terms and earlier)):
            raise UsageError(
                f"run '{run.path}' has other results of '{method}' already ({len(stale)} would change, they were "
                f"imported as {_said(before)}): --force replaces them, or give another --method."
            )
        gone = _without_file(found, earlier, other_terms) if force else []
        recorded = _recorded(found, run, order, method, gone)
        for key in gone:
            shutil.rmtree(run.result(key))
        write_config(run, {**config, "methods": {**config["methods"], method: recorded}})
        failed = _carry_out(tasks, order, jobs, progress)
    made = tuple(task.key for task in tasks if task.key not in dict(failed))
    return Imported(made, len(found.usable) - len(tasks), tuple(gone), tuple(failed))


def _order(run: RunFolder, kind: Kind, terms: Terms, config: Mapping[str, Any]) -> ImportOrder:
    settings = config["settings"]
    parameters = {"imported": kind, "source": terms.source, "licence": terms.licence}
    return ImportOrder(
        run.path, kind, parameters, settings["face_model"], int(settings["size"]), str(settings["renderer"])
    )


def _said(parameters: Mapping[str, Any] | None) -> str:
    known = parameters or {}
    return f"{known.get('imported')} from '{known.get('source')}' under '{known.get('licence')}'"


def _to_do(found: Survey, run: RunFolder, order: ImportOrder) -> tuple[list[Found], list[ResultKey]]:
    """What must be made, and which of that replaces a result."""
    tasks, stale = [], []
    for item in found.usable:
        record = run.finished(item.key)
        if record is None:
            tasks.append(item)
        elif record["inputs"] != plain(_inputs(run, item, order)):
            tasks.append(item)
            stale.append(item.key)
    return tasks, stale


def _without_file(found: Survey, earlier: Sequence[ResultKey], other_terms: bool) -> list[ResultKey]:
    """Results of an earlier import that this one replaces by nothing: those of the chosen protocols that it has no
    usable file for; under other terms all, since one method has one source and one licence."""
    usable = {item.key for item in found.usable}
    chosen = {item.key for item in found.found} | set(found.missing)
    return [key for key in earlier if key not in usable and (other_terms or key in chosen)]


def _recorded(
    found: Survey, run: RunFolder, order: ImportOrder, method: str, gone: Sequence[ResultKey]
) -> dict[str, Any]:
    """What ``run.json`` says of the method: with the sha256 of the files of all its results, old and new."""
    import hashlib

    files: dict[str, str] = {}
    replaced = {*gone, *(item.key for item in found.usable)}
    for key, record in run.results():
        if key.method == method and key not in replaced:
            files.update(record["inputs"]["files"])
    for item in found.usable:
        files.update(item.files)
    listed = "\n".join(f"{name} {value}" for name, value in sorted(files.items()))
    return {**order.parameters, "files": len(files), "sha256": hashlib.sha256(listed.encode()).hexdigest()}


def _inputs(run: RunFolder, item: Found, order: ImportOrder) -> dict[str, Any]:
    """What a result was made from, under the names that results of methods use."""
    return {
        "photograph": read_json(run.reference(item.key.subject) / "subject.json")["sha256"],
        "size": order.size,
        "renderer": order.renderer,
        "face_model": f"{order.face_model['name']} {order.face_model['version']}",
        "database": None,
        "parameters": dict(order.parameters),
        "files": dict(item.files),
    }


def _carry_out(
    tasks: Sequence[Found], order: ImportOrder, jobs: int | None, progress: Progress | None
) -> list[tuple[ResultKey, str]]:
    """Makes the results; gives what failed."""
    done: dict[ResultKey, str] = {}

    def said(key: ResultKey, message: str) -> None:
        done[key] = message
        if progress is not None:
            progress(len(done), len(tasks))

    if order.kind == "views":  # cutting a picture takes less time than starting a process
        maker = ResultMaker(order)
        for task in tasks:
            maker(task, lambda content: said(*content))
    else:
        workers = min(jobs or default_jobs(len(tasks) or 1), max(1, len(tasks)))
        threads = max(1, (os.cpu_count() or 1) // workers)
        for event in work_through(tasks, ResultMaker, order, jobs=workers, threads=threads):
            if isinstance(event, Reported):
                said(*event.content)
            elif isinstance(event, Died):
                write_failure(RunFolder(order.run), event.task.key, "WorkerDied", event.reason)
                said(event.task.key, event.reason)
    return [(key, message) for key, message in done.items() if message]


class ResultMaker:
    """Makes one result after another; holds the face model."""

    def __init__(self, order: ImportOrder) -> None:
        self.order = order
        self.run = RunFolder(order.run)
        self.model: MorphableModel | None = None
        if order.kind != "views":
            from recon.face_model import load_face_model

            self.model = load_face_model(str(order.face_model["name"]))
            if self.model.version != order.face_model["version"]:
                raise InputError(
                    f"run '{order.run}' was made with version {order.face_model['version']} of the face model "
                    f"'{self.model.name}', here is {self.model.version}: run again into another folder with --out."
                )

    def __call__(self, item: Found, report: Report) -> None:
        """Makes the result of ``item``; reports its key and why it failed, or an empty text.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        try:
            self._make(item)
        except StorageError:
            raise
        except Exception as error:
            expected = isinstance(error, MesofaceError)
            message = str(error) if expected else f"{type(error).__name__}: {error}"
            trace = "" if expected else "".join(traceback.format_exception(error))
            write_failure(self.run, item.key, type(error).__name__, message, trace)
            report((item.key, message))
        else:
            report((item.key, ""))

    def _make(self, item: Found) -> None:
        folder = self.run.result(item.key)
        reference = read_json(self.run.judged(item.key.subject, item.key.protocol) / "reference.json")
        box: Box = tuple(reference["crop"])
        given = read_png(self.run.given(item.key.subject, item.key.protocol)).astype(np.float32)
        found: dict[str, Any] = {}
        if self.model is None:
            pictures = self._view(item, box, given)
        else:
            pictures, found = self._head(self.model, item, reference, given)
        for name, values in pictures.items():
            write_png(folder / name, values)
        files = [*pictures, *([] if self.model is None else ["head.glb"])]
        write_json(
            folder / "result.json",
            {
                "method": item.key.method,
                "protocol": item.key.protocol,
                "subject": item.key.subject,
                "inputs": plain(_inputs(self.run, item, self.order)),
                "fit": {name: reference["fit"][name] for name in _OF_FIT},
                "record": plain(
                    {"described": item.described, "notes": item.notes, "mesoface": mesoface_version(), **found}
                ),
                "files": file_hashes(folder, files),
            },
        )

    def _view(self, item: Found, box: Box, given: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """The picture cut to the run's crop; transparent parts show what the method was given."""
        picture = read_picture(item.source)
        mask = np.ones(picture.srgb.shape[:2], bool) if picture.alpha is None else picture.alpha >= 1
        if item.mask is not None:
            mask = read_mask(item.mask)
        srgb, alpha = picture.srgb, picture.alpha
        if picture.size != (box[2] - box[0], box[3] - box[1]):
            srgb, mask = cropped(srgb, box), cropped(mask, box)
            alpha = None if alpha is None else cropped(alpha, box)
        if alpha is not None:
            weight = alpha[..., None]
            srgb = weight * srgb + (1 - weight) * cropped(given, box)
        clear(self.run.result(item.key))
        return {"views/fitted.png": srgb, "views/fitted_mask.png": mask}

    def _head(
        self, model: MorphableModel, item: Found, reference: Mapping[str, Any], given: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Albedo, mask and fitted view; writes the head."""
        fit, size, box = reference["fit"], self.order.size, tuple(reference["crop"])
        vertices = model.vertices(np.asarray(fit["identity"], np.float32), np.asarray(fit["expression"], np.float32))
        record: dict[str, Any] = {}
        if item.kind == "mesh":
            laid = laid_over(item.source, model, vertices, size)
            vertices, albedo, mask, record = laid.vertices, laid.albedo, laid.mask, {"mesh": dict(laid.record)}
        else:
            albedo, mask = self._albedo(model, item)
        camera = cropped_camera(camera_from_record(fit["camera"]), box)
        lighting = SphericalHarmonicsLighting(np.asarray(fit["lighting"], np.float64))
        scene = Scene(model, vertices, albedo, camera, lighting)
        hidden = hidden_pixels(self.run, item.key, reference, given.shape)
        view = fitted_view(cropped(given, box), scene, mask, hidden, self.order.renderer)
        clear(self.run.result(item.key))
        write_head(self.run.result(item.key) / "head.glb", scene)
        pictures = {"albedo.png": linear_to_srgb(albedo), "mask.png": mask}
        return {**pictures, "views/fitted.png": view.srgb, "views/fitted_mask.png": view.mask}, record

    def _albedo(self, model: MorphableModel, item: Found) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The map at the run's size, linear, and where the method vouches for it: all of the face without a mask."""
        picture = read_picture(item.source)
        known = np.ones(picture.srgb.shape[:2], bool) if picture.alpha is None else picture.alpha >= 1
        if item.mask is not None:
            known &= read_mask(item.mask)
        everywhere = np.ones_like(known)
        albedo, _ = resampled(srgb_to_linear(picture.srgb), everywhere, self.order.size)
        _, known = resampled(np.zeros((*known.shape, 1), np.float32), known, self.order.size)
        return np.clip(albedo, 0, 1).astype(np.float32), known & face_masks(model, self.order.size).face

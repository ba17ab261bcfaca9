"""All that a run makes of one subject: fit once a state of the photograph, observe once a protocol, then each method.

Runs inside a worker process. Whatever fails is written down beside where the result would be and the next piece goes
on; only a disk that cannot be written ends the run.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.data.protocols import Protocol
from recon.data.subject import Photograph, Subject
from recon.errors import DatabaseError, InputError, MesofaceError, StorageError
from recon.fitting.landmarks import Landmarks
from recon.gpu_memory import ran_out, too_small
from recon.images import read_photograph, write_png
from recon.methods.contract import Context, Method, Reconstruction
from recon.runs.config import load_method
from recon.runs.folder import ResultKey, RunFolder, file_hashes
from recon.runs.record import fit_summary, plain, remarks_on, without_timings
from recon.runs.views import crop_box, cropped, fitted_view, judged_view, scene_of, write_head
from recon.storage import make_folder, read_json, write_json, write_npy
from recon.store.places import said
from recon.texture.database import TextureDatabase, open_database
from recon.texture.observation import Observation
from recon.texture.observe import observe, unwrap_reference, withheld_pixels
from recon.worker_pool import Report

# What the withheld half of a photograph is painted with, so that no method can read it.
WITHHELD_GREY = np.float32(0.5)


@dataclass(frozen=True)
class WorkOrder:
    """What every worker of a run needs; travels to it once.

    Attributes:
        out: run folder.
        methods: parameters of each method, defaults included.
        database: folder of the texture database, or None.
        tested: ids of all subjects of the run, none of whom may be in the database.
    """

    out: Path
    methods: Mapping[str, Mapping[str, Any]]
    face_model: str
    database: Path | None
    tested: tuple[str, ...]
    size: int
    seed: int
    features: str
    device: str
    renderer: str


@dataclass(frozen=True)
class SubjectTask:
    """One subject and what is still to be made of it: a protocol with the methods that lack a result."""

    subject: Subject
    work: tuple[tuple[Protocol, tuple[str, ...]], ...]

    def result_keys(self) -> list[ResultKey]:
        """The results to be made."""
        return [ResultKey(m, protocol.name, self.subject.id) for protocol, methods in self.work for m in methods]


@dataclass(frozen=True)
class Outcome:
    """What became of one result.

    Attributes:
        state: ``made``, ``failed`` or ``not applicable``.
        kind: type of the error, where it failed.
        message: why, where it was not made; where it was, what the user should know of the photograph, or nothing.
    """

    key: ResultKey
    state: str
    kind: str = ""
    message: str = ""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A subject under a protocol, ready for the methods; ``hidden`` marks the pixels that the protocol withholds."""

    protocol: Protocol
    given: Photograph
    observation: Observation
    hidden: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    timings: Mapping[str, float]


class SubjectWorker:
    """Holds what all subjects share: face model, database, methods; called with a :class:`SubjectTask`."""

    def __init__(self, order: WorkOrder) -> None:
        from recon.face_model import load_face_model

        self.order = order
        self.folder = RunFolder(order.out)
        self.model = load_face_model(order.face_model)
        self.methods: dict[str, Method] = {name: load_method(name) for name in order.methods}
        self.database: TextureDatabase | None = None
        if order.database is not None:
            self.database = open_database(order.database, self.model).without(order.tested)
            self.database.require_enough()
        self._loading: dict[str, Future[None]] | None = None

    def __call__(self, task: SubjectTask, report: Report) -> None:
        """Makes what ``task`` lacks; reports an :class:`Outcome` for each result.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        if self._loading is not None:
            self._work(task, report)
            return
        # What methods load is loaded on a core that preparing the first photograph leaves idle.
        with ThreadPoolExecutor(1, "mesoface-load") as other:
            loads = {name: getattr(method, "load", None) for name, method in self.methods.items()}
            self._loading = {name: other.submit(load) for name, load in loads.items() if load is not None}
            self._work(task, report)

    def _work(self, task: SubjectTask, report: Report) -> None:
        try:
            subject = replace(task.subject, truth=task.subject.truth_for(self.model, self.order.size))
            photograph = read_photograph(subject.photograph)
            database = self._database_for(subject, photograph)
            self._write_subject(subject, photograph)
        except StorageError:
            raise
        except Exception as error:
            self._fail_all(task.result_keys(), error, report)
            return
        landmarks: dict[str, Landmarks] = {}
        for protocol, methods in task.work:
            keys = [ResultKey(name, protocol.name, task.subject.id) for name in methods]
            keys = [key for key in keys if not self._made_before(key, report)]
            if not keys:
                continue
            try:
                prepared = self._prepare(subject, photograph, protocol, database, landmarks)
            except StorageError:
                raise
            except Exception as error:
                self._fail_all(keys, error, report)
                continue
            for key in keys:
                report(self._attempt(key, subject, photograph, prepared, database))

    def _made_before(self, key: ResultKey, report: Report) -> bool:
        """Whether a worker of a cluster finished this result before it was lost with the rest of its task."""
        record = self.folder.finished(key)
        if record is None:
            return False
        report(Outcome(key, "made", message=remarks_on(key.subject, record["fit"])))
        return True

    def _database_for(self, subject: Subject, photograph: Photograph) -> TextureDatabase | None:
        """The database without this person, by id and by photograph; checked, not trusted."""
        if self.database is None:
            return None
        database = self.database
        if photograph.sha256 in database.hashes or subject.id in database.ids:
            database = database.without([subject.id], [photograph.sha256])
            database.require_enough()
        database.require_absent(subject.id, photograph.sha256)
        leaked = sorted(set(database.ids) & set(self.order.tested))
        if leaked:
            raise DatabaseError(
                f"the texture database still holds {', '.join(leaked)} after the tested subjects were taken out: "
                "build it again, excluding them."
            )
        return database

    def _write_subject(self, subject: Subject, photograph: Photograph) -> None:
        """The undegraded photograph and what is known of the subject, once."""
        folder = self.folder.reference(subject.id)
        known = folder / "subject.json"
        record: dict[str, Any] = {
            "id": subject.id,
            "source": subject.source,
            "photograph": subject.photograph.name,
            "sha256": photograph.sha256,
            "notes": list(photograph.notes),
            "size": [photograph.srgb.shape[1], photograph.srgb.shape[0]],
            "attributes": dict(subject.attributes),
            "synthetic": subject.synthetic,
            "licence": {
                "name": subject.licence.name,
                "citation": subject.licence.citation,
                "redistributable": subject.licence.redistributable,
            },
        }
        if known.is_file():
            before = read_json(known)
            if before["sha256"] != photograph.sha256:
                raise InputError(
                    f"{subject.photograph.name} has changed since this run began: run again into another folder "
                    "with --out, or put the old photograph back."
                )
        # A truth of another face model lies in another UV square, and nothing here could be compared with it.
        if subject.truth is not None and subject.truth.face_model == self.model.name:
            truth = np.load(subject.truth.albedo).astype(np.float32)
            write_png(folder / "truth.png", linear_to_srgb(truth))
            write_png(folder / "truth_mask.png", np.load(subject.truth.mask).astype(bool))
            if subject.truth.vertices is not None:
                write_npy(folder / "truth_vertices.npy", np.load(subject.truth.vertices).astype(np.float32))
            if subject.truth.record is not None:
                record["truth"] = read_json(subject.truth.record)
        write_png(folder / "photo.png", photograph.srgb)
        write_json(known, record)

    def _prepare(
        self,
        subject: Subject,
        photograph: Photograph,
        protocol: Protocol,
        database: TextureDatabase | None,
        landmarks: dict[str, Landmarks],
    ) -> Prepared:
        """Degrades, fits and observes; writes the reference that all methods are judged against."""
        from recon.fitting import detect_landmarks, fit_face

        started = time.perf_counter()
        given = protocol.given(photograph)
        state = protocol.name if protocol.degrades_photograph else "as taken"
        if state not in landmarks:
            landmarks[state] = detect_landmarks(given)
        hidden = np.zeros(given.srgb.shape[:2], bool)
        if protocol.withheld_side:
            # Painted over before anything reads a colour, so the withheld half cannot leak into fit or texture.
            hidden = withheld_pixels(landmarks[state].points, given.srgb.shape[:2], protocol.withheld_side)
            given = replace(given, srgb=np.where(hidden[..., None], WITHHELD_GREY, given.srgb))
        fit = fit_face(
            given,
            self.model,
            albedo_model=database.albedo_model if database else None,
            landmarks=landmarks[state],
            ignore=hidden if hidden.any() else None,
        )
        fitted = time.perf_counter()
        observation = observe(given, protocol, self.model, self.order.size, fit=fit)
        observed = time.perf_counter()
        box = crop_box(self.model, fit)
        if hidden.any():
            # The face's own midline may lie beside the line through the landmarks: what the fit shows to belong to
            # the withheld half is painted over as well.
            maps = {"withheld": observation.withheld}
            left, top, right, bottom = box
            hidden[top:bottom, left:right] |= judged_view(self.model, fit, observation.albedo, box, maps).masks[
                "withheld"
            ]
            given = replace(given, srgb=np.where(hidden[..., None], WITHHELD_GREY, given.srgb))
        prepared = Prepared(
            protocol, given, observation, hidden, box, {"fit": fitted - started, "observe": observed - fitted}
        )
        if self.folder.reference_record(subject.id, protocol.name) is None:
            self._write_reference(subject, photograph, prepared)
        return prepared

    def _write_reference(self, subject: Subject, photograph: Photograph, prepared: Prepared) -> None:
        """The undegraded photograph unwrapped with the very fit and light that the methods have."""
        name = prepared.protocol.name
        folder = self.folder.judged(subject.id, name)
        reference = unwrap_reference(photograph, prepared.observation, self.model)
        write_png(self.folder.given(subject.id, name), prepared.given.srgb)
        maps = {"skin": reference.skin, "visible": reference.visible, "withheld": prepared.observation.withheld}
        write_png(folder / "albedo.png", linear_to_srgb(reference.albedo))
        for stem, mask in maps.items():
            write_png(folder / f"{stem}.png", mask)
        fit = prepared.observation.fit
        in_image = {key: maps[key] for key in ("skin", "withheld")}
        seen = judged_view(self.model, fit, reference.albedo, prepared.box, in_image)
        for stem, mask in seen.masks.items():
            write_png(folder / f"image_{stem}.png", mask)
        files = ["albedo.png", *(f"{stem}.png" for stem in maps), *(f"image_{stem}.png" for stem in seen.masks)]
        write_json(
            folder / "reference.json",
            {
                "subject": subject.id,
                "protocol": name,
                "crop": list(prepared.box),
                "places": plain(seen.places),
                "fit": {
                    "identity": fit.identity,
                    "expression": fit.expression,
                    "landmarks": fit.landmarks,
                    "camera": {
                        "rotation": fit.camera.rotation,
                        "translation": fit.camera.translation,
                        "focal": float(fit.camera.focal),
                        "principal": [float(value) for value in fit.camera.principal],
                        "width": fit.camera.width,
                        "height": fit.camera.height,
                    },
                    "lighting": fit.lighting.coefficients,
                    **fit_summary(prepared.observation),
                },
                "files": file_hashes(folder, files),
            },
        )

    def _attempt(
        self,
        key: ResultKey,
        subject: Subject,
        photograph: Photograph,
        prepared: Prepared,
        database: TextureDatabase | None,
    ) -> Outcome:
        """One method on one prepared subject."""
        method = self.methods[key.method]
        parameters = dict(self.order.methods[key.method])
        if "protocol" in method.defaults:
            parameters["protocol"] = key.protocol  # a method that reads others' results must know which
        context = Context(
            model=self.model,
            observation=prepared.observation,
            database=database,
            features=self.order.features,
            size=self.order.size,
            seed=self.order.seed,
            device=self.order.device,
            truth=subject.truth if key.method == "lightstage" else None,
            parameters=parameters,
        )
        assert self._loading is not None
        try:
            if key.method in self._loading:
                self._loading[key.method].result()  # what could not be loaded is why this result fails
            reason = method.applies(context)
            if reason is not None:
                return self._set_aside(key, reason)
            started = time.perf_counter()
            made = method.reconstruct(prepared.given, context)
            seconds = time.perf_counter() - started
            self._check(made, key)
            self._write_result(key, photograph, prepared, context, made, seconds)
        except StorageError:
            raise
        except Exception as error:
            spent = f"'{key.method}' at {self.order.size}×{self.order.size} texels"
            return self._fail(key, too_small(spent) if ran_out(error) else error)
        return Outcome(key, "made", message=remarks_on(key.subject, fit_summary(prepared.observation)))

    def _check(self, made: Reconstruction, key: ResultKey) -> None:
        """A method's answer keeps the contract; those of outside packages may not."""
        size = self.order.size
        if made.albedo.shape != (size, size, 3) or made.mask.shape != (size, size):
            raise InputError(
                f"method '{key.method}' gave an albedo of shape {made.albedo.shape} and a mask of shape "
                f"{made.mask.shape}; {size}×{size} texels were asked for."
            )
        if not np.isfinite(made.albedo[made.mask]).all():
            raise InputError(f"method '{key.method}' gave an albedo that is not finite where it vouches for it.")

    def _write_result(
        self,
        key: ResultKey,
        photograph: Photograph,
        prepared: Prepared,
        context: Context,
        made: Reconstruction,
        seconds: float,
    ) -> None:
        folder = self.folder.result(key)
        clear(folder)
        write_png(folder / "albedo.png", linear_to_srgb(np.nan_to_num(made.albedo)))
        write_png(folder / "mask.png", made.mask.astype(bool))
        scene = scene_of(self.model, made, prepared.box)
        write_head(folder / "head.glb", scene)
        started = time.perf_counter()
        mask = made.mask.astype(bool)
        photograph_part, hidden = cropped(prepared.given.srgb, prepared.box), cropped(prepared.hidden, prepared.box)
        view = fitted_view(photograph_part, scene, mask, hidden, self.order.renderer)
        write_png(folder / "views" / "fitted.png", view.srgb)
        write_png(folder / "views" / "fitted_mask.png", view.mask)
        rendered = time.perf_counter() - started
        record, times = without_timings(plain(made.record))
        _, observed = without_timings(plain(prepared.observation.record))
        _, fitted = without_timings(plain(prepared.observation.fit.record))
        write_json(
            folder / "timings.json",
            {
                "seconds": {**prepared.timings, "method": seconds, "render": rendered},
                "method": times,
                "observation": observed,
                "fit": fitted,
            },
        )
        files = ["albedo.png", "mask.png", "head.glb", "views/fitted.png", "views/fitted_mask.png"]
        write_json(
            folder / "result.json",
            {
                "method": key.method,
                "protocol": key.protocol,
                "subject": key.subject,
                "inputs": {
                    "photograph": photograph.sha256,
                    "size": context.size,
                    "seed": context.seed,
                    "features": context.features,
                    "device": context.device,
                    "renderer": self.order.renderer,
                    "face_model": f"{self.model.name} {self.model.version}",
                    "database": context.database.identity if context.database else None,
                    "parameters": plain(context.parameters),
                },
                "fit": fit_summary(prepared.observation),
                "record": record,
                "files": file_hashes(folder, files),
            },
        )

    def _set_aside(self, key: ResultKey, reason: str) -> Outcome:
        folder = self.folder.result(key)
        clear(folder)
        write_json(folder / "not_applicable.json", {"reason": reason})
        return Outcome(key, "not applicable", message=reason)

    def _fail_all(self, keys: list[ResultKey], error: Exception, report: Report) -> None:
        for key in keys:
            report(self._fail(key, error))

    def _fail(self, key: ResultKey, error: Exception) -> Outcome:
        expected = isinstance(error, MesofaceError)
        trace = "" if expected else "".join(traceback.format_exception(error))
        message = str(error) if expected else f"{type(error).__name__}: {error}"
        return write_failure(self.folder, key, type(error).__name__, message, trace)


def write_failure(folder: RunFolder, key: ResultKey, kind: str, message: str, trace: str = "") -> Outcome:
    """Writes ``failure.json`` where the result would be; the next run tries again."""
    place = folder.result(key)
    clear(place)
    message = said(message)  # a store's address, not the folder of this worker's copy
    record = {"error": kind, "message": message}
    write_json(place / "failure.json", {**record, "traceback": trace.splitlines()} if trace else record)
    return Outcome(key, "failed", kind, message)


def clear(folder: Path) -> None:
    """An empty folder: nothing of an earlier attempt stays beside a new result."""
    if folder.exists():
        shutil.rmtree(folder)
    make_folder(folder)


def prepare_worker(order: WorkOrder) -> SubjectWorker:
    """What a worker process calls once."""
    return SubjectWorker(order)

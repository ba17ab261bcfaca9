"""What the stimuli of one subject are composed from: the photograph, its frame, and the pictures of every method."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recon.colour import srgb_to_linear
from recon.data.protocols import parse_protocol
from recon.data.subject import Licence
from recon.errors import InputError
from recon.images import read_png
from recon.release.licences import allows_release
from recon.runs.folder import ResultKey, RunFolder, complete_record
from recon.runs.views import Box, cropped
from recon.storage import read_json
from study.contract import PHOTOGRAPH
from study.stimuli.face import blended, common_skin, placed, share_of_skin
from study.stimuli.frame import Frame, frame_of
from study.stimuli.gold import degraded
from study.stimuli.order import Source, StimuliOrder
from study.stimuli.split_face import matching_gain, right_half

Float = NDArray[np.float32]

SKIN = "views/fitted_mask.png"
UNDEGRADED = "identity"


@dataclass(frozen=True)
class Result:
    """A finished result as far as stimuli need it.

    Attributes:
        sha256: of ``result.json``.
        place: the part of the photograph that its fitted view covers.
        files: sha256 of the files that are read, as the run recorded them.
    """

    run: str
    folder: Path
    sha256: str
    place: Box
    files: Mapping[str, str]

    def read(self, name: str) -> NDArray[Any]:
        """A PNG of the result.

        Raises:
            InputError: it is not the file that the run made.
        """
        path = self.folder / name
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.files[name]:
            raise InputError(f"'{path}' has changed since it was made: delete its folder and run again.")
        return read_png(path)


@dataclass(frozen=True)
class Person:
    """A subject in the runs of an order.

    Attributes:
        photograph: the undegraded photograph's file; ``run`` the run that it lies in.
        identity: what its recipe says of it: the photograph, and where the face is.
        landmarks: ``(68, 2)`` in pixels of the photograph; None where no fit is finished.
        licence: of the photograph, with its citation.
        restricted: the licence does not allow passing pictures on.
        refused: why nothing of this subject is shown; empty where it is.
        results: condition → result; ``missing``: condition → why there is none.
    """

    subject: str
    run: str
    photograph: Path
    photograph_sha256: str
    landmarks: NDArray[np.float64] | None = None
    licence: str = ""
    restricted: bool = False
    refused: str = ""
    results: Mapping[str, Result] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """In the types of JSON."""
        points = None if self.landmarks is None else self.landmarks.tolist()
        return {"subject": self.subject, "photograph": self.photograph_sha256, "landmarks": points}

    def run_of(self, condition: str) -> str:
        """Name of the run that a condition comes from."""
        return self.run if condition == PHOTOGRAPH else self.results[condition].run

    def source_of(self, condition: str) -> str:
        """sha256 of the record or the picture that a condition comes from."""
        return self.photograph_sha256 if condition == PHOTOGRAPH else self.results[condition].sha256


def people_of(order: StimuliOrder, sources: Sequence[Source]) -> list[Person]:
    """The subjects of an order, before any lot, sorted by id."""
    everybody = {subject for source in sources for subject in source.subjects}
    return [_person_or_refusal(order, sources, subject) for subject in sorted(order.subjects or everybody)]


def _person_or_refusal(order: StimuliOrder, sources: Sequence[Source], subject: str) -> Person:
    """One whose files cannot be read stops nobody else."""
    try:
        return _person(order, sources, subject)
    except InputError as error:
        return Person(subject, sources[0].name, Path(), "", refused=str(error))


def _person(order: StimuliOrder, sources: Sequence[Source], subject: str) -> Person:
    having = [source for source in sources if (source.folder.reference(subject) / "subject.json").is_file()]
    if not having:
        return Person(subject, sources[0].name, Path(), "", refused="no run has its photograph yet: run to the end")
    known = [read_json(source.folder.reference(subject) / "subject.json") for source in having]
    first = having[0]
    photograph = first.folder.reference(subject) / "photo.png"
    licence = Licence(**known[0]["licence"])
    refused = ""
    if len({record["sha256"] for record in known}) > 1:
        refused = f"the runs {', '.join(source.name for source in having)} have different photographs of it"
    elif not allows_release(licence) and not order.allow_restricted:
        refused = (
            f"its licence, '{licence.name}', does not allow passing pictures on: for raters in your own "
            "laboratory set stimuli.allow_restricted in the study file"
        )
    landmarks, notes = _face(order, first.folder, subject)
    if landmarks is None and not refused:
        refused = f"'{order.protocol}' has no finished fit of it in run '{first.name}'"
    results, missing = _results(order, sources, subject)
    return Person(
        subject=subject,
        run=first.name,
        photograph=photograph,
        photograph_sha256=_file_sha256(photograph),
        landmarks=landmarks,
        licence=f"{licence.name}: {licence.citation}" if licence.citation else licence.name,
        restricted=not allows_release(licence),
        refused=refused,
        results=results,
        missing=missing,
        notes=notes,
    )


def _file_sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}): run the same 'mesoface run' again.") from error


def _face(order: StimuliOrder, folder: RunFolder, subject: str) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Landmarks, those of the undegraded photograph where the run has them; and what is doubtful of the fit."""
    record = folder.reference_record(subject, parse_protocol(order.protocol).name)
    if record is None:
        return None, ()
    fit = record["fit"]
    doubts = "; ".join(fit["reasons"])
    notes = () if fit["verdict"] == "pass" else (f"{subject}: the fit is called {fit['verdict']} ({doubts})",)
    best = folder.reference_record(subject, UNDEGRADED) or record
    return np.asarray(best["fit"]["landmarks"], np.float64), notes


def _results(order: StimuliOrder, sources: Sequence[Source], subject: str) -> tuple[dict[str, Result], dict[str, str]]:
    found: dict[str, Result] = {}
    missing: dict[str, str] = {}
    protocol = parse_protocol(order.protocol).name
    for source in sources:
        for condition, method in source.methods.items():
            made = _result(order, source, ResultKey(method, protocol, subject))
            if isinstance(made, Result):
                found[condition] = made
            else:
                missing[condition] = made
    return found, missing


def _result(order: StimuliOrder, source: Source, key: ResultKey) -> Result | str:
    """A result, or why there is none."""
    folder = source.folder
    path = folder.result(key)
    record = folder.finished(key)
    reference = folder.reference_record(key.subject, key.protocol)
    if record is None or reference is None:
        failure = folder.failure(key)
        return failure["message"] if failure else folder.not_applicable(key) or "not made yet: run to the end"
    files = {name: sha256 for name, sha256 in record["files"].items() if name == order.picture or name == SKIN}
    if order.picture not in files:
        drawn = complete_record((path / order.picture).with_suffix(".json"))
        if drawn is None:
            return f"the view '{order.view}' is not drawn yet: 'mesoface render {folder.path}' makes it"
        files[order.picture] = drawn["files"][Path(order.picture).name]
    if order.over_photograph and SKIN not in files:
        return "it does not say which pixels it made"
    place = cast(Box, tuple(reference["crop"]))
    return Result(source.name, path, _file_sha256(path / "result.json"), place, files)


class Material:
    """The decoded pictures of one subject; each is read when it is first needed."""

    def __init__(self, order: StimuliOrder, person: Person) -> None:
        self.order = order
        self.person = person

    def composed(self, condition: str, spoilt: bool) -> Float:
        """``(h, w, 3)`` linear RGB: a stimulus at the photograph's resolution.

        Args:
            spoilt: the degraded copy instead.

        Raises:
            InputError: a file is damaged, the head is turned too far, or the picture is smaller than it would be shown.
        """
        if not self.order.over_photograph:
            return self._alone(condition)
        half = self._half  # of the photograph too: where no split face can be made, it must not stand alone
        if spoilt:
            rendering = degraded(self._photograph, self._frame.eyes)
            share = np.ones(rendering.shape[:2], np.float32) if half is None else half
            return blended(self._photograph, rendering, share)
        if condition == PHOTOGRAPH:
            return self._photograph
        rendering = self._rendering(condition)
        share = self._skin if half is None else self._skin * half
        if half is not None and self.order.match_colour:
            rendering = rendering * matching_gain(self._photograph, rendering, self._skin > 0, self._frame.eyes)
        return blended(self._photograph, rendering, share)

    @cached_property
    def _framed(self) -> tuple[Frame, Float]:
        """The frame, and the photograph inside it in linear RGB."""
        assert self.person.landmarks is not None  # a person without is refused
        srgb = read_png(self.person.photograph)
        size = self.order.width, self.order.height
        frame = frame_of(self.person.landmarks, (srgb.shape[1], srgb.shape[0]), size)
        return frame, srgb_to_linear(cropped(srgb, frame.box))

    @property
    def _frame(self) -> Frame:
        return self._framed[0]

    @property
    def _photograph(self) -> Float:
        return self._framed[1]

    @cached_property
    def _half(self) -> Float | None:
        return right_half(self._frame, self.order.seam) if self.order.composition == "split" else None

    @cached_property
    def _skin(self) -> Float:
        """How much of each pixel of the frame a rendering replaces, whichever it is."""
        results = self.person.results.values()
        masks = [placed(result.read(SKIN), result.place, self._frame.box) for result in results]
        return share_of_skin(common_skin([mask.astype(bool) for mask in masks]), self._frame.eyes)

    def _rendering(self, condition: str) -> Float:
        result = self.person.results[condition]
        srgb = placed(result.read(self.order.picture), result.place, self._frame.box)
        return srgb_to_linear(srgb.astype(np.float32))

    def _alone(self, condition: str) -> Float:
        """A view without photograph: the whole picture."""
        srgb = self.person.results[condition].read(self.order.picture)
        height, width = srgb.shape[:2]
        if width * self.order.height != height * self.order.width or width < self.order.width:
            raise InputError(
                f"the view '{self.order.view}' is {width}×{height} pixels: stimuli of "
                f"{self.order.width}×{self.order.height} cannot be made from it without enlarging or cutting."
            )
        return srgb_to_linear(srgb.astype(np.float32))

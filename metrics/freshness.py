"""What a run folder holds to be measured, and which rows of its table still say the truth about it.

A row is up to date while the result, what it is judged against, and the metric are the ones that it names. Records hold
the hashes of files, so nothing is read but records; a file that was changed after its record is hashed. All of this is
done on columns: a table of hundreds of thousands of rows is checked in a second or so.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.columns import Columns, Text
from metrics.comparison import Gap
from metrics.contract import SetMetric
from metrics.known import KnownMetric
from metrics.pairs import ALBEDO, FITTED, Look, picture_name, true_looks
from metrics.results_state import NOT_MADE, why_missing
from metrics.rows import NOT_COMPUTED, NOT_DEFINED
from recon.assets import file_sha256
from recon.errors import ImageError, InputError
from recon.runs.folder import ResultKey, RunFolder, complete_record
from recon.storage import read_json
from recon.store import brought_here, modified

DIGITS = 16
"""Of a hash, in rows and names of files: as many as never meet by chance."""

FAILED = "failed"
"""What :func:`state_of` says of a reason that is tried again."""

_UNREADABLE = "its result.json cannot be read: delete its folder and run again"


@dataclass(frozen=True)
class Present:
    """A result that can be looked at in some way.

    Attributes:
        key, look: which result, and how.
        result, reference_record: what a row of it says in these columns.
        picture: sha256 of the file that is looked at, where ``result`` does not vouch for it; else empty.
    """

    key: ResultKey
    look: Look
    result: str
    reference_record: str
    picture: str = ""

    @property
    def place(self) -> tuple[str, ...]:
        """What a row of it says in the columns of ``_KEY``."""
        key, look = self.key, self.look
        return key.method, key.protocol, key.subject, look.reference, look.space, look.view


@dataclass(frozen=True)
class Scan:
    """What a run folder holds.

    Attributes:
        present: in the order of the run's protocols, subjects and methods.
        gaps: results that a method lacks, though it was tried or others have one of this subject and protocol.
        notes: sentences about pictures that are out of date.
    """

    present: tuple[Present, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]


def scan(folder: RunFolder) -> Scan:
    """Look through the records of a run.

    Raises:
        UsageError: it is no run.
    """
    config = folder.read_config()
    present: list[Present] = []
    gaps: list[Gap] = []
    notes: list[str] = []
    photographs = {subject: _photograph_identity(folder, subject) for subject in config["subjects"]}
    for protocol in config["protocols"]:
        for subject in config["subjects"]:
            looks = _reference_looks(folder, subject, protocol, photographs[subject])
            missing: list[Gap] = []
            before = len(present)
            for method in config["methods"]:
                key = ResultKey(method, protocol, subject)
                found = _result_looks(folder, key, looks, notes)
                present += found
                if not found:
                    missing.append(Gap(method, protocol, subject, _why_missing(folder, key)))
            made = len(present) > before
            gaps += [gap for gap in missing if made or gap.reason != NOT_MADE]
    return Scan(tuple(present), tuple(gaps), tuple(notes))


def _why_missing(folder: RunFolder, key: ResultKey) -> str:
    if (folder.result(key) / "result.json").is_file():
        return _UNREADABLE
    return why_missing(folder, key)


def _short(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:DIGITS]


def _photograph_identity(folder: RunFolder, subject: str) -> bytes:
    """Hash of the photograph's pixels as its record says it, and of the file if other pixels were put there since."""
    path = folder.reference(subject) / "subject.json"
    try:
        said = str(read_json(path).get("sha256", ""))
    except (InputError, AttributeError):
        said = ""
    changed = _changed(path, {"photo.png": ""})
    if changed and _has_pixels(path.with_name("photo.png"), said):
        changed = []  # a copy of the run, with the dates of the copying
    return b"\0".join([said.encode(), *changed])


def _has_pixels(photograph: Path, sha256: str) -> bool:
    from recon.images import read_photograph

    try:
        return read_photograph(brought_here(photograph)).sha256 == sha256
    except ImageError:
        return False


def _changed(record: Path, files: Mapping[str, str]) -> list[bytes]:
    """What of ``files`` is not as their record says: their names, with the hashes that they have now.

    A record is written last, so a file that is not newer is the one that it vouches for.
    """
    written = modified(record) or -1
    changed = []
    for name, sha256 in sorted(files.items()):
        path = record.parent / name
        at = modified(path)
        if at is None:
            changed.append(f"{name} absent".encode())
            continue
        if at > written:
            now = file_sha256(brought_here(path))
            if now != sha256:
                changed.append(f"{name} {now}".encode())
    return changed


def _reference_looks(folder: RunFolder, subject: str, protocol: str, photograph: bytes) -> dict[Look, tuple[str, str]]:
    """``reference_record`` of each look that the subject's results can have, and the sha256 of ``reference.json``."""
    path = folder.judged(subject, protocol) / "reference.json"
    record = folder.reference_record(subject, protocol)
    if record is None:
        # Nothing can be paired; each metric says so in a row.
        return {ALBEDO: ("", ""), FITTED: ("", "")}
    text = path.read_bytes()
    whole = hashlib.sha256(text).hexdigest()
    parts = [text, *_changed(path, record["files"])]
    looks = {ALBEDO: (_short(*parts), whole), FITTED: (_short(*parts, photograph), whole)}
    for look in true_looks(folder, subject):
        names = ("truth.png", "truth_mask.png") if look.space == "uv" else ("truth_vertices.npy",)
        truth = [file_sha256(p).encode() for p in (folder.reference(subject) / name for name in names) if p.is_file()]
        looks[look] = (_short(*parts, *truth), whole)
    return looks


def _result_looks(
    folder: RunFolder, key: ResultKey, looks: Mapping[Look, tuple[str, str]], notes: list[str]
) -> list[Present]:
    place = folder.result(key)
    try:
        text = (place / "result.json").read_bytes()
        files = dict(json.loads(text)["files"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        return []
    identity = _short(text, *_changed(place / "result.json", files))
    # What a result lists is what there is of it: one that was imported as views has no albedo and no head.
    there = {look: record for look, (record, _) in looks.items() if picture_name(look) in files}
    found = [Present(key, look, identity, record) for look, record in there.items()]
    record, reference = looks[FITTED]
    for renderer in _renderers(place / "views"):
        path = place / "views" / renderer / "fitted.json"
        drawn = complete_record(path)
        if drawn is None:
            continue
        inputs = {name: files.get(name) for name in ("albedo.png", "head.glb", "mask.png")}
        if drawn.get("inputs") != {**inputs, "reference.json": reference}:
            notes.append(
                f"{key}: its picture by {renderer} is out of date: 'mesoface render {folder.said} --renderer "
                f"{renderer}' draws it again."
            )
            continue
        picture = path.with_suffix(".png")
        changed = _changed(path, {picture.name: drawn["files"].get(picture.name, "")})
        sha256 = file_sha256(brought_here(picture)) if changed else drawn["files"][picture.name]
        look = Look("photograph", "image", f"{renderer}/fitted")
        found.append(Present(key, look, identity, record, sha256))
    return found


def _renderers(views: Path) -> list[str]:
    try:
        with os.scandir(views) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


_KEY = ("method", "protocol", "subject", "reference", "space", "view")
Codes = NDArray[np.int64]


class Ledger:
    """Which of the present results have up-to-date rows of which metric.

    Attributes:
        present: what there is to look at.
        families: names of the metrics of single results, in order.
        place, family: ``(rows,)`` indices into these, −1 where it is none of them.
        valid: ``(rows,)`` bool: the rows that may stay.
        have: ``(present, families)`` bool: cells with up-to-date rows.
    """

    def __init__(
        self,
        columns: Columns,
        present: Sequence[Present],
        known: Mapping[str, KnownMetric],
        trusted: Iterable[str] = (),
    ) -> None:
        """Compares a table with what there is.

        Args:
            known: the metrics that are checked.
            trusted: further metrics, whose rows may stay where their results have not changed.
        """
        self.present = present
        self.families = [name for name, one in known.items() if not isinstance(one.metric, SetMetric)]
        self.place = self._places(columns)
        families = columns.text("family")
        self.family = families.places_in(self.families)
        place, family = self.place, self.family
        known_place = place >= 0
        identity = (identified(columns, known) & (family >= 0)) | families.among(trusted)
        self.valid = identity & known_place
        at = np.where(known_place, place, 0)
        for name in ("result", "reference_record"):
            self.valid &= _equal(columns.text(name), [getattr(one, name) for one in present], at)
        wanted = [one.picture for one in present]
        free = np.array([not picture for picture in wanted], bool)
        if len(free):
            self.valid &= free[at] | _equal(columns.text("result_image"), wanted, at)
        self.have = np.zeros((len(present), len(self.families)), bool)
        own = self.valid & (family >= 0)
        self.have[place[own], family[own]] = True

    def _places(self, columns: Columns) -> Codes:
        """The index into ``present`` of each row, −1 where nothing there is its."""
        if not self.present:
            return np.full(len(columns), -1, np.int64)
        of_rows = np.zeros(len(columns), np.int64)
        of_present = np.zeros(len(self.present), np.int64)
        unknown = np.zeros(len(columns), bool)
        for name, values in zip(_KEY, zip(*(one.place for one in self.present), strict=True), strict=True):
            words = sorted(set(values))
            codes = columns.text(name).places_in(words)
            unknown |= codes < 0
            index = {word: number for number, word in enumerate(words)}
            of_rows = of_rows * len(words) + np.maximum(codes, 0)
            of_present = of_present * len(words) + np.array([index[value] for value in values], np.int64)
        order = np.argsort(of_present)
        position = np.searchsorted(of_present[order], of_rows)
        position = np.minimum(position, len(order) - 1)
        place = order[position]
        return np.where(unknown | (of_present[place] != of_rows), -1, place)

    def missing(
        self, known: Mapping[str, KnownMetric], wanted: Callable[[ResultKey], bool], again: bool
    ) -> NDArray[np.bool_]:
        """``(present, families)`` bool: what is to be measured.

        Args:
            wanted: which results.
            again: what is up to date as well.
        """
        applies = {look: [applies_to(known[name], look) for name in self.families]
                   for look in {one.look for one in self.present}}  # fmt: skip
        table = [applies[one.look] if wanted(one.key) else [False] * len(self.families) for one in self.present]
        applicable = np.array(table, bool).reshape(self.have.shape)
        return applicable if again else applicable & ~self.have


def applies_to(known: KnownMetric, look: Look) -> bool:
    """Whether a metric looks at results in this way."""
    return look.space in known.metric.spaces and look.reference == known.metric.reference


def state_of(reason: str) -> str:
    """A row's reason as far as it matters to its being up to date: failures are tried again, absences compared."""
    if not reason or reason.startswith(NOT_DEFINED):
        return ""
    return reason if reason.startswith(NOT_COMPUTED) else FAILED


def identified(columns: Columns, known: Mapping[str, KnownMetric]) -> NDArray[np.bool_]:
    """``(rows,)`` bool: rows of a metric that is still the same, weights included, and that did not fail."""
    names = ("family", "library", "version", "parameters", "reference", "net", "weights", "metric")
    parts = [columns.text(name) for name in names]
    reasons = columns.text("reason")
    states = [state_of(reason) for reason in reasons.words]
    kinds = tuple(dict.fromkeys(states))
    parts.append(Text(np.array([kinds.index(state) for state in states], np.int32)[reasons.codes], kinds))
    codes = np.zeros(len(columns), np.int64)
    for part in parts:
        codes = codes * max(len(part.words), 1) + part.codes
    unique, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    agrees = np.zeros(len(unique), bool)
    for index, row in enumerate(first):
        family, *identity, metric, state = (part.words[part.codes[row]] for part in parts)
        one = known.get(family)
        if one is not None and metric in {component.name for component in one.metric.components}:
            agrees[index] = tuple(identity) == one.identity and state == (one.absent and NOT_COMPUTED + one.absent)
    return agrees[inverse.reshape(-1)]


def _equal(column: Text, wanted: Sequence[str], at: Codes) -> NDArray[np.bool_]:
    """``(rows,)`` bool: whether each value is that of ``wanted`` at the row's place."""
    words = sorted(set(wanted))
    index = {word: number for number, word in enumerate(words)}
    if not words:
        return np.zeros(len(column.codes), bool)
    return np.asarray(np.array([index[word] for word in wanted], np.int64)[at] == column.places_in(words))

"""The run folder: the only source of truth for what programs made.

::

    run.json                                          what was asked, with which versions, from which data
    reference/<subject>/photo.png                     the undegraded photograph
    reference/<subject>/subject.json                  attributes, licence, source, hash of the photograph
    reference/<subject>/truth.png truth_mask.png      true albedo in the run's UV square, where the subject has one
    reference/<subject>/truth_vertices.npy            (V, 3) float32 true head, where known
    reference/<subject>/given/<protocol>.png          what the methods saw
    reference/<subject>/<protocol>/                   albedo.png skin.png visible.png withheld.png (UV)
                                                      image_skin.png image_withheld.png (cropped photograph)
                                                      reference.json: fit, crop; written last
    results/<method>/<protocol>/<subject>/            albedo.png mask.png head.glb views/<view>.png timings.json
                                                      result.json: inputs, record, sha256 of each file; written last
                                                      failure.json instead, where it failed
                                                      (imported as views: views/fitted*.png and result.json alone)
    metrics.parquet                                   one row a value
    descriptors/<method>/<protocol>/<subject>/        what metrics of sets keep of a result
    .metrics/                                         rows not merged yet, while a run is measured
    .cluster.jsonl                                    workers of a cluster that were lost or refused, and why

``:`` in a protocol's name becomes ``-``. A result without ``result.json`` does not exist; ``timings.json`` is the only
file that differs between two equal runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.data.protocols import parse_protocol
from recon.errors import InputError, UsageError
from recon.storage import read_json, write_json
from recon.store.address import address_in
from recon.store.places import modified, said

FORMAT = 1


@dataclass(frozen=True)
class ResultKey:
    """Names one result: which method, under which protocol, of whom."""

    method: str
    protocol: str
    subject: str

    def __str__(self) -> str:
        return f"{self.subject} · {self.protocol} · {self.method}"


@dataclass(frozen=True)
class RunFolder:
    """Paths and records of a run."""

    path: Path

    @property
    def said(self) -> str:
        """What people are told it is called: its path, or the address of the store that it is a copy of."""
        return said(self.path)

    @property
    def config(self) -> Path:
        """``run.json``."""
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """``metrics.parquet``."""
        return self.path / "metrics.parquet"

    @property
    def lock(self) -> Path:
        """Held by the process that makes results."""
        return self.path / ".run.lock"

    @property
    def metrics_lock(self) -> Path:
        """Held by the process that measures."""
        return self.path / ".metrics.lock"

    def reference(self, subject: str) -> Path:
        """Folder of what a subject's results are judged against."""
        return self.path / "reference" / subject

    def given(self, subject: str, protocol: str) -> Path:
        """The picture that the methods saw."""
        return self.reference(subject) / "given" / f"{_folder(protocol)}.png"

    def judged(self, subject: str, protocol: str) -> Path:
        """Folder of the reference maps of a subject under a protocol."""
        return self.reference(subject) / _folder(protocol)

    def result(self, key: ResultKey) -> Path:
        """Folder of a result."""
        return self.path / "results" / key.method / _folder(key.protocol) / key.subject

    def read_config(self) -> dict[str, Any]:
        """``run.json``.

        Raises:
            UsageError: the folder is no run, or one of another format.
        """
        if not self.config.is_file():
            raise UsageError(self._no_run())
        config = read_json(self.config)
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise UsageError(
                f"'{self.config}' is not of the format that this mesoface reads ({FORMAT}): run again into another "
                "folder with --out."
            )
        return config

    def _no_run(self) -> str:
        address = address_in(self.path)
        if address is not None:
            return (
                f"'{address}' is an address, and this command works on folders: bring the run here with 'mesoface "
                f"fetch {address} FOLDER'."
            )
        return f"'{self.path}' is not a run folder: it has no run.json; make one with 'mesoface run'."

    def finished(self, key: ResultKey) -> dict[str, Any] | None:
        """The record in ``result.json`` if the result is complete, else None."""
        return complete_record(self.result(key) / "result.json")

    def reference_record(self, subject: str, protocol: str) -> dict[str, Any] | None:
        """The record in ``reference.json`` if the reference is complete, else None."""
        return complete_record(self.judged(subject, protocol) / "reference.json")

    def failure(self, key: ResultKey) -> dict[str, Any] | None:
        """Why a result is missing, if it was tried."""
        path = self.result(key) / "failure.json"
        return dict(read_json(path)) if path.is_file() else None

    def not_applicable(self, key: ResultKey) -> str | None:
        """Why a method does not apply to a subject, if it said so."""
        path = self.result(key) / "not_applicable.json"
        return str(read_json(path)["reason"]) if path.is_file() else None

    def results(self) -> Iterator[tuple[ResultKey, dict[str, Any]]]:
        """Complete results with their records, in the order of ``run.json``."""
        config = self.read_config()
        for protocol in config["protocols"]:
            for method in config["methods"]:
                for subject in config["subjects"]:
                    key = ResultKey(method, protocol, subject)
                    record = self.finished(key)
                    if record is not None:
                        yield key, record


def _folder(protocol: str) -> str:
    return parse_protocol(protocol).folder


def complete_record(path: Path) -> dict[str, Any] | None:
    """A record whose files are all there, or in the store; None where it, or a file of it, is missing or unreadable."""
    try:
        record = read_json(path)
        files = record["files"]
    except (InputError, KeyError, TypeError):
        return None
    return record if all(modified(path.parent / name) is not None for name in files) else None


def has_head(record: Mapping[str, Any]) -> bool:
    """Whether a result with this record has a head with its albedo; one imported as views has pictures alone."""
    return {"albedo.png", "mask.png", "head.glb"} <= set(record["files"])


def file_hashes(folder: Path, names: list[str]) -> dict[str, str]:
    """sha256 of each named file of ``folder``."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}


def merged_config(folder: RunFolder, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What ``run.json`` shall say: ``wanted``, joined with what is there.

    Methods, protocols and subjects may be added. Anything else that differs would mix results that cannot be
    compared.

    Raises:
        UsageError: a setting differs; the message says which, and the mend.
    """
    if not folder.config.is_file():
        return dict(wanted)
    present = folder.read_config()
    for name, value in wanted["settings"].items():
        before = present["settings"].get(name)
        if before != value:
            raise UsageError(
                f"run '{folder.path}' was made with {_said(name, before)}, now {_said(name, value)} is asked: use "
                "another folder with --out, or the old setting."
            )
    for method, parameters in wanted["methods"].items():
        before = present["methods"].get(method, parameters)
        for name in sorted(set(before) | set(parameters)):
            if before.get(name) != parameters.get(name):
                raise UsageError(
                    f"run '{folder.path}' was made with {method}.{name}={before.get(name)!r}, now "
                    f"{parameters.get(name)!r} is asked: use another folder with --out, or the old setting."
                )
    merged = dict(present)
    merged["methods"] = {**present["methods"], **wanted["methods"]}
    merged["protocols"] = list(dict.fromkeys([*present["protocols"], *wanted["protocols"]]))
    merged["subjects"] = sorted({*present["subjects"], *wanted["subjects"]})
    known = [*present["made_with"]]
    merged["made_with"] = known + [entry for entry in wanted["made_with"] if entry not in known]
    merged["assets"] = {**present["assets"], **wanted["assets"]}
    return merged


def _said(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {item}" for key, item in value.items())
    return f"{name.replace('_', ' ')} {value}"


def write_config(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Write ``run.json`` if it would change."""
    if not folder.config.is_file() or read_json(folder.config) != dict(config):
        write_json(folder.config, dict(config))

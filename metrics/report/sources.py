"""Where a comparison's methods and people lie: which run folder a method's results are in, under which name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metrics.comparison import Comparison
from recon.errors import MesofaceError, UsageError
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json


@dataclass(frozen=True)
class Sources:
    """The runs behind a comparison.

    Attributes:
        runs: run folders by the comparison's names of them.
        configs: their ``run.json``.
        methods: run and the method's own name, by the comparison's name of the method.
    """

    runs: Mapping[str, RunFolder]
    configs: Mapping[str, Mapping[str, Any]]
    methods: Mapping[str, tuple[str, str]]

    @staticmethod
    def of(comparison: Comparison, folders: Sequence[RunFolder]) -> Sources:
        """The sources of ``comparison``; ``folders`` in the order of its runs.

        Raises:
            UsageError: as many folders as runs are needed, each with a ``run.json``.
        """
        if len(folders) != len(comparison.runs):
            raise UsageError(f"the comparison is of {len(comparison.runs)} runs, {len(folders)} folders were given.")
        runs = dict(zip(comparison.runs, folders, strict=True))
        configs = {name: folder.read_config() for name, folder in runs.items()}
        methods: dict[str, tuple[str, str]] = {}
        for run, config in configs.items():
            for method in config["methods"]:
                methods[f"{run}:{method}"] = (run, method)
                methods.setdefault(method, (run, method))
        return Sources(runs, configs, {name: methods[name] for name in comparison.methods if name in methods})

    def result(self, method: str, protocol: str, subject: str) -> tuple[str, ResultKey] | None:
        """The run that holds a result, and the result's key in it; None for a method that no run knows."""
        if method not in self.methods:
            return None
        run, own = self.methods[method]
        return run, ResultKey(own, protocol, subject)

    def run_of(self, subject: str, protocol: str) -> str | None:
        """The first run that judges ``subject`` under ``protocol``."""
        for name, config in self.configs.items():
            if subject in config["subjects"] and protocol in config["protocols"]:
                return name
        return None

    def record(self, subject: str) -> dict[str, Any]:
        """``subject.json``; empty where it is missing or damaged."""
        for name, config in self.configs.items():
            if subject in config["subjects"]:
                try:
                    return dict(read_json(self.runs[name].reference(subject) / "subject.json"))
                except (MesofaceError, TypeError, ValueError):
                    continue
        return {}

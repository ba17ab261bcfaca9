"""Finds what an installed package adds to mesoface, and runs the conformance tests of each piece.

Entry points are those that the package's metadata declare, in the groups ``mesoface.methods``, ``mesoface.metrics`` and
``mesoface.set_metrics``. A package is named by its distribution (``my-metrics``) or by the module that it is imported
as (``my_metrics``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, distributions, entry_points
from importlib.util import find_spec
from typing import Any

from metrics.conformance import CHECKS
from recon.conformance import Finding
from recon.errors import InputError, UsageError
from recon.methods import METHODS
from recon.methods.conformance import check_method

Check = Callable[[str, Any], list[Finding]]


@dataclass(frozen=True)
class Checked:
    """A piece of a plugin.

    Attributes:
        group: entry-point group.
        name: of the entry point.
        target: ``module:attribute``.
        findings: of all tests, in the order in which they ran.
    """

    group: str
    name: str
    target: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether a test failed."""
        return any(finding.state == "failed" for finding in self.findings)


def checks() -> Mapping[str, Check]:
    """The conformance tests by entry-point group."""
    return {METHODS.group: check_method, **CHECKS}


def plugin_entries(package: str) -> list[EntryPoint]:
    """What ``package`` declares in the groups that can be checked, in the order of groups and names.

    Raises:
        UsageError: no such package is installed.
        InputError: it is, but declares nothing that can be checked.
    """
    groups = list(checks())
    declared = [entry for group in groups for entry in sorted(entry_points(group=group), key=lambda e: e.name)]
    found = [entry for entry in declared if _belongs(entry, package)]
    if found:
        return found
    installed = {str(distribution.metadata["Name"]) for distribution in distributions()}
    if _canonical(package) in {_canonical(name) for name in installed} or _importable(package):
        raise InputError(
            f"'{package}' is installed and declares nothing in {', '.join(groups)}: name its pieces in pyproject.toml, "
            f'[project.entry-points."{groups[0]}"] or another of these, and install it again.'
        )
    plugins = {_owner(entry) for entry in declared}
    near = difflib.get_close_matches(package, [*plugins, *installed], n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else "install it into this environment first."
    raise UsageError(f"no package '{package}' is installed: {hint}")


def check_plugin(package: str, progress: Callable[[int, int | None], None] | None = None) -> list[Checked]:
    """Runs the tests of every piece of ``package``; a piece that cannot be imported fails.

    Raises:
        UsageError, InputError: see :func:`plugin_entries`.
        AssetError: no face model is on this machine, and the package has a method.
    """
    entries = plugin_entries(package)
    done = []
    for index, entry in enumerate(entries):
        if progress is not None:
            progress(index, len(entries))
        done.append(Checked(entry.group, entry.name, entry.value, tuple(_findings(entry))))
    return done


def _findings(entry: EntryPoint) -> Iterable[Finding]:
    what = "it can be imported"
    try:
        piece = entry.load()
    except (Exception, SystemExit) as error:
        mend = f"'{entry.value}' raised {type(error).__name__}: {error}"
        return [Finding(what, "failed", mend)]
    return [Finding(what, "passed"), *checks()[entry.group](entry.name, piece)]


def _belongs(entry: EntryPoint, package: str) -> bool:
    owner = entry.dist is not None and _canonical(str(entry.dist.metadata["Name"])) == _canonical(package)
    return owner or entry.module == package or entry.module.startswith(f"{package}.")


def _owner(entry: EntryPoint) -> str:
    return str(entry.dist.metadata["Name"]) if entry.dist is not None else entry.module.partition(".")[0]


def _canonical(name: str) -> str:
    """A distribution's name as packages are compared (Python Packaging User Guide, name normalisation)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _importable(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False

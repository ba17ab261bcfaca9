"""The commands ``mesoface plugin …``: whether a package's methods and metrics keep their contracts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from recon.command_options import json_option, quiet_option

if TYPE_CHECKING:
    from metrics.plugin_check import Checked

SIGNS = {"passed": "✓", "failed": "✗", "not checked": "–"}


@click.group()
def plugin() -> None:
    """Check packages that add methods or metrics."""


@plugin.command()
@click.argument("package")
@quiet_option
@json_option
def check(package: str, quiet: bool, as_json: bool) -> int:
    """Test whether the methods and metrics of an installed PACKAGE keep the contracts of mesoface.

    PACKAGE is a distribution or the module that it is imported as. Exit code 3 if anything fails, with what to mend.
    """
    from metrics.plugin_check import check_plugin
    from recon.errors import EXIT_DONE, EXIT_INPUT
    from recon.progress import be_quiet, progress_bar

    be_quiet(quiet)
    with progress_bar("checking") as progress:
        pieces = check_plugin(package, progress)
    if as_json:
        click.echo(json.dumps([_for_programs(piece) for piece in pieces], indent=2, ensure_ascii=False))
    else:
        _print(pieces, quiet)
    return EXIT_INPUT if any(piece.failed for piece in pieces) else EXIT_DONE


def _for_programs(piece: Checked) -> dict[str, object]:
    return {
        "group": piece.group,
        "name": piece.name,
        "target": piece.target,
        "passed": not piece.failed,
        "findings": [
            {"check": finding.check, "state": finding.state, "message": finding.message} for finding in piece.findings
        ],
    }


def _print(pieces: Sequence[Checked], quiet: bool) -> None:
    for piece in pieces:
        if quiet and not piece.failed:
            continue
        click.echo(f"{piece.name} ({piece.group}, {piece.target})")
        for finding in piece.findings:
            if quiet and finding.state != "failed":
                continue
            click.echo(
                f"  {SIGNS[finding.state]} {finding.check}" + (f": {finding.message}" if finding.message else "")
            )
    counts = {state: sum(f.state == state for piece in pieces for f in piece.findings) for state in SIGNS}
    if not quiet:
        click.echo(", ".join(f"{number} {state}" for state, number in counts.items() if number))

"""Every dependency is accounted for in CONTRIBUTING.md: what it is for, licence, weight."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def declared() -> tuple[set[str], set[str]]:
    """Names in ``dependencies``, and in all optional groups but our own name."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = [item for group in project["optional-dependencies"].values() for item in group]
    named = [{re.split(r"[\[<>=~!; ]", item, maxsplit=1)[0] for item in group} for group in
             (project["dependencies"], optional)]  # fmt: skip
    return named[0], named[1] - {"mesoface"}


def test_every_dependency_has_its_line() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| [^|]{5,} \| [^|]{3,} \| \d+ \|$", text, re.MULTILINE)
    run_time, optional = declared()
    assert set(rows) == run_time | optional
    assert len(rows) == len(set(rows))

"""Which licences let something made from a photograph be passed on."""

from __future__ import annotations

import re
from dataclasses import replace

from recon.data.subject import Licence

# Creative Commons licences that allow adaptations (none with ND), and what has no owner.
_OPEN = re.compile(
    r"CC0([ -]1\.0)?|CC[ -]BY([ -]NC)?([ -]SA)?([ -]\d\.\d)?|public domain.*|PDM.*",
    re.IGNORECASE,
)


def allows_release(licence: Licence) -> bool:
    """Whether an albedo map or a mesh made from a photograph of these terms may be redistributed.

    So it is where the data set says so, and where the licence's name is that of an open one. The name alone decides
    for a folder's own table, which has no other way to say it. ``ND`` licences forbid what is derived.
    """
    return licence.redistributable or _OPEN.fullmatch(licence.name.strip()) is not None


def settled(licence: Licence) -> Licence:
    """The licence, with ``redistributable`` as :func:`allows_release` decides."""
    return replace(licence, redistributable=allows_release(licence))


def why_not(licence: Licence) -> str:
    """Why a subject of these terms is not released, and the mend."""
    if licence.name.strip().lower() in {"", "unknown"}:
        return (
            "its licence is unknown: name it in the column 'licence' of subjects.csv, or build for your own use with "
            "--allow-restricted"
        )
    return (
        f"its licence, '{licence.name}', does not allow redistribution: build for your own use with --allow-restricted"
    )

"""What goes into the records of a run: values in the types of JSON, and what is to be said of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from recon.texture.observation import Observation


def fit_summary(observation: Observation) -> dict[str, Any]:
    """How well the face model fits, for records and reports."""
    fit = observation.fit
    return {
        "verdict": fit.verdict,
        "reasons": list(fit.reasons),
        "landmark_error": float(fit.landmark_error),
        "interocular": float(fit.interocular),
        "notes": list(fit.record.get("notes", ())),
    }


def remarks_on(subject: str, fit: Mapping[str, Any]) -> str:
    """What the user should know of a photograph that was used all the same: several faces, a doubtful fit.

    Args:
        fit: :func:`fit_summary`, as ``result.json`` has it.
    """
    remarks = list(fit["notes"])
    if fit["verdict"] != "pass":
        quality = "doubtful" if fit["verdict"] == "doubt" else "poor"
        remarks.append(f"the fit of '{subject}' is {quality}: {'; '.join(fit['reasons'])}.")
    return " ".join(remarks)


def plain(value: Any) -> Any:
    """``value`` in the types of JSON: arrays as lists, numbers that are not finite as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def without_timings(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A method's record split in two: what two equal runs share, and its times (``timings``, ``…seconds``)."""
    times = {name: value for name, value in record.items() if name == "timings" or name.endswith("seconds")}
    return {name: value for name, value in record.items() if name not in times}, times

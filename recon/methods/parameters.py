"""A method's settings: its defaults, overridden by name; an unknown name is an error, never ignored."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from recon.errors import UsageError


def settings(method: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``defaults`` with the ``given`` values, each converted to the type of its default.

    Raises:
        UsageError: a name the method does not have, or a value that is not of its type, or not of its length.
    """
    merged = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1, cutoff=0.0)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise UsageError(f"method '{method}' has no parameter '{name}'{hint}; it has: {', '.join(defaults)}.")
        merged[name] = _convert(method, name, value, defaults[name])
    return merged


def _convert(method: str, name: str, value: Any, default: Any) -> Any:
    try:
        if isinstance(default, tuple):
            parts = value.split("/") if isinstance(value, str) else list(value)
            converted = tuple(type(default[0])(part) for part in parts)
            if len(converted) != len(default):
                raise UsageError(
                    f"method '{method}': '{name}' takes {len(default)} numbers, like {default}; got {converted}."
                )
            return converted
        return type(default)(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"method '{method}': '{name}' takes a {type(default).__name__}, got '{value}'.") from error

"""Reading ``subject.toml`` strictly: every key has its kind, and a key that nobody asked for was misspelt."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError


def read_toml(path: Path) -> dict[str, Any]:
    """The contents of a TOML file.

    Raises:
        InputError: absent, unreadable, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist: a capture needs it to say what its images are.") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"'{path}' is not valid TOML ({error}): correct that place.") from error


class Table:
    """A table of the file, whose keys are taken one by one; what is left over at the end was misspelt."""

    def __init__(self, values: Any, path: Path, name: str) -> None:
        self.path, self.name = path, name
        if not isinstance(values, dict):
            raise InputError(f"'{path}': {name} must be a table.")
        self.values = dict(values)
        self.known: list[str] = []

    def wrong(self, key: str, what: str) -> InputError:
        """The error that ``key`` is not as it must be."""
        return InputError(f"'{self.path}': {self.name} {key} {what}.")

    def take(self, key: str, what: str, kinds: type | tuple[type, ...], needed: bool = True) -> Any:
        """The value of ``key``, or None; ``what`` describes it in the message where it is absent or of another kind."""
        self.known.append(key)
        value = self.values.pop(key, None)
        if value is None and not needed:
            return None
        if value is None:
            raise self.wrong(key, f"is missing: say {what}")
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise self.wrong(key, f"must be {what}, not {value!r}")
        return value

    def word(self, key: str, choices: Sequence[str]) -> str:
        """One of ``choices``."""
        value = str(self.take(key, " or ".join(f'"{choice}"' for choice in choices), str))
        if value not in choices:
            raise self.wrong(key, f'must be {" or ".join(choices)}, not "{value}"')
        return value

    def number(self, key: str, what: str, needed: bool = True) -> float | None:
        """A positive number."""
        value = self.take(key, what, (int, float), needed)
        if value is not None and not 0 < value < float("inf"):
            raise self.wrong(key, f"must be a positive number, not {value}")
        return None if value is None else float(value)

    def array(self, key: str, shape: tuple[int, ...], what: str, needed: bool = True) -> NDArray[np.float64] | None:
        """Finite numbers in lists of lists."""
        value = self.take(key, what, list, needed)
        if value is None:
            return None
        try:
            array = np.array(value, np.float64)
        except (TypeError, ValueError) as error:
            raise self.wrong(key, f"must be {what}") from error
        if array.shape != shape or not np.isfinite(array).all():
            raise self.wrong(key, f"must be {what} ({'×'.join(map(str, shape))} finite numbers), not {array.shape}")
        return array

    def file(self, key: str, folder: Path, needed: bool = True) -> Path | None:
        """A path inside the capture's folder."""
        value = self.take(key, "a file name", str, needed)
        if value is None:
            return None
        path = folder / value
        if not path.resolve().is_relative_to(self.path.parent.resolve()):
            raise self.wrong(key, f"must lie inside the capture's folder, not at '{value}'")
        return path

    def done(self) -> None:
        """Raises InputError if a key is left over."""
        for key in self.values:
            near = difflib.get_close_matches(key, self.known, n=1)
            hint = f"did you mean '{near[0]}'" if near else f"known are {', '.join(self.known)}"
            raise InputError(f"'{self.path}': {self.name} has an unknown key '{key}': {hint}.")

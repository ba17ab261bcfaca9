"""The table while it is being measured: parts that are written as they come, merged into ``metrics.parquet``.

Rewriting the whole table after every subject would cost quadratically in subjects; a part costs what is new. Parts lie
in ``.metrics/`` of the run folder and are merged now and then, at the end, and by the next evaluation if this one was
killed. Merging writes the table first and removes the parts then: rows that are in both count once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metrics.columns import Columns
from metrics.rows import (
    COLUMNS,
    OtherVersionError,
    columns_of,
    in_order,
    mend_of,
    read_table,
    rows_as_frame,
    write_frame,
)
from recon.errors import InputError
from recon.runs.folder import RunFolder
from recon.storage import make_folder, remove_partials

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

MERGE_EVERY = 20.0
"""Seconds between two rewritings of the table."""

# Rewriting may take at most this part of the time.
_SHARE = 0.05
_IDENTITY = ("method", "protocol", "subject", "space", "view", "region", "family", "metric")


class Journal:
    """The rows of a run: those that were there, and those that come.

    Attributes:
        notes: what the user should know.
    """

    def __init__(self, folder: RunFolder, start_anew: bool = False) -> None:
        """Reads the table and the parts that a killed evaluation left; a later row replaces an earlier one.

        Args:
            start_anew: forget what is there, damaged or not.

        Raises:
            InputError: the table is damaged.
        """
        self.folder = folder
        self.place = folder.path / ".metrics"
        self._new: list[Mapping[str, Any]] = []
        self._merged = time.monotonic()
        self._interval = MERGE_EVERY
        left = sorted(self.place.glob("part-*.parquet"))
        self._number = int(left[-1].stem.partition("-")[2]) + 1 if left else 0
        self.notes: list[str] = []
        # The table as it was read, until a row of it changes: most often none does, and pandas is not needed.
        self._table: pa.Table | None = None
        self._frame: pd.DataFrame | None = None
        if folder.metrics.is_file() and not start_anew:
            try:
                self._table = read_table(folder.metrics, COLUMNS, mend_of(folder))
            except OtherVersionError:
                start_anew = True
                self.notes.append(f"'{folder.metrics}' was of another version of mesoface: all is measured anew.")
        self._changed = start_anew or bool(left) or not folder.metrics.is_file()
        if left and not start_anew:
            self._replace(_joined([self._rows(), *_readable(left)]))
        self._left = left

    def __len__(self) -> int:
        return len(self._rows()) if self._table is None else self._table.num_rows

    @property
    def columns(self) -> Columns:
        """The rows that stay."""
        return columns_of(self._rows()) if self._table is None else Columns(self._table)

    def _rows(self) -> pd.DataFrame:
        if self._frame is None:
            self._frame = rows_as_frame([]) if self._table is None else self._table.to_pandas()
        return self._frame

    def _replace(self, rows: pd.DataFrame) -> None:
        self._frame, self._table = rows, None

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drops all rows but these ``(rows,)`` bool; written with the next merge."""
        if not rows.all():
            self._replace(self._rows()[rows])
            self._changed = True

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes new rows, safe at once.

        Raises:
            StorageError: they cannot be written.
        """
        if not rows:
            return
        make_folder(self.place)
        path = self.place / f"part-{self._number:08d}.parquet"
        write_frame(path, rows_as_frame(rows))
        self._number += 1
        self._left.append(path)
        self._new += rows
        if time.monotonic() - self._merged > self._interval:
            self.merge()

    def merge(self) -> None:
        """Brings ``metrics.parquet`` up to date.

        Raises:
            StorageError: it cannot be written.
        """
        started = time.monotonic()
        if self._new:
            self._replace(_joined([self._rows(), rows_as_frame(self._new)]))
            self._new = []
            self._changed = True
        if self._changed:
            self._replace(in_order(self._rows()))
            write_frame(self.folder.metrics, self._rows())
            self._changed = False
        for path in self._left:
            path.unlink(missing_ok=True)
        self._left = []
        remove_partials(self.place)
        self._merged = time.monotonic()
        self._interval = max(MERGE_EVERY, (self._merged - started) / _SHARE)


def _readable(parts: Sequence[Path]) -> Iterator[pd.DataFrame]:
    """Parts of another version are left aside: what they hold is measured again."""
    for path in parts:
        with suppress(InputError):
            yield read_table(path, COLUMNS, "it is measured again").to_pandas()


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames one after the other; of rows with one identity the last stays."""
    import pandas as pd
    from pandas.api.types import union_categoricals

    filled = [frame for frame in frames if len(frame)]
    if len(filled) < 2:
        return filled[0] if filled else frames[0]
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        parts = [frame[name] for frame in filled]
        if isinstance(parts[0].dtype, pd.CategoricalDtype):
            columns[name] = union_categoricals(parts)
        else:
            columns[name] = pd.concat(parts, ignore_index=True)
    joined = pd.DataFrame(columns)
    return joined[~joined.duplicated(list(_IDENTITY), keep="last")].reset_index(drop=True)

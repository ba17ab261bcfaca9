"""The table of values by columns: text as numbers of its distinct words, so that many rows are compared at once.

Who only asks what a table holds, whether it is up to date or what its values are, gets along with these; pandas, which
takes longer to load than all of that, is for who changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Text:
    """A column of text.

    Attributes:
        codes: ``(rows,)`` int32 indices into ``words``.
        words: distinct, some perhaps of no row.
    """

    codes: NDArray[np.int32]
    words: tuple[str, ...]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def equals(self, word: str) -> NDArray[np.bool_]:
        """``(rows,)`` bool: whether a row says this word."""
        return np.asarray(self.codes == self._index.get(word, -1))

    def among(self, words: Iterable[str]) -> NDArray[np.bool_]:
        """``(rows,)`` bool: whether a row says one of these words."""
        chosen = set(words)
        return np.array([word in chosen for word in self.words], bool)[self.codes]

    def places_in(self, words: Sequence[str]) -> NDArray[np.int64]:
        """``(rows,)`` the index into ``words`` of what a row says, −1 where it is none of them."""
        index = {word: number for number, word in enumerate(words)}
        return np.array([index.get(word, -1) for word in self.words], np.int64)[self.codes]

    def only(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Text:
        """Some of the rows, by ``(rows,)`` bool or by index."""
        return Text(self.codes[rows], self.words)


class Columns:
    """Columns of a table, or of some of its rows."""

    def __init__(self, table: pa.Table, rows: NDArray[np.int64] | None = None) -> None:
        """Looks at ``table``, which has no empty cell in its columns of text; ``rows``: indices, all if None."""
        self._table, self._rows = table, rows
        self._texts: dict[str, Text] = {}

    def __len__(self) -> int:
        return self._table.num_rows if self._rows is None else len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._table.column_names

    def text(self, name: str) -> Text:
        """A column of text."""
        if name not in self._texts:
            self._texts[name] = self._read(name)
        return self._texts[name]

    def _read(self, name: str) -> Text:
        import pyarrow as pa

        column = self._table.column(name)
        if not pa.types.is_dictionary(column.type):  # as another program may write it
            column = column.cast(pa.string()).dictionary_encode()
        whole = column.unify_dictionaries().combine_chunks()
        codes = _plain(whole.indices).astype(np.int32)
        found = Text(codes, tuple(whole.dictionary.to_pylist()))
        return found if self._rows is None else found.only(self._rows)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; NaN where a cell is empty."""
        array = self._table.column(name).combine_chunks()
        found = _plain(array).astype(np.float64)
        if array.null_count:
            found[~_filled(array)] = np.nan
        return found if self._rows is None else found[self._rows]

    def only(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Columns:
        """Some of the rows, by ``(rows,)`` bool or by index."""
        whole = np.arange(len(self)) if self._rows is None else self._rows
        return Columns(self._table, whole[rows])


def _plain(array: pa.Array) -> NDArray[Any]:
    """The numbers of an array as they lie in memory, anything where a cell is empty; to_numpy would load pandas."""
    data, kind = array.buffers()[1], np.dtype(array.type.to_pandas_dtype())
    if data is None:  # of no rows
        return np.zeros(0, kind)
    return np.frombuffer(data, kind)[array.offset : array.offset + len(array)]


def _filled(array: pa.Array) -> NDArray[np.bool_]:
    """``(rows,)`` bool: cells that are not empty, by the array's bit mask; some are."""
    bits = np.unpackbits(np.frombuffer(array.buffers()[0], np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(bool)

"""Columns say what pandas would say of the same file, whoever wrote it and in however many pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from comparison_runs import row

from metrics.columns import Columns, Text
from metrics.rows import COLUMNS, NUMBERS, columns_of, read_table, rows_as_frame, write_frame
from recon.errors import InputError

TEXT = tuple(name for name in COLUMNS if name not in NUMBERS)


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(60) < 0.2, np.nan, rng.normal(size=60))
    return rows_as_frame(
        row(f"m{rng.integers(4)}", f"{number:02}", value, reason="" if np.isfinite(value) else f"broken {number % 3}")
        for number, value in enumerate(values)
    )


def said(columns: Columns, name: str) -> list[str]:
    text = columns.text(name)
    assert text.codes.shape == (len(columns),) and len(set(text.words)) == len(text.words)
    return [text.words[code] for code in text.codes]


def assert_same(columns: Columns, frame: pd.DataFrame) -> None:
    assert len(columns) == len(frame)
    for name in TEXT:
        assert said(columns, name) == frame[name].astype(str).tolist(), name
    for name in NUMBERS:
        np.testing.assert_array_equal(columns.numbers(name), frame[name].to_numpy(np.float64), name)


@pytest.mark.parametrize("rows_in_a_piece", [7, 1000])
@pytest.mark.parametrize("dictionaries", [True, False])
def test_a_file_is_read_as_it_was_written(
    frame: pd.DataFrame, tmp_path: Path, rows_in_a_piece: int, dictionaries: bool
) -> None:
    # In pieces every one of them has words of its own; another program need not know of dictionaries.
    written = frame if dictionaries else frame.astype(dict.fromkeys(TEXT, "str"))
    pq.write_table(pa.Table.from_pandas(written, preserve_index=False), tmp_path / "table", rows_in_a_piece)
    table = read_table(tmp_path / "table", COLUMNS, "mend")
    assert_same(Columns(table), frame)
    assert_same(columns_of(frame), frame)
    back = table.to_pandas()
    pd.testing.assert_frame_equal(back, frame, check_categorical=False, check_dtype=False)
    assert all(isinstance(back[name].dtype, pd.CategoricalDtype) for name in TEXT)


def test_some_rows_are_those_of_the_whole(frame: pd.DataFrame) -> None:
    chosen = np.flatnonzero(np.random.default_rng(1).random(len(frame)) < 0.5)
    part = columns_of(frame).only(chosen)
    assert_same(part, frame.iloc[chosen])
    few = np.arange(len(chosen)) % 3 == 0
    assert_same(part.only(few), frame.iloc[chosen[few]])
    assert_same(part.only(few[:0].nonzero()[0]), frame.iloc[:0])
    # A piece of a table begins in the middle of its memory.
    whole = pa.Table.from_pandas(frame, preserve_index=False)
    assert_same(Columns(whole.slice(13, 20)), frame.iloc[13:33])


def test_text_that_is_no_dictionary_is_numbered() -> None:
    columns = Columns(pa.table({"x": ["b", "a", "b"], "none": pa.nulls(3)}).slice(0, 3))
    assert said(columns, "x") == ["b", "a", "b"]
    assert "x" in columns and "y" not in columns


def test_a_table_without_rows(tmp_path: Path) -> None:
    empty = rows_as_frame([])
    write_frame(tmp_path / "table", empty)
    assert_same(columns_of(empty), empty)
    assert_same(Columns(read_table(tmp_path / "table", COLUMNS, "mend")), empty)


def test_questions_to_a_column() -> None:
    text = Text(np.array([0, 2, 0, 1], np.int32), ("a", "b", "c", "unused"))
    assert text.equals("a").tolist() == [True, False, True, False]
    assert not text.equals("absent").any() and not text.equals("unused").any()
    assert text.among(["b", "c", "absent"]).tolist() == [False, True, False, True]
    assert text.places_in(["c", "a"]).tolist() == [1, 0, 1, -1]
    assert not text.among([]).any() and (text.places_in([]) == -1).all()
    none = Text(np.zeros(0, np.int32), ())
    assert none.equals("a").shape == none.among(["a"]).shape == none.places_in(["a"]).shape == (0,)


def test_an_empty_cell_of_text_is_refused(frame: pd.DataFrame, tmp_path: Path) -> None:
    broken = frame.astype({"region": object})
    broken.loc[3, "region"] = None
    pq.write_table(pa.Table.from_pandas(broken, preserve_index=False), tmp_path / "table")
    with pytest.raises(InputError, match=r"column 'region' are empty.*delete it, mend"):
        read_table(tmp_path / "table", COLUMNS, "mend")

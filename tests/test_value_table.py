"""The table of values: rows of text are numbered as sorting would number them, however many there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metrics.rows import columns_of
from metrics.value_table import _distinct, _numbered


@pytest.mark.parametrize("most", [40, 10_000])
def test_numbers_are_those_of_sorting(most: int) -> None:
    # The smaller one is counted, the larger one sorted.
    codes = np.random.default_rng(0).integers(0, most, 500)
    found, inverse = np.unique(codes, return_inverse=True)
    count, numbered = _numbered(codes, most)
    assert count == len(found)
    np.testing.assert_array_equal(numbered, inverse)


def test_distinct_rows_give_the_columns_back() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.choice(list("abcd"), 300) for name in ("x", "y", "z")}).astype("category")
    rows, codes = _distinct(columns_of(frame), ("x", "y", "z"))
    assert len(set(rows)) == len(rows) == len(frame.drop_duplicates())
    assert [rows[code] for code in codes] == list(frame.itertuples(index=False, name=None))


def test_no_rows_have_none() -> None:
    rows, codes = _distinct(columns_of(pd.DataFrame({"x": []}).astype("category")), ("x",))
    assert rows == [] and len(codes) == 0

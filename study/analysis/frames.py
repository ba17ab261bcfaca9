"""The frames of answers that analysis reads, and the check that they are whole.

==========  =============================  ===========================================================================
frame       columns                        one row is
==========  =============================  ===========================================================================
choices     rater, winner, loser           a choice between two conditions
rankings    rater, trial, condition, rank  a condition's place in one ranking, 1 the most realistic; NaN: shown, but
                                           left below all that were ranked; ``trial`` numbers a rater's rankings
verdicts    rater, condition, real         a picture that was called real (True) or fake; photographs have the
                                           condition :data:`study.contract.PHOTOGRAPH`
scores      rater, stimulus, score         an opinion score; per condition the column ``condition`` stands for
                                           ``stimulus``
==========  =============================  ===========================================================================

Further columns do no harm. Names are compared as text and kept in alphabetical order. Intervals resample the column
``rater``; with the faces in its place, ``frame.assign(rater=frame["subject"])``, they are of a conclusion about other
faces instead of other raters. :mod:`study.analysis.answers` makes these frames from stored answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Names = tuple[str, ...]
Codes = NDArray[np.int64]


def check_columns(frame: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    """That ``frame`` has ``columns``, and rows without gaps in them.

    Args:
        what: the frame's name in the table of the module.

    Raises:
        InputError: it has not; the message says what is missing.
    """
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise InputError(f"the frame of {what} lacks the column {', '.join(absent)}: it needs {', '.join(columns)}.")
    if frame.empty:
        raise InputError(f"there are no {what} to analyse: wait for answers, or admit more of them.")
    gaps = [name for name in columns if frame[name].isna().any()]
    if gaps:
        raise InputError(f"the frame of {what} has rows without {', '.join(gaps)}: drop or complete them.")


def coded(values: pd.Series) -> tuple[Names, Codes]:
    """The different values as text in alphabetical order, and which of them each row ``(N,)`` int64 has."""
    names, codes = np.unique(values.astype(str).to_numpy(dtype=str), return_inverse=True)
    return tuple(names.tolist()), codes.astype(np.int64)


def numbers(frame: pd.DataFrame, column: str, what: str) -> NDArray[np.float64]:
    """A column as float64 ``(N,)``; NaN where it has none.

    Raises:
        InputError: something in it is no number.
    """
    import pandas as pd

    found = pd.to_numeric(frame[column], errors="coerce")
    wrong = frame[column][found.isna() & frame[column].notna()]
    if len(wrong):
        raise InputError(f"the frame of {what} says '{wrong.iloc[0]}' where {column} must be a number.")
    values: NDArray[np.float64] = found.to_numpy(dtype=np.float64)
    if np.isinf(values).any():
        raise InputError(f"the frame of {what} has an infinite {column}.")
    return values


def truths(frame: pd.DataFrame, column: str, what: str) -> NDArray[np.bool_]:
    """A column of truth values ``(N,)``.

    Raises:
        InputError: it has anything but true and false (0 and 1 will do).
    """
    values = numbers(frame, column, what)
    if not np.isin(values, (0.0, 1.0)).all():
        raise InputError(f"the frame of {what} must say true or false in {column}.")
    return values == 1.0

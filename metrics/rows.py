"""The table of values, ``metrics.parquet``: one row a value, and all that identifies it.

=================  =====================================================================================================
column             holds
=================  =====================================================================================================
method, protocol   of the result
subject            whose result; ``*`` for a value of a whole set of subjects
space              ``uv``, ``image`` or ``shape``; empty where result and reference could not be paired at all
view               what of the result was looked at: ``albedo``, ``fitted``, ``mitsuba/fitted``, ``head`` …
region             ``skin/visible``, ``skin/withheld``, ``skin/all``, ``face``
metric             name of the component
value              float64; NaN where there is none, and then ``reason`` says why
unit, direction    of the component
family             registry name of the metric
library, version   whose implementation
parameters         JSON: all that changes the number
reference          ``photograph`` or ``truth``
colour_space       of the arrays that were measured: ``sRGB``; empty for shapes
net, weights       network and sha256 of its loaded tensors; empty where none is used
width, height      of the pictures compared, in pixels or texels (a shape: vertices and 1)
result             16 digits of the sha256 of ``result.json`` and of files changed after it (a set: of all results)
reference_record   likewise of ``reference.json``, with the photograph or the truth; empty for a set
result_image       sha256 of the file that was measured; likewise ``reference_image``; empty for a set
=================  =====================================================================================================

A reason begins with :data:`NOT_DEFINED` where the metric has no number for such a region, and with
:data:`NOT_COMPUTED` where its weights are absent; any other reason is a failure, which the next evaluation tries again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metrics.columns import Columns
from recon.errors import InputError
from recon.runs.folder import RunFolder
from recon.storage import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

WHOLE_SET = "*"
"""The subject of a row that belongs to all subjects together."""

NOT_DEFINED = "not defined"
NOT_COMPUTED = "not computed: "

NUMBERS = {"value": "float64", "width": "int32", "height": "int32"}
COLUMNS = (
    "method",
    "protocol",
    "subject",
    "space",
    "view",
    "region",
    "metric",
    "value",
    "reason",
    "unit",
    "direction",
    "family",
    "library",
    "version",
    "parameters",
    "reference",
    "colour_space",
    "net",
    "weights",
    "width",
    "height",
    "result",
    "reference_record",
    "result_image",
    "reference_image",
)
ORDER = ["protocol", "space", "view", "region", "family", "metric", "method", "subject"]


class OtherVersionError(InputError):
    """A table that another version of mesoface wrote."""


def read_frame(folder: RunFolder, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """``metrics.parquet`` with text as categories, which is how a hundred thousand rows are quick; empty if absent.

    Args:
        columns: those that are wanted; all of :data:`COLUMNS` if None.

    Raises:
        InputError: the file is damaged, or of another version of mesoface.
    """
    wanted = list(COLUMNS if columns is None else columns)
    if not folder.metrics.is_file():
        return rows_as_frame([])[wanted]
    frame: pd.DataFrame = read_table(folder.metrics, wanted, mend_of(folder)).to_pandas()
    return frame


def mend_of(folder: RunFolder) -> str:
    """What helps where the table of ``folder`` cannot be read, for :func:`read_table`."""
    return f"'mesoface metrics {folder.path}' measures again"


def read_table(path: Path, columns: Iterable[str], mend: str) -> pa.Table:
    """A file that :func:`write_frame` wrote, with text as dictionaries: rows are numbers of its distinct words.

    Raises:
        InputError: the file is damaged, or (:class:`OtherVersionError`) of another version of mesoface; ``mend`` says
            what happens once it is gone.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = list(columns)
    text = [name for name in wanted if name not in NUMBERS]
    try:
        present = set(pq.read_schema(path).names)
        if not set(COLUMNS) - present:
            # Not pyarrow's reader of data sets of many files, which takes longer to load than a table to be read.
            with pq.ParquetFile(path, read_dictionary=text) as file:
                table = file.read(columns=wanted).select(wanted)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"'{path}' cannot be read ({error}): delete it, {mend}.") from error
    if set(COLUMNS) - present:
        raise OtherVersionError(f"'{path}' is of another version of mesoface: {mend}.")
    empty = next((name for name in text if table.column(name).null_count), None)
    if empty is not None:
        raise InputError(f"'{path}' cannot be read (cells of its column '{empty}' are empty): delete it, {mend}.")
    return table


def read_rows(folder: RunFolder) -> list[dict[str, Any]]:
    """All rows of ``metrics.parquet`` one by one; none if it is absent.

    Raises:
        InputError: see :func:`read_frame`.
    """
    records = read_frame(folder).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records]


def rows_as_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table, in the order of :data:`COLUMNS`, sorted so that equal contents give equal files."""
    import pandas as pd

    return in_order(pd.DataFrame(list(rows), columns=list(COLUMNS)))


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with text as categories in alphabetical order and its rows sorted by :data:`ORDER`."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in COLUMNS:
        if name in NUMBERS:
            columns[name] = frame[name].astype(NUMBERS[name])  # type: ignore[call-overload]
            continue
        column = frame[name]
        if not isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype("str").astype("category")
        used = column.cat.remove_unused_categories()
        columns[name] = used.cat.set_categories(sorted(used.cat.categories))
    ordered = pd.DataFrame(columns, index=frame.index)
    return ordered.sort_values(ORDER, kind="stable").reset_index(drop=True)


def write_rows(folder: RunFolder, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``metrics.parquet``, atomically."""
    write_frame(folder.metrics, rows_as_frame(rows))


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """A table that :func:`in_order` gave as a file, atomically; equal tables give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), temporary)


def columns_of(frame: pd.DataFrame) -> Columns:
    """The columns of a table that :func:`in_order` gave, or of some of its rows."""
    import pyarrow as pa

    return Columns(pa.Table.from_pandas(frame, preserve_index=False))

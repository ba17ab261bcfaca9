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
result             first 16 digits of the sha256 of ``result.json`` (a set: of all of them)
result_image       sha256 of the file that was measured; likewise ``reference_image``; empty for a set
=================  =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from recon.errors import InputError
from recon.runs.folder import RunFolder
from recon.storage import atomic_path

if TYPE_CHECKING:
    import pandas as pd

WHOLE_SET = "*"
"""The subject of a row that belongs to all subjects together."""

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
    "result_image",
    "reference_image",
)
ORDER = ["protocol", "space", "view", "region", "family", "metric", "method", "subject"]


def read_frame(folder: RunFolder, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """``metrics.parquet`` with text as categories, which is how a hundred thousand rows are quick; empty if absent.

    Args:
        columns: those that are wanted; all of :data:`COLUMNS` if None.

    Raises:
        InputError: the file is damaged, or of another version of mesoface.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = list(COLUMNS if columns is None else columns)
    if not folder.metrics.is_file():
        return rows_as_frame([])[wanted]
    try:
        present = set(pq.read_schema(folder.metrics).names)
        if not set(COLUMNS) - present:
            table = pq.read_table(
                folder.metrics, columns=wanted, read_dictionary=[c for c in wanted if c not in NUMBERS]
            )
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"'{folder.metrics}' cannot be read ({error}): delete it, 'mesoface metrics {folder.path}' measures again."
        ) from error
    if set(COLUMNS) - present:
        raise InputError(
            f"'{folder.metrics}' lacks columns of this version: delete it, 'mesoface metrics {folder.path}' measures "
            "again."
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame


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

    frame = pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(NUMBERS)
    return frame.sort_values(ORDER, kind="stable").reset_index(drop=True)


def write_rows(folder: RunFolder, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``metrics.parquet``, atomically."""
    with atomic_path(folder.metrics) as temporary:
        rows_as_frame(rows).to_parquet(temporary, index=False)

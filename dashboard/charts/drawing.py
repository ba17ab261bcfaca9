"""Charts as they are sent: a Vega-Lite specification with its tables as Arrow, made once and kept.

Altair builds a chart of a few layers in tens of milliseconds, many times what the page around it takes; a page that is
drawn anew because something else in it changed must not pay that again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, overload

import altair as alt
import pandas as pd
import pyarrow as pa
from altair.utils import schemapi

MOST_KEPT = 128
"""Drawings of some tens of kilobytes each."""

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
"""What the modules here make."""

# Every part of a chart would be checked against the schema as it is made, which takes longer than the rest together;
# the tests check whole charts.
schemapi.disable_debug_mode()


@dataclass(frozen=True, eq=False)
class Drawing:
    """A chart that is ready to be sent; ``spec`` names the tables below its ``datasets``, which are Arrow streams."""

    spec: dict[str, Any]


def drawing_of(chart: Chart) -> Drawing:
    """``chart`` as it is sent."""
    tables: dict[str, bytes] = {}
    spec = _named(chart, tables).to_dict(validate=False)
    # Altair's own theme has a fixed size, and ours is Streamlit's.
    spec.pop("config", None)
    return Drawing({**spec, "datasets": tables})


@overload
def kept(key: Hashable, make: Callable[[], Chart]) -> Drawing: ...
@overload
def kept(key: Hashable, make: Callable[[], Chart | None]) -> Drawing | None: ...
def kept(key: Hashable, make: Callable[[], Chart | None]) -> Drawing | None:
    """The drawing of what ``make`` makes, made by the first who asks.

    Args:
        key: all that the chart follows from: what is drawn, the state of what was measured, the look.
    """
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    chart = make()
    made = None if chart is None else drawing_of(chart)
    with _lock:
        _kept[key] = made
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return made


_kept: OrderedDict[Hashable, Drawing | None] = OrderedDict()
_lock = threading.Lock()


def _named(chart: Any, tables: dict[str, bytes]) -> Any:
    """A copy of ``chart`` that names its tables, which are put into ``tables``."""
    copy = chart.copy(deep=False)
    if isinstance(copy.data, pd.DataFrame):
        content = _arrow(copy.data)
        name = hashlib.sha256(content).hexdigest()[:16]
        tables[name] = content
        copy.data = alt.NamedData(name=name)
    if isinstance(copy, alt.LayerChart):
        copy.layer = [_named(one, tables) for one in copy.layer]
    elif isinstance(copy, alt.FacetChart):
        copy.spec = _named(copy.spec, tables)
    return copy


def _arrow(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue().to_pybytes()

"""What each number is: library, version, parameters, network and the hash of its weights, region, size."""

from __future__ import annotations

import streamlit as st

from dashboard.catalogue import Run
from metrics.comparison import Comparison, Place
from metrics.report.provenance import identities
from metrics.report.sources import Sources

_NAMES = ("metric", "compared", "direction", "library", "parameters", "network", "pixels")


@st.cache_resource(max_entries=64, show_spinner="Looking up what the numbers are …")
def _identities(
    name: str, stamp: tuple[int, ...], metrics: tuple[str, ...], _run: Run, _comparison: Comparison
) -> list[dict[str, str]]:
    return identities(_comparison, Sources.of(_comparison, [_run.folder]))[0]


def identities_of(run: Run, comparison: Comparison) -> list[dict[str, str]]:
    """The identity of every number that ``comparison`` shows."""
    metrics = tuple(dict.fromkeys(standing.place.metric for standing in comparison.standings))
    return _identities(str(run.folder.path), run.stamp, metrics, run, comparison)


def said_of(place: Place, rows: list[dict[str, str]]) -> str:
    """The identity of one metric as words to hover."""
    name = place.metric + (f", {place.unit}" if place.unit else "")
    compared = f"{place.view} ({place.space}) with the {place.reference}"
    own = next((row for row in rows if row["metric"] == name and row["compared"] == compared), None)
    if own is None:
        return ""
    return "\n".join([f"{name}: {own['direction']}", f"{compared}, {place.region}", own["library"],
                      f"parameters: {own['parameters']}", f"network: {own['network']}", own["pixels"]])  # fmt: skip


def identity_table(rows: list[dict[str, str]]) -> None:
    """All of them as a table."""
    st.dataframe(
        [{name: row[name] for name in _NAMES} for row in rows],
        hide_index=True,
        column_config={
            "parameters": st.column_config.TextColumn(width="large"),
            "network": st.column_config.TextColumn(width="medium"),
        },
    )

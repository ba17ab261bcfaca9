"""From a dot to the pictures behind it: the page *Compare* with a person and two methods side by side."""

from __future__ import annotations

import streamlit as st

from dashboard.measurements.chosen import Chosen
from dashboard.navigation import pages
from dashboard.viewer.orders import label
from metrics.comparison import Place


def state_of(chosen: Chosen, place: Place, subject: str, methods: tuple[str, ...]) -> dict[str, str]:
    """What the address of *Compare* says then."""
    said = {
        "run": chosen.run.name,
        "protocol": place.protocol,
        "subject": subject,
        "methods": ",".join(name for name in methods if name),
        "metric": label(place),
        "view": place.view if place.space == "image" else "",
        "region": place.region,
    }
    return {name: value for name, value in said.items() if value}


def open_people(chosen: Chosen, place: Place, subject: str, methods: tuple[str, ...]) -> None:
    """Go there; Back comes back."""
    compare = next(page for page in pages() if page.title == "Compare")
    st.switch_page(compare, query_params=state_of(chosen, place, subject, methods))

"""The script that Streamlit runs for every visit: navigation, and the page that the address names."""

from __future__ import annotations

from dashboard.navigation import draw

draw()

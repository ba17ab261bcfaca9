"""The script that Streamlit runs for every visit: navigation, and the page that the address names."""

from __future__ import annotations

from dashboard.navigation import draw

# Streamlit runs this as ``__main__``; a worker process that is started from here must not.
if __name__ == "__main__":
    draw()

"""The web server of the dashboard: Streamlit's application with the picture routes beside it, in one process."""

from __future__ import annotations

from pathlib import Path

from dashboard.pictures.routes import picture_routes
from dashboard.settings import Settings, use

SCRIPT = Path(__file__).with_name("app.py")


def configuration(host: str, port: int, browser: bool) -> dict[str, object]:
    """Streamlit's options: nothing leaves this machine, and the theme is ours."""
    from dashboard.theme import theme_options

    return {
        "server.address": host,
        "server.port": port,
        "server.headless": not browser,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "runner.magicEnabled": False,
        **theme_options(),
    }


def serve(settings: Settings, host: str, port: int, *, browser: bool) -> None:
    """Serve the dashboard until it is interrupted."""
    import streamlit as st

    use(settings)
    st.App(SCRIPT, routes=picture_routes()).run(config=configuration(host, port, browser))

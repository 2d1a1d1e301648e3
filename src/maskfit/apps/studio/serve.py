"""Serves the studio's pages from this process until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from maskfit.apps.streamlit_server import run_streamlit
from maskfit.apps.webapp.session import MOST_MEGABYTES
from maskfit.apps.webapp.app_state import AppState, seat

ENTRY = Path(__file__).parent / "pages" / "entry.py"


def serve(studio: AppState, host: str, port: int, opened: Callable[[], object] = lambda: None) -> None:
    """Serves a studio; see `serving.serve_page`."""
    seat(studio)
    try:
        run_streamlit(ENTRY, host, port, opened, server_maxUploadSize=MOST_MEGABYTES)
    finally:
        seat(None)
        studio.close()

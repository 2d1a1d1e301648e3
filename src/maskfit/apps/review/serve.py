"""Serves the page of a review from this process until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from maskfit.apps.review.controller import ReviewController, seat
from maskfit.apps.streamlit_server import run_streamlit

PAGE = Path(__file__).with_name("page.py")


def serve(desk: ReviewController, host: str, port: int, opened: Callable[[], object] = lambda: None) -> None:
    """Serves a desk's page; see `serving.serve_page`."""
    seat(desk)
    try:
        run_streamlit(PAGE, host, port, opened)
    finally:
        seat(None)

"""Serves the page of a review from this process until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from maskfit.apps.review.desk import Desk, seat
from maskfit.apps.serving import serve_page

PAGE = Path(__file__).with_name("page.py")


def serve(desk: Desk, host: str, port: int, opened: Callable[[], object] = lambda: None) -> None:
    """Serves a desk's page; see `serving.serve_page`."""
    seat(desk)
    try:
        serve_page(PAGE, host, port, opened)
    finally:
        seat(None)

"""Serves the page of a review from this process until it is told to stop."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from maskfit.apps.review.desk import Desk, seat
from maskfit.errors import DataError

BLUE = "#3b82c4"
"""The colour of what is chosen; Streamlit's own is red, which here means wrong."""

PAGE = Path(__file__).with_name("page.py")


def refuse_taken(host: str, port: int) -> None:
    """Stops where the page could not be served.

    Raises:
        DataError: The host is not this machine's, or the port is taken or not to be had.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        fix = "name another with --port, or end what uses it; --host is an address of this machine"
        raise DataError(f"port {port} cannot be used: {error.strerror}", where=host, fix=fix) from None


def address_of(desk: Desk, host: str, port: int) -> str:
    """What to open in a browser on this machine."""
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/?key={quote(desk.key)}"


def serve(desk: Desk, host: str, port: int, opened: Callable[[], object] = lambda: None) -> None:
    """Serves a desk's page; returns when the process gets SIGINT or SIGTERM.

    Streamlit reports nothing anywhere, asks for no email address and watches no files. Its own greeting, which names
    addresses without their key, is not printed.

    Args:
        desk: The review.
        host: The address to listen at.
        port: The port.
        opened: Called just before the server starts.
    """
    from streamlit.web.cli import main

    options = {
        # Fast reruns start a second thread while the first still saves: two keys at once would see the same person.
        "runner.fastReruns": "false",
        "server.address": host,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.enableStaticServing": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.level": "error",
        "runner.magicEnabled": "false",
        "theme.light.primaryColor": BLUE,
        "theme.dark.primaryColor": BLUE,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    seat(desk)
    before = list(sys.path), list(sys.argv)
    opened()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            main.main(["run", str(PAGE), *words], standalone_mode=False)
    finally:
        sys.path[:], sys.argv[:] = before
        seat(None)

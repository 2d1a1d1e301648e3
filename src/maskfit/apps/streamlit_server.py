"""What every page in the browser needs: an address with a key, a port that is free, and Streamlit run from here."""

from __future__ import annotations

import contextlib
import io
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote

from maskfit.errors import DataError

T = TypeVar("T")

PRIMARY_COLOR = "#3b82c4"
"""The colour of what is chosen; Streamlit's own is red, which here means wrong."""

STREAMLIT_OPTIONS: Mapping[str, object] = {
    # Fast reruns start a second thread while the first still works: two keys at once would see the same person.
    "runner.fastReruns": "false",
    "runner.magicEnabled": "false",
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
    "theme.light.primaryColor": PRIMARY_COLOR,
    "theme.dark.primaryColor": PRIMARY_COLOR,
}
"""How Streamlit runs: it reports nothing anywhere, asks for no email address and watches no files."""

WILDCARD_HOSTS = ("0.0.0.0", "::")
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


def generate_access_token() -> str:
    """A key for an address: who does not know it sees nothing, for other users of a machine reach its ports as well."""
    return secrets.token_urlsafe(12)


def check_port_free(host: str, port: int) -> None:
    """Stops where a page could not be served.

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
        raise DataError(f"port {port} cannot be used: {error.strerror}", location=host, hint=fix) from None


def build_url(host: str, port: int, key: str) -> str:
    """What to open in a browser on this machine."""
    own = host in (*LOOPBACK_HOSTS, *WILDCARD_HOSTS)
    shown = "localhost" if own else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/?key={quote(key)}"


def check_access_token(key: str) -> bool:
    """Whether the session that Streamlit runs now was opened with the key; from then on it stays in its address."""
    import streamlit as st

    if not st.session_state.get("admitted", False):
        given = st.query_params.get("key", "")
        st.session_state["admitted"] = secrets.compare_digest(given.encode(), key.encode())
    if st.session_state["admitted"]:
        # Streamlit drops it where one page leads to another, and a page that is loaded anew is a new session.
        if st.query_params.get("key") != key:
            st.query_params["key"] = key
        return True
    return False


WRONG_TOKEN_MESSAGE = "This address lacks its key, or is of an earlier start: open the one that the command printed."


def run_streamlit(
    page: Path, host: str, port: int, opened: Callable[[], object] = lambda: None, **options: object
) -> None:
    """Serves a Streamlit page from this process; returns when it gets SIGINT or SIGTERM.

    Streamlit's own greeting, which names addresses without their key, is not printed.

    Args:
        page: The script that Streamlit runs for each visitor.
        host: The address to listen at.
        port: The port.
        opened: Called just before the server starts.
        options: Of Streamlit beside `OPTIONS`, with `_` for the dot: `server_maxUploadSize=20`.
    """
    from streamlit.web.cli import main

    more = {name.replace("_", ".", 1): value for name, value in options.items()}
    words = [f"--{name}={value}" for name, value in {**STREAMLIT_OPTIONS, **more}.items()]
    words += [f"--server.address={host}", f"--server.port={port}"]
    before = list(sys.path), list(sys.argv)
    opened()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            main.main(["run", str(page), *words], standalone_mode=False)
    finally:
        sys.path[:], sys.argv[:] = before


class ProcessState(Generic[T]):
    """What the page of this process serves: Streamlit runs a script for every visitor anew, and passes it nothing.

    Args:
        empty: What is said where the page was started by hand.
        fix: How it is started.
    """

    def __init__(self, empty: str, fix: str) -> None:
        self._empty, self._fix = empty, fix
        self._taken: list[T] = []

    def set(self, one: T | None) -> None:
        """Says what is served; None for nothing."""
        self._taken[:] = [] if one is None else [one]

    def get(self) -> T:
        """What is served.

        Raises:
            DataError: Nothing is.
        """
        if not self._taken:
            raise DataError(self._empty, hint=self._fix)
        return self._taken[0]

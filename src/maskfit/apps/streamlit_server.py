"""Serves Streamlit pages from this process: access token, free port, server options and process-wide state."""

from __future__ import annotations

import contextlib
import io
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote

from maskfit.errors import DataError

T = TypeVar("T")

PRIMARY_COLOR = "#3b82c4"
"""Color of selected widgets; Streamlit's default is red, which on these pages means wrong."""

STREAMLIT_OPTIONS: Mapping[str, object] = {
    # Fast reruns start a second thread while the first still runs: two quick keys would act on the same person.
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
"""Options of every page: no telemetry, no prompt for an email address, no file watcher."""

WILDCARD_HOSTS = ("0.0.0.0", "::")
"""Hosts that listen on every network interface."""

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
"""Hosts that only this machine reaches."""

WRONG_TOKEN_MESSAGE = "This address lacks its key, or is of an earlier start: open the one that the command printed."
"""Text of the page for visitors without the access token."""


def generate_access_token() -> str:
    """Returns a random access token for a page's URL.

    Other users of a shared machine reach its local ports too, so a page shows nothing without the token.

    Returns:
        16 characters, safe in URLs.
    """
    return secrets.token_urlsafe(12)


def check_port_free(host: str, port: int) -> None:
    """Checks that a server can listen on a host and port.

    Args:
        host: A host name or address of this machine.
        port: The TCP port.

    Raises:
        DataError: The host is not an address of this machine, or the port is in use or not permitted.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        hint = "choose another with --port, or stop what uses it; --host must be an address of this machine"
        raise DataError(f"port {port} cannot be used: {error.strerror}", location=host, hint=hint) from None


def build_url(host: str, port: int, access_token: str) -> str:
    """Returns the URL of a page for a browser on this machine.

    Args:
        host: The host that the server listens on; loopback and wildcard hosts become `localhost`.
        port: The TCP port.
        access_token: Becomes the query parameter `key`.

    Returns:
        The URL.
    """
    is_local = host in (*LOOPBACK_HOSTS, *WILDCARD_HOSTS)
    name = "localhost" if is_local else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/?key={quote(access_token)}"


def check_access_token(access_token: str) -> bool:
    """Returns whether the current Streamlit session was opened with the access token.

    A session that was admitted stays admitted, and its URL keeps the token.

    Args:
        access_token: The token of the page.

    Returns:
        True where the query parameter `key` of the session's first request equals the token.
    """
    import streamlit as st

    if not st.session_state.get("admitted", False):
        sent = st.query_params.get("key", "")
        st.session_state["admitted"] = secrets.compare_digest(sent.encode(), access_token.encode())
    if st.session_state["admitted"]:
        # Streamlit drops the parameter when it changes pages, and a reloaded page is a new session.
        if st.query_params.get("key") != access_token:
            st.query_params["key"] = access_token
        return True
    return False


def run_streamlit(
    page: Path, host: str, port: int, on_start: Callable[[], object] = lambda: None, **options: object
) -> None:
    """Serves a Streamlit page from this process until it receives SIGINT or SIGTERM.

    Streamlit's own greeting is suppressed: it prints URLs without the access token.

    Args:
        page: The script that Streamlit runs for each visitor.
        host: The address to listen on.
        port: The TCP port.
        on_start: Called just before the server starts.
        **options: Streamlit options besides `STREAMLIT_OPTIONS`, with `_` for the dot: `server_maxUploadSize=20`.
    """
    from streamlit.web.cli import main

    extra = {name.replace("_", ".", 1): value for name, value in options.items()}
    arguments = [f"--{name}={value}" for name, value in {**STREAMLIT_OPTIONS, **extra}.items()]
    arguments += [f"--server.address={host}", f"--server.port={port}"]
    path_and_argv = list(sys.path), list(sys.argv)
    on_start()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit), _closed_server():
            main.main(["run", str(page), *arguments], standalone_mode=False)
    finally:
        sys.path[:], sys.argv[:] = path_and_argv


@contextlib.contextmanager
def _closed_server() -> Iterator[None]:
    """Keeps Streamlit from asking a server outside for this machine's address, and connections from staying open.

    Streamlit asks where it is to print an address, and at every request of another origin, and has no option against
    it; the address would only widen whom it admits.
    """
    from streamlit import net_util
    from uvicorn.config import HTTP_PROTOCOLS

    from maskfit.apps.header_timeout import PROTOCOL_PATH

    find_external_ip, protocol = net_util.get_external_ip, HTTP_PROTOCOLS["auto"]
    net_util.get_external_ip, HTTP_PROTOCOLS["auto"] = lambda: None, PROTOCOL_PATH
    try:
        yield
    finally:
        net_util.get_external_ip, HTTP_PROTOCOLS["auto"] = find_external_ip, protocol


class ProcessState(Generic[T]):
    """Holds the object that this process serves; Streamlit reruns its scripts without arguments, so they read it here.

    Args:
        missing_message: The error where nothing was set, as when the page was started by hand.
        hint: How to start the page.
    """

    def __init__(self, missing_message: str, hint: str) -> None:
        self._missing_message, self._hint = missing_message, hint
        self._values: list[T] = []

    def set(self, value: T | None) -> None:
        """Sets the object.

        Args:
            value: The object to serve; None for nothing.
        """
        self._values[:] = [] if value is None else [value]

    def get(self) -> T:
        """Returns the object.

        Returns:
            What `set` was last given.

        Raises:
            DataError: Nothing was set.
        """
        if not self._values:
            raise DataError(self._missing_message, hint=self._hint)
        return self._values[0]

"""Options of commands that listen at an address, and how their page is reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from maskfit.apps.streamlit_server import LOOPBACK_HOSTS
from maskfit.cli.console import err, out

DEFAULT_HOST = LOOPBACK_HOSTS[0]
DEFAULT_PORT = 8501

HostOption = Annotated[str, typer.Option(help="Address to listen at; 127.0.0.1 is reachable from this machine only.")]
PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the page in this machine's browser.")]


def print_url(url: str, host: str, port: int, warning: str, closing: Sequence[str]) -> None:
    """Prints the URL on standard output, and how to reach it from another machine.

    Args:
        url: The URL with its access token.
        host: Address the page listens at.
        port: Port it listens at.
        warning: What anybody who reaches a public host can do.
        closing: Further lines for the user.
    """
    if host not in LOOPBACK_HOSTS:
        err.print(f"anybody who reaches {host} and knows the URL {warning}", style="yellow")
    out.print(url, soft_wrap=True)
    remote_host = "localhost" if host in LOOPBACK_HOSTS else host
    err.print(f"from another machine: ssh -L {port}:{remote_host}:{port} USER@THIS_MACHINE")
    for line in closing:
        err.print(line)

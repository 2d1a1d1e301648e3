"""Options of every verb that listens at an address, and words of those that serve a page: how it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from maskfit.apps.streamlit_server import LOOPBACK_HOSTS
from maskfit.cli.console import err, out

HERE = LOOPBACK_HOSTS[0]
PORT = 8501

Host = Annotated[str, typer.Option(help="The address to listen at; only this machine reaches 127.0.0.1.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser of this machine.")]


def print_url(address: str, host: str, port: int, warning: str, closing: Sequence[str]) -> None:
    """Prints the address, on standard output, and how to reach it from another machine.

    Args:
        address: What to open, with its key.
        host: What the page listens at.
        port: The same.
        warning: What whoever reaches another host than this machine's own can do.
        closing: What else the user should know, a line each.
    """
    if host not in LOOPBACK_HOSTS:
        err.print(f"whoever reaches {host} and knows the address {warning}", style="yellow")
    out.print(address, soft_wrap=True)
    there = "localhost" if host in LOOPBACK_HOSTS else host
    err.print(f"from another machine: ssh -L {port}:{there}:{port} USER@THIS_MACHINE")
    for line in closing:
        err.print(line)

"""Access to the Hugging Face hub without its logs and without its retries where it cannot be reached."""

from __future__ import annotations

import logging
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from maskfit.verbosity import is_verbose


@contextmanager
def hub_access() -> Iterator[str]:
    """Lets timm download weights, from the local cache alone where the hub's name is not known on this network.

    huggingface_hub (seen with 2.4.0) tries each of two files six times, which takes 45 s and prints 22 lines.

    Yields:
        Why the hub cannot be reached; an empty text where nothing speaks against it.
    """
    from huggingface_hub import constants

    logger = logging.getLogger("huggingface_hub")
    level, offline = logger.level, constants.HF_HUB_OFFLINE
    host = urlsplit(constants.ENDPOINT).hostname or ""
    reason = "" if offline else _find_obstacle(host)
    try:
        if not is_verbose():
            logger.setLevel(logging.ERROR)
        constants.HF_HUB_OFFLINE = offline or bool(reason)
        yield reason
    finally:
        logger.setLevel(level)
        constants.HF_HUB_OFFLINE = offline


def _find_obstacle(host: str) -> str:
    """Why a host cannot be reached; a proxy may know names that this machine does not."""
    if urllib.request.getproxies():
        return ""
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        return f"the name {host} cannot be resolved ({error.strerror or error})"
    return ""

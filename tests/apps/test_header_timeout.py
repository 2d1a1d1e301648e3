"""Tests of the time limit for request headers, with a real server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from maskfit.apps.header_timeout import PROTOCOL_PATH, HeaderTimeoutProtocol

SECONDS = 0.5
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer_slowly(scope: Any, receive: Any, send: Any) -> None:
    """Takes longer than the headers may."""
    await asyncio.sleep(2 * SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(HeaderTimeoutProtocol, "header_seconds", SECONDS)
    config = uvicorn.Config(
        answer_slowly, port=0, http=HeaderTimeoutProtocol, lifespan="off", log_config=None, timeout_keep_alive=30
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\n", REQUEST[:-2] + b"X-Slow: "])
def test_headers_without_end_are_closed(port, start):
    with connect(port) as client:
        client.sendall(start)
        assert client.recv(100) == b""


def test_dribbling_headers_do_not_prolong_the_time(port):
    begin = time.monotonic()
    with connect(port) as client:
        client.sendall(REQUEST[:-2])
        client.settimeout(0.05)
        while time.monotonic() - begin < 40 * SECONDS:
            try:
                client.sendall(b"X-Slow: 1\r\n")
                if client.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert time.monotonic() - begin < 40 * SECONDS


def test_responses_and_kept_connections_take_their_time(port):
    with connect(port) as client:
        for _ in range(2):
            client.sendall(REQUEST)
            received = b""
            while not received.endswith(b"ok"):
                received += client.recv(1000)
            assert received.startswith(b"HTTP/1.1 200")
            time.sleep(2 * SECONDS)
        # The next request on the kept connection has a limit of its own.
        client.sendall(REQUEST[:10])
        assert client.recv(100) == b""


def test_uvicorn_finds_the_protocol_by_its_path():
    from uvicorn.importer import import_from_string

    assert import_from_string(PROTOCOL_PATH) is HeaderTimeoutProtocol

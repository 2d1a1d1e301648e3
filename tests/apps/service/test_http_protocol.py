"""Tests of the service's HTTP connections, with a real server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from maskfit.apps.service.http_protocol import ServiceProtocol, _Transport
from maskfit.apps.service.server import _Server

BODY_BYTES = 20_000_000
"""Larger than the buffers of a connection, so that a client that sends it notices whether it is read."""


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answers without reading the body."""
    headers = [(b"content-length", b"2"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


async def read(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, then answers."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], uvicorn.Server]]:
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def make(app: Any) -> uvicorn.Server:
        config = uvicorn.Config(app, port=0, http=ServiceProtocol, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        servers.append((server, thread))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        return server

    yield make
    for server, thread in servers:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def connect(server: uvicorn.Server) -> socket.socket:
    port = server.servers[0].sockets[0].getsockname()[1]
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def send_without_end(client: socket.socket) -> None:
    for _ in range(2000):
        client.sendall(b"1\r\nx\r\n")
        time.sleep(0.01)


def receive_all(client: socket.socket) -> bytes:
    received = b""
    while part := client.recv(65536):
        received += part
    return received


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_client_that_is_refused_while_it_sends_receives_the_response(start, version):
    with connect(start(refuse)) as client:
        client.sendall(f"POST / HTTP/{version}\r\nHost: x\r\nContent-Length: {BODY_BYTES}\r\n\r\n".encode())
        client.sendall(bytes(BODY_BYTES))
        assert receive_all(client).endswith(b"no")


def test_bytes_that_are_no_http_are_answered(start):
    with connect(start(read)) as client:
        client.sendall(b"\x16\x03\x01" + bytes(1_000_000))
        assert receive_all(client).startswith(b"HTTP/1.1 400")


def test_a_client_that_sends_without_end_is_closed(start, monkeypatch):
    monkeypatch.setattr(ServiceProtocol, "linger_seconds", 0.2)
    with connect(start(refuse)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert receive_all(client).endswith(b"no")
        with pytest.raises(ConnectionError):
            send_without_end(client)


def test_a_complete_request_is_closed_at_once(start, monkeypatch):
    monkeypatch.setattr(ServiceProtocol, "linger_seconds", 3600)
    server = start(read)
    with connect(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
        assert receive_all(client).endswith(b"ok")
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        # An idle connection does not keep the server from stopping.
        server.should_exit = True
        assert receive_all(client).endswith(b"ok")


def test_a_request_that_begins_during_a_shutdown_is_answered(start, monkeypatch):
    monkeypatch.setattr(ServiceProtocol, "idle_seconds", 20)
    server = start(read)
    with connect(server) as client:
        time.sleep(0.1)
        server.should_exit = True
        time.sleep(0.3)
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n")
        time.sleep(0.1)
        client.sendall(b"abc")
        assert receive_all(client).endswith(b"ok")


def test_a_connection_that_waits_to_be_accepted_is_served():
    async def end_while_a_client_waits() -> bytes:
        config = uvicorn.Config(read, port=0, http=ServiceProtocol, lifespan="off", log_config=None)
        config.load()
        server = _Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        with connect(server) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
            # The event loop has not run since, so the server has not accepted the connection.
            await server.shutdown()
            return receive_all(client)

    assert asyncio.run(end_while_a_client_waits()).endswith(b"ok")


class Recorder:
    """A transport that records what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.sent.append(b"closed")

    def is_closing(self) -> bool:
        return self.sent[-1:] == [b"closed"]


def test_what_is_written_at_once_is_sent_together_and_before_the_end():
    async def write() -> list[bytes]:
        own = Recorder()
        transport = _Transport(own, Recorder.close)
        for part in (b"headers ", b"", b"body"):
            transport.write(part)
        assert own.sent == []
        await asyncio.sleep(0)
        assert own.sent == [b"headers body"]
        transport.write(b"next")
        transport.close()
        transport.write(b"dropped")
        await asyncio.sleep(0)
        return own.sent

    assert asyncio.run(write()) == [b"headers body", b"next", b"closed"]

"""`maskfit serve` as a process: it starts without torch, predicts, and stops on SIGTERM."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from typing import Any

import pytest

from maskfit.apps.service import server

from .asgi_client import as_form

COMMAND = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm", "lightning", "onnx", "streamlit", "cv2"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Blocker())
from maskfit.cli import main
main()
"""


class Process:
    """The command, listening."""

    def __init__(self, *words: object) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {name: text for name, text in os.environ.items() if not name.startswith("MASKFIT_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", *map(str, words), "--portraits", "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.wait_until_ready()

    def ask(self, verb: str, path: str, body: bytes | None = None, headers: Any = None) -> tuple[int, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            link.request(verb, path, body, headers or {})
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()

    def wait_until_ready(self) -> None:
        for _ in range(1200):
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
            assert self.process.poll() is None, self.process.communicate()
        raise AssertionError("it does not get ready")

    def end(self) -> tuple[int, str]:
        """Returns the exit code and standard error."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def receive_all(link: socket.socket) -> bytes:
    received = b""
    while part := link.recv(65536):
        received += part
    return received


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def make(*words: object) -> Process:
        processes.append(Process(*words))
        return processes[-1]

    yield make
    for item in processes:
        item.process.kill()
        item.process.wait()


def test_sigterm_completes_running_requests_and_exits_with_0(start, model, photo):
    service = start(model, "--max-body", 0.1)
    content, headers = as_form(photo(0))
    assert service.ask("POST", "/v1/predict", content, headers)[0] == 200
    # A client of plain sockets hears a refusal although it goes on sending.
    assert service.ask("POST", "/v1/predict", b"x" * 5_000_000, headers)[0] == 413
    with socket.create_connection(("127.0.0.1", service.port)) as link:
        head = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        link.sendall(f"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n{head}\r\n".encode())
        link.sendall(content[:100])
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(ConnectionError):
            service.ask("GET", "/healthz")
        link.sendall(content[100:])
        assert link.recv(65536).startswith(b"HTTP/1.1 200")
    code, errors = service.end()
    assert code == 0, errors
    assert "POST /v1/predict 200" in errors
    assert "secret-name" not in errors
    assert "Traceback" not in errors


def test_sigterm_resets_no_connection(start, model, photo):
    service = start(model, "--stop-seconds", 2)
    content, headers = as_form(photo(0))
    lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
    head = f"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n{lines}\r\n".encode()
    with ExitStack() as stack:
        fresh, begun, endless = (
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20)) for _ in range(3)
        )
        begun.sendall(head[:20])
        endless.sendall(head + content[:50])
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        # Sent before the connection is closed, as by a client that has not noticed the shutdown.
        fresh.sendall(head + content)
        time.sleep(1)
        begun.sendall(head[20:] + content)
        for link in (fresh, begun):
            response = receive_all(link)
            assert response.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in response.lower()
        response = receive_all(endless)
        assert response.startswith(b"HTTP/1.1 503")
        assert b"connection: close" in response.lower()
        # What it goes on sending is discarded.
        endless.sendall(content[50:])
    code, errors = service.end()
    assert (code, "Traceback" in errors) == (0, False), errors


@pytest.mark.slow
def test_workers_share_the_port_and_the_metrics(start, model, photo):
    service = start(model, "--workers", 2)
    content, headers = as_form(photo(0))
    assert [service.ask("POST", "/v1/predict", content, headers)[0] for _ in range(10)] == [200] * 10
    assert b'maskfit_photos_total{outcome="answered"} 10.0' in service.ask("GET", "/metrics")[1]
    with socket.create_connection(("127.0.0.1", service.port)) as link:
        link.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        time.sleep(0.3)
        service.process.send_signal(signal.SIGTERM)
        # While a worker waits for this body, nobody listens: neither the workers nor their parent.
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", service.port)).close()
            except ConnectionRefusedError:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("it goes on listening")
        link.sendall(b"no-photos")
        assert link.recv(65536).startswith(b"HTTP/1.1 415")
    code, errors = service.end()
    assert (code, "Traceback" in errors) == (0, False), errors


class _EndedError(Exception):
    pass


def _end(number: int, frame: object) -> None:
    raise _EndedError


@pytest.mark.parametrize("stopping", [False, True])
def test_sigterm_is_ignored_only_after_the_shutdown(make_settings, monkeypatch, stopping):
    """uvicorn raises the signal once more at its end; one that comes before uvicorn handles it must not be lost."""
    begun = []

    def run(self):
        begun.append(1)
        self.started = True
        if stopping:
            services[0].deadlines.stop()
        signal.raise_signal(signal.SIGTERM)

    services = []
    monkeypatch.setattr(server._Server, "run", run)
    previous = signal.signal(signal.SIGTERM, _end)
    try:
        with nullcontext() if stopping else pytest.raises(_EndedError):
            server.serve(make_settings(), "127.0.0.1", 0, services.append)
        assert signal.getsignal(signal.SIGTERM) is _end
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert begun == [1]

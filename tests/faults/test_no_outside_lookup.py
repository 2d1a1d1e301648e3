"""Tests that no command looks a name outside up or connects to another machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.conftest import TINY, write_photo
from tests.faults.processes import started, wait_until

from maskfit.model_file import bundled_model_path

GUARD = """
import os, socket
log, local = os.environ["GUARD_LOG"], {None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", socket.gethostname()}
def note(*words):
    with open(log, "a") as stream:
        print(*words, file=stream)
def guard(name):
    real = getattr(socket, name)
    def look_up(host, *rest, **options):
        if (host.decode() if isinstance(host, bytes) else host) not in local:
            note(name, host)
            raise OSError("no name is looked up in this test")
        return real(host, *rest, **options)
    setattr(socket, name, look_up)
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    guard(name)
class Guarded(socket.socket):
    def connect(self, address):
        # Connecting a datagram socket sends nothing: it asks the system which address it would use.
        if self.type == socket.SOCK_STREAM and isinstance(address, tuple) and address[0] not in local:
            note("connect", address)
            raise OSError("no connection is made in this test")
        return super().connect(address)
socket.socket = Guarded
"""


@pytest.fixture
def outside(tmp_path: Path) -> Callable[[], str]:
    """What a guarded process asked for."""
    log = tmp_path / "outside.log"
    log.touch()
    return log.read_text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def request(port: int, *lines: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall("\r\n".join([*lines, f"Host: 127.0.0.1:{port}", "", ""]).encode())
        return client.recv(1000).decode(errors="replace").partition("\r\n")[0]


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_the_guard_sees_a_lookup(tmp_path, outside):
    before = GUARD + "\ntry: socket.create_connection(('example.invalid', 80))\nexcept OSError: pass"
    with started("--version", cwd=tmp_path, before=before, GUARD_LOG=str(tmp_path / "outside.log")) as process:
        assert process.wait(60) == 0
    assert outside() == "getaddrinfo example.invalid\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("verb", ["app", "review"])
def test_pages(tmp_path, faces, outside, verb, host):
    port = free_port()
    arguments = ("app", bundled_model_path()) if verb == "app" else ("review", faces)
    options = ("--host", host, "--port", port)
    log = str(tmp_path / "outside.log")
    with started(*arguments, *options, cwd=tmp_path, before=GUARD, GUARD_LOG=log) as process:
        assert wait_until(lambda: is_open(port) or process.poll() is not None, 60)
        assert process.poll() is None, process.communicate()[1]
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        status = request(port, "GET /_stcore/stream HTTP/1.1", *upgrade, key, "Origin: http://elsewhere.example")
        assert " 403" in status
        assert " 200" in request(port, "GET / HTTP/1.1", "Connection: close")
        time.sleep(0.2)
    assert outside() == ""


def test_service(tmp_path, outside):
    port = free_port()
    log = str(tmp_path / "outside.log")
    with started("serve", bundled_model_path(), "--port", port, cwd=tmp_path, before=GUARD, GUARD_LOG=log) as process:
        assert wait_until(lambda: is_open(port) or process.poll() is not None, 60)
        assert process.poll() is None, process.communicate()[1]
        assert " 200" in request(port, "GET /v1/model HTTP/1.1", "Origin: http://elsewhere.example")
    assert outside() == ""


@pytest.mark.parametrize(
    "verb", ["predict", pytest.param("train", marks=pytest.mark.slow), pytest.param("tune", marks=pytest.mark.slow)]
)
def test_commands(tmp_path, faces, outside, verb):
    (tmp_path / "space.yaml").write_text("optimizer.lr: {low: 1e-4, high: 1e-3}\n")
    training = ("fast", f"data.path={faces}", *TINY, "trainer.epochs=1")
    arguments = {
        "predict": ("predict", write_photo(tmp_path / "photo.jpg")),
        "train": ("train", *training),
        "tune": ("tune", *training, "--space", "space.yaml", "--trials", 1, "--out", "sweep"),
    }[verb]
    log = str(tmp_path / "outside.log")
    with started(*arguments, cwd=tmp_path, before=GUARD, GUARD_LOG=log) as process:
        _, text = process.communicate(timeout=240)
        assert process.returncode == 0, text
    assert outside() == ""

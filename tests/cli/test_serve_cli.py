"""`maskfit serve` before it listens: settings and errors."""

from __future__ import annotations

import importlib.util
import inspect
import socket
from types import SimpleNamespace

import pytest

from maskfit.apps.service.settings import Limits, ServiceSettings
from maskfit.cli.serve import MB, _print_started, serve


def test_missing_extra_is_named(command, monkeypatch):
    plain = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "fastapi" else plain(name, *rest)
    )
    result = command("serve", "model.onnx")
    assert result.code == 2
    assert "pip install 'maskfit[serve]'" in result.err


def test_errors_are_raised_before_listening(command):
    result = command("serve", "nowhere.onnx", "--port", 18999)
    assert (result.code, result.out) == (2, "")
    assert "there is no such model" in result.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = command("serve", "nowhere.onnx", "--port", taken.getsockname()[1])
    assert (result.code, "cannot be used" in result.err) == (2, True)


def test_options_reach_the_service(command, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("maskfit.apps.service.server.serve", lambda *args: calls.append(args))
    command(
        "serve", "a.onnx", "b.onnx", "--port", 18999, "--max-photo", 2, "--batch-wait", 7, "--portraits", "--workers", 3
    )
    ((settings, host, port, *_),) = calls
    assert (host, port, settings.models) == ("127.0.0.1", 18999, ("a.onnx", "b.onnx"))
    assert (settings.limits.photo_bytes, settings.batch_wait, settings.faces, settings.workers) == (
        2_000_000,
        0.007,
        False,
        3,
    )


def test_a_detector_can_be_named_but_not_for_portraits(command, monkeypatch):
    calls = []
    monkeypatch.setattr("maskfit.apps.service.server.serve", lambda *args: calls.append(args))
    command("serve", "a.onnx", "--port", 18999, "--detector", "yunet:side=640")
    assert calls[0][0].detector == "yunet:side=640"
    result = command("serve", "a.onnx", "--port", 18999, "--detector", "yunet", "--portraits")
    assert (result.code, "--detector is of no use with --portraits" in result.err, len(calls)) == (2, True, 1)


def test_bundled_model_is_the_default(command, bundled_model, monkeypatch):
    calls = []
    monkeypatch.setattr("maskfit.apps.service.server.serve", lambda *args: calls.append(args))
    result = command("serve", "--port", 18999)
    assert calls[0][0].models == (str(bundled_model),)
    assert "no model named" in result.err


def test_defaults_match_the_settings():
    defaults = {name: item.default for name, item in inspect.signature(serve).parameters.items()}
    limits, settings = Limits(), ServiceSettings(models=("a",))
    assert (defaults["max_body"] * MB, defaults["max_photo"] * MB) == (limits.body_bytes, limits.photo_bytes)
    assert defaults["max_pixels"] * MB == limits.photo_pixels
    assert (defaults["max_photos"], defaults["max_faces"], defaults["queue"]) == (
        limits.photos,
        limits.faces,
        limits.queue,
    )
    assert defaults["min_face"] == limits.min_face
    assert (defaults["max_seconds"], defaults["batch_wait"] / 1000) == (limits.seconds, settings.batch_wait)
    for name in ("batch_size", "stop_seconds", "workers", "engine", "faces", "detector"):
        assert defaults[name] == getattr(settings, name)
    assert (defaults["top_k"], defaults["tta"], defaults["combine"]) == (settings.top, settings.views, settings.vote)


@pytest.mark.parametrize(
    ("host", "requires_token", "warned"),
    [("0.0.0.0", False, True), ("0.0.0.0", True, False), ("127.0.0.1", False, False)],
)
def test_public_host_without_token_warns(capsys, host, requires_token, warned):
    runner = SimpleNamespace(low_precision_error=None)
    predictor = SimpleNamespace(
        members=[SimpleNamespace(name="a.onnx")],
        schema=SimpleNamespace(names=("mask",)),
        decision_weights={},
        runner=runner,
    )
    settings = SimpleNamespace(workers=1, threads=2, engine="onnx")
    service = SimpleNamespace(
        requires_token=requires_token, predictor=predictor, settings=settings, detector_note="another detector"
    )
    _print_started(service, host, 8000, False)
    captured = capsys.readouterr()
    assert "another detector\n" in captured.err
    assert ("anybody who reaches" in captured.err) is warned
    assert captured.out == f"http://{host}:8000/v1/predict\n"

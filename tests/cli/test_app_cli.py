"""`maskfit app` as a user types it; the pages themselves are tested in tests/apps."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

import maskfit.apps.webapp.app_state
from maskfit.apps.webapp.app_state import AppState
from maskfit.data.crops.face import FaceCrop
from maskfit.errors import DataError


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[AppState]:
    """The app states that would have been served."""
    pytest.importorskip("streamlit")
    states: list[AppState] = []
    monkeypatch.setattr(maskfit.apps.webapp.app_state, "serve", lambda state, *args: states.append(state))
    return states


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def test_url_is_printed_with_its_token(command, model, served, port, painted):
    result = command("app", model, "--port", port)
    assert result.code == 0, result.err
    (state,) = served
    assert result.out.strip() == f"http://localhost:{port}/?key={state.access_token}"
    assert f"ssh -L {port}:localhost:{port}" in result.err
    assert f"{model}: a model of mask, gender, age" in result.err
    assert not state.tabs.has_photos


def test_without_a_detector_whole_photos_are_predicted(command, model, served, port, monkeypatch):
    monkeypatch.setattr(FaceCrop, "pinned", _no_weights)
    result = command("app", model, "--port", port)
    assert result.code == 0, result.err
    assert "each photo is taken as one face" in result.err
    assert "no weights here" in result.err
    assert len(served) == 1


def _no_weights(crop: FaceCrop) -> None:
    raise DataError("there are no weights here")


def test_run_option_loads_the_models_of_the_run(command, run_dir, served, port, painted):
    result = command("app", "--run", run_dir, "--port", port)
    assert result.code == 0, result.err
    assert list(served[0].models) == [str(run_dir)]
    assert served[0].tabs.run == run_dir


def test_only_run_is_the_default(command, run_dir, served, port, painted):
    Path("runs").mkdir()
    run_dir.rename(Path("runs") / "mine")
    result = command("app", "--port", port)
    assert result.code == 0, result.err
    assert list(served[0].models) == ["runs/mine"]


def test_bundled_model_is_the_default(command, bundled_model, served, port, painted):
    result = command("app", "--port", port)
    assert result.code == 0, result.err
    assert list(served[0].models) == [str(bundled_model)]
    assert "no model named" in result.err


def test_several_runs_need_a_choice(command, bundled_model, run_dir, served, port, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(run_dir, Path("runs") / name)
    result = command("app", "--port", port)
    assert result.code == 2
    assert "there are several: runs/first, runs/second" in result.err
    assert not served
    (tmp_path / "photos").mkdir()
    result = command("app", "--photos", tmp_path / "photos", "--port", port)  # photos need no model
    assert result.code == 0, result.err
    assert served[0].models == {}
    assert "showing only the photos" in result.err


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("nothing.onnx",), "nothing.onnx"),
        (("--run", "here"), "is not a run"),
        (("--schema", "msk"), "did you mean 'mask'"),
        (("--engine", "torhc"), "torch"),
    ],
)
def test_errors_are_raised_before_the_page_opens(command, model, served, port, args, problem):
    result = command("app", *(() if args[0] == "nothing.onnx" else (model,)), *args, "--port", port)
    assert result.code == 2
    assert problem in result.err
    assert not served


def test_occupied_port_is_an_error(command, model, served):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = command("app", model, "--port", other.getsockname()[1])
    assert result.code == 2
    assert "cannot be used" in result.err

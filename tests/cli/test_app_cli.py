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
    """The studios that would have been served."""
    pytest.importorskip("streamlit")
    studios: list[AppState] = []
    monkeypatch.setattr(maskfit.apps.webapp.app_state, "serve", lambda studio, *words: studios.append(studio))
    return studios


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def test_the_address_is_printed_with_its_key(command, model, served, port, painted):
    said = command("app", model, "--port", port)
    assert said.code == 0, said.err
    (studio,) = served
    assert said.out.strip() == f"http://localhost:{port}/?key={studio.access_token}"
    assert f"ssh -L {port}:localhost:{port}" in said.err
    assert f"{model}: a model of mask, gender, age" in said.err
    assert not studio.tabs.has_photos


def test_without_a_detector_whole_photos_are_read_all_the_same(command, model, served, port, monkeypatch):
    monkeypatch.setattr(FaceCrop, "pinned", _no_weights)
    said = command("app", model, "--port", port)
    assert said.code == 0, said.err
    assert "each photo is taken as one face" in said.err
    assert "no weights here" in said.err
    assert len(served) == 1


def _no_weights(crop: FaceCrop) -> None:
    raise DataError("there are no weights here")


def test_a_run_answers_for_itself(command, run_folder, served, port, painted):
    said = command("app", "--run", run_folder, "--port", port)
    assert said.code == 0, said.err
    assert list(served[0].models) == [str(run_folder)]
    assert served[0].tabs.run == run_folder


def test_the_only_run_here_is_taken(command, run_folder, served, port, painted):
    Path("runs").mkdir()
    run_folder.rename(Path("runs") / "mine")
    said = command("app", "--port", port)
    assert said.code == 0, said.err
    assert list(served[0].models) == ["runs/mine"]


def test_without_a_model_or_a_run_the_one_in_the_box_answers(command, box, served, port, painted):
    said = command("app", "--port", port)
    assert said.code == 0, said.err
    assert list(served[0].models) == [str(box)]
    assert "no model named" in said.err


def test_of_several_runs_one_must_be_named(command, box, run_folder, served, port, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(run_folder, Path("runs") / name)
    said = command("app", "--port", port)
    assert said.code == 2
    assert "there are several: runs/first, runs/second" in said.err
    assert not served
    (tmp_path / "photos").mkdir()
    said = command("app", "--photos", tmp_path / "photos", "--port", port)  # these can be looked at all the same
    assert said.code == 0, said.err
    assert served[0].models == {}
    assert "showing only the photos" in said.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("nothing.onnx",), "nothing.onnx"),
        (("--run", "here"), "is not a run"),
        (("--schema", "msk"), "did you mean 'mask'"),
        (("--engine", "torhc"), "torch"),
    ],
)
def test_mistakes_are_said_before_a_page_opens(command, model, served, port, words, problem):
    said = command("app", *(() if words[0] == "nothing.onnx" else (model,)), *words, "--port", port)
    assert said.code == 2
    assert problem in said.err
    assert not served


def test_a_taken_port_is_said(command, model, served):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        said = command("app", model, "--port", other.getsockname()[1])
    assert said.code == 2
    assert "cannot be used" in said.err

"""Names that visitors see in place of the server's paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskfit.apps.webapp.model_names import hide_paths, public_names
from maskfit.inference.input_resolution import bundled_model_path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "first"
    path.mkdir(parents=True)
    (path / "recipe.yaml").write_text("name: made\n")
    return path


def test_a_model_is_named_by_its_file_or_by_its_run(run, tmp_path):
    paths = {
        str(run): "first",
        str(run / "fold0"): "first/fold0",
        str(run / "fold0" / "best.safetensors"): "first/fold0/best.safetensors",
        "/srv/secret/door.onnx": "door.onnx",
        "door.onnx": "door.onnx (2)",
        str(bundled_model_path()): "bundled model",
    }
    assert public_names(paths) == paths


def test_the_current_folder_has_a_name(run, monkeypatch):
    monkeypatch.chdir(run)
    assert public_names([".", "fold0"]) == {".": "first", "fold0": "first/fold0"}


def test_messages_contain_names_in_place_of_paths(run, monkeypatch):
    monkeypatch.chdir(run.parents[1])
    names = public_names(["runs/first", "runs/first/fold1", "/srv/door.onnx"])
    text = f"runs/first/fold1 and {run}/fold1 differ from /srv/door.onnx, not from /srv/door.onnx2; see 'runs/first'"
    assert hide_paths(text, names) == (
        "first/fold1 and first/fold1 differ from door.onnx, not from /srv/door.onnx2; see 'first'"
    )
    assert hide_paths(text, {}) == text

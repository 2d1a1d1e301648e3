"""Detectors as users name them: by name, by file, by environment variable."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.data.crops.face import default_detector
from maskfit.errors import DataError, RecipeError
from maskfit.inference.detector_choice import parse_detector
from maskfit.pretrained_weights import DETECTOR_CACHE

from ..detector_networks import FACE, INPUTS

PHOTO = np.full((64, 64, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache; returns it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(DETECTOR_CACHE.env_var, raising=False)
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", list(INPUTS))
def test_a_file_is_recognized_and_runs_where_it_is(detector_file, cache, kind):
    path = detector_file(kind, "what ever.onnx")
    crop = parse_detector(str(path))
    assert crop.detector_name == kind
    (face,) = crop.detect_faces(PHOTO)
    assert face.box == pytest.approx(FACE if kind != "ultra_light" else (6, 16, 38, 48), abs=2)
    assert not cache.exists()
    pinned = crop.pinned()
    assert pinned["weights"] == "what ever.onnx"
    assert len(pinned["sha256"]) == 64


@pytest.mark.parametrize("text", ["yunet:weights=FILE", "yunet:weights=FILE,side=640", "FILE:side=640", "FILE"])
def test_ways_to_name_a_file(detector_file, text):
    path = detector_file("yunet")
    crop = parse_detector(text.replace("FILE", str(path)))
    assert crop.detector == ({"name": "yunet", "side": 640} if "side" in text else "yunet")
    assert len(crop.detect_faces(PHOTO)) == 1


def test_a_file_without_a_suffix_and_one_beside_the_name(detector_file, monkeypatch, tmp_path):
    path = detector_file("yunet", "yunet_weights")
    assert parse_detector(str(path)).detector_name == "yunet"
    monkeypatch.chdir(tmp_path)
    assert parse_detector("yunet_weights").detector_name == "yunet"
    assert parse_detector("yunet:side=640", path).detector == {"name": "yunet", "side": 640}
    assert parse_detector(None, path).detector_name == "yunet"


def test_the_environment_variable_names_a_folder_or_a_file(detector_file, monkeypatch, tmp_path, no_packaged_detector):
    path = detector_file("centerface", "mine.onnx")
    monkeypatch.setenv(DETECTOR_CACHE.env_var, str(path))
    crop = default_detector()
    assert crop is not None
    assert crop.detector_name == "centerface"
    assert len(crop.detect_faces(PHOTO)) == 1
    # In a folder, weights are found by their published name.
    (tmp_path / "yunet_n_dynamic.onnx").write_bytes(b"")
    monkeypatch.setenv(DETECTOR_CACHE.env_var, str(tmp_path))
    crop = default_detector()
    assert crop is not None
    assert crop.detector_name == "yunet"
    monkeypatch.setenv(DETECTOR_CACHE.env_var, str(tmp_path / "yunet_n_dynamic.onnx"))
    with pytest.raises(DataError, match="not an ONNX network"):
        default_detector()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("absent.onnx", "does not exist"),
        ("FOLDER/absent", "does not exist"),
        ("FOLDER/", "is a folder"),
        ("FOLDER/notes.onnx", "not an ONNX network"),
        ("yunet:weights=absent.onnx", "does not exist"),
        ("yunet:weights=CENTERFACE", "belongs to the detector 'centerface', not to 'yunet'"),
    ],
)
def test_wrong_files_are_refused(detector_file, tmp_path, text, message):
    (tmp_path / "notes.onnx").write_text("hello")
    text = text.replace("FOLDER", str(tmp_path)).replace("CENTERFACE", str(detector_file("centerface")))
    with pytest.raises(DataError, match=message) as caught:
        parse_detector(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yunett", "did you mean 'yunet'"),
        ("yunet:sides=640", "did you mean 'side'"),
        ("yunet:", "not a name with options"),
        ("mtcnn:weights=a.onnx", "includes its weights"),
    ],
)
def test_wrong_names_are_refused_and_say_how_to_name_one(text, message):
    with pytest.raises(RecipeError, match=message) as caught:
        parse_detector(text)
    if "yunet" in text and text != "yunet:":
        assert "FILE.onnx" in str(caught.value.hint)
        assert "maskfit detectors" in str(caught.value.hint)

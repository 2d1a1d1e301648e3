"""Every face of a photo is answered for, as a photo of that face alone would have been."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.calibration import Calibration
from maskfit.data.detectors import Face
from maskfit.errors import DataError, PhotoError
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.registry import ComponentSpec

from .conftest import make_model

SMALL, LARGE = (10, 20, 50, 70), (80, 10, 180, 130)


@pytest.fixture
def photo(painted, paint):
    return paint(160, 220, SMALL, LARGE)


@pytest.fixture
def predictor(tmp_path: Path, painted) -> Predictor:
    return Predictor.load(make_model(tmp_path / "face.safetensors", crop=ComponentSpec.create("face", top=0.1)))


def test_every_face_is_found_the_largest_first(predictor, photo):
    reading = FacePredictor(predictor).predict_one(photo)
    assert (reading.width, reading.height, reading.num_faces) == (220, 160, 2)
    assert [answer.box for answer in reading.faces] == [LARGE, SMALL]


def test_a_face_is_answered_as_a_photo_of_it_alone(predictor, photo, paint):
    reading = FacePredictor(predictor).predict_one(photo)
    for answer, box in zip(reading.faces, (LARGE, SMALL), strict=True):
        sight = predictor.preprocess(photo, Face(box, 1.0))
        np.testing.assert_allclose(answer.probabilities, predictor.forward([sight])[0], atol=1e-6)
    # The largest is what the model's own crop takes, so the plain way must say the same.
    np.testing.assert_allclose(
        reading.faces[0].probabilities, predictor.predict([photo]).table.probabilities[0], atol=1e-6
    )


def test_a_photo_without_a_face_is_taken_whole_unless_that_is_not_wanted(predictor, paint):
    empty = paint(90, 120)
    reading = FacePredictor(predictor).predict_one(empty)
    (answer,) = reading.faces
    assert (reading.num_faces, answer.box) == (0, None)
    np.testing.assert_allclose(answer.probabilities, predictor.predict([empty]).table.probabilities[0], atol=1e-6)
    assert FacePredictor(predictor, predict_whole_image=False).predict_one(empty).faces == ()


def test_a_photo_without_a_face_is_not_sure_and_other_whole_photos_are_as_they_were(predictor, photo, paint):
    empty = paint(90, 120)
    together = FacePredictor(predictor).predict([photo, empty])
    assert [reading.is_without_face for reading in together] == [False, True]
    assert [[item.is_confident for item in face.attributes] for face in together[0].faces] == [[True] * 3] * 2
    unsure = together[1].faces[0]
    for options in ({}, {"is_detector_missing": True}):
        whole = FacePredictor(predictor, detect=False, **options).predict_one(empty)
        assert not whole.is_without_face
        for own, item in zip(unsure.attributes, whole.faces[0].attributes, strict=True):
            assert (own.is_confident, item.is_confident) == (False, True)
            assert (own.value, own.probability) == (item.value, pytest.approx(item.probability))
    said = together[1].to_dict()["faces"][0]["mask"]
    assert (said["answer"], said["sure"], said["value"]) == ("not sure", False, unsure["mask"].value)


def test_faces_need_not_be_looked_for(predictor, photo, painted):
    (answer,) = FacePredictor(predictor, detect=False).predict_one(photo).faces
    assert answer.box is None


def test_a_model_without_a_face_crop_gets_portraits(tmp_path, photo):
    predictor = Predictor.load(make_model(tmp_path / "centre.safetensors"))
    reading = FacePredictor(predictor).predict_one(photo)
    assert [answer.box for answer in reading.faces] == [LARGE, SMALL]
    assert not np.allclose(reading.faces[0].probabilities, reading.faces[1].probabilities)


def test_faces_of_many_photos_share_batches_and_keep_their_places(predictor, photo, paint):
    reader = FacePredictor(predictor)
    photos = [photo, paint(90, 120), paint(100, 100, (5, 5, 60, 60)), photo]
    predictor.batch_size = 2
    together = reader.predict_batch([reader.preprocess(item) for item in photos])
    for reading, item in zip(together, photos, strict=True):
        alone = reader.predict_one(item)
        assert [answer.box for answer in reading.faces] == [answer.box for answer in alone.faces]
        for own, other in zip(reading.faces, alone.faces, strict=True):
            np.testing.assert_allclose(own.probabilities, other.probabilities, atol=1e-6)
    assert reader.predict_batch([]) == []


def test_tiny_faces_and_more_than_wanted_are_passed_over(predictor, paint):
    photo = paint(160, 220, (2, 2, 10, 12), SMALL, LARGE)
    assert FacePredictor(predictor).predict_one(photo).num_faces == 2
    assert [answer.box for answer in FacePredictor(predictor, max_faces=1).predict_one(photo).faces] == [LARGE]
    assert FacePredictor(predictor).predict_one(photo).left_out == 1
    assert FacePredictor(predictor, max_faces=1).predict_one(photo).left_out == 2
    assert FacePredictor(predictor, min_face_side=1).predict_one(photo).left_out == 0
    with pytest.raises(DataError, match="at least 1 pixel, got 0"):
        FacePredictor(predictor, min_face_side=0)
    with pytest.raises(DataError, match="max_faces must be >= 1, got 0"):
        FacePredictor(predictor, max_faces=0)


def test_a_damaged_photo_is_an_error_that_says_so(predictor, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    with pytest.raises(PhotoError):
        FacePredictor(predictor).predict_one(bad)


def test_temperature_and_threshold_of_the_file_reach_the_answer(tmp_path, painted, photo):
    plain = Predictor.load(make_model(tmp_path / "plain.safetensors"))
    tempered = Predictor.load(
        make_model(
            tmp_path / "tempered.safetensors",
            calibration=Calibration(temperatures={"mask": 4.0}, abstain_below={"mask": 1.0, "gender": 0.0}),
        )
    )
    before, after = (
        FacePredictor(plain, detect=False).predict_one(photo),
        FacePredictor(tempered, detect=False).predict_one(photo),
    )
    assert after.faces[0]["mask"].probability < before.faces[0]["mask"].probability
    assert after.faces[0]["gender"].probability == pytest.approx(before.faces[0]["gender"].probability)
    assert (after.faces[0]["mask"].is_confident, after.faces[0]["gender"].is_confident) == (False, True)
    assert after.faces[0]["mask"].value == before.faces[0]["mask"].value


def test_an_attribute_of_a_face_with_too_few_pixels_is_not_sure(tmp_path, painted, photo):
    side = min(SMALL[2] - SMALL[0], SMALL[3] - SMALL[1])
    own = Calibration(min_face={"age": side + 1, "mask": side})
    predictor = Predictor.load(make_model(tmp_path / "a.safetensors", calibration=own))
    assert predictor.min_face == {"mask": side, "age": side + 1}
    large, small = FacePredictor(predictor).predict_one(photo).faces
    assert [item.is_confident for item in large.attributes] == [True, True, True]
    assert [item.is_too_small for item in small.attributes] == [False, False, True]
    assert [item.is_confident for item in small.attributes] == [True, True, False]
    whole = FacePredictor(predictor, detect=False).predict_one(photo)
    assert all(item.is_confident for item in whole.faces[0].attributes)


def test_an_answer_as_json_says_where_and_what(predictor, photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    said = FacePredictor(predictor).predict_one(path).to_dict()
    assert (said["width"], said["height"], said["found"]) == (220, 160, 2)
    first = said["faces"][0]
    assert first["box"] == list(map(float, LARGE))
    assert sum(first["age"]["probabilities"].values()) == pytest.approx(1)


def test_loading_takes_a_path_or_nothing(models, photos, painted, photo, monkeypatch):
    one = FacePredictor.load(models["attributes"], faces="whole")
    assert one.detector is None
    expected = one.predictor.predict(photos[:2]).table.probabilities
    found = one.predict([str(path) for path in photos[:2]])
    np.testing.assert_allclose([item.faces[0].probabilities for item in found], expected, atol=1e-6)
    monkeypatch.setattr("maskfit.inference.face_predictor.bundled_model_path", lambda: models["joint"])
    monkeypatch.setattr(painted, "package", "numpy", raising=False)
    for bundled in (FacePredictor.load(), FacePredictor.load(None)):
        assert [member.name for member in bundled.predictor.members] == [str(models["joint"])]
        assert bundled.predict_one(photo).num_faces == 2


def test_many_images_are_a_list(predictor, photo):
    with pytest.raises(DataError, match="a sequence of photos is needed"):
        FacePredictor(predictor).predict("photo.jpg")
    first, second = FacePredictor(predictor).predict([photo, photo[:, ::-1]])
    assert (first.num_faces, second.num_faces) == (2, 2)


def test_a_pillow_image_is_predicted_as_its_file(predictor, photo, tmp_path):
    """Of any mode, upright by its EXIF orientation, opened or made."""
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(photo).copy()).save(path, exif=exif)
    reader = FacePredictor(predictor)
    expected = reader.predict_one(path)
    assert (expected.width, expected.height) == (220, 160)
    with Image.open(path) as opened:
        for images in ([opened], [opened.convert("RGBA")]):
            (found,) = reader.predict(images)
            assert [face.box for face in found.faces] == [face.box for face in expected.faces]
            np.testing.assert_array_equal(found.faces[0].probabilities, expected.faces[0].probabilities)
        np.testing.assert_array_equal(
            predictor.predict([opened]).table.probabilities, predictor.predict([path]).table.probabilities
        )
        gray = reader.predict_one(opened.convert("L"))
        assert (gray.width, gray.height) == (220, 160)
    with pytest.raises(PhotoError, match="the image has no pixels"):
        reader.predict_one(Image.new("RGB", (0, 5)))


def test_one_image_in_place_of_a_list_is_refused(predictor, photo):
    reader = FacePredictor(predictor)
    for single in ("a.jpg", Path("a.jpg"), b"bytes", photo, Image.fromarray(photo)):
        for call in (reader.predict, predictor.predict, lambda own: next(reader.stream(own)), predictor.stream):
            with pytest.raises(DataError, match="got one photo"):
                list(call(single))


def test_an_unknown_attribute_of_a_face_names_the_known_ones(predictor, photo):
    face = FacePredictor(predictor).predict_one(photo).faces[0]
    with pytest.raises(KeyError, match="there is no attribute 'hat', only mask, gender, age"):
        face["hat"]

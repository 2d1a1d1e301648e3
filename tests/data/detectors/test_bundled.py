"""Tests of the bundled detector: decoding, sizes, and the file that ships."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from maskfit.data.detectors import bundled as bundled_module
from maskfit.data.detectors import find_local_detector
from maskfit.data.detectors.bundled import OUTPUTS, STRIDES, Bundled
from maskfit.pretrained_weights import WeightsFile, find_weights, packaged_weights

from ...detector_networks import FACE

MAX_BYTES = 1_000_000


@pytest.fixture
def planted(monkeypatch):
    """The detector with planted outputs: `plant` is called with (pass number, canvas height, width)."""

    def make(plant, **options):
        monkeypatch.setattr(bundled_module, "open_network", lambda path, inputs, outputs: None)
        passes: list[np.ndarray] = []

        def run(session, blob, path):
            passes.append(blob)
            height, width = blob.shape[1:3]
            maps = {
                name: np.full((1, 16, height // stride, width // stride), -9, np.float32)
                for stride, name in zip(STRIDES, OUTPUTS, strict=True)
            }
            for stride, row, column, logits, center, size, points in plant(len(passes), height, width):
                maps[f"cells_{stride}"][0, :, row, column] = [*logits, *center, *np.log(size), *points]
            return maps

        monkeypatch.setattr(bundled_module, "run_network", run)
        return Bundled(Path("net.onnx"), **options), passes

    return make


def test_boxes_and_landmarks_are_decoded(planted):
    points = [-0.5, -0.5, 1.5, -0.5, 0.5, 0.5, -0.5, 1.5, 1.5, 1.5]
    faces = [
        (16, 5, 4, (2.0, 4.0), (1.5, 1.5), (4, 6), points),
        (8, 11, 9, (1.0, 1.0), (2.5, 2.0), (8, 12), points),  # the same face with a lower score
        (32, 0, 5, (-2.0, 2.0), (0.5, 0.5), (1, 1), points),  # alone
        (32, 8, 5, (-4.0, 2.0), (0.5, 0.5), (1, 1), points),  # the mean of its logits is below the score
    ]
    detector, passes = planted(lambda number, height, width: faces, side=320, score=0.4)
    photo = np.full((640, 480, 3), (10, 20, 30), np.uint8)
    (found,) = detector.detect([photo])
    # RGB as it is, bytes, 320 high and padded to a multiple of 32.
    assert [(blob.shape, blob.dtype) for blob in passes] == [((1, 320, 256, 3), np.uint8)]
    assert passes[0][0, 0, 239].tolist() == [10, 20, 30]
    assert not passes[0][0, :, 240:].any()
    assert [face.score for face in found] == pytest.approx([1 / (1 + np.exp(-3)), 0.5])
    # Cell (row 5, column 4) of stride 16 has its corner at (64, 80); the photo is twice as large.
    assert found[0].box == pytest.approx((112, 112, 240, 304))
    np.testing.assert_allclose(found[0].landmarks, [(112, 144), (176, 144), (144, 176), (112, 208), (176, 208)])
    assert found[1].box == pytest.approx((320, 0, 384, 64), abs=1e-4)


def test_a_photo_without_a_face_is_seen_again_smaller(planted):
    face = (16, 0, 0, (3.0, 3.0), (0.5, 0.5), (2, 2), [0.5] * 10)
    detector, passes = planted(lambda number, height, width: [face] if number == 2 else [], side=320)
    (found,) = detector.detect([np.zeros((640, 640, 3), np.uint8)])
    assert [blob.shape[1:3] for blob in passes] == [(320, 320), (160, 160)]
    assert found[0].box == pytest.approx((-32, -32, 96, 96))
    assert detector.detect([]) == []


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 900), (700, 3), (512, 384), (2000, 3000)])
def test_every_size_is_accepted(planted, size):
    detector, passes = planted(lambda number, height, width: [(32, 0, 0, (3.0, 3.0), (0.5, 0.5), (2, 2), [0] * 10)])
    (found,) = detector.detect([np.zeros((*size, 3), np.uint8)])
    assert len(found) == 1
    assert all(side % 32 == 0 and side <= detector.side for blob in passes for side in blob.shape[1:3])


def test_a_network_of_its_kind_runs(detector_file):
    (found,) = Bundled(detector_file("bundled")).detect([np.zeros((64, 64, 3), np.uint8)])
    assert found[0].box == pytest.approx(FACE, abs=1e-4)


# The file that ships


def test_the_file_ships_and_is_the_default():
    assert Bundled.published is not None
    path = packaged_weights(Bundled.published.name)
    assert path is not None
    assert find_weights(Bundled.published) == path
    assert sha256(path.read_bytes()).hexdigest() == Bundled.published.sha256
    assert path.stat().st_size <= MAX_BYTES
    assert find_local_detector() == "bundled"


def test_the_file_that_earlier_model_files_name_ships_too():
    name, digest = "face_detector_2.onnx", "ed0e8cae32da78343a88d676d4bc479a8f963c40e97e2a6bc07d683bb8974392"
    assert find_weights(WeightsFile(name, digest)) == packaged_weights(name)


def test_the_file_runs_on_every_size_and_finds_nothing_on_blank_photos():
    assert Bundled.published is not None
    detector = Bundled(find_weights(Bundled.published))
    for size in ((1, 1), (33, 640), (64, 64), (300, 200)):
        assert detector.detect([np.full((*size, 3), gray, np.uint8) for gray in (0, 90, 255)]) == [[], [], []]


SCENES = Path(os.environ.get("MASKFIT_REAL_PHOTOS", "nowhere")) / "street-scenes"


@pytest.mark.skipif(not SCENES.is_dir(), reason="needs real photos; MASKFIT_REAL_PHOTOS names their folder")
def test_faces_of_a_street_photo_are_found_with_their_landmarks():
    from maskfit.data.image_decoding import decode

    assert Bundled.published is not None
    detector = Bundled(find_weights(Bundled.published))
    (found,) = detector.detect([decode(SCENES / "images" / "ae614f74da99171f.jpg")])
    assert len(found) >= 4
    for face in found[:4]:
        left, upper, right, lower = face.box
        assert face.landmarks is not None
        eyes, mouth = np.array(face.landmarks[:2]), np.array(face.landmarks[3:])
        assert (eyes[:, 1].mean() - upper) < (mouth[:, 1].mean() - upper)
        assert eyes[0, 0] < eyes[1, 0]
        assert left < eyes[:, 0].mean() < right
        assert mouth[:, 1].mean() < lower + 2

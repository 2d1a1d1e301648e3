"""Tests of the face detectors: interface, invalid files, and decoding of outputs.

The network outputs are planted here; MTCNN, whose weights come with its package, also runs on drawn faces.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskfit.data.detectors import DETECTORS, CachedDetector, check_detector, load_detector, pin_detector_weights
from maskfit.data.detectors import ultra_light as ultra_light_module
from maskfit.data.detectors import yunet as yunet_module
from maskfit.data.detectors.interface import downscale, letterbox, nms
from maskfit.data.detectors.ultra_light import UltraLight
from maskfit.data.detectors.yunet import STRIDES, YuNet
from maskfit.errors import DataError, MissingExtraError, RecipeError
from maskfit.pretrained_weights import WeightsFile
from maskfit.registry import ComponentSpec

WITH_FILE = [name for name, detector in DETECTORS.items() if getattr(detector, "published", None)]
NEEDS_FACES = pytest.mark.skipif(
    importlib.util.find_spec("facenet_pytorch") is None, reason="the extra 'faces' is not installed"
)
SIZES = [(8, 8), (1, 1), (1, 900), (700, 3), (512, 384), (2000, 3000)]


# Interface


@pytest.mark.parametrize("name", WITH_FILE)
def test_published_weights_have_a_checksum_and_a_url(name):
    published = DETECTORS[name].published
    assert len(bytes.fromhex(published.sha256)) == 32
    if name in ("bundled", "centerface"):  # The one comes with maskfit, the other inside of another package.
        assert published.url == ""
        return
    assert published.url.startswith("https://")
    assert published.url.endswith(f"/{published.name}")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07" * 500, b"<html>log in</html>"])
@pytest.mark.parametrize("name", WITH_FILE)
def test_other_files_are_rejected(tmp_path, name, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not an ONNX network") as caught:
        DETECTORS[name](path)
    assert caught.value.location == str(path)


@pytest.mark.parametrize("name", WITH_FILE)
def test_other_networks_are_rejected(tmp_path, name):
    onnx = pytest.importorskip("onnx")
    value = [onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, [1]) for end in ("input", "answer")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Abs", ["input"], ["answer"])], "g", value[:1], value[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(DataError, match="the network belongs to another detector: its outputs are answer"):
        DETECTORS[name](tmp_path / "net.onnx")


@pytest.mark.parametrize("name", list(DETECTORS))
@pytest.mark.parametrize("score", [0, 1, -1, float("nan")])
def test_options_out_of_range_are_rejected_before_loading(name, score):
    arguments = {"weights": Path("nowhere.onnx")} if name in WITH_FILE else {}
    with pytest.raises(ValueError, match="score"):
        DETECTORS[name](**arguments, score=score)


def test_an_unknown_detector_or_option_suggests_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'yunet'"):
        check_detector(ComponentSpec.create("yunett"))
    with pytest.raises(RecipeError, match="did you mean 'side'"):
        check_detector(ComponentSpec.create("yunet", sides=640))
    with pytest.raises(RecipeError, match="no option 'weights'"):
        check_detector(ComponentSpec.create("yunet", weights="a.onnx"))


# Weights and cache


def test_weights_are_pinned(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"mine")
    part = ComponentSpec.create("yunet")
    kept = pin_detector_weights(part, str(path), None)
    assert kept is not None
    assert (kept.name, kept.url) == ("mine.onnx", "")
    assert pin_detector_weights(part, None, None) == YuNet.published
    assert pin_detector_weights(part, "x.onnx", YuNet.published.sha256) == YuNet.published
    assert pin_detector_weights(part, "/some/where/x.onnx", "f" * 64) == WeightsFile("x.onnx", "f" * 64)
    assert pin_detector_weights(ComponentSpec.create("mtcnn"), None, None) is None
    with pytest.raises(RecipeError, match="includes its weights"):
        pin_detector_weights(ComponentSpec.create("mtcnn"), str(path), None)


def test_a_cached_detector_runs_once_per_photo_and_is_shared(painted, paint):
    cached_detector = load_detector(ComponentSpec.create("yunet"), None)
    assert load_detector(ComponentSpec.create("yunet"), None) is cached_detector
    assert load_detector(ComponentSpec.create("yunet", score=0.6), None) is not cached_detector
    photos = [paint(60, 40, (5, 6, 20, 30)), paint(40, 60, (5, 6, 20, 30))]
    for photo in [*photos, *[photo.copy() for photo in photos]]:
        assert cached_detector.detect_one(photo)[0].box == (5, 6, 20, 30)
    # Reshaped, the bytes are the same but the photo is not.
    blank = np.zeros((4, 6, 3), np.uint8)
    assert cached_detector.detect_one(blank) == cached_detector.detect_one(blank.reshape(6, 4, 3)) == ()
    assert painted.looks == [(60, 40, 3), (40, 60, 3), (4, 6, 3), (6, 4, 3)]


def test_a_cached_detector_drops_the_oldest(painted, paint, monkeypatch):
    monkeypatch.setattr("maskfit.data.detectors.MAX_CACHED_PHOTOS", 2)
    cached_detector = CachedDetector(painted())
    for seed in (0, 1, 2, 2, 0):
        cached_detector.detect_one(paint(9, 9, seed=seed))
    assert len(painted.looks) == 4


# Non-maximum suppression


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 15)] * 2, st.integers(1, 99)), max_size=12))
def test_nms_against_a_slow_reference(rows):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], float).reshape(-1, 4)
    scores = np.array([score for *_, score in rows], float) / 100
    selected: list[int] = []
    for place in sorted(range(len(rows)), key=lambda place: -scores[place]):
        a = boxes[place]
        clear = True
        for other in selected:
            b = boxes[other]
            across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            shared = max(across, 0) * max(down, 0)
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            clear &= shared <= 0.3 * union
        if clear:
            selected.append(place)
    assert nms(boxes, scores, 0.3) == selected


# YuNet


@pytest.fixture
def yunet(monkeypatch):
    """YuNet with planted outputs: `plant` is called with (pass number, canvas height, width)."""

    def make(plant, **options):
        monkeypatch.setattr(yunet_module, "open_network", lambda path, inputs, outputs: None)
        passes: list[np.ndarray] = []

        def run(session, blob, path):
            passes.append(blob)
            height, width = blob.shape[2:]
            values = {}
            for stride in STRIDES:
                cells = (height // stride) * (width // stride)
                for kind, count in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
                    values[f"{kind}_{stride}"] = np.zeros((1, cells, count), np.float32)
            for stride, row, column, score, box, landmarks in plant(len(passes), height, width):
                place = row * (width // stride) + column
                values[f"cls_{stride}"][0, place] = score
                values[f"obj_{stride}"][0, place] = 2.0  # more than 1 counts as 1
                values[f"bbox_{stride}"][0, place] = box
                values[f"kps_{stride}"][0, place] = landmarks
            return values

        monkeypatch.setattr(yunet_module, "run_network", run)
        return YuNet(Path("net.onnx"), **options), passes

    return make


def test_yunet_decodes_boxes_and_landmarks(yunet):
    landmarks = [0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1]
    faces = [
        (16, 5, 4, 0.81, (0.5, -0.25, np.log(6), np.log(8)), landmarks),
        (8, 10, 8, 0.64, (0.5, -0.5, np.log(12), np.log(16)), landmarks),  # the same face with a lower score
        (32, 0, 7, 0.36, (0, 0, 0, 0), landmarks),  # alone
    ]
    detector, passes = yunet(lambda pass_number, height, width: faces, score=0.55)
    (found,) = detector.detect([np.zeros((640, 480, 3), np.uint8)])
    assert [blob.shape for blob in passes] == [(1, 3, 320, 256)]
    assert [face.score for face in found] == pytest.approx([0.9, 0.6])
    # Cell (row 5, column 4) of stride 16: middle (72, 76), 96 wide, 128 high; the photo is twice as large.
    assert found[0].box == pytest.approx((48, 24, 240, 280), abs=1e-3)
    np.testing.assert_allclose(found[0].landmarks, [(128, 160), (160, 160), (144, 176), (128, 192), (160, 192)])
    assert found[1].box == pytest.approx((416, -32, 480, 32))


def test_yunet_input_is_bgr_with_black_padding(yunet):
    detector, passes = yunet(lambda pass_number, height, width: [])
    photo = np.full((64, 40, 3), (10, 20, 30), np.uint8)
    assert detector.detect([photo]) == [[]]
    first, second = passes
    assert first.shape == (1, 3, 64, 64)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first[0, :, 5, 39], (30, 20, 10))
    assert not first[0, :, :, 40:].any()
    # The second pass: enlarged until photo and border are 320 long, the border a quarter of the longer side.
    assert second.shape == (1, 3, 320, 256)
    assert not second[0, :, :53].any()
    assert not second[0, :, :, :53].any()
    np.testing.assert_array_equal(second[0, :, 53, 53], (30, 20, 10))


def test_yunet_decodes_the_second_pass(yunet):
    box = (0.0, 0.0, np.log(4), np.log(4))
    detector, _ = yunet(lambda pass_number, height, width: [(32, 5, 4, 0.9, box, [0] * 10)] if pass_number == 2 else [])
    (found,) = detector.detect([np.zeros((320, 320, 3), np.uint8)])
    # 320 with two borders of 80 is shown at 320 / 480: a canvas of (160, 128) is the photo's ((160 - 53) * 1.5, ...).
    assert found[0].box == pytest.approx(
        ((64 - 53) * 320 / 213, (96 - 53) * 320 / 213, (192 - 53) * 320 / 213, (224 - 53) * 320 / 213)
    )


@pytest.mark.parametrize("size", SIZES)
def test_yunet_accepts_every_size(yunet, size):
    detector, passes = yunet(lambda pass_number, height, width: [(32, 0, 0, 0.9, (0, 0, 0, 0), [0] * 10)])
    (found,) = detector.detect([np.zeros((*size, 3), np.uint8)])
    assert len(found) == 1
    assert all(side % 32 == 0 and side <= 352 for blob in passes for side in blob.shape[2:])


# Ultra-Light


def test_ultra_light_decodes_boxes(monkeypatch):
    monkeypatch.setattr(ultra_light_module, "open_network", lambda path, inputs, outputs: None)
    seen = []

    def run(session, blob, path):
        seen.append(blob)
        scores = np.tile(np.float32([1, 0, 0]), (1, 17640, 1))
        boxes = np.zeros((1, 17640, 4), np.float32)
        scores[0, 3], boxes[0, 3] = (0.1, 0.2, 0.7), (0.25, 0.25, 0.5, 0.75)  # masked
        scores[0, 9], boxes[0, 9] = (0.1, 0.9, 0.0), (0.0, 0.0, 0.125, 0.25)  # bare
        scores[0, 5], boxes[0, 5] = (0.6, 0.4, 0.0), (0.5, 0.0, 0.6, 0.25)  # background
        return {"scores": scores, "boxes": boxes}

    monkeypatch.setattr(ultra_light_module, "run_network", run)
    (found,) = UltraLight(Path("net.onnx")).detect([np.full((240, 100, 3), 255, np.uint8)])
    assert seen[0].shape == (1, 3, 480, 640)
    assert seen[0].dtype == np.float32
    assert seen[0].max() == 1
    assert seen[0][0, 0, 0, 200] == pytest.approx(-127 / 128)
    assert [face.score for face in found] == pytest.approx([0.9, 0.7])
    assert found[0].box == pytest.approx((0, 0, 40, 60))
    assert found[1].box == pytest.approx((80, 60, 160, 180))
    assert found[1].landmarks is None


# MTCNN, with its own weights


@pytest.fixture(scope="module")
def mtcnn():
    import torch

    torch.set_num_threads(1)
    return load_detector(ComponentSpec.create("mtcnn"), None).detector


@pytest.fixture(scope="module")
def drawings():
    from maskfit.synthesis.drawn import render_photo, sample_person

    people = [sample_person(0, number, gender=gender, age=30) for number, gender in ((1, "male"), (3, "female"))]
    return [render_photo(person, name) for person in people for name in ("normal", "mask1")]


@NEEDS_FACES
def test_mtcnn_finds_drawn_faces_and_their_eyes(mtcnn, drawings):
    for drawing, faces in zip(drawings, mtcnn.detect([np.asarray(item.image) for item in drawings]), strict=True):
        truth, face = drawing.landmarks, faces[0]
        assert len(faces) == 1
        middle = [(face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2]
        assert truth.face[0] < middle[0] < truth.face[2]
        assert truth.face[1] < middle[1] < truth.face[3]
        assert face.landmarks is not None
        for found, wanted in zip(face.landmarks, (truth.left_eye, truth.right_eye), strict=False):
            assert found == pytest.approx(wanted, abs=14)


@NEEDS_FACES
def test_mtcnn_is_thread_safe_and_works_on_smaller_photos(mtcnn, drawings):
    photos = [np.asarray(item.image) for item in drawings]
    alone = mtcnn.detect(photos)
    with ThreadPoolExecutor(4) as pool:
        assert [faces for (faces,) in pool.map(lambda photo: mtcnn.detect([photo]), photos * 2)] == alone * 2
    (small,) = mtcnn.detect([np.asarray(drawings[0].image.resize((192, 256)))])
    assert small[0].box == pytest.approx([edge / 2 for edge in alone[0][0].box], abs=6)


@NEEDS_FACES
@pytest.mark.parametrize("size", SIZES)
def test_mtcnn_finds_no_face_on_uniform_photos(mtcnn, size):
    assert mtcnn.detect([np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)]) == [[], []]


def test_mtcnn_without_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "facenet_pytorch", None)
    with pytest.raises(MissingExtraError, match="extra 'faces'"):
        DETECTORS["mtcnn"]()


# Resizing


def test_a_photo_of_the_wanted_size_is_not_copied():
    photo = np.zeros((64, 96, 3), np.uint8)
    assert downscale(photo, (64, 96)) is photo
    assert letterbox(photo, (64, 96), (64, 96), dtype=np.uint8).canvas is photo


@pytest.mark.parametrize("size", [(100, 75), (101, 77), (33, 300)])
def test_photos_below_four_times_the_size_are_resized_by_pillow(size):
    photo = np.random.default_rng(0).integers(0, 256, (size[0] * 3, size[1] * 3 + 3, 3), dtype=np.uint8)
    expected = Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(downscale(photo, size), np.asarray(expected))


@pytest.mark.parametrize("shape", [(3001, 4003), (2400, 3200), (1999, 5000)])
def test_of_larger_photos_fewer_pixels_are_read_and_nothing_moves(shape):
    height, width = shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    waves = 128 + 60 * np.sin(columns / 97) + 60 * np.cos(rows / 131)
    photo = np.repeat(waves[..., None].astype(np.uint8), 3, axis=2)
    size = round(height * 320 / width), 320
    exact = np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(downscale(photo, size) - exact).max() <= 2
    # A dot of light: its center of mass is where it was.
    dot = np.exp(-((rows - height * 0.8) ** 2 + (columns - width * 0.3) ** 2) / (2 * 30**2))
    small = downscale(np.repeat((255 * dot)[..., None].astype(np.uint8), 3, axis=2), size)[..., 0].astype(float)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    assert (small * x).sum() / small.sum() == pytest.approx(0.3 * 320, abs=0.15)
    assert (small * y).sum() / small.sum() == pytest.approx(0.8 * size[0], abs=0.15)


def test_planes_are_the_colors_in_the_named_order():
    photo = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    whole = letterbox(photo, (50, 70), (64, 96), 3).canvas
    planes = letterbox(photo, (50, 70), (64, 96), 3, planes=(2, 1, 0)).canvas
    assert planes.flags.c_contiguous
    np.testing.assert_array_equal(planes, whole[..., ::-1].transpose(2, 0, 1))
    assert not planes[:, :3].any()
    assert not planes[:, :, 73:].any()


def test_photos_that_do_not_come_again_are_not_kept(painted, paint):
    cached_detector = CachedDetector(painted())
    photo = paint(60, 40, (5, 6, 20, 30))
    for keep in (False, True, True, False):
        assert cached_detector.detect_one(photo, keep)[0].box == (5, 6, 20, 30)
    assert len(painted.looks) == 3

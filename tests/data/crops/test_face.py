"""Tests of the crops: expected boxes, fallbacks, alignment, invalid options, pinned weights and the image cache."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from maskfit.config.aliases import upgrade_model_metadata
from maskfit.data import detectors
from maskfit.data.boxes import ROUNDING_STEP, CropBox
from maskfit.data.crops import CROPS, CenterCrop
from maskfit.data.crops.face import FaceCrop, level1_06
from maskfit.data.crops.pixel_variance import VarianceCrop
from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize
from maskfit.errors import DataError, RecipeError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata
from maskfit.pretrained_weights import pin_component
from maskfit.registry import ComponentSpec, instantiate

NO_MARGINS = {"left": 0, "right": 0, "top": 0, "bottom": 0}


@pytest.fixture(autouse=True)
def detector(painted):
    """Replaces the detectors, so that no test of this file needs weights."""
    return painted


# Interface


@pytest.mark.parametrize("name", list(CROPS))
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 700), (900, 3), (512, 384), (900, 1200)])
@pytest.mark.parametrize("faces", [0, 1, 3])
def test_every_crop_gives_a_box_inside_the_photo(paint, name, size, faces):
    height, width = size
    whole = (0, 0, max(width // 2, 1), max(height // 2, 1))
    photo = paint(height, width, *[whole, (width // 2, 0, width, height // 3), (0, height // 2, width, height)][:faces])
    crop = instantiate(CROPS, ComponentSpec.create(name))
    for aspect in (1.0, 0.75, 2.0):
        found = crop.box(photo, aspect)
        left, upper, right, lower = found.box if isinstance(found, CropBox) else found
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height
    assert CropResize(crop=ComponentSpec.create(name), size=(24, 16))(photo).shape == (24, 16, 3)


@pytest.mark.parametrize("name", list(CROPS))
def test_uniform_photos(name):
    for level in (0, 130, 255):
        assert (
            CropResize(crop=ComponentSpec.create(name), size=(16, 16))(np.full((50, 40, 3), level, np.uint8)) == level
        ).all()


# Face crop


def test_margins_are_relative_to_face_or_photo(paint):
    photo = paint(400, 300, (100, 100, 150, 180))
    crop = FaceCrop(left=0.2, right=0.4, top=0.5, bottom=0.25, ignore_aspect=True)
    assert crop.box(photo, 1.0) == CropBox((90, 60, 170, 200))
    assert FaceCrop(**NO_MARGINS, ignore_aspect=True).box(photo, 3.0) == CropBox((100, 100, 150, 180))
    relative = FaceCrop(left=0.1, right=0.2, top=0.05, bottom=0.1, scale_relative_to="photo", ignore_aspect=True)
    assert relative.box(photo, 1.0) == CropBox((70, 80, 210, 220))


def test_a_box_is_widened_to_the_aspect_or_ignores_it(paint):
    photo = paint(400, 300, (100, 100, 150, 180))
    assert FaceCrop(**NO_MARGINS).box(photo, 1.0) == CropBox((85, 100, 165, 180))
    assert FaceCrop(**NO_MARGINS).box(photo, 0.5) == CropBox((100, 90, 150, 190))
    # At the edge it is moved, not cut.
    assert FaceCrop(**NO_MARGINS).box(paint(400, 300, (0, 0, 50, 80)), 1.0) == CropBox((0, 0, 80, 80))
    assert FaceCrop(left=1, right=1, top=1, bottom=1, ignore_aspect=True).box(
        paint(400, 300, (0, 0, 50, 80)), 1.0
    ) == CropBox((0, 0, 100, 160))


def test_face_selection(paint):
    photo = paint(300, 300, (0, 0, 20, 20), (200, 200, 280, 280), (140, 130, 170, 160))
    boxes = {
        way: FaceCrop(**NO_MARGINS, face_selection=way).box(photo, 1.0).box for way in ("largest", "central", "surest")
    }
    assert boxes == {"largest": (200, 200, 280, 280), "central": (140, 130, 170, 160), "surest": (0, 0, 20, 20)}
    assert [face.score for face in FaceCrop(face_selection="central").detect_faces(photo)] == pytest.approx(
        [0.7, 0.8, 0.9]
    )
    unsure = FaceCrop(detector={"name": "yunet", "score": 0.75}, face_selection="central")
    assert len(unsure.detect_faces(photo)) == 2


def test_fallback_without_a_face(paint):
    photo = paint(512, 384)
    assert FaceCrop().box(photo, 1.0) == CropBox(CenterCrop().box(photo, 1.0), fallback=True)
    crop = FaceCrop(fallback=(0.25, 0.25, 0.75, 0.5))
    assert crop.box(photo, 1.0) == CropBox((128, 128, 256, 256), fallback=True)
    assert crop.box(photo, 3.0) == CropBox((96, 160, 288, 224), fallback=True)
    assert FaceCrop(fallback=(0.25, 0.25, 0.75, 0.5), ignore_aspect=True).box(photo, 1.0).box == (96, 128, 288, 256)


def test_level1_06_on_the_competitions_photos(paint):
    crop = level1_06()
    photo = paint(512, 384, (110, 160, 260, 350))
    assert crop.box(photo, 0.75) == CropBox((80, 100, 290, 380))
    assert crop.box(paint(512, 384, (10, 30, 380, 500)), 0.75) == CropBox((0, 0, 384, 512))
    assert crop.box(paint(512, 384), 0.75) == CropBox((64, 86, 320, 426), fallback=True)
    # On a photo twice as large everything is twice as large.
    assert crop.box(paint(1024, 768, (220, 320, 520, 700)), 0.75) == CropBox((160, 200, 580, 760))


def test_boxes_are_rounded(paint, monkeypatch, painted):
    photo = paint(200, 200, (50, 50, 90, 110))
    expected = FaceCrop().box(photo, 1.0)
    look = painted._look

    def shaky(self, photo):
        return [face._replace(box=tuple(edge + 1e-4 for edge in face.box)) for face in look(self, photo)]

    monkeypatch.setattr(painted, "_look", shaky)
    detectors._load.cache_clear()
    assert FaceCrop().box(photo, 1.0) == expected
    assert all(edge % ROUNDING_STEP == 0 for edge in expected.box)


# Aligned


def test_alignment_levels_the_eyes(paint):
    photo = paint(300, 300, (100, 100, 200, 220), eyes=((125, 140), (175, 160)))
    crop_box = FaceCrop(align=True).box(photo, 1.0)
    assert crop_box.angle == pytest.approx(np.degrees(np.arctan2(20, 50)), abs=ROUNDING_STEP)
    frame = CropResize(crop=ComponentSpec.create("face", align=True), size=(180, 180))(photo).astype(int)
    eyes = [np.nonzero((np.abs(frame - color) < 60).all(axis=2)) for color in ((255, 255, 0), (0, 255, 255))]
    rows, columns = ([side[axis].mean() for side in eyes] for axis in (0, 1))
    assert rows[0] == pytest.approx(rows[1], abs=1.0)
    assert columns[0] < columns[1]


def test_an_aligned_crop_covers_the_same_region(paint):
    """The box rotates about the face's center: unequal margins rotate with it, and the aspect ratio stays."""
    photo = paint(300, 300, (100, 100, 200, 220), eyes=((130, 140), (170, 140)))
    assert FaceCrop(align=True).box(photo, 1.0) == FaceCrop().box(photo, 1.0)
    photo = paint(300, 300, (100, 100, 200, 220), eyes=((130, 120), (170, 160)))
    crop_box = FaceCrop(align=True, left=0.1, right=0.5, top=0, bottom=0, ignore_aspect=True).box(photo, 1.0)
    assert crop_box.angle == 45
    left, upper, right, lower = crop_box.box
    assert (right - left, lower - upper) == (160, 120)
    # The middle lies 20 to the face's right, which is now down to the right.
    assert (left + right) / 2 == pytest.approx(150 + 20 * np.cos(np.pi / 4), abs=ROUNDING_STEP)
    assert (upper + lower) / 2 == pytest.approx(160 + 20 * np.sin(np.pi / 4), abs=ROUNDING_STEP)
    wide = FaceCrop(align=True).box(photo, 0.5).box
    assert (wide[2] - wide[0]) / (wide[3] - wide[1]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("eyes", [(), ((150, 110), (152, 200)), ((170, 140), (130, 140))])
def test_implausible_or_missing_eyes_do_not_rotate(paint, eyes):
    photo = paint(300, 300, (100, 100, 200, 220), eyes=eyes)
    assert FaceCrop(align=True).box(photo, 1.0).angle == 0


# Variance crop


def test_variance_crop_finds_the_textured_part():
    photo = np.full((400, 300, 3), 200, np.uint8)
    photo[150:350, 80:220] = np.random.default_rng(0).integers(0, 256, (200, 140, 3))
    crop_box = VarianceCrop().box(photo, 1.0)
    left, upper, right, _ = crop_box.box
    assert left + 20 >= 80
    assert right - 20 <= 220
    assert (left + right) / 2 == pytest.approx(150, abs=8)
    assert upper == pytest.approx(155, abs=12)
    assert not crop_box.fallback
    turned = VarianceCrop().box(np.ascontiguousarray(photo[:, ::-1]), 1.0).box
    assert (turned[0] + turned[2]) / 2 == pytest.approx(150, abs=8)


def test_variance_crop_of_a_uniform_photo_is_the_center():
    photo = np.full((512, 384, 3), 90, np.uint8)
    assert VarianceCrop().box(photo, 1.0) == CropBox(CenterCrop().box(photo, 1.0), fallback=True)


# Invalid options


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("face", {"left": -0.5}, "left=-0.5"),
        ("face", {"top": 99}, "top=99"),
        ("face", {"bottom": float("nan")}, "bottom=nan"),
        ("face", {"face_selection": "nicest"}, "face_selection='nicest' must be one of largest, central, surest"),
        ("face", {"scale_relative_to": "nose"}, "scale_relative_to='nose'"),
        ("face", {"align": "yes"}, "align='yes'"),
        ("face", {"fallback": [0, 0, 1]}, "fallback"),
        ("face", {"fallback": [0.5, 0, 0.4, 1]}, "left < right"),
        ("face", {"fallback": [0, 0, 1, 1.5]}, "fractions of the photo"),
        ("face", {"detector": "yolo"}, "'yolo' is unknown"),
        ("face", {"detector": {"name": "yunet", "scor": 0.5}}, "did you mean 'score'"),
        ("face", {"margin": 0.5}, "no option 'margin'"),
        ("level1_06", {"left": 0.5}, "no option 'left'"),
        ("variance", {"tail": 0.5}, "tail=0.5"),
        ("variance", {"top": -0.1}, "top=-0.1"),
        ("variance", {"ratio": 9}, "ratio=9"),
    ],
)
def test_invalid_options_are_rejected(name, options, message):
    with pytest.raises(RecipeError, match=message.replace("(", r"\(")):
        instantiate(CROPS, ComponentSpec.create(name, **options))


# Pinned weights


def metadata(crop_resize: CropResize) -> ModelMetadata:
    schema = LABEL_SCHEMAS["mask"]
    return ModelMetadata(
        label_schema=schema,
        preprocessing={"crop_resize": crop_resize},
        backbone=ComponentSpec.create("small"),
        head=ComponentSpec.create("multi_head"),
        heads=schema.names,
    )


def test_model_metadata_names_weights_by_hash(tmp_path, paint):
    path = tmp_path / "somewhere" / "mine.onnx"
    path.parent.mkdir()
    path.write_bytes(b"mine")
    crop_resize = CropResize(
        crop=ComponentSpec.create("face", detector="painted_by_file", weights=str(path)), size=(24, 16)
    )
    with pytest.raises(ValueError, match="not only by a path"):
        metadata(crop_resize)
    pinned = crop_resize.pinned()
    text = metadata(pinned).to_metadata()["maskfit"]
    assert "somewhere" not in text
    assert pinned.crop.options["weights"] == "mine.onnx"
    assert len(pinned.crop.options["sha256"]) == 64
    assert pinned.pinned() == pinned
    # The file may be deleted: the weights are in the cache.
    photo = paint(60, 40, (5, 6, 20, 30))
    expected = crop_resize(photo)
    path.unlink()
    detectors._load.cache_clear()
    again = ModelMetadata.model_validate_json(text).preprocessing.crop_resize
    assert again == pinned
    np.testing.assert_array_equal(again(photo), expected)


def test_missing_weights_give_a_hint(paint):
    crop_resize = CropResize(
        crop=ComponentSpec.create("face", detector="painted_by_file", weights="mine.onnx", sha256="a" * 64)
    )
    for call in (crop_resize.pinned, lambda: crop_resize(paint(9, 9))):
        with pytest.raises(DataError, match="are not on this machine") as caught:
            call()
        assert "MASKFIT_DETECTORS" in str(caught.value.hint)


def test_missing_weights_are_reported_before_any_photo(tmp_path):
    crop_resize = CropResize(
        crop=ComponentSpec.create("face", detector="painted_by_file", weights=str(tmp_path / "none.onnx"))
    )
    with pytest.raises(DataError, match="weights file does not exist"):
        open_image_cache([Photo(tmp_path / "none.jpg", "none.jpg", "p")], crop_resize, folder=tmp_path / "caches")


def test_model_files_without_detectors_load():
    old = {"crop": {"name": "centre", "scale": 0.9}, "size": [96, 64], "filter": "bicubic"}
    upgraded = upgrade_model_metadata({"preprocessing": {"framing": old}}, lambda line: None)
    crop_resize = CropResize.model_validate(upgraded["preprocessing"]["crop_resize"])
    assert crop_resize.pinned() == crop_resize
    assert crop_resize.model_dump(mode="json") == old | {"crop": {"name": "center", "scale": 0.9}}
    assert metadata(crop_resize).preprocessing.crop_resize == crop_resize


def test_pinning_without_weights_changes_nothing():
    for part in (
        ComponentSpec.create("resize"),
        ComponentSpec.create("variance", tail=0.1),
        ComponentSpec.create("face", align=True, detector={"name": "mtcnn", "score": 0.8}),
    ):
        assert pin_component(part, instantiate(CROPS, part)) == part


@pytest.mark.parametrize(("crop", "default"), [("face", "bundled"), ("level1_06", "mtcnn")])
def test_pinning_names_the_detector_since_defaults_change(crop, default):
    part = ComponentSpec.create(crop)
    assert pin_component(part, instantiate(CROPS, part)) == ComponentSpec.create(crop, detector=default)


# In the image cache


def write(path, photo):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path)
    return Photo(path, path.name, path.stem)


def test_the_cache_runs_the_detector_once_and_lists_fallbacks(tmp_path, paint, painted):
    photos = [
        write(tmp_path / f"{seed}, odd.png", paint(60, 40, *[(5, 6, 20, 30)] * (seed % 2), seed=seed))
        for seed in range(4)
    ]
    crop_resize = CropResize(crop=ComponentSpec.create("face"), size=(24, 16))
    first = open_image_cache(photos, crop_resize, folder=tmp_path / "caches")
    open_image_cache(photos, crop_resize.scaled(1.5), folder=tmp_path / "caches")
    assert len(painted.looks) == 4
    assert first.fallback_crops == ("0, odd.png", "2, odd.png")
    assert first.fallback_file is not None
    listed = first.fallback_file.read_text()
    assert [f"{seed}, odd.png" in listed for seed in range(4)] == [True, False, True, False]
    # Opened again, the detector does not run, and only fallbacks of the requested photos are listed.
    again = open_image_cache(photos[1:], crop_resize, folder=tmp_path / "caches")
    assert again.fallback_crops == ("2, odd.png",)
    assert open_image_cache(photos[1:2], crop_resize, folder=tmp_path / "caches").fallback_file is None
    assert len(painted.looks) == 4
    # An incomplete last line of the list does not swallow the next.
    first.fallback_file.write_text(listed[: listed.index("\n") - 3])
    more = [*photos, write(tmp_path / "9.png", paint(60, 40, seed=9))]
    assert "9.png" in open_image_cache(more, crop_resize, folder=tmp_path / "caches").fallback_crops


def test_other_weights_at_the_same_path_are_another_cache(tmp_path, paint):
    photos = [write(tmp_path / "a.png", paint(60, 40, (5, 6, 20, 30)))]
    crop_resize = CropResize(
        crop=ComponentSpec.create("face", detector="painted_by_file", weights=str(tmp_path / "w.onnx")), size=(24, 16)
    )
    for content in (b"one", b"other", b"one"):
        (tmp_path / "w.onnx").write_bytes(content)
        open_image_cache(photos, crop_resize, folder=tmp_path / "caches")
    assert len(list((tmp_path / "caches").iterdir())) == 2


def test_an_aligned_crop_is_the_same_in_cache_and_prediction(tmp_path, paint):
    photo = paint(120, 90, (20, 20, 60, 80), eyes=((30, 40), (50, 45)))
    photos = [write(tmp_path / "a.png", photo)]
    crop_resize = CropResize(crop=ComponentSpec.create("face", align=True), size=(24, 16), filter="bicubic")
    assert crop_resize.find_crop(photo).angle
    cached = open_image_cache(photos, crop_resize, folder=tmp_path / "caches").gather([0])[0]
    np.testing.assert_array_equal(cached, crop_resize(photo))
    upright = CropResize(crop=ComponentSpec.create("face"), size=(24, 16), filter="bicubic")(photo)
    assert not np.array_equal(cached, upright)
    assert {
        CropResize(crop=crop_resize.crop, size=(24, 16), filter=name)(photo).tobytes()
        for name in ("bilinear", "bicubic", "box")
    }.__len__() == 3

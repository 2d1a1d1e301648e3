"""The crops that look at a photo: their boxes by hand, their fallbacks, and what of them is recorded."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from maskfit.data import detectors
from maskfit.data.boxes import ROUNDING_STEP, CropBox
from maskfit.data.crops import CROPS, CenterCrop
from maskfit.data.crops.face import FaceCrop, level1_06
from maskfit.data.crops.pixel_variance import VarianceCrop
from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize
from maskfit.data.weight_pinning import pin_component
from maskfit.errors import DataError, RecipeError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata
from maskfit.registry import ComponentSpec, instantiate

TIGHT = {"left": 0, "right": 0, "top": 0, "bottom": 0}


@pytest.fixture(autouse=True)
def detector(painted):
    """No test of this file needs weights."""
    return painted


# The contract of the table


@pytest.mark.parametrize("name", list(CROPS))
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 700), (900, 3), (512, 384), (900, 1200)])
@pytest.mark.parametrize("faces", [0, 1, 3])
def test_every_crop_gives_a_box_inside_photos_of_every_size(paint, name, size, faces):
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
def test_grey_and_even_photos_are_no_trouble(name):
    for level in (0, 130, 255):
        assert (
            CropResize(crop=ComponentSpec.create(name), size=(16, 16))(np.full((50, 40, 3), level, np.uint8)) == level
        ).all()


# Round a face


def test_margins_are_shares_of_the_face(paint):
    photo = paint(400, 300, (100, 100, 150, 180))
    crop = FaceCrop(left=0.2, right=0.4, top=0.5, bottom=0.25, ignore_aspect=True)
    assert crop.box(photo, 1.0) == CropBox((90, 60, 170, 200))
    assert FaceCrop(**TIGHT, ignore_aspect=True).box(photo, 3.0) == CropBox((100, 100, 150, 180))
    shares = FaceCrop(left=0.1, right=0.2, top=0.05, bottom=0.1, scale_relative_to="photo", ignore_aspect=True)
    assert shares.box(photo, 1.0) == CropBox((70, 80, 210, 220))


def test_a_box_is_widened_to_the_aspect_or_squeezed_into_it(paint):
    photo = paint(400, 300, (100, 100, 150, 180))
    assert FaceCrop(**TIGHT).box(photo, 1.0) == CropBox((85, 100, 165, 180))
    assert FaceCrop(**TIGHT).box(photo, 0.5) == CropBox((100, 90, 150, 190))
    # At the edge it is moved, not cut.
    assert FaceCrop(**TIGHT).box(paint(400, 300, (0, 0, 50, 80)), 1.0) == CropBox((0, 0, 80, 80))
    assert FaceCrop(left=1, right=1, top=1, bottom=1, ignore_aspect=True).box(
        paint(400, 300, (0, 0, 50, 80)), 1.0
    ) == CropBox((0, 0, 100, 160))


def test_which_face_is_chosen(paint):
    photo = paint(300, 300, (0, 0, 20, 20), (200, 200, 280, 280), (140, 130, 170, 160))
    boxes = {way: FaceCrop(**TIGHT, face_selection=way).box(photo, 1.0).box for way in ("largest", "central", "surest")}
    assert boxes == {"largest": (200, 200, 280, 280), "central": (140, 130, 170, 160), "surest": (0, 0, 20, 20)}
    assert [face.score for face in FaceCrop(face_selection="central").detect_faces(photo)] == pytest.approx(
        [0.7, 0.8, 0.9]
    )
    unsure = FaceCrop(detector={"name": "yunet", "score": 0.75}, face_selection="central")
    assert len(unsure.detect_faces(photo)) == 2


def test_without_a_face_the_fallback_is_taken_and_said(paint):
    photo = paint(512, 384)
    assert FaceCrop().box(photo, 1.0) == CropBox(CenterCrop().box(photo, 1.0), fallback=True)
    crop = FaceCrop(fallback=(0.25, 0.25, 0.75, 0.5))
    assert crop.box(photo, 1.0) == CropBox((128, 128, 256, 256), fallback=True)
    assert crop.box(photo, 3.0) == CropBox((96, 160, 288, 224), fallback=True)
    assert FaceCrop(fallback=(0.25, 0.25, 0.75, 0.5), ignore_aspect=True).box(photo, 1.0).box == (96, 128, 288, 256)


def test_seed_s3s_crop_on_the_competitions_photos(paint):
    crop = level1_06()
    photo = paint(512, 384, (110, 160, 260, 350))
    assert crop.box(photo, 0.75) == CropBox((80, 100, 290, 380))
    assert crop.box(paint(512, 384, (10, 30, 380, 500)), 0.75) == CropBox((0, 0, 384, 512))
    assert crop.box(paint(512, 384), 0.75) == CropBox((64, 86, 320, 426), fallback=True)
    # On a photo twice as large everything is twice as large.
    assert crop.box(paint(1024, 768, (220, 320, 520, 700)), 0.75) == CropBox((160, 200, 580, 760))


def test_boxes_do_not_hang_on_last_bits(paint, monkeypatch, painted):
    photo = paint(200, 200, (50, 50, 90, 110))
    wanted = FaceCrop().box(photo, 1.0)
    look = painted._look

    def shaky(self, photo):
        return [face._replace(box=tuple(edge + 1e-4 for edge in face.box)) for face in look(self, photo)]

    monkeypatch.setattr(painted, "_look", shaky)
    detectors._load.cache_clear()
    assert FaceCrop().box(photo, 1.0) == wanted
    assert all(edge % ROUNDING_STEP == 0 for edge in wanted.box)


# Aligned


def test_an_aligned_crop_is_turned_until_the_eyes_are_level(paint):
    photo = paint(300, 300, (100, 100, 200, 220), eyes=((125, 140), (175, 160)))
    cut = FaceCrop(align=True).box(photo, 1.0)
    assert cut.angle == pytest.approx(np.degrees(np.arctan2(20, 50)), abs=ROUNDING_STEP)
    frame = CropResize(crop=ComponentSpec.create("face", align=True), size=(180, 180))(photo).astype(int)
    eyes = [np.nonzero((np.abs(frame - colour) < 60).all(axis=2)) for colour in ((255, 255, 0), (0, 255, 255))]
    rows, columns = ([side[axis].mean() for side in eyes] for axis in (0, 1))
    assert rows[0] == pytest.approx(rows[1], abs=1.0)
    assert columns[0] < columns[1]


def test_an_aligned_crop_holds_what_the_upright_one_holds(paint):
    """Turned about the face's middle: margins that differ turn with it, and the aspect stays."""
    photo = paint(300, 300, (100, 100, 200, 220), eyes=((130, 140), (170, 140)))
    assert FaceCrop(align=True).box(photo, 1.0) == FaceCrop().box(photo, 1.0)
    photo = paint(300, 300, (100, 100, 200, 220), eyes=((130, 120), (170, 160)))
    cut = FaceCrop(align=True, left=0.1, right=0.5, top=0, bottom=0, ignore_aspect=True).box(photo, 1.0)
    assert cut.angle == 45
    left, upper, right, lower = cut.box
    assert (right - left, lower - upper) == (160, 120)
    # The middle lies 20 to the face's right, which is now down to the right.
    assert (left + right) / 2 == pytest.approx(150 + 20 * np.cos(np.pi / 4), abs=ROUNDING_STEP)
    assert (upper + lower) / 2 == pytest.approx(160 + 20 * np.sin(np.pi / 4), abs=ROUNDING_STEP)
    wide = FaceCrop(align=True).box(photo, 0.5).box
    assert (wide[2] - wide[0]) / (wide[3] - wide[1]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("eyes", [(), ((150, 110), (152, 200)), ((170, 140), (130, 140))])
def test_eyes_that_are_unknown_or_cannot_be_right_turn_nothing(paint, eyes):
    photo = paint(300, 300, (100, 100, 200, 220), eyes=eyes)
    assert FaceCrop(align=True).box(photo, 1.0).angle == 0


# By pixels


def test_the_pixel_crop_finds_where_a_plain_photo_is_busy():
    photo = np.full((400, 300, 3), 200, np.uint8)
    photo[150:350, 80:220] = np.random.default_rng(0).integers(0, 256, (200, 140, 3))
    cut = VarianceCrop().box(photo, 1.0)
    left, upper, right, _ = cut.box
    assert left + 20 >= 80
    assert right - 20 <= 220
    assert (left + right) / 2 == pytest.approx(150, abs=8)
    assert upper == pytest.approx(155, abs=12)
    assert not cut.fallback
    turned = VarianceCrop().box(np.ascontiguousarray(photo[:, ::-1]), 1.0).box
    assert (turned[0] + turned[2]) / 2 == pytest.approx(150, abs=8)


def test_where_nothing_is_busy_the_pixel_crop_takes_the_middle():
    photo = np.full((512, 384, 3), 90, np.uint8)
    assert VarianceCrop().box(photo, 1.0) == CropBox(CenterCrop().box(photo, 1.0), fallback=True)


# Refused


@pytest.mark.parametrize(
    ("name", "options", "said"),
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
        ("pixels", {"tail": 0.5}, "tail=0.5"),
        ("pixels", {"top": -0.1}, "top=-0.1"),
        ("pixels", {"ratio": 9}, "ratio=9"),
    ],
)
def test_wrong_options_are_refused(name, options, said):
    with pytest.raises(RecipeError, match=said.replace("(", r"\(")):
        instantiate(CROPS, ComponentSpec.create(name, **options))


# What is recorded


def facts(framing: CropResize) -> ModelMetadata:
    scheme = LABEL_SCHEMAS["mask"]
    return ModelMetadata(
        label_schema=scheme,
        preprocessing={"framing": framing},
        backbone=ComponentSpec.create("small"),
        head=ComponentSpec.create("multi_head"),
        heads=scheme.names,
    )


def test_a_model_file_says_weights_by_content_and_no_place(tmp_path, paint):
    path = tmp_path / "somewhere" / "mine.onnx"
    path.parent.mkdir()
    path.write_bytes(b"mine")
    framing = CropResize(
        crop=ComponentSpec.create("face", detector="painted_by_file", weights=str(path)), size=(24, 16)
    )
    with pytest.raises(ValueError, match="not only by a path"):
        facts(framing)
    settled = framing.pinned()
    text = facts(settled).to_metadata()["maskfit"]
    assert "somewhere" not in text
    assert settled.crop.options["weights"] == "mine.onnx"
    assert len(settled.crop.options["sha256"]) == 64
    assert settled.pinned() == settled
    # The file may go: what was trained with is in the cache.
    photo = paint(60, 40, (5, 6, 20, 30))
    wanted = framing(photo)
    path.unlink()
    detectors._load.cache_clear()
    again = ModelMetadata.model_validate_json(text).preprocessing.crop_resize
    assert again == settled
    np.testing.assert_array_equal(again(photo), wanted)


def test_a_model_whose_weights_are_elsewhere_says_what_to_do(paint):
    framing = CropResize(
        crop=ComponentSpec.create("face", detector="painted_by_file", weights="mine.onnx", sha256="a" * 64)
    )
    for ask in (framing.pinned, lambda: framing(paint(9, 9))):
        with pytest.raises(DataError, match="are not on this machine") as caught:
            ask()
        assert "MASKFIT_DETECTORS" in str(caught.value.hint)


def test_weights_that_are_missing_are_told_before_any_photo_is_opened(tmp_path):
    framing = CropResize(
        crop=ComponentSpec.create("face", detector="painted_by_file", weights=str(tmp_path / "none.onnx"))
    )
    with pytest.raises(DataError, match="weights file does not exist"):
        open_image_cache([Photo(tmp_path / "none.jpg", "none.jpg", "p")], framing, folder=tmp_path / "stores")


def test_model_files_from_before_there_were_detectors_load_as_they_were():
    old = {"crop": {"name": "centre", "scale": 0.9}, "size": [96, 64], "filter": "bicubic"}
    framing = CropResize.model_validate(old)
    assert framing.pinned() == framing
    assert framing.model_dump(mode="json") == old
    assert facts(framing).preprocessing.crop_resize == framing


def test_crops_without_weights_are_settled_as_they_stand():
    for part in (
        ComponentSpec.create("resize"),
        ComponentSpec.create("variance", tail=0.1),
        ComponentSpec.create("face", align=True),
        ComponentSpec.create("level1_06"),
    ):
        assert pin_component(part, instantiate(CROPS, part)) == part


# In the store


def write(path, photo):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path)
    return Photo(path, path.name, path.stem)


def test_the_store_looks_once_at_each_photo_and_lists_guesses(tmp_path, paint, painted):
    photos = [
        write(tmp_path / f"{seed}, odd.png", paint(60, 40, *[(5, 6, 20, 30)] * (seed % 2), seed=seed))
        for seed in range(4)
    ]
    framing = CropResize(crop=ComponentSpec.create("face"), size=(24, 16))
    first = open_image_cache(photos, framing, folder=tmp_path / "stores")
    open_image_cache(photos, framing.scaled(1.5), folder=tmp_path / "stores")
    assert len(painted.looks) == 4
    assert first.fallback_crops == ("0, odd.png", "2, odd.png")
    assert first.fallback_file is not None
    listed = first.fallback_file.read_text()
    assert [f"{seed}, odd.png" in listed for seed in range(4)] == [True, False, True, False]
    # Opened again, nothing is looked at, and the guesses are known still; of other photos only theirs.
    again = open_image_cache(photos[1:], framing, folder=tmp_path / "stores")
    assert again.fallback_crops == ("2, odd.png",)
    assert open_image_cache(photos[1:2], framing, folder=tmp_path / "stores").fallback_file is None
    assert len(painted.looks) == 4
    # A list that was cut off in its last line is written on behind it.
    first.fallback_file.write_text(listed[: listed.index("\n") - 3])
    more = [*photos, write(tmp_path / "9.png", paint(60, 40, seed=9))]
    assert "9.png" in open_image_cache(more, framing, folder=tmp_path / "stores").fallback_crops


def test_other_weights_at_the_same_place_are_another_store(tmp_path, paint):
    photos = [write(tmp_path / "a.png", paint(60, 40, (5, 6, 20, 30)))]
    framing = CropResize(
        crop=ComponentSpec.create("face", detector="painted_by_file", weights=str(tmp_path / "w.onnx")), size=(24, 16)
    )
    for content in (b"one", b"other", b"one"):
        (tmp_path / "w.onnx").write_bytes(content)
        open_image_cache(photos, framing, folder=tmp_path / "stores")
    assert len(list((tmp_path / "stores").iterdir())) == 2


def test_an_aligned_crop_is_the_same_in_store_and_prediction(tmp_path, paint):
    photo = paint(120, 90, (20, 20, 60, 80), eyes=((30, 40), (50, 45)))
    photos = [write(tmp_path / "a.png", photo)]
    framing = CropResize(crop=ComponentSpec.create("face", align=True), size=(24, 16), filter="bicubic")
    assert framing.find_crop(photo).angle
    stored = open_image_cache(photos, framing, folder=tmp_path / "stores").gather([0])[0]
    np.testing.assert_array_equal(stored, framing(photo))
    upright = CropResize(crop=ComponentSpec.create("face"), size=(24, 16), filter="bicubic")(photo)
    assert not np.array_equal(stored, upright)
    assert {
        CropResize(crop=framing.crop, size=(24, 16), filter=name)(photo).tobytes()
        for name in ("bilinear", "bicubic", "box")
    }.__len__() == 3

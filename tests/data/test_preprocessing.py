"""The evaluation transform: exact numbers, upright sides, and the same for training, validation and prediction."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from maskfit.data.crops import CROPS, CenterCrop, FullImage
from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, Normalize, Preprocessing, apply_all
from maskfit.errors import RecipeError
from maskfit.registry import ComponentSpec
from maskfit.training.task import ClassificationTask, _planes


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Normalising


def test_normalising_is_pixel_over_255_minus_mean_over_std():
    normalising = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    frames = noise(2, 5, 7, 3)
    planes = normalising(frames)
    assert planes.shape == (2, 3, 5, 7)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    for (photo, row, column, channel), pixel in np.ndenumerate(frames):
        wanted = (pixel / 255 - normalising.mean[channel]) / normalising.std[channel]
        assert planes[photo, channel, row, column] == pytest.approx(wanted, abs=1e-6)


def trained_on(normalising: Normalize, frames: np.ndarray) -> np.ndarray:
    """The numbers that a training task gives its network for these frames."""
    task = ClassificationTask.__new__(ClassificationTask)
    torch.nn.Module.__init__(task)
    task.normalising = normalising
    scale, shift = normalising.scale_and_shift()
    task.scale = torch.from_numpy(scale).view(1, 3, 1, 1)
    task.shift = torch.from_numpy(shift).view(1, 3, 1, 1)
    planes: np.ndarray = task._normalised(_planes(torch.from_numpy(frames))).numpy()
    return planes


def test_training_normalises_to_the_same_floats():
    """What the training task does on the device is bit for bit what prediction does in numpy."""
    normalising = Normalize(mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3))
    frames = noise(3, 6, 4, 3)
    np.testing.assert_array_equal(trained_on(normalising, frames), normalising(frames))


def test_a_photos_own_mean_and_deviation():
    """Seed s0: each channel of each photo has a mean of 0 and a deviation of 1, whatever its light was."""
    frames = noise(3, 7, 5, 3)
    frames[1] = frames[1] // 4 + 100
    frames[2] = (10, 200, 0)
    planes = Normalize(mode="per_image")(frames)
    assert planes.shape == (3, 3, 7, 5)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    np.testing.assert_allclose(planes.mean(axis=(2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(planes[:2].std(axis=(2, 3)), 1, atol=1e-6)
    # An even photo is nothing, not noise.
    np.testing.assert_array_equal(planes[2], 0)
    for (photo, row, column, channel), pixel in np.ndenumerate(frames[:2]):
        own = frames[photo, ..., channel]
        assert planes[photo, channel, row, column] == pytest.approx((pixel - own.mean()) / own.std(), abs=1e-5)


@pytest.mark.parametrize("size", [(6, 4), (96, 64), (224, 224)])
def test_training_normalises_each_photo_to_the_same_numbers(size):
    normalising = Normalize(mode="per_image")
    frames = noise(4, *size, 3)
    frames[1] = frames[1] // 16 + 230
    frames[2] = 130
    frames[3, 0, 0] = 255
    np.testing.assert_allclose(trained_on(normalising, frames), normalising(frames), rtol=0, atol=1e-5)


def test_a_model_file_from_before_the_choice_is_normalised_as_it_was():
    old = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    assert Normalize.model_validate(old) == Normalize(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), mode="pretrained")
    with pytest.raises(ValidationError):
        Normalize(mode="batch")


def test_no_frames_are_no_planes():
    assert Normalize()(np.empty((0, 8, 9, 3), np.uint8)).shape == (0, 3, 8, 9)


@pytest.mark.parametrize("std", [(0.2, 0.2, 0.0), (0.2, 0.2, -1.0), (0.2, 0.2, float("nan")), (0.2, 0.2)])
def test_a_std_that_is_not_above_zero_is_refused(std):
    with pytest.raises(ValidationError):
        Normalize(std=std)


# Framing


def test_height_and_width_are_never_exchanged():
    """A photo with a bright left half and a dark right half stays so at a size that is not square."""
    photo = np.zeros((512, 384, 3), np.uint8)
    photo[:, :192] = 255
    photo[:100, :, 2] = 77
    frame = CropResize(crop=ComponentSpec.create("resize"), size=(96, 64))(photo)
    assert frame.shape == (96, 64, 3)
    assert (frame[40:, :31] == 255).all()
    assert (frame[40:, 33:] == 0).all()
    assert (frame[:17, :, 2] == 77).all()
    assert Preprocessing(crop_resize=CropResize(size=(96, 64)))(photo).shape == (1, 3, 96, 64)


def test_framing_resamples_the_crop_and_nothing_else():
    """The square in the middle of 384 x 512: the seeds' CenterCrop(384), then Pillow's own resize."""
    photo = noise(512, 384, 3)
    wanted = Image.fromarray(photo).crop((0, 64, 384, 448)).resize((96, 96), Image.Resampling.BILINEAR)
    # At the upper and lower edge the filter sees the photo's own pixels beyond the crop.
    np.testing.assert_array_equal(CropResize(size=(96, 96))(photo)[1:-1], np.asarray(wanted)[1:-1])
    same = noise(20, 30, 3)
    np.testing.assert_array_equal(CropResize(crop=ComponentSpec.create("resize"), size=(20, 30))(same), same)


def test_filters_differ_and_shrinking_does_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    frames = {name: CropResize(size=(32, 32), filter=name)(stripes) for name in ("bilinear", "bicubic", "box")}
    for frame in frames.values():
        assert abs(int(frame.min()) - 127) < 12
        assert abs(int(frame.max()) - 127) < 12
    photo = noise(100, 100, 3)
    shrunk = [CropResize(size=(32, 32), filter=name)(photo) for name in frames]
    assert not any(np.array_equal(one, other) for one, other in pairwise(shrunk))


def test_scaling_keeps_the_framing_but_for_its_size():
    framing = CropResize(crop=ComponentSpec.create("center", scale=0.5), size=(100, 60), filter="bicubic")
    assert framing.scaled(1.25) == framing.model_copy(update={"size": (125, 75)})
    assert framing.scaled(1) == framing


def test_what_is_written_reads_back_and_unknown_crops_are_refused():
    framing = CropResize(crop=ComponentSpec.create("center", shift=0.1), size=(96, 64))
    whole = Preprocessing(crop_resize=framing, normalization=Normalize(mode="per_image"))
    assert Preprocessing.model_validate_json(whole.model_dump_json()) == whole
    with pytest.raises(RecipeError, match="did you mean 'centre'"):
        CropResize(crop=ComponentSpec.create("center"))(noise(9, 9, 3))
    with pytest.raises(ValidationError):
        CropResize(size=(4, 4))


# Crops


@settings(max_examples=300, deadline=None)
@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    high=st.integers(8, 600),
    wide=st.integers(8, 600),
    scale=st.floats(0.1, 1),
    shift=st.floats(-0.5, 0.5),
    squeeze=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
)
def test_the_centre_crop_lies_inside_has_its_aspect_and_is_as_large_as_can_be(
    height, width, high, wide, scale, shift, squeeze
):
    photo = np.broadcast_to(np.zeros((), np.uint8), (height, width, 3))
    left, upper, right, lower = CenterCrop(scale=scale, shift=shift, squeeze=squeeze).box(photo, wide / high)
    # Exactly inside: Pillow refuses a box that is outside by the last bit.
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    aspect = (wide / high) ** (1 - squeeze) * (width / height) ** squeeze
    assert (right - left) / (lower - upper) == pytest.approx(aspect, rel=1e-6)
    assert max((right - left) / width, (lower - upper) / height) == pytest.approx(scale, rel=1e-6)
    assert left + right == pytest.approx(width)


@pytest.mark.parametrize(("height", "width", "size"), [(505, 527, (96, 100)), (512, 384, (224, 224)), (1, 1, (8, 9))])
def test_pillow_takes_every_centre_crop(height, width, size):
    assert CropResize(size=size)(noise(height, width, 3)).shape == (*size, 3)


def test_the_shift_moves_down_by_a_share_of_the_height_and_stops_at_the_edge():
    photo = np.zeros((400, 200, 3), np.uint8)
    assert CenterCrop(shift=0.1).box(photo, 1) == (0, 140, 200, 340)
    assert CenterCrop(shift=-0.1).box(photo, 1) == (0, 60, 200, 260)
    assert CenterCrop(shift=0.5).box(photo, 1) == (0, 200, 200, 400)
    assert CenterCrop(scale=0.5).box(photo, 1) == (50, 150, 150, 250)
    assert FullImage().box(photo, 3.0) == (0, 0, 200, 400)


def test_squeezing_keeps_what_cutting_loses_by_the_share_that_is_said():
    photo = np.zeros((400, 100, 3), np.uint8)
    assert CenterCrop(squeeze=0).box(photo, 1) == (0, 150, 100, 250)
    # Half of a format of 4 to 1 is 2 to 1, of which as much is squeezed as is cut.
    assert CenterCrop(squeeze=0.5).box(photo, 1) == pytest.approx((0, 100, 100, 300))
    assert CenterCrop(squeeze=1).box(photo, 1) == pytest.approx(FullImage().box(photo, 1))
    assert CenterCrop(squeeze=0.5).box(np.zeros((100, 400, 3), np.uint8), 1) == pytest.approx((100, 0, 300, 100))


@pytest.mark.parametrize(
    "options",
    [{"scale": 0}, {"scale": 1.1}, {"scale": float("nan")}, {"shift": 0.6}, {"squeeze": 1.1}, {"squeeze": -1}],
)
def test_crops_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="must lie in"):
        CenterCrop(**options)


# One transform for all


@pytest.mark.parametrize("crop", list(CROPS))
@pytest.mark.usefixtures("painted")
def test_validation_training_and_prediction_see_the_same_pixels(tmp_path, write_photo, crop):
    framing = CropResize(crop=ComponentSpec.create(crop), size=(24, 16))
    paths = [write_photo(tmp_path / name, seed=seed) for seed, name in enumerate(["a.png", "b.jpg"])]
    photos = [Photo(path, path.name, path.name) for path in paths]
    stored = open_image_cache(photos, framing, folder=tmp_path / "stores")
    preprocessing = Preprocessing(crop_resize=framing)
    for place, path in enumerate(paths):
        frame = framing(decode(path))
        np.testing.assert_array_equal(stored.gather([place])[0], frame)
        predicted = preprocessing(decode(path))
        np.testing.assert_array_equal(preprocessing.normalization(stored.gather([place])), predicted)


def test_several_framings_at_once_are_those_one_by_one(monkeypatch):
    """What sees the same is looked at once, whatever its size, filter and sharpening."""
    photo, looks = noise(60, 40, 3), []
    plain = CropResize(size=(20, 10), crop=ComponentSpec.create("center", scale=0.7))
    framings = [
        plain,
        plain.scaled(1.5),
        plain.model_copy(update={"filter": "box"}),
        plain.model_copy(update={"sharpen": 1.0}),
        plain.model_copy(update={"size": (20, 12)}),
        CropResize(size=(20, 10), crop=ComponentSpec.create("resize")),
    ]
    alone = [(framing(photo), framing.find_crop(photo)) for framing in framings]
    cut = CropResize.find_crop
    monkeypatch.setattr(
        CropResize, "find_crop", lambda framing, pixels: looks.append(framing.size) or cut(framing, pixels)
    )
    together = apply_all(photo, framings)
    for (frame, seen), (wanted, box) in zip(together, alone, strict=True):
        np.testing.assert_array_equal(frame, wanted)
        assert seen == box
    assert looks == [(20, 10), (20, 12), (20, 10)]

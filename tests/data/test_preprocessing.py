"""Tests of the evaluation preprocessing: exact values, and equal pixels in training, validation and prediction."""

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
from maskfit.training.task import ClassificationTask, _to_float_images


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Normalize


def test_normalize_against_a_slow_reference():
    normalize = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    images = noise(2, 5, 7, 3)
    planes = normalize(images)
    assert planes.shape == (2, 3, 5, 7)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    for (photo, row, column, channel), pixel in np.ndenumerate(images):
        expected = (pixel / 255 - normalize.mean[channel]) / normalize.std[channel]
        assert planes[photo, channel, row, column] == pytest.approx(expected, abs=1e-6)


def trained_on(normalize: Normalize, images: np.ndarray) -> np.ndarray:
    """The network input that the training task computes from these images."""
    task = ClassificationTask.__new__(ClassificationTask)
    torch.nn.Module.__init__(task)
    task.normalization = normalize
    scale, shift = normalize.scale_and_shift()
    task.scale = torch.from_numpy(scale).view(1, 3, 1, 1)
    task.shift = torch.from_numpy(shift).view(1, 3, 1, 1)
    planes: np.ndarray = task.normalize(_to_float_images(torch.from_numpy(images))).numpy()
    return planes


def test_training_normalizes_to_the_same_floats():
    """The training task on the device and prediction in numpy give bitwise equal values."""
    normalize = Normalize(mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3))
    images = noise(3, 6, 4, 3)
    np.testing.assert_array_equal(trained_on(normalize, images), normalize(images))


def test_per_image_mean_and_std():
    """Project boostup: each channel of each image has mean 0 and standard deviation 1."""
    images = noise(3, 7, 5, 3)
    images[1] = images[1] // 4 + 100
    images[2] = (10, 200, 0)
    planes = Normalize(mode="per_image")(images)
    assert planes.shape == (3, 3, 7, 5)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    np.testing.assert_allclose(planes.mean(axis=(2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(planes[:2].std(axis=(2, 3)), 1, atol=1e-6)
    # A uniform image becomes 0, not noise.
    np.testing.assert_array_equal(planes[2], 0)
    for (photo, row, column, channel), pixel in np.ndenumerate(images[:2]):
        own = images[photo, ..., channel]
        assert planes[photo, channel, row, column] == pytest.approx((pixel - own.mean()) / own.std(), abs=1e-5)


@pytest.mark.parametrize("size", [(6, 4), (96, 64), (224, 224)])
def test_training_normalizes_per_image_to_the_same_values(size):
    normalize = Normalize(mode="per_image")
    images = noise(4, *size, 3)
    images[1] = images[1] // 16 + 230
    images[2] = 130
    images[3, 0, 0] = 255
    np.testing.assert_allclose(trained_on(normalize, images), normalize(images), rtol=0, atol=1e-5)


def test_model_files_without_a_mode_load():
    old = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    assert Normalize.model_validate(old) == Normalize(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), mode="pretrained")
    with pytest.raises(ValidationError):
        Normalize(mode="batch")


def test_an_empty_batch():
    assert Normalize()(np.empty((0, 8, 9, 3), np.uint8)).shape == (0, 3, 8, 9)


@pytest.mark.parametrize("std", [(0.2, 0.2, 0.0), (0.2, 0.2, -1.0), (0.2, 0.2, float("nan")), (0.2, 0.2)])
def test_a_std_that_is_not_positive_is_rejected(std):
    with pytest.raises(ValidationError):
        Normalize(std=std)


# CropResize


def test_height_and_width_are_not_swapped():
    """A photo with a bright left half and a dark right half stays so at a size that is not square."""
    photo = np.zeros((512, 384, 3), np.uint8)
    photo[:, :192] = 255
    photo[:100, :, 2] = 77
    image = CropResize(crop=ComponentSpec.create("resize"), size=(96, 64))(photo)
    assert image.shape == (96, 64, 3)
    assert (image[40:, :31] == 255).all()
    assert (image[40:, 33:] == 0).all()
    assert (image[:17, :, 2] == 77).all()
    assert Preprocessing(crop_resize=CropResize(size=(96, 64)))(photo).shape == (1, 3, 96, 64)


def test_crop_resize_equals_pillow():
    """The central square of 384 x 512 equals the source projects' CenterCrop(384) and Pillow's resize."""
    photo = noise(512, 384, 3)
    expected = Image.fromarray(photo).crop((0, 64, 384, 448)).resize((96, 96), Image.Resampling.BILINEAR)
    # At the upper and lower edge the filter sees the photo's own pixels beyond the crop.
    np.testing.assert_array_equal(CropResize(size=(96, 96))(photo)[1:-1], np.asarray(expected)[1:-1])
    same = noise(20, 30, 3)
    np.testing.assert_array_equal(CropResize(crop=ComponentSpec.create("resize"), size=(20, 30))(same), same)


def test_filters_differ_and_do_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    images = {name: CropResize(size=(32, 32), filter=name)(stripes) for name in ("bilinear", "bicubic", "box")}
    for image in images.values():
        assert abs(int(image.min()) - 127) < 12
        assert abs(int(image.max()) - 127) < 12
    photo = noise(100, 100, 3)
    shrunk = [CropResize(size=(32, 32), filter=name)(photo) for name in images]
    assert not any(np.array_equal(one, other) for one, other in pairwise(shrunk))


def test_scaled_changes_only_the_size():
    crop_resize = CropResize(crop=ComponentSpec.create("center", scale=0.5), size=(100, 60), filter="bicubic")
    assert crop_resize.scaled(1.25) == crop_resize.model_copy(update={"size": (125, 75)})
    assert crop_resize.scaled(1) == crop_resize


def test_serialization_round_trip_and_unknown_crops():
    crop_resize = CropResize(crop=ComponentSpec.create("center", shift=0.1), size=(96, 64))
    whole = Preprocessing(crop_resize=crop_resize, normalization=Normalize(mode="per_image"))
    assert Preprocessing.model_validate_json(whole.model_dump_json()) == whole
    with pytest.raises(RecipeError, match="did you mean 'center'"):
        CropResize(crop=ComponentSpec.create("centre"))(noise(9, 9, 3))
    with pytest.raises(ValidationError):
        CropResize(size=(4, 4))


# Crops


@settings(max_examples=300, deadline=None)
@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    target_height=st.integers(8, 600),
    target_width=st.integers(8, 600),
    scale=st.floats(0.1, 1),
    shift=st.floats(-0.5, 0.5),
    squeeze=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
)
def test_center_crop_properties(height, width, target_height, target_width, scale, shift, squeeze):
    photo = np.broadcast_to(np.zeros((), np.uint8), (height, width, 3))
    left, upper, right, lower = CenterCrop(scale=scale, shift=shift, squeeze=squeeze).box(
        photo, target_width / target_height
    )
    # Exactly inside: Pillow refuses a box that is outside by the last bit.
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    aspect = (target_width / target_height) ** (1 - squeeze) * (width / height) ** squeeze
    assert (right - left) / (lower - upper) == pytest.approx(aspect, rel=1e-6)
    assert max((right - left) / width, (lower - upper) / height) == pytest.approx(scale, rel=1e-6)
    assert left + right == pytest.approx(width)


@pytest.mark.parametrize(("height", "width", "size"), [(505, 527, (96, 100)), (512, 384, (224, 224)), (1, 1, (8, 9))])
def test_pillow_accepts_every_center_crop(height, width, size):
    assert CropResize(size=size)(noise(height, width, 3)).shape == (*size, 3)


def test_center_crop_shift_is_a_fraction_of_the_height():
    photo = np.zeros((400, 200, 3), np.uint8)
    assert CenterCrop(shift=0.1).box(photo, 1) == (0, 140, 200, 340)
    assert CenterCrop(shift=-0.1).box(photo, 1) == (0, 60, 200, 260)
    assert CenterCrop(shift=0.5).box(photo, 1) == (0, 200, 200, 400)
    assert CenterCrop(scale=0.5).box(photo, 1) == (50, 150, 150, 250)
    assert FullImage().box(photo, 3.0) == (0, 0, 200, 400)


def test_center_crop_squeeze_interpolates_the_aspect():
    photo = np.zeros((400, 100, 3), np.uint8)
    assert CenterCrop(squeeze=0).box(photo, 1) == (0, 150, 100, 250)
    # Halfway between 4:1 and 1:1 is 2:1 on a logarithmic scale.
    assert CenterCrop(squeeze=0.5).box(photo, 1) == pytest.approx((0, 100, 100, 300))
    assert CenterCrop(squeeze=1).box(photo, 1) == pytest.approx(FullImage().box(photo, 1))
    assert CenterCrop(squeeze=0.5).box(np.zeros((100, 400, 3), np.uint8), 1) == pytest.approx((100, 0, 300, 100))


@pytest.mark.parametrize(
    "options",
    [{"scale": 0}, {"scale": 1.1}, {"scale": float("nan")}, {"shift": 0.6}, {"squeeze": 1.1}, {"squeeze": -1}],
)
def test_center_crop_options_out_of_range(options):
    with pytest.raises(ValueError, match="must lie in"):
        CenterCrop(**options)


# Equal pixels everywhere


@pytest.mark.parametrize("crop", list(CROPS))
@pytest.mark.usefixtures("painted")
def test_validation_training_and_prediction_see_the_same_pixels(tmp_path, write_photo, crop):
    crop_resize = CropResize(crop=ComponentSpec.create(crop), size=(24, 16))
    paths = [write_photo(tmp_path / name, seed=seed) for seed, name in enumerate(["a.png", "b.jpg"])]
    photos = [Photo(path, path.name, path.name) for path in paths]
    cached = open_image_cache(photos, crop_resize, folder=tmp_path / "caches")
    preprocessing = Preprocessing(crop_resize=crop_resize)
    for place, path in enumerate(paths):
        image = crop_resize(decode(path))
        np.testing.assert_array_equal(cached.gather([place])[0], image)
        predicted = preprocessing(decode(path))
        np.testing.assert_array_equal(preprocessing.normalization(cached.gather([place])), predicted)


def test_apply_all_equals_each_alone(monkeypatch):
    """Equivalent settings share one crop, whatever their size, filter and sharpening."""
    photo, calls = noise(60, 40, 3), []
    plain = CropResize(size=(20, 10), crop=ComponentSpec.create("center", scale=0.7))
    settings_list = [
        plain,
        plain.scaled(1.5),
        plain.model_copy(update={"filter": "box"}),
        plain.model_copy(update={"unsharp_mask": 1.0}),
        plain.model_copy(update={"size": (20, 12)}),
        CropResize(size=(20, 10), crop=ComponentSpec.create("resize")),
    ]
    alone = [(crop_resize(photo), crop_resize.find_crop(photo)) for crop_resize in settings_list]
    find_crop = CropResize.find_crop
    monkeypatch.setattr(
        CropResize,
        "find_crop",
        lambda crop_resize, pixels, face: calls.append(crop_resize.size) or find_crop(crop_resize, pixels, face),
    )
    together = apply_all(photo, settings_list)
    for (image, seen), (expected, box) in zip(together, alone, strict=True):
        np.testing.assert_array_equal(image, expected)
        assert seen == box
    assert calls == [(20, 10), (20, 12), (20, 10)]

"""Tests of background removal: interface, GrabCut, saliency networks, and equal pixels in cache and prediction."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from maskfit.config.loader import read_recipe
from maskfit.data.backgrounds import BACKGROUNDS, GrabCut, SaliencyBackground
from maskfit.data.backgrounds.fill import IMAGENET_MEAN_COLOR, fill_background
from maskfit.data.backgrounds.grabcut import initial_mask
from maskfit.data.boxes import CropBox
from maskfit.data.crops import CROPS
from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.image_decoding import decode
from maskfit.data.mask_regions import connected_region, largest_region_box
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, Preprocessing, unsharp_mask
from maskfit.errors import MissingExtraError, RecipeError
from maskfit.pretrained_weights import pin_component
from maskfit.registry import ComponentSpec, instantiate
from maskfit.synthesis.drawn import render_photo, sample_person
from maskfit.training.recipe_registry import RECIPE_REGISTRY

REMOVALS = [name for name in BACKGROUNDS if name != "none"]
BLUE = [0, 0, 255]


@pytest.fixture(autouse=True)
def net(painted, bright):
    """Replaces detectors and networks, so that no test of this file needs weights."""


def subject(height: int = 120, width: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """A bright head on noise that is dark, and where the head is."""
    rng = np.random.default_rng(0)
    photo = rng.integers(20, 60, (height, width, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width]
    head = ((columns - width / 2) / (width * 0.3)) ** 2 + ((rows - height / 2) / (height * 0.44)) ** 2 < 1
    photo[head] = rng.integers(215, 256, (int(head.sum()), 3), dtype=np.uint8)
    return photo, head


def whole(photo: np.ndarray) -> CropBox:
    return CropBox((0.0, 0.0, float(photo.shape[1]), float(photo.shape[0])))


# Interface


@pytest.mark.parametrize("name", list(BACKGROUNDS))
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 3), (8, 8), (33, 21), (700, 500)])
@pytest.mark.parametrize("kind", ["noise", "black", "white", "subject"])
def test_every_background_gives_a_photo_of_the_same_size(name, size, kind):
    level = {"black": 0, "white": 255}.get(kind, 0)
    photo = np.full((*size, 3), level, dtype=np.uint8)
    if kind == "noise":
        photo = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    elif kind == "subject":
        photo = subject(*size)[0]
    before = photo.copy()
    for box in ((0, 0, size[1], size[0]), (size[1] - 1, 0, size[1], 1), (-40, -50, size[1] + 9, size[0] + 9)):
        seen = instantiate(BACKGROUNDS, ComponentSpec.create(name)).remove_background(
            photo, CropBox(tuple(map(float, box)), angle=10)
        )
        assert (seen.shape, seen.dtype) == (photo.shape, np.uint8)
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize("name", list(BACKGROUNDS))
def test_the_same_photo_gives_the_same_pixels(name):
    from concurrent.futures import ThreadPoolExecutor

    photo = np.asarray(render_photo(sample_person(0, 1), "mask1", size=(96, 128)).image)
    first = instantiate(BACKGROUNDS, ComponentSpec.create(name)).remove_background(photo, whole(photo))
    with ThreadPoolExecutor(4) as pool:
        others = pool.map(
            lambda _: instantiate(BACKGROUNDS, ComponentSpec.create(name)).remove_background(photo, whole(photo)),
            range(4),
        )
    assert all((other == first).all() for other in others)


@pytest.mark.parametrize("name", REMOVALS)
def test_the_background_is_filled_and_the_subject_kept(name):
    photo, head = subject()
    seen = instantiate(BACKGROUNDS, ComponentSpec.create(name, color=BLUE)).remove_background(photo, whole(photo))
    flat = (seen == BLUE).all(axis=2)
    inside = _shrunk(head, 4)
    # The output of a network is never exactly 0 or 1.
    assert abs(seen[inside].astype(int) - photo[inside]).max() <= (0 if name == "grabcut" else 6)
    assert flat[_shrunk(~head, 6)].mean() > 0.97


def _shrunk(mask: np.ndarray, by: int) -> np.ndarray:
    """Pixels of a mask that are farther than `by` from its edge, along rows and columns."""
    kept = mask.copy()
    for axis in (0, 1):
        for step in range(-by, by + 1):
            kept &= np.roll(mask, step, axis)
    return kept


@pytest.mark.parametrize("name", list(BACKGROUNDS))
def test_settings_survive_serialization(name):
    part = ComponentSpec.create(name, **({"color": BLUE} if name in REMOVALS else {}))
    pinned = CropResize(background_removal=part, unsharp_mask=0.5, size=(16, 16)).pinned()
    assert pinned.background_removal == pin_component(part, instantiate(BACKGROUNDS, part))
    assert CropResize.model_validate_json(pinned.model_dump_json()) == pinned
    assert pinned.pinned() == pinned


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grabcut", {"side": 8}, "side=8"),
        ("grabcut", {"iterations": 0}, "iterations=0"),
        ("grabcut", {"color": [0, 0]}, "red, green, blue"),
        ("saliency", {"color": [0, 0, 256]}, "red, green, blue"),
        ("saliency", {"net": "u2net_p"}, "did you mean 'u2netp'"),
        ("grabbed", {}, "unknown"),
    ],
)
def test_invalid_options_are_rejected(name, options, message):
    with pytest.raises(RecipeError, match=message):
        instantiate(BACKGROUNDS, ComponentSpec.create(name, **options))


# Cache and prediction


@pytest.mark.parametrize("name", REMOVALS)
@pytest.mark.parametrize(
    "crop", [ComponentSpec.create("center"), ComponentSpec.create("face", align=True), ComponentSpec.create("saliency")]
)
def test_validation_training_and_prediction_see_the_same_pixels(tmp_path, name, crop):
    crop_resize = CropResize(crop=crop, size=(48, 40), background_removal=ComponentSpec.create(name), unsharp_mask=0.7)
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.png")
        render_photo(sample_person(0, number), "normal", size=(96, 128)).image.save(paths[-1])
    cached = open_image_cache(
        [Photo(path, path.name, path.name) for path in paths], crop_resize, folder=tmp_path / "caches"
    )
    plain = crop_resize.model_copy(update={"background_removal": ComponentSpec.create("none"), "unsharp_mask": 0.0})
    recorded = CropResize.model_validate_json(crop_resize.pinned().model_dump_json())
    for place, path in enumerate(paths):
        frame = cached.gather([place])[0]
        np.testing.assert_array_equal(frame, Preprocessing(crop_resize=recorded).crop_resize(decode(path)))
        assert (frame != CropResize(**dict(plain))(decode(path))).any()


def test_another_background_is_another_cache(tmp_path, paint):
    Image.fromarray(paint(60, 40)).save(tmp_path / "a.png")
    photos = [Photo(tmp_path / "a.png", "a.png", "p")]
    for background, sharpen in (("none", 0), ("grabcut", 0), ("none", 1)):
        crop_resize = CropResize(
            size=(16, 16), background_removal=ComponentSpec.create(background), unsharp_mask=sharpen
        )
        open_image_cache(photos, crop_resize, folder=tmp_path / "caches")
    assert len(list((tmp_path / "caches").iterdir())) == 3


def test_defaults_are_not_serialized():
    """Settings without background removal and sharpening are written without these fields."""
    old = '{"crop":"center","size":[224,224],"filter":"bilinear"}'
    assert CropResize().model_dump_json() == old
    assert CropResize.model_validate_json(old) == CropResize()
    assert CropResize.model_validate_json(old).pinned() == CropResize()
    photo = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    by_hand = np.asarray(Image.fromarray(photo).resize((224, 224), Image.Resampling.BILINEAR, box=(0, 20, 260, 280)))
    np.testing.assert_array_equal(CropResize.model_validate_json(old)(photo), by_hand)


def test_larger_images_have_the_same_edge():
    photo, _ = subject(240, 180)
    crop_resize = CropResize(size=(64, 64), background_removal=ComponentSpec.create("grabcut", color=BLUE))
    small, large = ((item(photo) == BLUE).all(axis=2) for item in (crop_resize, crop_resize.scaled(2)))
    both = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.NEAREST))
    assert (small == both).mean() > 0.97


def test_recipe_keys():
    recipe = read_recipe(
        "baseline",
        ["data.background_removal=grabcut", "data.background_removal.side=64", "data.unsharp_mask=1"],
        registries=RECIPE_REGISTRY,
    )
    assert recipe.data.background_removal == ComponentSpec.create("grabcut", side=64)
    assert recipe.data.unsharp_mask == 1
    with pytest.raises(RecipeError, match="background"):
        read_recipe("baseline", ["data.background_removal=grabbut"], registries=RECIPE_REGISTRY)
    with pytest.raises(RecipeError, match="unsharp_mask"):
        read_recipe("baseline", ["data.unsharp_mask=-1"], registries=RECIPE_REGISTRY)


# GrabCut


def test_drawn_faces_are_kept():
    """The inside of each face is unchanged, and part of the background is filled."""
    for number in range(4):
        for name in ("mask1", "normal"):
            photo = np.asarray(render_photo(sample_person(3, number), name, size=(192, 256)).image)
            seen = GrabCut().remove_background(photo, CropBox((0.0, 32.0, 192.0, 224.0)))
            np.testing.assert_array_equal(seen[110:170, 75:117], photo[110:170, 75:117])
            assert (seen[:20, :10] == IMAGENET_MEAN_COLOR).all() or (seen[:20, -10:] == IMAGENET_MEAN_COLOR).all()


def test_initial_mask():
    kinds = initial_mask(100, 80, (0, 0, 80, 100))
    assert kinds[50, 40] == 1
    assert kinds[0, 0] == kinds[0, 79] == 0
    assert kinds[99, 40] == 3
    assert kinds[60, 1] == 2
    # Moved by the crop, not by the photo.
    moved = initial_mask(100, 160, (80, 0, 160, 100))
    np.testing.assert_array_equal(moved[:, 80:], kinds)


def test_grabcut_uses_only_the_surroundings_of_the_crop():
    photo, _ = subject(120, 90)
    group = np.concatenate([photo, np.random.default_rng(5).integers(0, 256, (120, 400, 3), dtype=np.uint8)], axis=1)
    crop_box = CropBox((10.0, 15.0, 80.0, 105.0))
    seen = GrabCut(color=BLUE).remove_background(group, crop_box)
    assert (seen[60, 45] == group[60, 45]).all()
    assert (seen[:, 150:] == BLUE).all()


def test_missing_opencv_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    photo, _ = subject()
    for background in (GrabCut(), CROPS["saliency"]()):
        with pytest.raises(MissingExtraError, match="needs the extra 'background'"):
            background.pinned()
    with pytest.raises(MissingExtraError):
        GrabCut().remove_background(photo, whole(photo))
    # A network needs none.
    assert SaliencyBackground().pinned()["weights"] == "bright.onnx"
    assert (SaliencyBackground().remove_background(photo, whole(photo)) == IMAGENET_MEAN_COLOR).all(axis=2).any()


def test_connected_region_and_largest_box():
    import cv2

    mask = np.zeros((9, 12), dtype=bool)
    mask[1:6, 1:6] = True
    mask[3, 3] = False
    mask[7, 8:12] = True
    filled = mask.copy()
    filled[3, 3], filled[7] = True, False
    np.testing.assert_array_equal(connected_region(cv2, mask, 1, 1), filled)
    assert not connected_region(cv2, mask, 0, 0).any()
    assert largest_region_box(cv2, mask) == (1, 1, 6, 6)
    assert largest_region_box(cv2, np.zeros((4, 4), dtype=bool)) is None


def test_fill_background_mixes_by_opacity():
    photo = np.full((2, 4, 3), 200, dtype=np.uint8)
    opacity = np.array([[255, 255], [0, 0]], dtype=np.uint8)
    seen = fill_background(photo, opacity, (0, 0, 100), (1, 0, 3, 2))
    np.testing.assert_array_equal(seen[0], [[0, 0, 100], [200] * 3, [200] * 3, [0, 0, 100]])
    np.testing.assert_array_equal(seen[1], [[0, 0, 100]] * 4)


# Sharpening


def test_unsharp_mask():
    frame = np.full((224, 224, 3), 100, dtype=np.uint8)
    frame[:, 112:] = 150
    assert unsharp_mask(frame, 0) is frame
    seen = unsharp_mask(frame, 1.0)
    assert seen[10, 111, 0] < 95
    assert seen[10, 112, 0] > 155
    np.testing.assert_array_equal(seen[:, :100], frame[:, :100])
    assert unsharp_mask(frame, 2.0)[10, 112, 0] > seen[10, 112, 0]


def test_unsharp_mask_scales_with_the_image():
    frame = np.full((224, 224, 3), 100, dtype=np.uint8)
    frame[:, 112:] = 150
    large = np.asarray(Image.fromarray(frame).resize((448, 448), Image.Resampling.NEAREST))
    halved = np.asarray(Image.fromarray(unsharp_mask(large, 1.0)).reduce(2), dtype=int)
    assert abs(halved - unsharp_mask(frame, 1.0)).max() <= 4

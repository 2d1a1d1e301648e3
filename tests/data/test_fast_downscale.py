"""Approximate downscaling against Pillow's: nearly its pixels where it downscales, nothing otherwise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from maskfit.data import fast_downscale
from maskfit.data.boxes import CropBox
from maskfit.data.fast_downscale import SUPPORTS, downscale
from maskfit.data.preprocessing import FILTERS, CropResize
from maskfit.registry import ComponentSpec


@pytest.fixture(scope="module", autouse=True)
def package():
    pytest.importorskip("cykooz_resizer")


def draw(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A photo with smooth and sharp parts."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def test_a_box_filter_is_left_to_pillow():
    """Its hard edges make differences of up to 100 levels; the other filters of a recipe are known."""
    assert SUPPORTS.keys() == FILTERS.keys() - {"box"}
    assert CropResize(size=(60, 60), filter="box").approximate(draw(200, 150), CropBox((0, 0, 150, 200))) is None


@pytest.mark.parametrize("name", SUPPORTS)
@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((60, 60), (0.0, 20.5, 150.0, 170.5)),
        ((50, 40), (10.25, 3.75, 141.5, 190.0)),
        ((20, 90), (1.5, 0.0, 150.0, 200.0)),
    ],
)
def test_pixels_are_nearly_those_of_pillow(name, size, box):
    photo = draw(200, 150)
    crop_resize = CropResize(size=size, filter=name)
    exact = crop_resize(photo, CropBox(box))
    found = crop_resize.approximate(photo, CropBox(box))
    assert found is not None
    assert (found.shape, found.dtype) == (exact.shape, np.uint8)
    off = np.abs(found.astype(int) - exact)
    assert off.max() <= 2
    assert (off > 0).mean() < 0.05
    assert (off > 1).mean() < 0.002


@pytest.mark.parametrize("name", SUPPORTS)
@pytest.mark.parametrize(("height", "width"), [(200, 150), (400, 150), (150, 400)])
def test_fine_stripes_are_pillows_too_whichever_pass_it_begins_with(name, height, width):
    """In the other order up to 20 levels are off: bicubic overshoots, and is cut to 8 bits between the passes."""
    rows, columns = np.mgrid[0:height, 0:width]
    photo = ((columns // 7 + rows // 5) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    crop_resize, box = CropResize(size=(64, 64), filter=name), CropBox((2.5, 3.0, width - 4.0, height - 1.5))
    off = np.abs(crop_resize.approximate(photo, box).astype(int) - crop_resize(photo, box))
    assert off.max() <= 2


def test_a_photo_in_another_memory_layout_and_many_threads():
    photo = draw(200, 150).transpose(1, 0, 2)
    expected = downscale(np.ascontiguousarray(photo), (0, 0, 200, 150), (40, 60), "bicubic")
    assert np.array_equal(downscale(photo, (0, 0, 200, 150), (40, 60), "bicubic"), expected)
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda _: downscale(photo, (0, 0, 200, 150), (40, 60), "bicubic"), range(40))
        assert all(np.array_equal(item, expected) for item in found)


def test_sharpening_is_the_same():
    crop_resize, photo = CropResize(size=(60, 60), unsharp_mask=1.5), draw(200, 150)
    crop = crop_resize.find_crop(photo)
    plain = crop_resize.model_copy(update={"unsharp_mask": 0.0})
    off = np.abs(crop_resize.approximate(photo, crop).astype(int) - crop_resize(photo, crop))
    assert off.mean() < 0.3
    assert np.abs(crop_resize.approximate(photo, crop).astype(int) - plain(photo, crop)).mean() > 1


def test_where_it_gains_nothing_there_is_none(monkeypatch):
    photo = draw(200, 150)
    assert downscale(photo, (0, 0, 150, 200), (200, 100), "bilinear") is None  # as high as before
    assert downscale(photo, (0, 0, 150, 200), (100, 150), "bilinear") is None
    assert CropResize(size=(50, 50)).approximate(photo, CropBox((0, 0, 150, 150), angle=3.0)) is None
    removing = CropResize(size=(50, 50), background_removal=ComponentSpec.create("grabcut"))
    assert removing.approximate(photo, CropBox((0, 0, 150, 150))) is None
    assert downscale(photo, (0, 0, 150, 200), (100, 100), "bilinear") is not None
    monkeypatch.setattr(fast_downscale, "import_resizer", lambda: None)
    assert downscale(photo, (0, 0, 150, 200), (100, 100), "bilinear") is None

"""Tests of box geometry and rotated crops."""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskfit.data.boxes import ROUNDING_STEP, CropBox, clip_box, crop_rotated, fit_to_aspect, intersection_over_union
from maskfit.evaluation import scenes

BILINEAR = Image.Resampling.BILINEAR
edges = st.floats(-5000, 5000)
sides = st.integers(1, 3000)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=300, deadline=None)
@given(st.tuples(edges, edges), st.tuples(st.floats(0.1, 4000), st.floats(0.1, 4000)), sides, sides, st.floats(0.2, 5))
def test_fit_to_aspect_properties(corner, size, width, height, aspect):
    box = (corner[0], corner[1], corner[0] + size[0], corner[1] + size[1])
    left, upper, right, lower = fit_to_aspect(box, aspect, width, height)
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    assert min(right - left, lower - upper) >= 1
    wide = min(max(size[0], size[1] * aspect), width, height * aspect)
    if min(wide, wide / aspect) >= 1:
        assert abs((right - left) - wide) <= 2 * ROUNDING_STEP
        assert abs((lower - upper) - wide / aspect) <= 2 * ROUNDING_STEP


def test_fit_to_aspect_examples():
    assert fit_to_aspect((40, 50, 60, 90), 1.0, 200, 200) == (30, 50, 70, 90)
    assert fit_to_aspect((-20, 50, 20, 90), 1.0, 200, 200) == (0, 50, 40, 90)
    assert fit_to_aspect((180, 190, 220, 230), 1.0, 200, 200) == (160, 160, 200, 200)
    assert fit_to_aspect((10, 10, 190, 90), 1.0, 200, 100) == (50, 0, 150, 100)
    assert fit_to_aspect((0, 0, 300, 300), 0.75, 300, 400) == (0, 0, 300, 400)


def test_clip_box_keeps_at_least_one_pixel():
    assert clip_box((-9, -9, 30.1, 30.4), 20, 40) == (0, 0, 20, 30.5)
    assert clip_box((500, -70, 600, -60), 20, 40) == (19, 0, 20, 1)
    assert clip_box((3.05, 3.05, 3.06, 3.06), 8, 8) == (3, 3, 4, 4)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_rotation_by_90_degrees_equals_numpy(quarter):
    """A box rotated clockwise shows the photo rotated counterclockwise."""
    photo = noise(40, 40)
    got = crop_rotated(photo, CropBox((0, 0, 40, 40), angle=90.0 * quarter), (40, 40), BILINEAR)
    # Pillow cuts a level off where the last bit of a place is not right.
    np.testing.assert_allclose(got.astype(int), np.rot90(photo, quarter), rtol=0, atol=1)


@pytest.mark.parametrize("angle", [-30.0, -4.25, 12.5, 45.0])
def test_crop_rotated_moves_points(angle):
    photo = np.zeros((300, 400, 3), np.uint8)
    x, y, turn = 180.0, 140.0, radians(angle)
    point = (x + cos(turn) * 40 - sin(turn) * 30, y + sin(turn) * 40 + cos(turn) * 30)
    photo[int(point[1]) - 3 : int(point[1]) + 3, int(point[0]) - 3 : int(point[0]) + 3] = 255
    frame = crop_rotated(photo, CropBox((x - 100, y - 80, x + 100, y + 80), angle), (160, 200), BILINEAR)
    rows, columns = np.nonzero(frame[..., 0] > 100)
    assert columns.mean() + 0.5 == pytest.approx(140, abs=1.2)
    assert rows.mean() + 0.5 == pytest.approx(110, abs=1.2)


def test_crop_rotated_repeats_the_edge():
    photo = np.full((20, 20, 3), 80, np.uint8)
    photo[:, 0] = (9, 200, 30)
    frame = crop_rotated(photo, CropBox((-30, -30, 30, 50), 10.0), (64, 48), BILINEAR)
    assert (frame[32, :16] == (9, 200, 30)).all()
    assert (frame[:, -4:] == 80).all()


def test_crop_rotated_does_not_alias():
    photo = np.zeros((800, 800, 3), np.uint8)
    photo[:, ::2] = 255
    frame = crop_rotated(photo, CropBox((100, 100, 700, 700), 3.0), (60, 60), BILINEAR).astype(int)
    assert abs(frame - 127).max() < 20


def test_crop_rotated_of_one_pixel():
    frame = crop_rotated(
        np.full((1, 1, 3), 7, np.uint8), CropBox((-2, -2, 3, 3), -20.0), (8, 9), Image.Resampling.BICUBIC
    )
    assert frame.shape == (8, 9, 3)
    assert (frame == 7).all()


@given(st.lists(st.tuples(edges, edges, sides, sides), min_size=2, max_size=2))
def test_overlap_is_that_of_scored_scenes(corners):
    first, second = ((x, y, x + width, y + height) for x, y, width, height in corners)
    expected = scenes.intersection_over_union(np.array([first]), np.array([second]))[0, 0]
    assert intersection_over_union(first, second) == pytest.approx(expected, abs=1e-9)
    assert intersection_over_union(first, first) == pytest.approx(1)

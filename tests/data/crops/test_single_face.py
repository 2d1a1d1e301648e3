"""Tests of `crop_single_face`."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.data.crops import CROPS
from maskfit.data.crops.face import FACE_HEIGHT, FACE_WIDTH, PORTRAIT_ASPECT, crop_single_face
from maskfit.data.detectors import Face
from maskfit.data.preprocessing import CropResize
from maskfit.registry import ComponentSpec, instantiate


@pytest.fixture(autouse=True)
def detector(painted):
    return painted


@pytest.mark.parametrize("name", list(CROPS))
@pytest.mark.parametrize("box", [(40, 50, 70, 90), (-20, -30, 15, 18), (150, 100, 260, 190), (300, 300, 340, 350)])
@pytest.mark.parametrize("size", [(120, 200), (1, 1), (3, 400)])
def test_every_crop_works_for_every_face_position(name, box, size):
    photo = np.zeros((*size, 3), dtype=np.uint8)
    crop_resize = CropResize(crop=ComponentSpec.create(name), size=(24, 16))
    crop_box = crop_resize.find_face_crop(photo, Face(box, 0.9))
    assert not crop_box.fallback or name in ("variance", "saliency")
    assert crop_resize(photo, crop_box).shape == (24, 16, 3)


def test_a_face_crop_uses_the_given_face(paint):
    photo = paint(200, 300, (20, 20, 60, 80), (100, 40, 220, 190))
    crop_resize = CropResize(
        crop=ComponentSpec.create("face", left=0, right=0, top=0, bottom=0, ignore_aspect=True), size=(32, 32)
    )
    assert crop_resize.find_crop(photo).box == (100, 40, 220, 190)
    assert crop_resize.find_face_crop(photo, Face((20, 20, 60, 80), 0.9)).box == (20, 20, 60, 80)


def test_other_crops_are_applied_to_a_portrait():
    photo = np.zeros((2000, 3000, 3), dtype=np.uint8)
    wide, high = FACE_WIDTH * 384, FACE_HEIGHT * 512
    x, y = 1700.0, 900.0
    face = Face((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), 0.9)
    left, upper, right, lower = crop_single_face(
        instantiate(CROPS, ComponentSpec.create("resize")), photo, face, 1.0
    ).box
    assert (right - left, lower - upper) == (pytest.approx(384, abs=2), pytest.approx(512, abs=2))
    assert ((left + right) / 2, (upper + lower) / 2) == (pytest.approx(x, abs=1), pytest.approx(y, abs=1))
    assert pytest.approx(384 / 512) == PORTRAIT_ASPECT


def test_a_portrait_stays_inside_the_photo():
    photo = np.zeros((100, 80, 3), dtype=np.uint8)
    left, upper, right, lower = crop_single_face(
        instantiate(CROPS, ComponentSpec.create("resize")), photo, Face((-10, -10, 40, 40), 0.9), 1.0
    ).box
    assert (left, upper) == (0, 0)
    assert right <= 80
    assert lower <= 100

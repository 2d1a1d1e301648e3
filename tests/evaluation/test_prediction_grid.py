"""Sheets of answered photos."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from maskfit.errors import DataError
from maskfit.evaluation.prediction_grid import (
    CORRECT_COLOR,
    UNKNOWN_COLOR,
    WRONG_COLOR,
    PredictedPhoto,
    prediction_grid,
)

GRAY = np.full((512, 384, 3), 128, np.uint8)


def colors(image: Image.Image) -> set[tuple[int, int, int]]:
    return {color for _, color in image.getcolors(1_000_000)}


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(1, 4, (1, 1)), (4, 4, (4, 1)), (5, 4, (4, 2)), (3, 1, (1, 3))]
)
def test_photos_stand_row_by_row(count, columns, shape):
    one = prediction_grid([(GRAY, "worn", None, 0.5)], columns)
    sheet = prediction_grid([(GRAY, "worn", None, 0.5)] * count, columns)
    gap = max(8, 220 // 14)
    assert sheet.size == (shape[0] * (one.width - gap) + gap, shape[1] * (one.height - gap) + gap)


def test_right_wrong_and_unknown_are_told_apart():
    for truth, color in (("worn, male, <30", CORRECT_COLOR), ("worn, male, >=60", WRONG_COLOR), (None, UNKNOWN_COLOR)):
        found = colors(prediction_grid([PredictedPhoto(GRAY, "worn, male, <30", truth, 0.9)]))
        assert color in found
        assert {CORRECT_COLOR, WRONG_COLOR, UNKNOWN_COLOR} & found == {color}


def test_the_bar_is_as_long_as_the_answer_is_sure():
    def length(probability: float) -> int:
        pixels = np.asarray(prediction_grid([(GRAY, "worn", None, probability)]))
        return int((pixels == UNKNOWN_COLOR).all(axis=2).sum(axis=1).max())

    assert length(0.0) == 0
    assert length(0.5) == pytest.approx(length(1.0) / 2, abs=3)


def test_arrays_images_and_other_modes_and_shapes_are_taken():
    picture = Image.fromarray(GRAY)
    expected = np.asarray(prediction_grid([(GRAY, "worn", "worn", 0.5)]))
    assert (np.asarray(prediction_grid([(picture, "worn", "worn", 0.5)])) == expected).all()
    for other in (picture.convert("L"), picture.convert("RGBA"), picture.resize((900, 200)), picture.resize((5, 5))):
        assert prediction_grid([(other, "worn", "worn", 0.5)]).size == expected.shape[1::-1]
    assert picture.size == (384, 512)


def test_long_words_are_cut_and_small_sheets_drawn():
    words = "incorrectly worn beneath the nose, and more words than any card is wide enough to hold, by far"
    for width in (80, 90, 400):
        assert prediction_grid([(GRAY, words, words + "!", 1.0)], width=width).width > width


def test_an_empty_sheet_is_refused():
    for photos, columns in (([], 4), ([(GRAY, "worn", None, 0.5)], 0)):
        with pytest.raises(DataError, match="at least one photo"):
            prediction_grid(photos, columns)

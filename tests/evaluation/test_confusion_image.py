"""Confusion matrices as pictures: colors by share of the row, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.errors import DataError
from maskfit.evaluation.confusion_image import CELL, CORRECT_COLOR, MARGIN, WRONG_COLOR, confusion_image


def test_cells_are_colored_by_their_share_of_the_row():
    picture = np.asarray(confusion_image([[7, 0, 0], [0, 2, 2], [0, 0, 0]], ["a", "b", "c"], "mask"), np.int64)
    corner = [picture.shape[0] - MARGIN - 3 * CELL, picture.shape[1] - MARGIN - 3 * CELL]
    # The matrix is at the left where the legend is wider: find it by the first cell's color.
    columns = np.flatnonzero((picture == CORRECT_COLOR).all(axis=2).any(axis=0))
    corner[1] = int(columns[0]) - 1

    def color(row: int, column: int) -> list[int]:
        pixel: list[int] = picture[corner[0] + row * CELL + 4, corner[1] + column * CELL + 4].tolist()
        return pixel

    assert color(0, 0) == list(CORRECT_COLOR)
    assert color(1, 1) == [round(255 + (channel - 255) / 2) for channel in CORRECT_COLOR]
    assert color(1, 2) == [round(255 + (channel - 255) / 2) for channel in WRONG_COLOR]
    assert color(0, 1) == color(2, 2) == [255, 255, 255]


def test_names_and_counts_must_fit():
    with pytest.raises(DataError, match="2 classes"):
        confusion_image(np.eye(3), ["a", "b"], "mask")

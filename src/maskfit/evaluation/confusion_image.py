"""Draws a confusion matrix as a picture, for tools that show pictures only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from maskfit.errors import DataError

BACKGROUND, TEXT_COLOR, SECONDARY_TEXT_COLOR, GRID_COLOR = (
    (255, 255, 255),
    (27, 33, 38),
    (96, 108, 118),
    (229, 233, 236),
)
CORRECT_COLOR, WRONG_COLOR = (11, 138, 108), (207, 62, 40)
"""Full color of a cell that holds every photo of its row: on the diagonal, and off it."""

CELL, FONT_SIZE, MARGIN = 44, 14, 10
"""Side of a cell, height of the text and outer margin, in pixels."""


def confusion_image(counts: ArrayLike, names: Sequence[str], title: str) -> Image.Image:
    """Draws a confusion matrix; a cell is the darker, the larger its share of the photos of its row.

    Args:
        counts: Counts of shape (classes, classes): rows are the truth, columns the predictions.
        names: Names of the classes; columns have their numbers only where names do not fit.
        title: Line above the matrix.

    Returns:
        An RGB image.

    Raises:
        DataError: `counts` is not square, or there is another number of names.
    """
    matrix = np.asarray(counts)
    if matrix.shape != (len(names), len(names)):
        raise DataError(f"a confusion matrix of {len(names)} classes has not the shape {matrix.shape}")
    font = ImageFont.load_default(FONT_SIZE)
    rows = [f"{name}  {number}" for number, name in enumerate(names)]
    left = MARGIN + round(max(font.getlength(row) for row in rows)) + MARGIN
    top = 2 * MARGIN + 2 * FONT_SIZE + 2 * MARGIN
    side = CELL * len(names)
    legend = f"{title}: rows are the truth, columns the prediction"
    width = max(left + side, MARGIN + round(font.getlength(legend))) + MARGIN
    image = Image.new("RGB", (width, top + side + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), legend, TEXT_COLOR, font)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for row, name in enumerate(rows):
        middle = top + row * CELL + CELL // 2
        draw.text((left - MARGIN, middle), name, TEXT_COLOR, font, anchor="rm")
        draw.text((left + row * CELL + CELL // 2, top - MARGIN), str(row), SECONDARY_TEXT_COLOR, font, anchor="ms")
        for column in range(len(names)):
            _draw_cell(
                draw,
                (left + column * CELL, top + row * CELL),
                int(matrix[row, column]),
                shares[row, column],
                CORRECT_COLOR if row == column else WRONG_COLOR,
                font,
            )
    return image


def _draw_cell(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    count: int,
    share: float,
    color: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    left, top = corner
    red, green, blue = (round(255 + (channel - 255) * share) for channel in color)
    draw.rectangle((left, top, left + CELL, top + CELL), (red, green, blue), GRID_COLOR)
    if count:
        ink = BACKGROUND if share > 0.5 else TEXT_COLOR
        draw.text((left + CELL // 2, top + CELL // 2), str(count), ink, font, anchor="mm")

"""Draws grids of photos with prediction and probability below each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from maskfit.errors import DataError
from maskfit.text import format_count

PAGE_COLOR, CARD_COLOR, BAR_BACKGROUND = (244, 246, 247), (255, 255, 255), (229, 233, 236)
TEXT_COLOR, SECONDARY_TEXT_COLOR = (27, 33, 38), (96, 108, 118)
UNKNOWN_COLOR, CORRECT_COLOR, WRONG_COLOR = (74, 99, 201), (11, 138, 108), (207, 62, 40)
"""Color of the bar, by whether the prediction is correct."""

MIN_WIDTH = 80
"""Minimum width of a photo, in pixels; text below it is not readable."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Color = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


class PredictedPhoto(NamedTuple):
    """A photo and its prediction.

    Attributes:
        photo: A Pillow image, or uint8 of shape (height, width, 3).
        prediction: Class for people, parts joined by commas: "worn, female, 30-59".
        truth: True class in the same form, marked with a tick or a cross; None where it is unknown.
        confidence: Probability of the prediction, in [0, 1].
    """

    photo: Image.Image | NDArray[np.uint8]
    prediction: str
    truth: str | None
    confidence: float


def prediction_grid(
    photos: Sequence[PredictedPhoto | tuple[Image.Image | NDArray[np.uint8], str, str | None, float]],
    columns: int = 4,
    *,
    width: int = 220,
) -> Image.Image:
    """Draws photos with their predictions, row by row in the given order.

    Args:
        photos: At least one photo.
        columns: Photos per row, >= 1; fewer photos give a narrower image.
        width: Width of one photo in pixels, >= 80; photos are cropped to 3:4, the aspect of the competition's photos.

    Returns:
        An RGB image.

    Raises:
        DataError: There is no photo, or `columns` or `width` is out of range.
    """
    if not photos or columns < 1 or width < MIN_WIDTH:
        raise DataError(
            f"a grid needs at least one photo, columns >= 1 and width >= {MIN_WIDTH}, "
            f"got {format_count(len(photos), 'photo')}, columns={columns} and width={width}"
        )
    cells = [_draw_cell(PredictedPhoto(*photo), width) for photo in photos]
    columns = min(columns, len(cells))
    gap = max(8, width // 14)
    step_x, step_y = cells[0].width + gap, cells[0].height + gap
    rows = -(-len(cells) // columns)
    grid = Image.new("RGB", (columns * step_x + gap, rows * step_y + gap), PAGE_COLOR)
    for number, cell in enumerate(cells):
        grid.paste(cell, (gap + number % columns * step_x, gap + number // columns * step_y))
    return grid


def _draw_cell(item: PredictedPhoto, width: int) -> Image.Image:
    """Draws the photo, its prediction, a bar of the probability, and the truth where the prediction is wrong."""
    photo = item.photo if isinstance(item.photo, Image.Image) else Image.fromarray(np.asarray(item.photo, np.uint8))
    height, padding, size = width * 4 // 3, max(6, width // 18), max(11, width // 13)
    line = round(size * 1.35)
    card = Image.new("RGB", (width, height + 7 * line // 2 + 2 * padding), CARD_COLOR)
    card.paste(ImageOps.fit(photo.convert("RGB"), (width, height), Image.Resampling.LANCZOS))
    draw = ImageDraw.Draw(card)
    correct = None if item.truth is None else item.truth == item.prediction
    color = UNKNOWN_COLOR if correct is None else CORRECT_COLOR if correct else WRONG_COLOR
    top, inner = height + padding, width - 2 * padding
    _draw_text(draw, (padding, top), item.prediction, size, TEXT_COLOR, inner)
    _draw_bar(draw, (padding, top + line, width - padding, top + 2 * line), item.confidence, size, color)
    if item.truth is not None:
        text = "right" if correct else f"is {item.truth}"
        _draw_text(draw, (padding, top + 2 * line + line // 2), text, size, color, inner)
        _draw_badge(draw, (width - padding - line, padding, width - padding, padding + line), bool(correct), color)
    return card


def _draw_bar(draw: ImageDraw.ImageDraw, box: Box, probability: float, size: int, color: Color) -> None:
    """Draws a probability as a bar, with the number at its right."""
    left, top, right, bottom = box
    font = _font(round(size * 0.9))
    end = right - round(font.getlength("100%")) - size // 2
    middle, half = (top + bottom) // 2, max(2, size // 5)
    draw.rounded_rectangle((left, middle - half, end, middle + half), half, BAR_BACKGROUND)
    filled = left + round((end - left) * min(max(probability, 0.0), 1.0))
    if filled > left:
        draw.rounded_rectangle((left, middle - half, max(filled, left + 2 * half), middle + half), half, color)
    draw.text((right, middle), f"{probability:.0%}", SECONDARY_TEXT_COLOR, font, anchor="rm")


def _draw_badge(draw: ImageDraw.ImageDraw, box: Box, correct: bool, color: Color) -> None:
    """Draws a tick or a cross in a disc, so that the result is visible without telling green from red."""
    left, top, _, bottom = box
    side = bottom - top
    draw.ellipse((left - 2, top - 2, left + side + 2, bottom + 2), CARD_COLOR)
    draw.ellipse(box, color)
    strokes = [((0.27, 0.53), (0.44, 0.70), (0.74, 0.34))]
    if not correct:
        strokes = [((0.32, 0.32), (0.5, 0.5), (0.68, 0.68)), ((0.32, 0.68), (0.5, 0.5), (0.68, 0.32))]
    for stroke in strokes:
        points = [(left + x * side, top + y * side) for x, y in stroke]
        draw.line(points, CARD_COLOR, max(2, side // 8), joint="curve")


def _draw_text(
    draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, size: int, color: Color, max_width: int
) -> None:
    """Draws one line, in a smaller font and finally truncated where it is wider than `max_width` pixels."""
    font = _font(size)
    while size > 9 and font.getlength(text) > max_width:
        size -= 1
        font = _font(size)
    if font.getlength(text) > max_width:
        while text and font.getlength(f"{text}...") > max_width:
            text = text[:-1]
        text = f"{text}..."
    draw.text(position, text, color, font)


def _font(size: int) -> Font:
    """Returns Pillow's built-in font, so that grids look the same on every machine."""
    return ImageFont.load_default(size)

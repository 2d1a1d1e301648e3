"""Pictures of answers: photos side by side, with what was answered and how sure, beneath."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from maskfit.errors import DataError

PAPER, CARD, TRACK = (244, 246, 247), (255, 255, 255), (229, 233, 236)
INK, SOFT = (27, 33, 38), (96, 108, 118)
UNKNOWN_COLOR, CORRECT_COLOR, WRONG_COLOR = (74, 99, 201), (11, 138, 108), (207, 62, 40)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Color = tuple[int, int, int]
Box = tuple[int, int, int, int]


class PredictedPhoto(NamedTuple):
    """A photo and what was said of it.

    Attributes:
        photo: A Pillow image, or uint8 (height, width, 3).
        answer: In words, parts joined by commas: "worn, female, 30-59".
        truth: The same, or None where it is unknown; with it comes a tick or a cross.
        confidence: The answer's probability, 0 to 1.
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
    """A sheet of photos with answer and probability beneath each, row by row in the given order.

    Args:
        photos: What to show.
        columns: How many stand side by side; fewer photos make a narrower sheet.
        width: Of one photo, in pixels; it is cropped to 3:4, the shape of the competition's photos.

    Raises:
        DataError: There is no photo, no column, or a width below 80.
    """
    if not photos or columns < 1 or width < 80:
        raise DataError("a sheet needs at least one photo, one column and 80 pixels of width")
    cells = [_cell(PredictedPhoto(*photo), width) for photo in photos]
    columns = min(columns, len(cells))
    gap = max(8, width // 14)
    across, down = cells[0].width + gap, cells[0].height + gap
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * across + gap, rows * down + gap), PAPER)
    for number, cell in enumerate(cells):
        sheet.paste(cell, (gap + number % columns * across, gap + number // columns * down))
    return sheet


def _cell(item: PredictedPhoto, width: int) -> Image.Image:
    """One card: the photo, the answer, a bar of its probability, and the truth where the answer is wrong."""
    photo = item.photo if isinstance(item.photo, Image.Image) else Image.fromarray(np.asarray(item.photo, np.uint8))
    tall, pad, size = width * 4 // 3, max(6, width // 18), max(11, width // 13)
    line = round(size * 1.35)
    card = Image.new("RGB", (width, tall + 7 * line // 2 + 2 * pad), CARD)
    card.paste(ImageOps.fit(photo.convert("RGB"), (width, tall), Image.Resampling.LANCZOS))
    draw = ImageDraw.Draw(card)
    right = None if item.truth is None else item.truth == item.prediction
    colour = UNKNOWN_COLOR if right is None else CORRECT_COLOR if right else WRONG_COLOR
    top = tall + pad
    _text(draw, (pad, top), item.prediction, size, INK, width - 2 * pad)
    _bar(draw, (pad, top + line, width - pad, top + 2 * line), item.confidence, size, colour)
    if item.truth is not None:
        said = "right" if right else f"is {item.truth}"
        _text(draw, (pad, top + 2 * line + line // 2), said, size, colour, width - 2 * pad)
        _badge(draw, (width - pad - line, pad, width - pad, pad + line), bool(right), colour)
    return card


def _bar(draw: ImageDraw.ImageDraw, box: Box, share: float, size: int, colour: Color) -> None:
    """A bar of a probability, its number at the right."""
    left, top, right, bottom = box
    font = _font(round(size * 0.9))
    said = f"{share:.0%}"
    end = right - round(font.getlength("100%")) - size // 2
    middle, half = (top + bottom) // 2, max(2, size // 5)
    draw.rounded_rectangle((left, middle - half, end, middle + half), half, TRACK)
    filled = left + round((end - left) * min(max(share, 0.0), 1.0))
    if filled > left:
        draw.rounded_rectangle((left, middle - half, max(filled, left + 2 * half), middle + half), half, colour)
    draw.text((right, middle), said, SOFT, font, anchor="rm")


def _badge(draw: ImageDraw.ImageDraw, box: Box, right: bool, colour: Color) -> None:
    """A tick or a cross in a disc: told apart by shape too, for those who do not see green from red."""
    left, top, _, bottom = box
    side = bottom - top
    draw.ellipse((left - 2, top - 2, left + side + 2, bottom + 2), CARD)
    draw.ellipse(box, colour)
    strokes = [((0.27, 0.53), (0.44, 0.70), (0.74, 0.34))]
    if not right:
        strokes = [((0.32, 0.32), (0.5, 0.5), (0.68, 0.68)), ((0.32, 0.68), (0.5, 0.5), (0.68, 0.32))]
    for stroke in strokes:
        points = [(left + x * side, top + y * side) for x, y in stroke]
        draw.line(points, CARD, max(2, side // 8), joint="curve")


def _text(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, colour: Color, room: int) -> None:
    """One line, set smaller and at last cut short where it does not fit into `room` pixels."""
    font = _font(size)
    while size > 9 and font.getlength(text) > room:
        size -= 1
        font = _font(size)
    if font.getlength(text) > room:
        while text and font.getlength(f"{text}...") > room:
            text = text[:-1]
        text = f"{text}..."
    draw.text(place, text, colour, font)


def _font(size: int) -> Font:
    """Pillow's own font, so that a sheet looks the same on every machine."""
    return ImageFont.load_default(size)

"""A sheet of photos with the faces that were found on them, each beside what was cut from it."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from maskfit.data.boxes import CropBox
from maskfit.data.detectors.interface import Face

PAGE_COLOR, CARD_COLOR, TEXT_COLOR, MUTED_COLOR = (244, 246, 247), (255, 255, 255), (27, 33, 38), (96, 108, 118)
SELECTED_COLOR, OTHER_COLOR, CROP_COLOR, FALLBACK_COLOR = (
    (0, 178, 137),
    (150, 160, 168),
    (255, 255, 255),
    (255, 140, 66),
)
IMAGE_HEIGHT, PADDING, LINE_HEIGHT, CARD_GAP = 216, 10, 18, 16
MAX_ASPECT = 1.8
"""Width over height of a photo or crop; what is wider is shrunk."""


class DetectionRow(NamedTuple):
    """A photo for the sheet.

    Attributes:
        name: What stands beneath.
        photo: The whole.
        crop: What was cut.
        cut: Where that lies.
        faces: What was found; the first was taken.
    """

    name: str
    photo: Image.Image
    crop: Image.Image
    crop_box: CropBox
    faces: Sequence[Face]


def detection_sheet(items: Sequence[DetectionRow], columns: int = 3) -> Image.Image:
    """The sheet, row by row.

    Args:
        items: What to show, one or more.
        columns: How many stand side by side.
    """
    cards = [_card(item) for item in items]
    columns = min(columns, len(cards))
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    widths = [max(row[place].width for row in rows if place < len(row)) for place in range(columns)]
    high = cards[0].height
    sheet = Image.new(
        "RGB", (sum(widths) + CARD_GAP * (columns + 1), (high + CARD_GAP) * len(rows) + CARD_GAP), PAGE_COLOR
    )
    for number, row in enumerate(rows):
        for place, card in enumerate(row):
            left = CARD_GAP + sum(widths[:place]) + CARD_GAP * place
            top = CARD_GAP + number * (high + CARD_GAP)
            sheet.paste(CARD_COLOR, (left, top, left + widths[place], top + high))
            sheet.paste(card, (left, top))
    return sheet


def _card(item: DetectionRow) -> Image.Image:
    photo, scale = _shrunk(item.photo)
    crop, _ = _shrunk(item.crop)
    wide = photo.width + crop.width + 3 * PADDING
    card = Image.new("RGB", (wide, IMAGE_HEIGHT + 2 * LINE_HEIGHT + 3 * PADDING), CARD_COLOR)
    card.paste(_marked(photo, item, scale), (PADDING, PADDING + (IMAGE_HEIGHT - photo.height) // 2))
    card.paste(crop, (photo.width + 2 * PADDING, PADDING + (IMAGE_HEIGHT - crop.height) // 2))
    draw = ImageDraw.Draw(card)
    top = IMAGE_HEIGHT + 2 * PADDING
    _text(draw, (PADDING, top), item.name, TEXT_COLOR, wide - 2 * PADDING)
    _text(
        draw,
        (PADDING, top + LINE_HEIGHT),
        _said(item),
        FALLBACK_COLOR if item.crop_box.fallback else MUTED_COLOR,
        wide - 2 * PADDING,
    )
    return card


def _said(item: DetectionRow) -> str:
    if item.crop_box.fallback:
        return "nothing found"
    if not item.faces:
        return "no detector"
    count = "1 face" if len(item.faces) == 1 else f"{len(item.faces)} faces"
    turned = f", turned by {item.crop_box.angle:g}°" if item.cut.angle else ""
    return f"{count}, {item.faces[0].score:.2f}{turned}"


def _shrunk(image: Image.Image) -> tuple[Image.Image, tuple[float, float]]:
    """The image at the height of a card, and how much smaller it became across and down."""
    scale = min(IMAGE_HEIGHT / image.height, IMAGE_HEIGHT * MAX_ASPECT / image.width)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image.resize(size, Image.Resampling.LANCZOS), (size[0] / image.width, size[1] / image.height)


def _marked(photo: Image.Image, item: DetectionRow, scale: tuple[float, float]) -> Image.Image:
    """A photo, dim outside of the cut, with boxes and landmarks; drawn large and shrunk, so that lines are smooth."""
    large = photo.resize((photo.width * 2, photo.height * 2), Image.Resampling.BICUBIC)
    across, down = scale[0] * 2, scale[1] * 2
    corners = [(x * across, y * down) for x, y in crop_corners(item.crop_box)]
    shade = Image.new("L", large.size, 96)
    ImageDraw.Draw(shade).polygon(corners, fill=0)
    large.paste(TEXT_COLOR, (0, 0), shade)
    draw = ImageDraw.Draw(large)
    draw.line(
        [*corners, corners[0], corners[1]], FALLBACK_COLOR if item.crop_box.fallback else CROP_COLOR, 4, joint="curve"
    )
    for number, face in reversed(list(enumerate(item.faces))):
        colour = OTHER_COLOR if number else SELECTED_COLOR
        left, upper, right, lower = face.box
        draw.rectangle((left * across, upper * down, right * across, lower * down), outline=colour, width=5)
        for x, y in face.landmarks or ():
            draw.ellipse((x * across - 6, y * down - 6, x * across + 6, y * down + 6), colour, CARD_COLOR, 2)
    return large.resize(photo.size, Image.Resampling.LANCZOS)


def crop_corners(cut: CropBox) -> list[tuple[float, float]]:
    """The four corners of a cut in pixels of the photo, from the upper left one clockwise."""
    left, upper, right, lower = cut.box
    x, y, turn = (left + right) / 2, (upper + lower) / 2, radians(cut.angle)
    points = [(left - x, upper - y), (right - x, upper - y), (right - x, lower - y), (left - x, lower - y)]
    return [
        (x + cos(turn) * across - sin(turn) * down, y + sin(turn) * across + cos(turn) * down)
        for across, down in points
    ]


def _text(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: tuple[int, int, int], room: int
) -> None:
    """One line; of a name that is too long its end, which tells more than its beginning."""
    font = ImageFont.load_default(14)
    if font.getlength(text) > room:
        while text and font.getlength(f"...{text}") > room:
            text = text[1:]
        text = f"...{text}"
    draw.text(place, text, colour, font)

"""Renders sample photos with their detected faces and crops as one image."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from maskfit.data.boxes import CropBox
from maskfit.data.detectors.interface import Face
from maskfit.text import format_count

PAGE_COLOR, CARD_COLOR, TEXT_COLOR, MUTED_COLOR = (244, 246, 247), (255, 255, 255), (27, 33, 38), (96, 108, 118)
SELECTED_COLOR, OTHER_COLOR, CROP_COLOR, FALLBACK_COLOR = (
    (0, 178, 137),
    (150, 160, 168),
    (255, 255, 255),
    (255, 140, 66),
)
IMAGE_HEIGHT, PADDING, LINE_HEIGHT, CARD_GAP = 216, 10, 18, 16
MAX_ASPECT = 1.8
"""Maximum width / height of a photo or crop on the sheet; wider ones are downscaled."""


class DetectionRow(NamedTuple):
    """A photo on the sheet.

    Attributes:
        name: Caption.
        photo: The photo.
        crop: The crop.
        crop_box: Position of the crop on the photo.
        faces: Detected faces; the first one was cropped.
    """

    name: str
    photo: Image.Image
    crop: Image.Image
    crop_box: CropBox
    faces: Sequence[Face]


def detection_sheet(items: Sequence[DetectionRow], columns: int = 3) -> Image.Image:
    """Renders the sheet, row by row.

    Args:
        items: The photos, at least one.
        columns: Maximum photos per row.

    Returns:
        The sheet, RGB.
    """
    cards = [_card(item) for item in items]
    columns = min(columns, len(cards))
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    widths = [max(row[column].width for row in rows if column < len(row)) for column in range(columns)]
    card_height = cards[0].height
    sheet = Image.new(
        "RGB", (sum(widths) + CARD_GAP * (columns + 1), (card_height + CARD_GAP) * len(rows) + CARD_GAP), PAGE_COLOR
    )
    for number, row in enumerate(rows):
        for column, card in enumerate(row):
            left = CARD_GAP + sum(widths[:column]) + CARD_GAP * column
            top = CARD_GAP + number * (card_height + CARD_GAP)
            sheet.paste(CARD_COLOR, (left, top, left + widths[column], top + card_height))
            sheet.paste(card, (left, top))
    return sheet


def _card(item: DetectionRow) -> Image.Image:
    photo, scale = _fit_height(item.photo)
    crop, _ = _fit_height(item.crop)
    card_width = photo.width + crop.width + 3 * PADDING
    card = Image.new("RGB", (card_width, IMAGE_HEIGHT + 2 * LINE_HEIGHT + 3 * PADDING), CARD_COLOR)
    card.paste(_annotate(photo, item, scale), (PADDING, PADDING + (IMAGE_HEIGHT - photo.height) // 2))
    card.paste(crop, (photo.width + 2 * PADDING, PADDING + (IMAGE_HEIGHT - crop.height) // 2))
    draw = ImageDraw.Draw(card)
    top = IMAGE_HEIGHT + 2 * PADDING
    _text(draw, (PADDING, top), item.name, TEXT_COLOR, card_width - 2 * PADDING)
    _text(
        draw,
        (PADDING, top + LINE_HEIGHT),
        _caption(item),
        FALLBACK_COLOR if item.crop_box.fallback else MUTED_COLOR,
        card_width - 2 * PADDING,
    )
    return card


def _caption(item: DetectionRow) -> str:
    if item.crop_box.fallback:
        return "nothing found"
    if not item.faces:
        return "no detector"
    count = format_count(len(item.faces), "face")
    rotation = f", rotated by {item.crop_box.angle:g}°" if item.crop_box.angle else ""
    return f"{count}, {item.faces[0].score:.2f}{rotation}"


def _fit_height(image: Image.Image) -> tuple[Image.Image, tuple[float, float]]:
    """The image resized to the height of a card, and its scale factors (x, y)."""
    scale = min(IMAGE_HEIGHT / image.height, IMAGE_HEIGHT * MAX_ASPECT / image.width)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image.resize(size, Image.Resampling.LANCZOS), (size[0] / image.width, size[1] / image.height)


def _annotate(photo: Image.Image, item: DetectionRow, scale: tuple[float, float]) -> Image.Image:
    """Dims a photo outside of the crop and draws boxes and landmarks, at double size for smooth lines."""
    large = photo.resize((photo.width * 2, photo.height * 2), Image.Resampling.BICUBIC)
    scale_x, scale_y = scale[0] * 2, scale[1] * 2
    corners = [(x * scale_x, y * scale_y) for x, y in crop_corners(item.crop_box)]
    shade = Image.new("L", large.size, 96)
    ImageDraw.Draw(shade).polygon(corners, fill=0)
    large.paste(TEXT_COLOR, (0, 0), shade)
    draw = ImageDraw.Draw(large)
    draw.line(
        [*corners, corners[0], corners[1]], FALLBACK_COLOR if item.crop_box.fallback else CROP_COLOR, 4, joint="curve"
    )
    for number, face in reversed(list(enumerate(item.faces))):
        color = OTHER_COLOR if number else SELECTED_COLOR
        left, upper, right, lower = face.box
        draw.rectangle((left * scale_x, upper * scale_y, right * scale_x, lower * scale_y), outline=color, width=5)
        for x, y in face.landmarks or ():
            draw.ellipse((x * scale_x - 6, y * scale_y - 6, x * scale_x + 6, y * scale_y + 6), color, CARD_COLOR, 2)
    return large.resize(photo.size, Image.Resampling.LANCZOS)


def crop_corners(crop_box: CropBox) -> list[tuple[float, float]]:
    """Computes the corners of a crop box.

    Args:
        crop_box: The crop box.

    Returns:
        Four (x, y) in pixels of the photo, clockwise from the upper left corner.
    """
    left, upper, right, lower = crop_box.box
    x, y, angle = (left + right) / 2, (upper + lower) / 2, radians(crop_box.angle)
    points = [(left - x, upper - y), (right - x, upper - y), (right - x, lower - y), (left - x, lower - y)]
    return [(x + cos(angle) * dx - sin(angle) * dy, y + sin(angle) * dx + cos(angle) * dy) for dx, dy in points]


def _text(
    draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, color: tuple[int, int, int], max_width: int
) -> None:
    """Draws one line; a text that is too long loses its beginning, since the end of a name is more specific."""
    font = ImageFont.load_default(14)
    if font.getlength(text) > max_width:
        while text and font.getlength(f"...{text}") > max_width:
            text = text[1:]
        text = f"...{text}"
    draw.text(position, text, color, font)

"""Boxes on a photo: round each face in the colour of its answer, with a number and a few words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from PIL import Image, ImageDraw, ImageFont

from maskfit.apps.colours import VALUES, Colour, Rgb
from maskfit.data.boxes import Box

HALO: Rgb = (255, 255, 255)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """A face as it is marked.

    Attributes:
        box: Left, upper, right, lower in shares of the photo.
        number: What cards and tables call the face.
        words: A few.
        colour: Of the answer.
        sure: Otherwise the box is dashed.
    """

    box: Box
    number: int
    words: str
    colour: Colour
    sure: bool = True


def draw_marks(image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """A copy of a photo with every face marked.

    Words that would lie over another tag or a smaller face give way: then the number stands alone.
    """
    drawn = image.convert("RGB").copy()
    draw = ImageDraw.Draw(drawn)
    line = max(2, round(max(image.size) / 300))
    boxes = [_on(image, mark.box) for mark in marks]
    across = median([box[2] - box[0] for box in boxes]) if boxes else 0.0
    size = round(min(8 + max(image.size) / 60, max(across / 5, 12.0)))
    for mark, box in zip(marks, boxes, strict=True):
        _frame(draw, box, mark, line)
    taken: list[Rectangle] = []
    for place, (mark, box) in enumerate(zip(marks, boxes, strict=True)):
        others = boxes[:place] + boxes[place + 1 :]
        taken.append(_tag(draw, image.size, box, mark, size, line, taken + others))
    return drawn


def draw_icon(side: int = 64) -> Image.Image:
    """A face in its box, for the browser's tab."""
    icon = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(icon)
    blue = VALUES[0].ground
    draw.rounded_rectangle((2, 2, side - 3, side - 3), side / 5, outline=blue, width=side // 9)
    draw.ellipse((side * 0.28, side * 0.24, side * 0.72, side * 0.78), fill=blue)
    draw.rectangle((side * 0.28, side * 0.52, side * 0.72, side * 0.66), fill=HALO)
    return icon


def _on(image: Image.Image, box: Box) -> Rectangle:
    """A box in pixels of the picture, inside of it; a face may reach beyond."""
    width, height = image.size
    left, upper, right, lower = box
    sides = [min(max(edge, 0.0), 1.0) for edge in (left, upper, right, lower)]
    left, upper = sides[0] * (width - 1), sides[1] * (height - 1)
    return left, upper, max(sides[2] * (width - 1), left + 1), max(sides[3] * (height - 1), upper + 1)


def _frame(draw: ImageDraw.ImageDraw, box: Rectangle, mark: Mark, line: int) -> None:
    """The box with a light edge, so that it is seen on any ground."""
    radius = 2 * line
    left, upper, right, lower = box
    wider = (left - 1, upper - 1, right + 1, lower + 1)
    if mark.sure:
        draw.rounded_rectangle(wider, radius, outline=HALO, width=line + 2)
        draw.rounded_rectangle(box, radius, outline=mark.colour.ground, width=line)
        return
    draw.rounded_rectangle(box, radius, outline=HALO, width=line)
    dash = 4 * line
    for start, end, across in ((left, right, True), (upper, lower, False)):
        for edge in (upper, lower - line + 1) if across else (left, right - line + 1):
            place = start
            while place < end:
                until = min(place + dash, end)
                piece = (place, edge, until, edge + line - 1) if across else (edge, place, edge + line - 1, until)
                draw.rectangle(piece, fill=mark.colour.ground)
                place += 2 * dash


def _tag(
    draw: ImageDraw.ImageDraw, photo: tuple[int, int], box: Rectangle, mark: Mark, size: int, line: int,
    taken: Sequence[Rectangle],
) -> Rectangle:  # fmt: skip
    """Number and words above the box, or below it where there is no room, or inside; gives what they cover."""
    font: Font = ImageFont.load_default(size)
    pad = max(3, size // 3)
    for words in (f"{mark.number} {mark.words}".strip(), str(mark.number)):
        wide, high = font.getlength(words) + 2 * pad, size + pad
        left = min(max(box[0] - line / 2, 0.0), max(photo[0] - wide - 1, 0.0))
        above, below = box[1] - high - 1, box[3] + 1
        for top in (above, below):
            place = (left, top, left + wide, top + high)
            if 0 <= top <= photo[1] - high and place[2] < photo[0] and not any(_meet(place, other) for other in taken):
                break
        else:
            continue
        break
    else:
        # In the corner of its own box, where it hides the least of what others say.
        top = min(max(box[1], 0.0), max(photo[1] - high, 0.0))
        place = (left, top, left + wide, top + high)
    draw.rounded_rectangle(place, pad, fill=mark.colour.ground, outline=HALO, width=max(1, line // 3))
    draw.text((place[0] + pad, (place[1] + place[3]) / 2), words, mark.colour.ink, font, anchor="lm")
    return place


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

"""Boxes on a photo: round each face in the colour of its answer, with a number and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from maskfit.data.boxes import Box
from maskfit.inference.decisions import NOT_SURE, AttributePrediction
from maskfit.inference.face_predictor import PhotoPrediction
from maskfit.labels.schema import LabelSchema

MULTILINE_SCALE = 0.75
"""How large tags of several lines are written, where those of one line have 1."""

HALO_COLOR: Rgb = (255, 255, 255)

MAX_TAG_COVERAGE = 0.2
"""Of a box's area, how much a tag in it may cover."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
PixelBox = tuple[float, float, float, float]


@dataclass(frozen=True)
class FaceAnnotation:
    """A face as it is marked.

    Attributes:
        box: Left, upper, right, lower in shares of the photo.
        number: What cards and tables call the face; 0 where it needs none.
        words: A few.
        colour: Of the answer.
        sure: Otherwise the box is dashed.
        more: Further lines below the words, which give way first where there is no room.
    """

    box: Box
    number: int
    label: str
    color: LabelColor
    is_confident: bool = True
    extra_lines: tuple[str, ...] = ()

    @property
    def tag_candidates(self) -> tuple[tuple[str, ...], ...]:
        """The lines that may stand on its tag, the most first."""
        number = str(self.number or "")
        first = f"{number} {self.label}".strip()
        return ((first, *self.extra_lines), (first,), (number or first,))


def annotate_faces(
    scheme: LabelSchema,
    reading: PhotoPrediction,
    said: Sequence[Sequence[AttributePrediction]] | None = None,
    *,
    full: bool = False,
) -> tuple[FaceAnnotation, ...]:
    """The faces of a photo as they are marked: numbered, in the colour of the first attribute's answer.

    Args:
        scheme: What the answers are about.
        reading: The photo's answers; one for the whole photo is marked where `full`.
        said: What to say of each of them; left out, what the reading says.
        full: Whether every attribute is said, with its probability.
    """
    marks = []
    spoken = [answer.attributes for answer in reading.faces] if said is None else said
    for number, (answer, own) in enumerate(zip(reading.faces, spoken, strict=True), start=1):
        if answer.box is None and not full:
            continue
        left, upper, right, lower = answer.box or (0, 0, reading.width, reading.height)
        box = (left / reading.width, upper / reading.height, right / reading.width, lower / reading.height)
        first, *more = [_briefly(one) for one in own] if full else [label_text(own[0])]
        called = 0 if full and len(reading.faces) == 1 else number
        marks.append(FaceAnnotation(box, called, first, face_color(scheme, own), own[0].is_confident, tuple(more)))
    return tuple(marks)


def label_text(said: AttributePrediction) -> str:
    """What stands beside the number of a box."""
    return said.display_name if said.is_confident else NOT_SURE


def face_color(scheme: LabelSchema, said: Sequence[AttributePrediction]) -> LabelColor:
    """The colour of a face: that of its first attribute's answer."""
    return value_color(scheme.attributes[0].values.index(said[0].value), said[0].is_confident)


def _briefly(said: AttributePrediction) -> str:
    return said.full_text if said.is_confident else f"{said.attribute} {NOT_SURE}"


def draw_annotations(image: Image.Image, marks: Sequence[FaceAnnotation]) -> Image.Image:
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
    taken: list[PixelBox] = []
    for place, (mark, box) in enumerate(zip(marks, boxes, strict=True)):
        others = boxes[:place] + boxes[place + 1 :]
        taken.append(_tag(draw, image.size, box, mark, size, line, taken + others))
    return drawn


def _on(image: Image.Image, box: Box) -> PixelBox:
    """A box in pixels of the picture, inside of it; a face may reach beyond."""
    width, height = image.size
    left, upper, right, lower = box
    sides = [min(max(edge, 0.0), 1.0) for edge in (left, upper, right, lower)]
    left, upper = sides[0] * (width - 1), sides[1] * (height - 1)
    return left, upper, max(sides[2] * (width - 1), left + 1), max(sides[3] * (height - 1), upper + 1)


def _frame(draw: ImageDraw.ImageDraw, box: PixelBox, mark: FaceAnnotation, line: int) -> None:
    """The box with a light edge, so that it is seen on any ground."""
    radius = 2 * line
    left, upper, right, lower = box
    wider = (left - 1, upper - 1, right + 1, lower + 1)
    if mark.is_confident:
        draw.rounded_rectangle(wider, radius, outline=HALO_COLOR, width=line + 2)
        draw.rounded_rectangle(box, radius, outline=mark.color.background, width=line)
        return
    draw.rounded_rectangle(box, radius, outline=HALO_COLOR, width=line)
    dash = 4 * line
    for start, end, across in ((left, right, True), (upper, lower, False)):
        for edge in (upper, lower - line + 1) if across else (left, right - line + 1):
            place = start
            while place < end:
                until = min(place + dash, end)
                piece = (place, edge, until, edge + line - 1) if across else (edge, place, edge + line - 1, until)
                draw.rectangle(piece, fill=mark.color.background)
                place += 2 * dash


def _tag(
    draw: ImageDraw.ImageDraw,
    photo: tuple[int, int],
    box: PixelBox,
    mark: FaceAnnotation,
    size: int,
    line: int,
    taken: Sequence[PixelBox],
) -> PixelBox:
    """Number and words above the box, or below it where there is no room, or inside; gives what they cover."""
    if mark.extra_lines:
        size = max(round(size * MULTILINE_SCALE), 12)
    font: Font = ImageFont.load_default(size)
    pad = max(3, size // 3)
    step = size + size // 5
    for lines in mark.tag_candidates:
        wide = max(font.getlength(text) for text in lines) + 2 * pad
        high = size + (len(lines) - 1) * step + pad
        lefts = [min(max(left, 0.0), max(photo[0] - wide - 1, 0.0)) for left in (box[0] - line / 2, box[2] - wide)]
        tops = [box[1] - high - 1, box[3] + 1]
        if wide * high < MAX_TAG_COVERAGE * (box[2] - box[0]) * (box[3] - box[1]):
            tops.append(box[3] - high - 2 * line)
        for top, left in product(tops, lefts):
            place = (left, top, left + wide, top + high)
            if 0 <= top <= photo[1] - high and place[2] < photo[0] and not any(_meet(place, other) for other in taken):
                break
        else:
            continue
        break
    else:
        # In the corner of its own box, where it hides the least of what others say.
        left, top = lefts[0], min(max(box[1], 0.0), max(photo[1] - high, 0.0))
        place = (left, top, left + wide, top + high)
    draw.rounded_rectangle(place, pad, fill=mark.color.background, outline=HALO_COLOR, width=max(1, line // 3))
    for row, text in enumerate(lines):
        draw.text((place[0] + pad, place[1] + (size + pad) / 2 + row * step), text, mark.color.text, font, anchor="lm")
    return place


def _meet(one: PixelBox, other: PixelBox) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


Rgb = tuple[int, int, int]


class LabelColor(NamedTuple):
    """A colour and what is written on it."""

    background: Rgb
    text: Rgb

    @property
    def css(self) -> str:
        return f"rgb{self.background}"

    @property
    def css_text(self) -> str:
        return f"rgb{self.text}"


WHITE, BLACK = (255, 255, 255), (20, 20, 20)

VALUE_COLORS = (
    LabelColor((0, 114, 178), WHITE),
    LabelColor((240, 180, 30), BLACK),
    LabelColor((190, 40, 70), WHITE),
    LabelColor((0, 158, 115), BLACK),
    LabelColor((204, 121, 167), BLACK),
    LabelColor((86, 180, 233), BLACK),
)
"""Of the first attribute's values, by code: worn is blue, worn wrongly yellow, not worn red. More values begin anew."""

ABSTAIN_COLOR = LabelColor((110, 118, 128), WHITE)
"""Of an answer that is not sure enough to have a colour."""


def value_color(code: int, sure: bool) -> LabelColor:
    """The colour of an answer."""
    return VALUE_COLORS[code % len(VALUE_COLORS)] if sure else ABSTAIN_COLOR

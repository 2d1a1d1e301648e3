"""Annotated photos: a box around each face in the color of its prediction, with a number and the prediction."""

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
"""Font size of tags with several lines, relative to that of one line."""

HALO_COLOR: Rgb = (255, 255, 255)
"""Edge of boxes and tags, so that they are visible on any background."""

MAX_TAG_COVERAGE = 0.2
"""Fraction of a box's area that a tag inside of it may cover."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
PixelBox = tuple[float, float, float, float]
"""Left, upper, right, lower in pixels of the picture."""


@dataclass(frozen=True)
class FaceAnnotation:
    """A face as it is drawn.

    Attributes:
        box: Left, upper, right, lower as fractions of the photo's sides.
        number: The face's number in cards and tables; 0 where it needs none.
        label: A short text.
        color: Color of the prediction.
        is_confident: Otherwise the box is dashed.
        extra_lines: Further lines below the label, which are dropped first where there is no room.
    """

    box: Box
    number: int
    label: str
    color: LabelColor
    is_confident: bool = True
    extra_lines: tuple[str, ...] = ()

    @property
    def tag_candidates(self) -> tuple[tuple[str, ...], ...]:
        """The lines that its tag may have, the longest first."""
        number = str(self.number or "")
        first = f"{number} {self.label}".strip()
        return ((first, *self.extra_lines), (first,), (number or first,))


def annotate_faces(
    schema: LabelSchema,
    prediction: PhotoPrediction,
    attributes: Sequence[Sequence[AttributePrediction]] | None = None,
    *,
    full: bool = False,
) -> tuple[FaceAnnotation, ...]:
    """Makes the annotations of a photo: numbered, in the color of the first attribute's value.

    Args:
        schema: The schema of the predictions.
        prediction: The photo's predictions; one of the whole photo is annotated only with `full`.
        attributes: What to write for each of them; None takes the predictions' own.
        full: Write every attribute, with its probability.

    Returns:
        The annotations.
    """
    annotations = []
    texts = [face.attributes for face in prediction.faces] if attributes is None else attributes
    for number, (face, own) in enumerate(zip(prediction.faces, texts, strict=True), start=1):
        if face.box is None and not full:
            continue
        width, height = prediction.width, prediction.height
        left, upper, right, lower = face.box or (0, 0, width, height)
        box = (left / width, upper / height, right / width, lower / height)
        first, *rest = [_short_text(item) for item in own] if full else [label_text(own[0])]
        shown = 0 if full and len(prediction.faces) == 1 else number
        color = face_color(schema, own)
        annotations.append(FaceAnnotation(box, shown, first, color, own[0].is_confident, tuple(rest)))
    return tuple(annotations)


def label_text(prediction: AttributePrediction) -> str:
    """Returns the text next to the number of a box.

    Args:
        prediction: The prediction of the first attribute.

    Returns:
        The value, or "not sure".
    """
    return prediction.display_name if prediction.is_confident else NOT_SURE


def face_color(schema: LabelSchema, attributes: Sequence[AttributePrediction]) -> LabelColor:
    """Returns the color of a face: that of its first attribute's value.

    Args:
        schema: The schema of the predictions.
        attributes: The prediction of each attribute.

    Returns:
        The color.
    """
    first = attributes[0]
    return value_color(schema.attributes[0].values.index(first.value), first.is_confident)


def _short_text(prediction: AttributePrediction) -> str:
    return prediction.full_text if prediction.is_confident else f"{prediction.attribute} {NOT_SURE}"


def draw_annotations(image: Image.Image, annotations: Sequence[FaceAnnotation]) -> Image.Image:
    """Draws the annotations of a photo.

    A label that would cover another tag or a smaller face is reduced to the number.

    Args:
        image: The photo, which is not changed.
        annotations: The faces.

    Returns:
        An annotated copy.
    """
    drawn = image.convert("RGB").copy()
    draw = ImageDraw.Draw(drawn)
    line = max(2, round(max(image.size) / 300))
    boxes = [_to_pixels(image, item.box) for item in annotations]
    face_width = median([box[2] - box[0] for box in boxes]) if boxes else 0.0
    size = round(min(8 + max(image.size) / 60, max(face_width / 5, 12.0)))
    for item, box in zip(annotations, boxes, strict=True):
        _draw_box(draw, box, item, line)
    tags: list[PixelBox] = []
    for index, (item, box) in enumerate(zip(annotations, boxes, strict=True)):
        others = boxes[:index] + boxes[index + 1 :]
        tags.append(_draw_tag(draw, image.size, box, item, size, line, tags + others))
    return drawn


def _to_pixels(image: Image.Image, box: Box) -> PixelBox:
    """A box in pixels, clipped to the picture; a face may extend beyond it."""
    width, height = image.size
    left, upper, right, lower = box
    sides = [min(max(edge, 0.0), 1.0) for edge in (left, upper, right, lower)]
    left, upper = sides[0] * (width - 1), sides[1] * (height - 1)
    return left, upper, max(sides[2] * (width - 1), left + 1), max(sides[3] * (height - 1), upper + 1)


def _draw_box(draw: ImageDraw.ImageDraw, box: PixelBox, annotation: FaceAnnotation, line: int) -> None:
    """The box with a light edge, so that it is visible on any background."""
    radius = 2 * line
    left, upper, right, lower = box
    wider = (left - 1, upper - 1, right + 1, lower + 1)
    if annotation.is_confident:
        draw.rounded_rectangle(wider, radius, outline=HALO_COLOR, width=line + 2)
        draw.rounded_rectangle(box, radius, outline=annotation.color.background, width=line)
        return
    draw.rounded_rectangle(box, radius, outline=HALO_COLOR, width=line)
    dash = 4 * line
    for start, end, is_horizontal in ((left, right, True), (upper, lower, False)):
        for edge in (upper, lower - line + 1) if is_horizontal else (left, right - line + 1):
            position = start
            while position < end:
                until = min(position + dash, end)
                piece = (
                    (position, edge, until, edge + line - 1)
                    if is_horizontal
                    else (edge, position, edge + line - 1, until)
                )
                draw.rectangle(piece, fill=annotation.color.background)
                position += 2 * dash


def _draw_tag(
    draw: ImageDraw.ImageDraw,
    photo: tuple[int, int],
    box: PixelBox,
    annotation: FaceAnnotation,
    size: int,
    line: int,
    occupied: Sequence[PixelBox],
) -> PixelBox:
    """The tag above the box, or below it where there is no room, or inside; returns what it covers."""
    if annotation.extra_lines:
        size = max(round(size * MULTILINE_SCALE), 12)
    font: Font = ImageFont.load_default(size)
    pad = max(3, size // 3)
    step = size + size // 5
    for lines in annotation.tag_candidates:
        width = max(font.getlength(text) for text in lines) + 2 * pad
        height = size + (len(lines) - 1) * step + pad
        lefts = [min(max(left, 0.0), max(photo[0] - width - 1, 0.0)) for left in (box[0] - line / 2, box[2] - width)]
        tops = [box[1] - height - 1, box[3] + 1]
        if width * height < MAX_TAG_COVERAGE * (box[2] - box[0]) * (box[3] - box[1]):
            tops.append(box[3] - height - 2 * line)
        for top, left in product(tops, lefts):
            tag = (left, top, left + width, top + height)
            is_inside = 0 <= top <= photo[1] - height and tag[2] < photo[0]
            if is_inside and not any(_overlap(tag, other) for other in occupied):
                break
        else:
            continue
        break
    else:
        # In the corner of its own box, where it covers the least of the other annotations.
        left, top = lefts[0], min(max(box[1], 0.0), max(photo[1] - height, 0.0))
        tag = (left, top, left + width, top + height)
    colors = annotation.color
    draw.rounded_rectangle(tag, pad, fill=colors.background, outline=HALO_COLOR, width=max(1, line // 3))
    for row, text in enumerate(lines):
        draw.text((tag[0] + pad, tag[1] + (size + pad) / 2 + row * step), text, colors.text, font, anchor="lm")
    return tag


def _overlap(one: PixelBox, other: PixelBox) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


Rgb = tuple[int, int, int]


class LabelColor(NamedTuple):
    """The colors of a tag.

    Attributes:
        background: Color of the box and of the tag's background.
        text: Color of the tag's text.
    """

    background: Rgb
    text: Rgb

    @property
    def css(self) -> str:
        """The background as CSS."""
        return f"rgb{self.background}"

    @property
    def css_text(self) -> str:
        """The text color as CSS."""
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
"""Colors of the first attribute's values, by index: worn blue, worn wrongly yellow, not worn red; then repeated."""

ABSTAIN_COLOR = LabelColor((110, 118, 128), WHITE)
"""Color of a prediction on which the model abstains."""


def value_color(index: int, is_confident: bool) -> LabelColor:
    """Returns the color of a value.

    Args:
        index: Index of the value in the attribute.
        is_confident: Whether the model is sure of it.

    Returns:
        The color.
    """
    return VALUE_COLORS[index % len(VALUE_COLORS)] if is_confident else ABSTAIN_COLOR

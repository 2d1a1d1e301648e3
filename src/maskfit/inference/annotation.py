"""Annotated photos: a box around each face in the color of its prediction, with a number and the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from maskfit.data.boxes import Box
from maskfit.inference.decisions import NOT_SURE, AttributePrediction
from maskfit.inference.face_prediction import PhotoPrediction
from maskfit.inference.label_placement import PixelBox, Placement, place_labels
from maskfit.labels.schema import LabelSchema

MIN_FONT_SIZE = 12
"""Smallest font of a label in pixels, if it fits into the photo at all."""

FONT_RANGE = (1 / 90, 1 / 36)
"""Smallest and largest font as fractions of the photo's longer side; between them a fifth of the face's width."""

HALO_COLOR: Rgb = (255, 255, 255)
"""Edge of boxes and tags, so that they are visible on any background."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
        short_label: Stands for the label where there is little room; by default there is no shorter one.
    """

    box: Box
    number: int
    label: str
    color: LabelColor
    is_confident: bool = True
    extra_lines: tuple[str, ...] = ()
    short_label: str = ""

    @property
    def tag_options(self) -> tuple[tuple[str, ...], ...]:
        """The lines that its tag may have, the shortest first."""
        number = str(self.number or "")
        short, first = (f"{number} {text}".strip() for text in (self.short_label or self.label, self.label))
        options = [(number,)] * bool(number) + [(short,), (first,), (first, *self.extra_lines)]
        return tuple(dict.fromkeys(options))


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
        if full and prediction.note:
            # Before everything else, which is left out where there is no room.
            first, rest = prediction.note, [first, *rest]
        shown = 0 if full and len(prediction.faces) == 1 else number
        color = face_color(schema, own)
        short = label_text(own[0])
        annotations.append(FaceAnnotation(box, shown, first, color, own[0].is_confident, tuple(rest), short))
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
    if prediction.age is not None:
        # As the text has it: years say nothing of how sure the band is.
        unsure = "" if prediction.is_confident else f"{NOT_SURE}: "
        return f"{prediction.attribute} {unsure}{prediction.age.short_text}"
    return prediction.full_text if prediction.is_confident else f"{prediction.attribute} {NOT_SURE}"


def draw_annotations(image: Image.Image, annotations: Sequence[FaceAnnotation]) -> Image.Image:
    """Draws the annotations of a photo.

    Labels cover no other face and no other label where that can be avoided: they are moved, joined to their face by a
    line, or shortened, in the end to the number.

    Args:
        image: The photo, which is not changed.
        annotations: The faces.

    Returns:
        An annotated copy.
    """
    drawn = image.convert("RGB").copy()
    draw = ImageDraw.Draw(drawn)
    boxes = [_to_pixels(image, item.box) for item in annotations]
    lines = [_line_width(image.size, box) for box in boxes]
    tags = [
        [_Tag(texts, _font_size(image.size, box)) for texts in item.tag_options]
        for item, box in zip(annotations, boxes, strict=True)
    ]
    places = place_labels(
        image.size, boxes, [[tag.size for tag in own] for own in tags], [own[0].font_size for own in tags]
    )
    for item, box, line in zip(annotations, boxes, lines, strict=True):
        _draw_box(draw, box, item, line)
    for item, place, line in zip(annotations, places, lines, strict=True):
        if place is not None and place.leader is not None:
            draw.line(place.leader, HALO_COLOR, line + 2)
            draw.line(place.leader, item.color.background, line)
    for item, own, place, line in zip(annotations, tags, places, lines, strict=True):
        if place is not None:
            own[place.option].draw(draw, place, item.color, line)
    return drawn


def _line_width(photo: tuple[int, int], box: PixelBox) -> int:
    """Pixels of a box's line: by the photo, but thin around a small face."""
    return max(2, round(min(max(photo) / 200, (box[2] - box[0]) / 14)))


def _font_size(photo: tuple[int, int], box: PixelBox) -> int:
    low, high = (max(MIN_FONT_SIZE, max(photo) * fraction) for fraction in FONT_RANGE)
    return round(min(max((box[2] - box[0]) / 5, low), high))


class _Tag:
    """The label of a face, with a font.

    Args:
        lines: Its lines.
        font_size: In pixels.
    """

    def __init__(self, lines: Sequence[str], font_size: int) -> None:
        self.lines = lines
        self.font_size = font_size
        self._pad = max(3, font_size // 3)
        self._step = font_size + font_size // 5

    @cached_property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        width = max(_text_width(text, self.font_size) for text in self.lines) + 2 * self._pad
        return width, self.font_size + (len(self.lines) - 1) * self._step + self._pad

    def draw(self, draw: ImageDraw.ImageDraw, place: Placement, colors: LabelColor, line: int) -> None:
        """Draws the tag at its place."""
        left, upper, _, _ = place.box
        draw.rounded_rectangle(place.box, self._pad, colors.background, HALO_COLOR, max(1, line // 3))
        for row, text in enumerate(self.lines):
            y = upper + (self.font_size + self._pad) / 2 + row * self._step
            draw.text((left + self._pad, y), text, colors.text, _load_font(self.font_size), anchor="lm")


@lru_cache(maxsize=64)
def _load_font(size: int) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _text_width(text: str, font_size: int) -> float:
    return _load_font(font_size).getlength(text)


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

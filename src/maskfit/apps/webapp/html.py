"""HTML of the web app, rendered from the templates beside this module, which escape every name from files or models."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup
from PIL import Image, ImageDraw

from maskfit.apps.webapp.session import PhotoResult, to_jpeg
from maskfit.data.detectors import Face
from maskfit.data.image_decoding import Pixels
from maskfit.html.templates import render
from maskfit.inference.annotation import VALUE_COLORS, LabelColor, face_color, label_text, value_color
from maskfit.inference.decisions import NOT_SURE, AttributePrediction
from maskfit.inference.face_prediction import FacePrediction
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count

PACKAGE = "maskfit.apps.webapp"
"""Package of the templates."""

MAX_VALUES = 7
"""Values of an attribute that a card shows; of more, the most probable."""

THUMBNAIL_SIDE = 112
"""Side in pixels of a face on its card; twice the displayed size, for high-resolution screens."""

WHITE = (255, 255, 255)


@dataclass(frozen=True)
class _Chip:
    """Number of faces with one prediction."""

    num_faces: int
    text: str
    color: LabelColor


@dataclass(frozen=True)
class _Bar:
    """Probability of one value; `color` is None where the style sheet's applies."""

    text: str
    percent: str
    width: str
    is_best: bool
    color: LabelColor | None


@dataclass(frozen=True)
class _AttributeBars:
    """Prediction of one attribute; `threshold` is the position in percent below which it abstains, or None."""

    name: str
    text: str
    is_confident: bool
    threshold: str | None
    bars: tuple[_Bar, ...]


@dataclass(frozen=True)
class _Card:
    """Predictions for one face."""

    color: LabelColor
    thumbnail: str
    label: str
    source: str
    attributes: tuple[_AttributeBars, ...]


def style() -> Markup:
    """Returns the CSS of the app.

    Returns:
        A `<style>` element.
    """
    css = files(PACKAGE).joinpath("webapp.css").read_text(encoding="utf-8")
    return Markup("<style>{}</style>").format(Markup(css))


def heading(parts: Sequence[str]) -> Markup:
    """Renders the app's name and what predicts.

    Args:
        parts: Models and attributes.

    Returns:
        HTML.
    """
    return render(PACKAGE, "heading.html.j2", text=" · ".join(parts))


def welcome(limits: str) -> Markup:
    """Renders the instructions that are shown while there is no photo.

    Args:
        limits: How many photos of which size can be uploaded.

    Returns:
        HTML.
    """
    steps = (
        {
            "title": "Add photos",
            "text": f"Drop them above, take one with the camera, or try drawn faces. {limits}",
        },
        {
            "title": "Read the boxes",
            "text": "Every face gets a box and a card: each prediction with the probability of all its values.",
        },
        {
            "title": "Look closer",
            "text": "See what the model saw of a face, and where it looked. Download all faces as a table.",
        },
    )
    return render(PACKAGE, "welcome.html.j2", steps=steps)


def summary(schema: LabelSchema, counts: Mapping[str, int], num_photos: int, num_faces: int) -> Markup:
    """Renders how many faces have each prediction for the first attribute.

    Args:
        schema: The label schema.
        counts: Number of faces by value, and by `NOT_SURE`.
        num_photos: Photos in total.
        num_faces: Faces in total.

    Returns:
        HTML.
    """
    first = schema.attributes[0]
    chips = [
        _Chip(counts[value], first.display_name(index), value_color(index, True))
        for index, value in enumerate(first.values)
        if counts.get(value)
    ]
    if counts.get(NOT_SURE):
        chips.append(_Chip(counts[NOT_SURE], NOT_SURE, value_color(0, False)))
    return render(PACKAGE, "summary.html.j2", chips=chips, num_photos=num_photos, num_faces=num_faces)


def photo_heading(name: str, result: PhotoResult) -> Markup:
    """Renders a photo's name and size, and how many faces it has.

    Args:
        name: The photo's name.
        result: The result of the photo.

    Returns:
        HTML.
    """
    details = None
    if result.prediction is not None:
        prediction = result.prediction
        faces = format_count(prediction.num_faces, "face")
        if prediction.faces and not prediction.num_faces:
            faces = "no face found, as one portrait" if prediction.is_without_face else "as one portrait"
        details = f"{prediction.width} × {prediction.height} · {faces}"
    return render(PACKAGE, "photo_heading.html.j2", name=name, details=details)


def note(text: str, details: str = "", kind: str = "neutral") -> Markup:
    """Renders a message to the visitor.

    Args:
        text: The message.
        details: A second line; empty for none.
        kind: `neutral` or `error`.

    Returns:
        HTML.
    """
    return render(PACKAGE, "note.html.j2", text=text, details=details, kind=kind)


def cards(
    schema: LabelSchema,
    result: PhotoResult,
    predictions: Sequence[Sequence[AttributePrediction]],
    abstain_below: Mapping[str, float],
) -> Markup:
    """Renders a card for each face.

    Args:
        schema: The label schema.
        result: The result of the photo.
        predictions: For each face the prediction of each attribute under the visitor's thresholds.
        abstain_below: The thresholds by attribute.

    Returns:
        HTML.
    """
    return render(
        PACKAGE,
        "cards.html.j2",
        cards=[
            _card(schema, face, prediction, frames[0], abstain_below)
            for face, prediction, frames in zip(result.faces, predictions, result.frames, strict=True)
        ],
    )


def _card(
    schema: LabelSchema,
    face: FacePrediction,
    prediction: Sequence[AttributePrediction],
    frame: Pixels,
    abstain_below: Mapping[str, float],
) -> _Card:
    return _Card(
        color=face_color(schema, prediction),
        thumbnail=_thumbnail(frame),
        label=label_text(prediction[0]),
        source="the whole photo" if face.face is None else _describe_face(face.face),
        attributes=tuple(
            _attribute_bars(schema, item, abstain_below.get(item.attribute, 0.0), colored=index == 0)
            for index, item in enumerate(prediction)
        ),
    )


def _describe_face(face: Face) -> str:
    left, upper, right, lower = face.box
    return f"{right - left:.0f} × {lower - upper:.0f} pixels, detector {face.score:.0%}"


def _attribute_bars(
    schema: LabelSchema, prediction: AttributePrediction, threshold: float, *, colored: bool
) -> _AttributeBars:
    """Returns a prediction and the probability bars of its values; `colored` gives each bar its value's color."""
    attribute = schema[prediction.attribute]
    best = attribute.values.index(prediction.value)
    indices: Sequence[int] = range(len(attribute.values))
    if len(indices) > MAX_VALUES:
        by_probability = sorted(indices, key=lambda index: -prediction.probabilities[attribute.values[index]])
        indices = by_probability[:MAX_VALUES]
    bars = []
    for index in indices:
        probability = prediction.probabilities[attribute.values[index]]
        bars.append(
            _Bar(
                text=attribute.display_name(index),
                percent=_percent(probability),
                width=f"{100 * probability:.1f}",
                is_best=index == best,
                color=value_color(index, True) if colored else None,
            )
        )
    return _AttributeBars(
        name=prediction.attribute,
        text=prediction.display_name if prediction.is_confident else NOT_SURE,
        is_confident=prediction.is_confident,
        threshold=f"{100 * threshold:.1f}" if threshold > 0 else None,
        bars=tuple(bars),
    )


def _percent(probability: float) -> str:
    """Formats a probability, but never as 0% or 100%, of which no network is certain."""
    return "<1%" if probability < 0.005 else ">99%" if probability >= 0.995 else f"{probability:.0%}"


def _thumbnail(frame: Pixels) -> str:
    """Returns a frame as a data URL."""
    image = Image.fromarray(frame)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return f"data:image/jpeg;base64,{b64encode(to_jpeg(image, 85)).decode()}"


def draw_icon(side: int = 64) -> Image.Image:
    """Draws the icon for the browser's tab: a face with a mask in a box.

    Args:
        side: Width and height in pixels.

    Returns:
        An RGBA image.
    """
    icon = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(icon)
    blue = VALUE_COLORS[0].background
    draw.rounded_rectangle((2, 2, side - 3, side - 3), side / 5, outline=blue, width=side // 9)
    draw.ellipse((side * 0.28, side * 0.24, side * 0.72, side * 0.78), fill=blue)
    draw.rectangle((side * 0.28, side * 0.52, side * 0.72, side * 0.66), fill=WHITE)
    return icon

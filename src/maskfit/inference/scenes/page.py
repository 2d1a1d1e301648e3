"""Writes the HTML page of `maskfit evaluate scenes`: scores, recall by size, confusion, and the worst photos."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path

import numpy as np
from PIL import ImageDraw, ImageFont

from maskfit.data.image_decoding import open_rgb
from maskfit.errors import PhotoError
from maskfit.evaluation.scenes import NOT_FOUND, SceneAttributeScore
from maskfit.file_io import write_text
from maskfit.html.page import breakable_name, read_text, render_page
from maskfit.inference.scenes.evaluate import SceneEvaluation, SceneResult
from maskfit.labels.schema import UNKNOWN
from maskfit.text import format_count

MAX_WORST = 24
"""Photos shown by default."""

PICTURE_SIDE = 640
"""Longer side of a picture in pixels."""

FONT_SIZE = 14

COLORS = {"right": "#1a9641", "wrong": "#f08c00", "missed": "#d7191c", "false": "#b000b0"}
LEGEND = (
    ("found, right value", "right"),
    ("found, wrong value: true value > predicted value", "wrong"),
    ("missed", "missed"),
    ("detected where no face is annotated", "false"),
)


def write_scenes_page(
    path: Path, evaluation: SceneEvaluation, title: str, limit: int = MAX_WORST, left_out: str = ""
) -> Path:
    """Writes the page; it is self-contained.

    Args:
        path: Where to write; an existing file is replaced.
        evaluation: The evaluation.
        title: Name of the scenes.
        limit: How many of the worst photos to show.
        left_out: What takes no part in the scores, and why; empty for nothing.

    Returns:
        `path`.
    """
    scores = evaluation.scores
    worst = evaluation.worst(limit)
    num_wrong = sum(evaluation.num_errors(result) > 0 for result in evaluation.results)
    text = render_page(
        "maskfit.inference.scenes",
        "page.html.j2",
        title=f"Faces on scenes: {title}",
        subtitle=f"{format_count(scores.photos, 'photo')} · {format_count(scores.faces, 'face')} of at least "
        f"{scores.min_side:g} pixels · IoU {scores.iou_threshold:g}" + (f" · {left_out}" if left_out else ""),
        style=read_text("maskfit.inference.scenes", "scenes.css"),
        cards=_cards(evaluation),
        min_side=f"{scores.min_side:g}",
        sizes=[
            (format_size(low, high), [], [f"{faces:,}", f"{found:,}", f"{found / faces:.3f}" if faces else "–"])
            for low, high, faces, found in scores.by_size
        ],
        attributes=[_attribute_values(item) for item in scores.attributes],
        unreadable=list(evaluation.unreadable.items()),
        legend=LEGEND,
        worst_summary=f"{format_count(num_wrong, 'photo has', 'photos have')} an error.",
        worst=[
            (picture, breakable_name(result.scene.photo.name), describe_errors(evaluation, result))
            for result in worst
            if (picture := _draw(evaluation, result))
        ],
    )
    return write_text(path, text)


def format_size(low: float, high: float) -> str:
    """Formats a bin of face sizes.

    Args:
        low: Smallest size in pixels.
        high: Pixels below which the sizes lie; infinite for the last bin.

    Returns:
        Such as "24 to 32" or "96 and more".
    """
    return f"{low:g} and more" if high == float("inf") else f"{low:g} to {high:g}"


def describe_errors(evaluation: SceneEvaluation, result: SceneResult) -> str:
    """Formats the errors on a photo.

    Args:
        evaluation: The evaluation.
        result: One of its photos.

    Returns:
        Such as "8 faces: 2 missed, 1 false, 1 wrong mask".
    """
    min_side, match = evaluation.scores.min_side, result.match
    faces = int(match.counted(min_side).sum())
    name = evaluation.schema.names[0]
    missed, false = len(match.missed(min_side)), len(match.false_faces(min_side))
    return (
        f"{format_count(faces, 'face')}: {missed} missed, {false} false, {len(match.wrong(min_side, 0))} wrong {name}"
    )


def _cards(evaluation: SceneEvaluation) -> list[tuple[str, str, str]]:
    scores = evaluation.scores
    cards = [
        ("recall", f"{scores.recall:.3f}", f"{scores.found:,} of {scores.faces:,} faces found"),
        ("false faces", f"{scores.false_per_photo:.2f}", f"per photo, {scores.false_faces:,} together"),
    ]
    for item in scores.attributes:
        cards.append((f"{item.name}, found", f"{item.macro_f1_found:.3f}", "macro F1 over found faces"))
        cards.append((f"{item.name}, all", f"{item.macro_f1_all:.3f}", "macro F1 over all faces"))
    return cards


def _attribute_values(item: SceneAttributeScore) -> dict[str, object]:
    names = [value.name for value in item.values]
    return {
        "title": item.name.capitalize(),
        "summary": f"Macro F1 is {item.macro_f1_found:.3f} over found and {item.macro_f1_all:.3f} over all faces.",
        "rows": [
            (value.name, [], [f"{value.faces:,}", f"{value.found:,}", f"{value.f1_found:.3f}", f"{value.f1_all:.3f}"])
            for value in item.values
        ],
        "header": ["true value", *names, "not found"],
        "confusion": [
            (name, [], [f"{count:,}" for count in row])
            for name, row in zip(names, item.confusion.tolist(), strict=True)
        ],
    }


def _draw(evaluation: SceneEvaluation, result: SceneResult) -> str:
    """A data URI of the photo with its boxes; "" where it cannot be read any more."""
    try:
        image = open_rgb(result.scene.photo.path)
    except (PhotoError, OSError):
        return ""
    # Small photos are enlarged a little, so that texts can be read.
    scale = min(PICTURE_SIDE / max(image.size), 2.0)
    image = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)))
    draw = ImageDraw.Draw(image)
    match, min_side = result.match, evaluation.scores.min_side
    attribute = evaluation.schema.attributes[0]
    wrong, missed = set(match.wrong(min_side, 0).tolist()), set(match.missed(min_side).tolist())
    for face, box in enumerate(match.truth):
        place = int(match.found[face])
        if face in missed:
            _draw_box(draw, box * scale, "missed", "")
        elif place != NOT_FOUND:
            code, predicted = int(match.labels[face, 0]), int(match.predictions[place, 0])
            true = attribute.display_name(code) if code != UNKNOWN else "?"
            text = f"{true} > {attribute.display_name(predicted)}" if face in wrong else ""
            _draw_box(draw, match.boxes[place] * scale, "wrong" if face in wrong else "right", text)
    for place in match.false_faces(min_side).tolist():
        _draw_box(draw, match.boxes[place] * scale, "false", "")
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(stream.getvalue()).decode()}"


def _draw_box(draw: ImageDraw.ImageDraw, box: np.ndarray, kind: str, text: str) -> None:
    left, upper, right, lower = map(float, box)
    draw.rectangle((left, upper, max(right, left), max(lower, upper)), outline=COLORS[kind], width=3)
    if text:
        font = ImageFont.load_default(size=FONT_SIZE)
        draw.rectangle(draw.textbbox((left, lower + 2), text, font), fill="white")
        draw.text((left, lower + 2), text, COLORS[kind], font)

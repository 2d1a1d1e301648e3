"""What the page shows as HTML. Names come from files and models, so every text is escaped here."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from PIL import Image, ImageDraw

from maskfit.apps.webapp.session import PhotoResult, to_jpeg
from maskfit.data.detectors import Face
from maskfit.data.image_decoding import Pixels
from maskfit.inference.annotation import VALUE_COLORS, LabelColor, face_color, value_color, label_text
from maskfit.inference.decisions import NOT_SURE, AttributePrediction
from maskfit.inference.face_predictor import FacePrediction
from maskfit.labels.schema import LabelSchema

MAX_VALUES = 7
"""Values of an attribute that a card shows, the likeliest first, where there are more."""

THUMBNAIL_SIDE = 112
"""Pixels across of a face on its card, twice what the page shows, for fine screens."""


def style() -> str:
    """The page's CSS."""
    return f"<style>{files('maskfit.apps.webapp').joinpath('webapp.css').read_text(encoding='utf-8')}</style>"


def heading(words: Sequence[str]) -> str:
    """The page's name and what answers on it."""
    said = " · ".join(map(escape, words))
    return f'<div class="ms ms-head"><h1>maskfit</h1><p>{said}</p></div>'


def welcome(limits: str) -> str:
    """What to do, while there is no photo."""
    steps = (
        ("1", "Bring photos", f"Drop them above, take one with the camera, or try drawn faces. {limits}"),
        (
            "2",
            "Read the boxes",
            "Every face gets a box and a card: each answer with the probability of all its values.",
        ),
        ("3", "Look closer", "See what the model saw of a face, and where it looked. Download all faces as a table."),
    )
    cells = "".join(f"<li><b>{number}</b><h3>{title}</h3><p>{escape(text)}</p></li>" for number, title, text in steps)
    return f'<div class="ms"><ol class="ms-steps">{cells}</ol>{PRIVACY}</div>'


PRIVACY = (
    '<p class="ms-private">Photos stay in the memory of this visit: none is stored, none leaves the machine that runs '
    "maskfit. Gender and age are guesses about appearance, not facts about a person.</p>"
)


def summary(scheme: LabelSchema, counts: Mapping[str, int], photos: int, found: int) -> str:
    """How many faces have each answer for the first attribute."""
    first = scheme.attributes[0]
    chips = []
    for code, value in enumerate(first.values):
        if counts.get(value):
            chips.append(_chip(f"<b>{counts[value]}</b> {escape(first.display_name(code))}", value_color(code, True)))
    if counts.get(NOT_SURE):
        chips.append(_chip(f"<b>{counts[NOT_SURE]}</b> {NOT_SURE}", value_color(0, False)))
    total = f"<b>{found}</b> {_many(found, 'face')} on <b>{photos}</b> {_many(photos, 'photo')}"
    return f'<div class="ms ms-summary"><span class="ms-total">{total}</span>{"".join(chips)}</div>'


def photo_heading(name: str, result: PhotoResult) -> str:
    """A photo's name and size, and how many faces are on it."""
    reading = result.prediction
    if reading is None:
        return f'<div class="ms ms-photo"><h2>{escape(name)}</h2></div>'
    portrait = reading.faces and not reading.num_faces
    said = "as one portrait" if portrait else f"{reading.num_faces} {_many(reading.num_faces, 'face')}"
    size = f"{reading.width} × {reading.height}"
    return f'<div class="ms ms-photo"><h2>{escape(name)}</h2><span>{size} · {said}</span></div>'


def note(text: str, more: str = "", kind: str = "calm") -> str:
    """A line to the visitor: `calm`, or `bad` for what went wrong."""
    rest = f"<span>{escape(more)}</span>" if more else ""
    return f'<div class="ms"><div class="ms-note ms-{kind}"><b>{escape(text)}</b>{rest}</div></div>'


def cards(
    scheme: LabelSchema,
    result: PhotoResult,
    said: Sequence[Sequence[AttributePrediction]],
    unsure_below: Mapping[str, float],
) -> str:
    """A card for each face."""
    each = zip(result.faces, said, result.frames, strict=True)
    own = [
        _card(scheme, number, answer, spoken, frames[0], unsure_below)
        for number, (answer, spoken, frames) in enumerate(each, start=1)
    ]
    many = " ms-many" if len(own) > 1 else ""
    return f'<div class="ms ms-cards{many}">{"".join(own)}</div>'


def _card(
    scheme: LabelSchema,
    number: int,
    answer: FacePrediction,
    said: Sequence[AttributePrediction],
    frame: Pixels,
    unsure_below: Mapping[str, float],
) -> str:
    colour = face_color(scheme, said)
    where = "the whole photo" if answer.face is None else _size(answer.face)
    parts = [
        _attribute(scheme, item, unsure_below.get(item.attribute, 0.0), coloured=place == 0)
        for place, item in enumerate(said)
    ]
    return (
        f'<article class="ms-card" style="--own:{colour.css};--own-ink:{colour.css_text}">'
        f'<header><img src="{_thumbnail(frame)}" alt=""><div><span class="ms-number">{number}</span>'
        f"<strong>{escape(label_text(said[0]))}</strong><small>{escape(where)}</small></div></header>"
        f"{''.join(parts)}</article>"
    )


def _size(face: Face) -> str:
    left, upper, right, lower = face.box
    return f"{right - left:.0f} × {lower - upper:.0f} pixels, detector {face.score:.0%}"


def _attribute(scheme: LabelSchema, said: AttributePrediction, least: float, *, coloured: bool) -> str:
    """One answer, and a bar of every value's probability; a line on the bars stands where "not sure" ends."""
    attribute = scheme[said.attribute]
    best = attribute.values.index(said.value)
    word = escape(said.display_name) if said.is_confident else f"<i>{NOT_SURE}</i>"
    codes: Sequence[int] = range(len(attribute.values))
    if len(codes) > MAX_VALUES:
        codes = sorted(codes, key=lambda code: -said.probabilities[attribute.values[code]])[:MAX_VALUES]
    tick = f'<s style="left:{100 * least:.1f}%"></s>' if least > 0 else ""
    rows = []
    for code in codes:
        share = said.probabilities[attribute.values[code]]
        ground = f";background:{value_color(code, True).css}" if coloured else ""
        rows.append(
            f'<li class="{"ms-best" if code == best else ""}"><span>{escape(attribute.display_name(code))}</span>'
            f'<div><u style="width:{100 * share:.1f}%{ground}"></u>{tick}</div><em>{escape(_percent(share))}</em></li>'
        )
    return f"<section><h4><span>{escape(said.attribute)}</span><b>{word}</b></h4><ul>{''.join(rows)}</ul></section>"


def _percent(share: float) -> str:
    """Never 0 % or 100 %, which no network knows."""
    return "<1%" if share < 0.005 else ">99%" if share >= 0.995 else f"{share:.0%}"


def _chip(markup: str, colour: LabelColor) -> str:
    return f'<span class="ms-chip" style="background:{colour.css};color:{colour.css_text}">{markup}</span>'


def _thumbnail(frame: Pixels) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return f"data:image/jpeg;base64,{b64encode(to_jpeg(image, 85)).decode()}"


def _many(count: int, one: str) -> str:
    return one if count == 1 else f"{one}s"


LIGHT = (255, 255, 255)


def draw_icon(side: int = 64) -> Image.Image:
    """A face in its box, for the browser's tab."""
    icon = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(icon)
    blue = VALUE_COLORS[0].background
    draw.rounded_rectangle((2, 2, side - 3, side - 3), side / 5, outline=blue, width=side // 9)
    draw.ellipse((side * 0.28, side * 0.24, side * 0.72, side * 0.78), fill=blue)
    draw.rectangle((side * 0.28, side * 0.52, side * 0.72, side * 0.66), fill=LIGHT)
    return icon

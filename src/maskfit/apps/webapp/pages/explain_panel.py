"""A face looked at closer: what the model saw of it, and where it found what speaks for an answer."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from PIL import Image

from maskfit.apps.review.html import escape_markdown
from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import AppState, PredictionSettings
from maskfit.apps.webapp.csv_export import Row
from maskfit.apps.webapp.session import to_jpeg
from maskfit.data.image_decoding import Pixels
from maskfit.errors import MaskfitError
from maskfit.explain.gradcam import overlay
from maskfit.inference.decisions import AttributePrediction
from maskfit.labels.schema import LabelSchema

SIDE = 480
"""Pixels of the longer side of a frame as it is shown."""

WIDTH = 760
"""Pixels that it all takes at most."""


@st.fragment
def render_explanation(
    studio: AppState, row: Row, place: int, settings: PredictionSettings, scheme: LabelSchema
) -> None:
    """Offers the faces of a photo, and shows the one that is chosen."""
    numbers = list(range(1, len(row.predictions) + 1))
    key = f"{place}-{row.result.content_hash}"
    number = st.pills(
        "Look closer at face" if len(numbers) > 1 else "Look closer",
        numbers,
        key=f"closer-{key}",
        format_func=lambda number: str(number) if len(numbers) > 1 else "What the model saw",
    )
    if number is None:
        return
    said, frames = row.predictions[number - 1], row.result.frames[number - 1]
    with st.container(width=WIDTH):
        wanted = _choose_value(scheme, said, f"{key}-{number}")
        saw, looked = st.columns(2, gap="small")
        height, width = frames[0].shape[:2]
        saw.image(_shown(frames[0]), caption=f"what the model saw, {width} × {height} pixels", width="stretch")
        if wanted is not None:
            with looked:
                _show_heat(studio, settings, frames, *wanted)


def _choose_value(scheme: LabelSchema, said: Sequence[AttributePrediction], key: str) -> tuple[str, int] | None:
    """The attribute and value of it for which is asked where the model looked; None while none is."""
    which, what = st.columns(2, gap="small")
    name = which.pills("Where it looked for", scheme.names, key=f"heat-{key}")
    if name is None:
        return None
    attribute = scheme[name]
    answer = attribute.values.index(next(item.value for item in said if item.attribute == name))
    code = what.selectbox(
        "What speaks for",
        range(len(attribute.values)),
        answer,
        key=f"value-{key}-{name}",
        format_func=lambda code: f"{attribute.display_name(code)}{' (the answer)' if code == answer else ''}",
    )
    return name, code


def _show_heat(studio: AppState, settings: PredictionSettings, frames: Sequence[Pixels], name: str, code: int) -> None:
    """The heat map of a value, or why there is none."""
    try:
        with st.spinner("looking"):
            frame, heat, model = studio.grad_cam(settings, frames, name, code)
    except MaskfitError as error:
        st.html(html.note(error.message, error.hint or ""))
        return
    if not heat.any():
        st.html(html.note("Nothing here speaks for that value."))
        return
    st.image(_shown(overlay(frame, heat)), caption=f"Grad-CAM of {escape_markdown(model)}", width="stretch")


def _shown(frame: Pixels) -> bytes:
    image = Image.fromarray(frame)
    scale = SIDE / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return to_jpeg(image.resize(size, Image.Resampling.BICUBIC))

"""Panel that explains the prediction of one face: the model's input and a Grad-CAM heat map."""

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

FRAME_SIDE = 480
"""The longer side in pixels of a model input on the page."""

PANEL_WIDTH = 760
"""Maximum width in pixels of the panel."""


@st.fragment
def render_explanation(
    app_state: AppState, row: Row, photo_index: int, settings: PredictionSettings, schema: LabelSchema
) -> None:
    """Shows a selection of the faces of a photo, and explains the selected one.

    Args:
        app_state: The models.
        row: The photo and its predictions.
        photo_index: Index of the photo on the page.
        settings: The visitor's settings.
        schema: The label schema.
    """
    numbers = list(range(1, len(row.predictions) + 1))
    key = f"{photo_index}-{row.result.content_hash}"
    number = st.pills(
        "Look closer at face" if len(numbers) > 1 else "Look closer",
        numbers,
        key=f"closer-{key}",
        format_func=lambda number: str(number) if len(numbers) > 1 else "What the model saw",
    )
    if number is None:
        return
    prediction, frames = row.predictions[number - 1], row.result.frames[number - 1]
    with st.container(width=PANEL_WIDTH):
        value = _choose_value(schema, prediction, f"{key}-{number}")
        left, right = st.columns(2, gap="small")
        height, width = frames[0].shape[:2]
        left.image(_enlarge(frames[0]), caption=f"what the model saw, {width} × {height} pixels", width="stretch")
        if value is not None:
            with right:
                _show_heat_map(app_state, settings, frames, *value)


def _choose_value(schema: LabelSchema, prediction: Sequence[AttributePrediction], key: str) -> tuple[str, int] | None:
    """Shows a selection of attribute and value; returns the attribute and the value's index, or None."""
    left, right = st.columns(2, gap="small")
    name = left.pills("Where it looked for", schema.names, key=f"heat-{key}")
    if name is None:
        return None
    attribute = schema[name]
    predicted = attribute.values.index(next(item.value for item in prediction if item.attribute == name))
    index = right.selectbox(
        "Evidence for",
        range(len(attribute.values)),
        predicted,
        key=f"value-{key}-{name}",
        format_func=lambda index: f"{attribute.display_name(index)}{' (predicted)' if index == predicted else ''}",
    )
    return name, index


def _show_heat_map(
    app_state: AppState, settings: PredictionSettings, frames: Sequence[Pixels], name: str, index: int
) -> None:
    """Shows the heat map of a value, or why there is none."""
    try:
        with st.spinner("computing the heat map"):
            frame, heat, model = app_state.grad_cam(settings, frames, name, index)
    except MaskfitError as error:
        st.html(html.note(app_state.public_text(error.message), app_state.public_text(error.hint or "")))
        return
    if not heat.any():
        st.html(html.note("There is no evidence for that value."))
        return
    st.image(
        _enlarge(overlay(frame, heat)),
        caption=f"Grad-CAM of {escape_markdown(app_state.public_text(model))}",
        width="stretch",
    )


def _enlarge(frame: Pixels) -> bytes:
    """Resizes a model input to `FRAME_SIDE`, as JPEG."""
    image = Image.fromarray(frame)
    scale = FRAME_SIDE / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return to_jpeg(image.resize(size, Image.Resampling.BICUBIC))

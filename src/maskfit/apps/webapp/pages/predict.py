"""Page for predictions: photos are uploaded, and each face is boxed, classified and explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from maskfit.apps.review.html import escape_markdown
from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import MAX_UPLOAD_MB, MODEL_HINTS, AppState, PredictionSettings, get_app_state
from maskfit.apps.webapp.csv_export import Row, count_values, to_csv
from maskfit.apps.webapp.pages.explain_panel import render_explanation
from maskfit.apps.webapp.pages.sidebar import choose_settings, choose_thresholds
from maskfit.apps.webapp.session import (
    MAX_PHOTOS,
    PhotoResult,
    Session,
    UploadedPhoto,
    deduplicate_names,
    reapply_thresholds,
    sample_photos,
)
from maskfit.errors import MaskfitError
from maskfit.inference.annotation import annotate_faces
from maskfit.labels.schema import LabelSchema

EXTENSIONS = ["jpg", "jpeg", "png", "webp", "bmp", "heic", "heif"]
"""File extensions that the uploader accepts."""

MAX_FACES_BESIDE = 2
"""Faces whose cards stand beside the photo; the cards of more stand below it."""

CAMERA, SAMPLES = "Take a photo", "Try drawn faces"
"""Options of other photo sources."""


def main() -> None:
    """Shows the page."""
    st.html(html.style())
    app_state = get_app_state()
    if not app_state.models:
        st.html(html.heading(["no model"]))
        st.html(html.note("There is no model to predict with.", "To get one: " + "; ".join(MODEL_HINTS) + "."))
        st.stop()
    if "session" not in st.session_state:
        st.session_state.session = Session(app_state)
    session: Session = st.session_state.session
    settings = choose_settings(app_state)
    try:
        predictor = app_state.predictor(settings.models, settings.vote)
    except MaskfitError as error:
        # Some of the models predict parts of a schema that do not form one; all models together do.
        _show_error(app_state, error)
        settings = replace(settings, models=app_state.default_settings.models)
        predictor = app_state.predictor(settings.models, settings.vote)
    schema = predictor.schema
    thresholds = choose_thresholds(schema, predictor.abstain_below)
    st.html(html.heading(_describe_models(app_state, settings, schema)))
    photos = _collect_photos()
    try:
        app_state.face_predictor(settings)
    except MaskfitError as error:
        # After all widgets: Streamlit drops the files of an uploader that is not shown once.
        _show_error(app_state, error)
        return
    if not photos:
        st.html(html.welcome(f"Up to {MAX_PHOTOS} at a time, {MAX_UPLOAD_MB} MB each."))
        return
    _show_photos(session, photos, settings, schema, thresholds)


def _show_error(app_state: AppState, error: MaskfitError) -> None:
    st.html(html.note(app_state.public_text(error.message), app_state.public_text(error.hint or ""), "error"))


def _describe_models(app_state: AppState, settings: PredictionSettings, schema: LabelSchema) -> list[str]:
    """Returns the selected models, their number where they vote, and the attributes."""
    num_models = sum(len(app_state.models[path]) for path in settings.models)
    vote = [f"{num_models} models vote"] if num_models > 1 else []
    names = ", ".join(app_state.model_names[path] for path in settings.models)
    return [names, *vote, ", ".join(schema.names)]


def _collect_photos() -> list[UploadedPhoto]:
    """Shows the uploader, the camera and the samples, and returns their photos."""
    uploaded = st.file_uploader(
        "Photos", EXTENSIONS, accept_multiple_files=True, key="uploads", label_visibility="collapsed"
    )
    sources = st.pills(
        "Other photos", [CAMERA, SAMPLES], selection_mode="multi", key="ways", label_visibility="collapsed"
    )
    photos = [UploadedPhoto(file.name, file.getvalue()) for file in uploaded[:MAX_PHOTOS]]
    if len(uploaded) > MAX_PHOTOS:
        num_left_out = len(uploaded) - MAX_PHOTOS
        text = f"{num_left_out:,} {'photo was' if num_left_out == 1 else 'photos were'} left out"
        st.html(html.note(text, f"{MAX_PHOTOS} are shown at a time: remove some above."))
    if CAMERA in sources:
        picture = st.camera_input("Camera", key="camera", label_visibility="collapsed")
        if picture is not None:
            photos.append(UploadedPhoto("camera.jpg", picture.getvalue()))
    if SAMPLES in sources:
        with st.spinner("drawing faces"):
            photos += sample_photos()
    return deduplicate_names(photos)


def _show_photos(
    session: Session,
    photos: Sequence[UploadedPhoto],
    settings: PredictionSettings,
    schema: LabelSchema,
    thresholds: dict[str, float],
) -> None:
    """Shows the summary at the top, and each photo as soon as it is predicted."""
    with st.container(horizontal=True, vertical_alignment="center"):
        top, download = st.empty(), st.empty()
    all_cached = all(session.is_cached(photo, settings) for photo in photos)
    bar = None if all_cached else st.progress(0.0, "predicting photos")
    rows = []
    predictor = session.app_state.predictor(settings.models, settings.vote)
    for index, photo in enumerate(photos):
        if bar is not None:
            text = f"predicting {index + 1:,} of {len(photos):,}: {escape_markdown(photo.name)}"
            bar.progress(index / len(photos), text)
        result = session.predict(photo, settings)
        decided = reapply_thresholds(schema, result, thresholds, predictor.decision_weights, predictor.min_face)
        rows.append(Row(photo.name, result, decided))
        _show_photo(session, rows[-1], index, settings, schema, thresholds)
    if bar is not None:
        bar.empty()
    counts = count_values(rows)
    top.html(html.summary(schema, counts, len(rows), counts.total()))
    download.download_button(
        "Download CSV",
        to_csv(schema, rows),
        "faces.csv",
        "text/csv",
        key="csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _show_photo(
    session: Session,
    row: Row,
    index: int,
    settings: PredictionSettings,
    schema: LabelSchema,
    thresholds: dict[str, float],
) -> None:
    """Shows one photo with its cards, or why it could not be read."""
    result = row.result
    st.html(html.photo_heading(row.name, result))
    if result.prediction is None:
        st.html(html.note(result.error, result.hint, "error"))
        return
    photo_area, cards_area = _layout(result)
    with photo_area.container(key=f"picture-{index}"):
        annotations = annotate_faces(schema, result.prediction, row.predictions)
        st.image(session.annotated_jpeg(result, annotations), width="stretch")
    with cards_area:
        if not row.predictions:
            st.html(html.note("No face was found on this photo.", "It can still be predicted as one portrait."))
            if st.button("Predict the whole photo", key=f"whole-{index}-{result.content_hash}"):
                session.whole_photo_hashes.add(result.content_hash)
                st.rerun()
            return
        st.html(html.cards(schema, result, row.predictions, thresholds))
        render_explanation(session.app_state, row, index, settings, schema)


def _layout(result: PhotoResult) -> Sequence[DeltaGenerator]:
    """Returns the areas of the photo and its cards: side by side, or one below the other for many faces."""
    assert result.prediction is not None
    if len(result.faces) > MAX_FACES_BESIDE:
        return st.container(), st.container()
    is_portrait = result.prediction.width < result.prediction.height
    return st.columns([2, 3] if is_portrait else [3, 2], gap="medium")


if __name__ == "__main__":
    main()

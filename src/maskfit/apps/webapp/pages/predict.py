"""The page of faces: photos come in, and each face on them is boxed, answered for, and looked at closer."""

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

ENDINGS = ["jpg", "jpeg", "png", "webp", "bmp", "heic", "heif"]
BESIDE = 2
"""Faces whose cards stand beside the photo; of more they stand below it."""

CAMERA, DRAWN = "Take a photo", "Try drawn faces"


def main() -> None:
    """Shows the page."""
    st.html(html.style())
    studio = get_app_state()
    if not studio.models:
        st.html(html.heading(["no model"]))
        st.html(html.note("There is no model to answer with.", "To get one: " + "; ".join(MODEL_HINTS) + "."))
        st.stop()
    if "visit" not in st.session_state:
        st.session_state.visit = Session(studio)
    visit: Session = st.session_state.visit
    settings = choose_settings(studio)
    try:
        predictor = studio.predictor(settings.models, settings.vote)
    except MaskfitError as error:
        # Some of the models answer for parts that make nothing together; all of them do.
        st.html(html.note(error.message, error.hint or "", "bad"))
        settings = replace(settings, models=studio.default_settings.models)
        predictor = studio.predictor(settings.models, settings.vote)
    scheme = predictor.schema
    thresholds = choose_thresholds(scheme, predictor.abstain_below)
    st.html(html.heading(_said_of(studio, settings, scheme)))
    items = _bring_photos()
    try:
        studio.face_predictor(settings)
    except MaskfitError as error:
        # After everything that is asked: Streamlit forgets the photos of an uploader that is once not shown.
        st.html(html.note(error.message, error.hint or "", "bad"))
        return
    if not items:
        st.html(html.welcome(f"Up to {MAX_PHOTOS} at a time, {MAX_UPLOAD_MB} MB each."))
        return
    _show_all(visit, items, settings, scheme, thresholds)


def _said_of(studio: AppState, settings: PredictionSettings, scheme: LabelSchema) -> list[str]:
    """What answers: models, how many, and what about."""
    count_ = sum(len(studio.models[word]) for word in settings.models)
    many = [f"{count_} models vote"] if count_ > 1 else []
    return [", ".join(settings.models), *many, ", ".join(scheme.names)]


def _bring_photos() -> list[UploadedPhoto]:
    """The photos that are there now, from wherever they come."""
    uploaded = st.file_uploader(
        "Photos", ENDINGS, accept_multiple_files=True, key="uploads", label_visibility="collapsed"
    )
    ways = st.pills("Other photos", [CAMERA, DRAWN], selection_mode="multi", key="ways", label_visibility="collapsed")
    items = [UploadedPhoto(file.name, file.getvalue()) for file in uploaded[:MAX_PHOTOS]]
    if len(uploaded) > MAX_PHOTOS:
        left = len(uploaded) - MAX_PHOTOS
        said = f"{MAX_PHOTOS} are shown at a time: remove some above."
        st.html(html.note(f"{left} {'photo was' if left == 1 else 'photos were'} left out", said))
    if CAMERA in ways:
        taken = st.camera_input("Camera", key="camera", label_visibility="collapsed")
        if taken is not None:
            items.append(UploadedPhoto("camera.jpg", taken.getvalue()))
    if DRAWN in ways:
        with st.spinner("drawing faces"):
            items += sample_photos()
    return deduplicate_names(items)


def _show_all(
    visit: Session,
    items: Sequence[UploadedPhoto],
    settings: PredictionSettings,
    scheme: LabelSchema,
    thresholds: dict[str, float],
) -> None:
    """The sum first, then each photo as soon as it is read."""
    with st.container(horizontal=True, vertical_alignment="center"):
        top, download = st.empty(), st.empty()
    bar = None if all(visit.is_cached(item, settings) for item in items) else st.progress(0.0, "reading photos")
    rows = []
    for place, item in enumerate(items):
        if bar is not None:
            bar.progress(place / len(items), f"reading {place + 1} of {len(items)}: {escape_markdown(item.name)}")
        result = visit.predict(item, settings)
        said = reapply_thresholds(scheme, result.faces, thresholds)
        rows.append(Row(item.name, result, said))
        _show_photo(visit, rows[-1], place, settings, scheme, thresholds)
    if bar is not None:
        bar.empty()
    found = sum(len(row.predictions) for row in rows)
    top.html(html.summary(scheme, count_values(rows), len(rows), found))
    download.download_button(
        "Download CSV",
        to_csv(scheme, rows),
        "faces.csv",
        "text/csv",
        key="csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _show_photo(
    visit: Session,
    row: Row,
    place: int,
    settings: PredictionSettings,
    scheme: LabelSchema,
    thresholds: dict[str, float],
) -> None:
    result = row.result
    st.html(html.photo_heading(row.name, result))
    if result.prediction is None:
        st.html(html.note(result.error, result.hint, "bad"))
        return
    picture, answers = _places(result)
    with picture.container(key=f"picture-{place}"):
        st.image(
            visit.annotated_jpeg(result, annotate_faces(scheme, result.prediction, row.predictions)), width="stretch"
        )
    with answers:
        if not row.predictions:
            st.html(html.note("No face was found on this photo.", "It can be read as one portrait all the same."))
            if st.button("Read the whole photo", key=f"whole-{place}-{result.content_hash}"):
                visit.whole_photo_hashes.add(result.content_hash)
                st.rerun()
            return
        st.html(html.cards(scheme, result, row.predictions, thresholds))
        render_explanation(visit.app_state, row, place, settings, scheme)


def _places(result: PhotoResult) -> Sequence[DeltaGenerator]:
    """Where the picture and its answers stand: side by side, or below each other where there are many faces."""
    assert result.prediction is not None
    if len(result.faces) > BESIDE:
        return st.container(), st.container()
    upright = result.prediction.width < result.prediction.height
    return st.columns([2, 3] if upright else [3, 2], gap="medium")


if __name__ == "__main__":
    main()

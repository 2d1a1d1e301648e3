"""Sidebar of the prediction page: models, face detection and abstention thresholds."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from maskfit.apps.webapp.app_state import AS_TRAINED, AppState, PredictionSettings
from maskfit.data.detectors import DETECTORS
from maskfit.inference.ensemble.voting import VOTES
from maskfit.labels.schema import LabelSchema

EVERY_FACE, WHOLE_PHOTO = "every face", "the whole photo"
"""Options of what is predicted."""


def choose_settings(app_state: AppState) -> PredictionSettings:
    """Shows the settings of the prediction.

    Args:
        app_state: The models.

    Returns:
        The visitor's settings.
    """
    models = list(app_state.models)
    with st.sidebar:
        st.subheader("Prediction")
        selected = models
        if len(models) > 1:
            chosen = st.multiselect(
                "Models",
                models,
                models,
                key="models",
                format_func=app_state.model_names.__getitem__,
                help="Several vote.",
            )
            selected = chosen or models
        vote = "arithmetic"
        if sum(len(app_state.models[path]) for path in selected) > 1:
            votes = [name for name in VOTES if name != "weighted"]
            vote = st.selectbox("Vote", votes, key="vote", help="How the models' predictions are combined.")
        target = st.segmented_control(
            "Look at",
            [EVERY_FACE, WHOLE_PHOTO],
            default=EVERY_FACE,
            key="about",
            help="A photo of one head and little else can be predicted as a whole, as in training.",
        )
        detector = AS_TRAINED
        if target != WHOLE_PHOTO:
            detector = st.selectbox(
                "Face detector",
                [AS_TRAINED, *DETECTORS],
                key="detector",
                format_func=lambda name: "as trained" if name == AS_TRAINED else name.replace("_", " "),
            )
    return PredictionSettings(tuple(selected), vote, target != WHOLE_PHOTO, detector)


def choose_thresholds(schema: LabelSchema, defaults: Mapping[str, float]) -> dict[str, float]:
    """Shows a slider with the abstention threshold of each attribute.

    Args:
        schema: The label schema.
        defaults: The models' thresholds by attribute.

    Returns:
        Probability below which a prediction is "not sure", by attribute.
    """
    with st.sidebar:
        st.subheader("Not sure below", help="A less probable prediction is shown as 'not sure'.")
        return {
            name: st.slider(name, 0.0, 1.0, round(defaults.get(name, 0.0), 2), 0.01, key=f"unsure-{name}")
            for name in schema.names
        }

"""The side bar: which models answer, where they look, and from when on they are sure."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from maskfit.apps.webapp.app_state import AS_TRAINED, AppState, PredictionSettings
from maskfit.data.detectors import DETECTORS
from maskfit.inference.ensemble.voting import VOTES
from maskfit.labels.schema import LabelSchema

FACES, WHOLE = "every face", "the whole photo"


def choose_settings(studio: AppState) -> PredictionSettings:
    """What the side bar says of reading."""
    words = list(studio.models)
    with st.sidebar:
        st.subheader("Reading")
        chosen = words
        if len(words) > 1:
            chosen = st.multiselect("Models", words, words, key="models", help="Several answer by their vote.") or words
        vote = "arithmetic"
        if sum(len(studio.models[word]) for word in chosen) > 1:
            votes = [name for name in VOTES if name != "weighted"]
            vote = st.selectbox("Vote", votes, key="vote", help="How the answers of several models become one.")
        about = st.segmented_control(
            "Look at",
            [FACES, WHOLE],
            default=FACES,
            key="about",
            help="A photo that shows one head and little else can be read as it is, as in training.",
        )
        detector = AS_TRAINED
        if about != WHOLE:
            detector = st.selectbox(
                "Detector of faces",
                [AS_TRAINED, *DETECTORS],
                key="detector",
                format_func=lambda name: "as trained" if name == AS_TRAINED else name.replace("_", " "),
            )
    return PredictionSettings(tuple(chosen), vote, about != WHOLE, detector)


def choose_thresholds(scheme: LabelSchema, usual: Mapping[str, float]) -> dict[str, float]:
    """By attribute, the probability below which an answer is "not sure"."""
    with st.sidebar:
        st.subheader("Not sure below", help="An answer that is less probable is shown as 'not sure'.")
        return {
            name: st.slider(name, 0.0, 1.0, round(usual.get(name, 0.0), 2), 0.01, key=f"unsure-{name}")
            for name in scheme.names
        }

"""Page with the label review, as `maskfit review` shows it."""

from __future__ import annotations

import streamlit as st

from maskfit.apps.review.streamlit_page import render
from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import get_app_state
from maskfit.errors import MaskfitError


def main() -> None:
    """Shows the review."""
    try:
        with st.spinner("reading labels"):
            get_app_state().tabs.open_review()
    except MaskfitError as error:
        st.html(html.style())
        st.html(html.note(error.message, error.hint or "", "error"))
        st.stop()
    # Room for the navigation bar, which the review as a page of its own does not have.
    st.html("<style>.stMainBlockContainer { padding-top: 3.6rem !important; }</style>")
    render()


if __name__ == "__main__":
    main()

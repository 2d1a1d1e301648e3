"""The page on which a whole set of photos is looked at, as `maskfit data explore` writes it."""

from __future__ import annotations

import streamlit as st

from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import get_app_state
from maskfit.apps.webapp.pages.report import render_html_page
from maskfit.errors import MaskfitError


def main() -> None:
    """Shows the page, or the button that makes it."""
    st.html(html.style())
    beside = get_app_state().tabs
    if not beside.exploration_page:
        said = "Every photo is decoded once, small: counts, ages, mean faces, oddities, leaks."
        st.html(html.note(f"The photos in {beside.photos} were not looked at yet.", said))
        if not st.button("Look at all photos", key="explore", type="primary"):
            st.stop()
        bar = st.progress(0.0, "looking")

        def advance(stage: str, done: int, total: int) -> None:
            bar.progress(min(done / max(total, 1), 1.0), stage)

        try:
            beside.explore(advance)
        except MaskfitError as error:
            bar.empty()
            st.html(html.note(error.message, error.hint or "", "bad"))
            st.stop()
        st.rerun()
    render_html_page(beside.exploration_page, "photos", "photos.html")


if __name__ == "__main__":
    main()

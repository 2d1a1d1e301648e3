"""Page with the exploration of a dataset, as `maskfit data explore` writes it."""

from __future__ import annotations

import streamlit as st

from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import get_app_state
from maskfit.apps.webapp.pages.report import render_html_page
from maskfit.errors import MaskfitError


def main() -> None:
    """Shows the exploration, or the button that starts it."""
    st.html(html.style())
    tabs = get_app_state().tabs
    if not tabs.exploration_page:
        details = "Every photo is decoded once, at low resolution: counts, ages, mean faces, outliers, leaks."
        name = tabs.photos.name if tabs.photos else ""
        st.html(html.note(f"The photos in {name} have not been explored yet.", details))
        if not st.button("Explore all photos", key="explore", type="primary"):
            st.stop()
        bar = st.progress(0.0, "exploring")

        def show_progress(stage: str, done: int, total: int) -> None:
            bar.progress(min(done / max(total, 1), 1.0), stage)

        try:
            tabs.explore(show_progress)
        except MaskfitError as error:
            bar.empty()
            st.html(html.note(error.message, error.hint or "", "error"))
            st.stop()
        st.rerun()
    render_html_page(tabs.exploration_page, "photos", "photos.html")


if __name__ == "__main__":
    main()

"""Entry point of every visit: checks the access token, then runs the page that the URL names."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from maskfit.apps.streamlit_server import WRONG_TOKEN_MESSAGE, check_access_token
from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import get_app_state

PAGES_DIR = Path(__file__).parent


def main() -> None:
    """Runs a page for visitors with the access token."""
    st.set_page_config(page_title="maskfit", page_icon=html.draw_icon(), layout="wide")
    app_state = get_app_state()
    if not check_access_token(app_state.access_token):
        st.html(html.style())
        st.html(html.note(WRONG_TOKEN_MESSAGE, kind="error"))
        st.stop()
    tabs = app_state.tabs
    # Without page icons, which browsers would fetch from Google.
    pages = [st.Page(PAGES_DIR / "predict.py", title="Faces", default=True)]
    if tabs.has_photos:
        pages.append(st.Page(PAGES_DIR / "review.py", title="Review", url_path="review"))
        pages.append(st.Page(PAGES_DIR / "dataset.py", title="Explore", url_path="explore"))
    if tabs.report:
        pages.append(st.Page(PAGES_DIR / "report.py", title="Report", url_path="report"))
    st.navigation(pages, position="top" if len(pages) > 1 else "hidden").run()


if __name__ == "__main__":
    main()

"""Where every visit begins: the key is asked for, then the page that the address names is run."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from maskfit.apps.streamlit_server import WRONG_TOKEN_MESSAGE, check_access_token
from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import get_app_state
from maskfit.apps.webapp.html import draw_icon

HERE = Path(__file__).parent


def main() -> None:
    """Runs a page for whoever has the key."""
    st.set_page_config(page_title="maskfit", page_icon=draw_icon(), layout="wide")
    studio = get_app_state()
    if not check_access_token(studio.access_token):
        st.html(html.style())
        st.html(html.note(WRONG_TOKEN_MESSAGE, kind="bad"))
        st.stop()
    beside = studio.tabs
    # Without icons: the page's own would be fetched from Google for the browser's tab.
    pages = [st.Page(HERE / "predict.py", title="Faces", default=True)]
    if beside.has_photos:
        pages.append(st.Page(HERE / "review.py", title="Review", url_path="review"))
        pages.append(st.Page(HERE / "dataset.py", title="Explore", url_path="explore"))
    if beside.report:
        pages.append(st.Page(HERE / "report.py", title="Report", url_path="report"))
    st.navigation(pages, position="top" if len(pages) > 1 else "hidden").run()


if __name__ == "__main__":
    main()

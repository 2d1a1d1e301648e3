"""The page of a run: the report that it wrote when it ended."""

from __future__ import annotations

import streamlit as st
from streamlit.components.v1 import html as embed_html

from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import get_app_state


def main() -> None:
    """Shows the page."""
    st.html(html.style())
    report = get_app_state().tabs.report
    if report is not None:
        render_html_page(report.read_text(encoding="utf-8"), "report", report.name)


HEIGHT = 900
"""Pixels, where the browser does not know the style that makes it as high as the window."""


def render_html_page(page: str, name: str, file: str) -> None:
    """Shows a page; it holds all that it shows and forbids itself scripts."""
    st.download_button(
        "Download this page",
        page.encode(),
        file,
        "text/html",
        key=f"download-{name}",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
    )
    with st.container(key=f"sheet-{name}"):
        embed_html(page, height=HEIGHT, scrolling=True)


if __name__ == "__main__":
    main()

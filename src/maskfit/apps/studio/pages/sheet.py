"""A page of HTML that maskfit wrote, in a frame of its own, and to take along."""

from __future__ import annotations

import streamlit as st
from streamlit.components.v1 import html

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
        html(page, height=HEIGHT, scrolling=True)

"""Page with the report that a run wrote when it ended."""

from __future__ import annotations

import streamlit as st
from streamlit.components.v1 import html as embed_html

from maskfit.apps.webapp import html
from maskfit.apps.webapp.app_state import get_app_state

FALLBACK_HEIGHT = 900
"""Height in pixels where the browser does not support the style that fills the window."""


def main() -> None:
    """Shows the report."""
    st.html(html.style())
    report = get_app_state().tabs.report
    if report is not None:
        render_html_page(report.read_text(encoding="utf-8"), "report", report.name)


def render_html_page(page: str, name: str, file_name: str) -> None:
    """Shows a self-contained HTML page in a frame, with a download button; the page's own policy forbids scripts.

    Args:
        page: The HTML.
        name: Unique name for the keys of the widgets.
        file_name: Name of the downloaded file.
    """
    st.download_button(
        "Download this page",
        page.encode(),
        file_name,
        "text/html",
        key=f"download-{name}",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
    )
    with st.container(key=f"sheet-{name}"):
        embed_html(page, height=FALLBACK_HEIGHT, scrolling=True)


if __name__ == "__main__":
    main()

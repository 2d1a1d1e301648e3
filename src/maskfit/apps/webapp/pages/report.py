"""The page of a run: the report that it wrote when it ended."""

from __future__ import annotations

import streamlit as st

from maskfit.apps.webapp import html as cards
from maskfit.apps.webapp.pages.sheet import render_html_page
from maskfit.apps.webapp.app_state import seated


def main() -> None:
    """Shows the page."""
    st.html(cards.style())
    report = seated().beside.report
    if report is not None:
        render_html_page(report.read_text(encoding="utf-8"), "report", report.name)


if __name__ == "__main__":
    main()

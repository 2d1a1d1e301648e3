"""Scripts that Streamlit runs: the entry point and one script per page."""

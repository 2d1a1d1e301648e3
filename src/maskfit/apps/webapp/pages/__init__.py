"""The scripts that Streamlit runs: the entry, and a page each."""

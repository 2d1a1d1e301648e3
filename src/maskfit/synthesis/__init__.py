"""Photos that are made rather than taken."""

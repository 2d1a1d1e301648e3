"""Reports: the scores of one run, or a comparison of several, as statistics and as a self-contained HTML page."""

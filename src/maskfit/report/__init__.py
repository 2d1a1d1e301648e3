"""The report: what a run's folder holds, as figures and as a page for people who never saw the project."""

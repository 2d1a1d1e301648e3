"""Exploration of a dataset before training: class counts, outliers, duplicates, mean faces, and their page."""

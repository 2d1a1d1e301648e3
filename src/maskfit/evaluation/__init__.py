"""Metrics, calibration and label issues, computed from probability tables and labels; needs no torch."""

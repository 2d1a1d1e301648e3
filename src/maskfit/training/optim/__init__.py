"""Optimizers, learning rate schedules, freezing and weight averaging."""

"""Hyperparameter search: trains one recipe many times with different values of some keys."""

"""Sweeps: many trainings of one recipe, each with other values of some keys, and what came of them."""

"""Recipes: typed configuration, reading and writing, and the old names of keys and components."""

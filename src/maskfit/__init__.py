"""Train, judge, combine, inspect and serve classifiers that read mask, gender and age from a face photo."""

__version__ = "0.1.0"

"""Ensembles: votes, learned weights and their comparison on out-of-fold predictions."""

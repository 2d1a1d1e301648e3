"""How good the answers are. Takes tables of probabilities and truths; needs no torch."""

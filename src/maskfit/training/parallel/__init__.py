"""Training on several devices or of several folds at once."""

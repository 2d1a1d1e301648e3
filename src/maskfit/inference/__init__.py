"""Inference: engines, ensembles, test-time augmentation, predictors, exports. No losses and no training loop."""

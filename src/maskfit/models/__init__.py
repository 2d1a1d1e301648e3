"""Networks in plain PyTorch: a backbone that maps images to features, and a head that maps features to logits."""

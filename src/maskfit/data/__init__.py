"""Datasets, decoding, cropping, preprocessing, the image cache and splits."""

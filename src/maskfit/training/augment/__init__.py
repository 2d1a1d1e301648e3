"""Augmentation of training images and mixing of batches, on the device."""

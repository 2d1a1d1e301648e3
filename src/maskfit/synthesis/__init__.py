"""Synthetic photos: procedurally drawn faces, masks composited onto bare faces, GAN samples and offline mixup."""

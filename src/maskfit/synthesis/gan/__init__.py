"""Made faces: a small conditional GAN, trained on photos of the persons who are not held out, and judged."""

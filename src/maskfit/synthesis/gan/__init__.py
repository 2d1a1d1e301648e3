"""A small conditional GAN, trained without the persons who are held out, and its evaluation by a classifier."""

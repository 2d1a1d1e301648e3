"""The Fréchet distance between two sets of features (Heusel et al. 2017, arXiv:1706.08500), without their Inception.

What is called FID is this distance in the features of one Inception network on tens of thousands of pictures. Features
of another network, or fewer pictures, give other numbers: they compare with each other, with nothing published.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


def frechet_distance(first: Features, second: Features) -> float:
    """The squared Fréchet distance of the normal distributions with the means and covariances of two sets.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With C = A'A for centerd rows A, the trace of the root is the sum of
    the singular values of A1 A2', so no root of a matrix is taken, and few rows of many features are no trouble.

    Args:
        first: (rows, features), two rows or more.
        second: The same number of features.

    Raises:
        ValueError: The shapes are others, or something is no finite number.
    """
    pair = [np.asarray(item, dtype=np.float64) for item in (first, second)]
    if any(item.ndim != 2 or len(item) < 2 for item in pair) or pair[0].shape[1] != pair[1].shape[1]:
        raise ValueError(f"features of shapes {np.shape(first)} and {np.shape(second)} have no distance")
    if not all(np.isfinite(item).all() for item in pair):
        raise ValueError("some features are no finite numbers")
    means = [item.mean(axis=0) for item in pair]
    roots = [_root(item - mean) for item, mean in zip(pair, means, strict=True)]
    common = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    apart = float(((means[0] - means[1]) ** 2).sum())
    return max(0.0, float(apart + (roots[0] ** 2).sum() + (roots[1] ** 2).sum() - 2 * common))


def _root(centered: NDArray[np.float64]) -> NDArray[np.float64]:
    """A with A'A the covariance, of as few rows as can be."""
    rows, features = centered.shape
    scaled = centered / np.sqrt(rows - 1)
    return np.asarray(np.linalg.qr(scaled, mode="r")) if rows > features else scaled

"""The Fréchet distance between two sets of features (Heusel et al. 2017, arXiv:1706.08500), of any network.

FID is this distance in the features of one Inception network on tens of thousands of images. Features of another
network, or fewer images, give values that are comparable with each other only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]
"""Features of shape (rows, features)."""


def frechet_distance(first: Features, second: Features) -> float:
    """Computes the squared Fréchet distance of the normal distributions fitted to two sets of features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With C = A'A for centered rows A, the trace of the root is the sum of
    the
    singular values of A1 A2', so no matrix root is needed and fewer rows than features are no problem.

    Args:
        first: Shape (rows, features), at least two rows.
        second: Shape (any rows, features), at least two rows.

    Returns:
        The distance, >= 0.

    Raises:
        ValueError: The shapes do not fit, or a value is not finite.
    """
    pair = [np.asarray(item, dtype=np.float64) for item in (first, second)]
    if any(item.ndim != 2 or len(item) < 2 for item in pair) or pair[0].shape[1] != pair[1].shape[1]:
        raise ValueError(f"features must be (rows >= 2, n) of equal n, got {np.shape(first)} and {np.shape(second)}")
    if not all(np.isfinite(item).all() for item in pair):
        raise ValueError("features must be finite, got NaN or inf")
    means = [item.mean(axis=0) for item in pair]
    roots = [_root(item - mean) for item, mean in zip(pair, means, strict=True)]
    common = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    apart = float(((means[0] - means[1]) ** 2).sum())
    return max(0.0, float(apart + (roots[0] ** 2).sum() + (roots[1] ** 2).sum() - 2 * common))


def _root(centered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns A with A'A the covariance, with as few rows as possible."""
    rows, features = centered.shape
    scaled = centered / np.sqrt(rows - 1)
    return np.asarray(np.linalg.qr(scaled, mode="r")) if rows > features else scaled

"""Probability that a label of an age in years is wrong, from distributions of the age.

The same rule as for bands (`label_issues`), year by year: with `noise` as the prior probability of a wrong label,

    P(wrong) = noise / (noise + (1 - noise) * sum_y P(y | photos) / P(y) * K(y | label)),

so that a label of 24 is much more surprising where the models say 38 than where they say 32. K is a normal kernel
around the label. Its width, a temperature of the distributions and a share of photos on which the models know nothing
are those under which the labels are most likely. The share matters: models that are off by 20 years now and then must
not make every such label certainly wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from maskfit.labels.age_distribution import AgeTable
from maskfit.labels.schema import FloatArray

WIDTHS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Standard deviations of the kernel that are tried, in years."""

TEMPERATURES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""Temperatures of the distributions that are tried; a mean over a person's photos is less sure than all of them are."""

UNKNOWING = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of photos on which the models know nothing that are tried."""

PRIOR_WIDTH = 4.0
"""Standard deviation in years by which the frequencies of the labels are smoothed."""

UNIFORM_SHARE = 0.05
"""Share of the frequencies that is the same for every year between the youngest and the oldest label."""

MIN_SHARE = 1e-9
"""Lower bound of a year's probability."""


@dataclass(frozen=True)
class AgeLabelModel:
    """How labels and distributions of ages belong together.

    Attributes:
        width: Standard deviation of the kernel around a label, in years.
        temperature: Of the distributions.
        unknowing: Share of photos on which the models know nothing.
        log_likelihood: Mean logarithm of the labels' likelihood, relative to a model that knows nothing.
    """

    width: float
    temperature: float
    unknowing: float
    log_likelihood: float


def score_age_labels(ages: AgeTable, labels: FloatArray, noise: float) -> tuple[FloatArray, AgeLabelModel]:
    """Computes the probability that labels are wrong.

    Args:
        ages: Distributions of the ages, one for each label.
        labels: Labeled years, (labels,), whole numbers.
        noise: Prior probability that a label is wrong, in (0, 0.5).

    Returns:
        Shape (labels,) in (0, 1), and the fitted model.
    """
    labels = np.floor(labels)
    # Years that nobody is labeled with have a frequency of about 0, and dividing by it would make them evidence.
    inside = (ages.years >= labels.min()) & (ages.years <= labels.max())
    years, shares = ages.years[inside].astype(np.float64), ages.shares[:, inside] + MIN_SHARE
    prior = (1 - UNIFORM_SHARE) * _kernel(years, labels, PRIOR_WIDTH).mean(axis=0) + UNIFORM_SHARE / len(years)
    kernels = {width: _kernel(years, labels, width) for width in WIDTHS}
    best: tuple[float, AgeLabelModel, FloatArray] | None = None
    for temperature, (width, kernel) in product(TEMPERATURES, kernels.items()):
        ratio = (_sharpen(shares, temperature) / prior * kernel).sum(axis=1)
        for unknowing in UNKNOWING:
            correct = (1 - unknowing) * ratio + unknowing
            fit = float(np.log(noise + (1 - noise) * correct).mean())
            if best is None or fit > best[0]:
                best = fit, AgeLabelModel(width, temperature, unknowing, fit), correct
    assert best is not None
    _, model, correct = best
    return np.asarray(noise / (noise + (1 - noise) * correct)), model


def _sharpen(shares: FloatArray, temperature: float) -> FloatArray:
    powers = np.maximum(shares, MIN_SHARE) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _kernel(years: FloatArray, labels: FloatArray, width: float) -> FloatArray:
    """(labels, years), a normal density around each label, rows summing to 1."""
    rows = np.exp(-0.5 * ((years - labels[:, None]) / width) ** 2) + 1e-300
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))

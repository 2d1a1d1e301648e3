"""Gender and age of the persons in a dataset: exact proportions, those of the competition."""

from __future__ import annotations

import numpy as np

from maskfit.errors import DataError
from maskfit.synthesis.drawn.person import GENDERS, LABEL_STREAM, OLDEST, YOUNGEST

MALE_FRACTION = 0.40
"""Fraction of men."""
BAND_FRACTIONS = (0.47, 0.45, 0.08)
"""Fractions of the age bands."""
BANDS = ((YOUNGEST, 29), (30, 59), (60, OLDEST))
"""First and last age of each band."""
# Separates the random stream of the shuffle from those of the persons, whose entropy has the same length.
_DEMOGRAPHICS_STREAM = 1_000_003


def sample_demographics(seed: int, persons: int) -> list[tuple[str, int]]:
    """Samples gender and age of every person of a dataset.

    The proportions of genders and age bands are exact up to rounding; from six persons on, every gender has every band.

    Args:
        seed: Seed of the dataset, >= 0.
        persons: Number of persons, >= 1.

    Returns:
        (gender, age in years) of each person, in the order of their numbers.

    Raises:
        DataError: A negative seed or fewer than one person.
    """
    if persons < 1 or seed < 0:
        raise DataError(
            f"persons must be >= 1 and seed >= 0, got persons={persons}, seed={seed}",
            hint="set at least 1 person and a seed from 0",
        )
    rng = np.random.default_rng(np.random.SeedSequence([seed, _DEMOGRAPHICS_STREAM, LABEL_STREAM]))
    cells = [
        (gender, band)
        for band, counts in enumerate(_counts(persons))
        for gender, count in zip(GENDERS, counts, strict=True)
        for _ in range(count)
    ]
    order = rng.permutation(persons)
    ages = rng.random(persons)
    people = []
    for index, rank in enumerate(order.tolist()):
        gender, band = cells[rank]
        low, high = BANDS[band]
        people.append((gender, low + int(ages[index] * (high - low + 1))))
    return people


def _counts(persons: int) -> list[tuple[int, int]]:
    """Returns the number of men and women of each age band."""
    minimum = 2 if persons >= 6 else 0
    bands = _apportion(persons, BAND_FRACTIONS, minimum)
    men = max(round(persons * MALE_FRACTION), 3 if minimum else 0)
    room = [max(0, count - 1) if minimum else count for count in bands]
    floor = 1 if minimum else 0
    males = _apportion(men, [count / persons for count in bands], floor, room)
    return [(male, band - male) for male, band in zip(males, bands, strict=True)]


def _apportion(
    total: int, fractions: tuple[float, ...] | list[float], minimum: int, maximums: list[int] | None = None
) -> list[int]:
    """Splits a total by fractions (largest remainder method), each part within its bounds."""
    targets = [total * fraction for fraction in fractions]
    caps = [total] * len(targets) if maximums is None else maximums
    parts = [min(max(int(value), minimum), cap) for value, cap in zip(targets, caps, strict=True)]
    while sum(parts) != total:
        step = 1 if sum(parts) < total else -1
        free = [index for index, part in enumerate(parts) if (part < caps[index] if step > 0 else part > minimum)]
        parts[max(free, key=lambda index: step * (targets[index] - parts[index]))] += step
    return parts

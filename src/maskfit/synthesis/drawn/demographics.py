"""Who is in a set of drawn people: exact shares of gender and age band, in the proportions of the competition."""

from __future__ import annotations

import numpy as np

from maskfit.errors import DataError
from maskfit.synthesis.drawn.person import GENDERS, LABEL_STREAM, OLDEST, YOUNGEST

MALE_SHARE = 0.40
BAND_SHARES = (0.47, 0.45, 0.08)
BANDS = ((YOUNGEST, 29), (30, 59), (60, OLDEST))
# Keeps the shuffle of a set apart from the chance of its members, whose entropy has the same length.
_CENSUS = 1_000_003


def sample_demographics(seed: int, persons: int) -> list[tuple[str, int]]:
    """Gives gender and age of every person in a set, in the order of their numbers.

    The shares of genders and of bands are exact to rounding, and from six persons on every gender has every band.

    Args:
        seed: Seed of the set, 0 or more.
        persons: How many, 1 or more.

    Raises:
        DataError: A negative seed or fewer than one person.
    """
    if persons < 1 or seed < 0:
        raise DataError(
            f"a set cannot have {persons} persons and seed {seed}", hint="give at least 1 person and a seed from 0"
        )
    rng = np.random.default_rng(np.random.SeedSequence([seed, _CENSUS, LABEL_STREAM]))
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
    """Gives men and women of each band."""
    least = 2 if persons >= 6 else 0
    bands = _apportioned(persons, BAND_SHARES, least)
    men = max(round(persons * MALE_SHARE), 3 if least else 0)
    room = [max(0, count - 1) if least else count for count in bands]
    floor = 1 if least else 0
    males = _apportioned(men, [count / persons for count in bands], floor, room)
    return [(male, band - male) for male, band in zip(males, bands, strict=True)]


def _apportioned(
    total: int, shares: tuple[float, ...] | list[float], least: int, most: list[int] | None = None
) -> list[int]:
    """Splits a total by shares, exact to rounding (largest remainders), each part within its bounds."""
    wanted = [total * share for share in shares]
    caps = [total] * len(wanted) if most is None else most
    parts = [min(max(int(value), least), cap) for value, cap in zip(wanted, caps, strict=True)]
    while sum(parts) != total:
        step = 1 if sum(parts) < total else -1
        free = [index for index, part in enumerate(parts) if (part < caps[index] if step > 0 else part > least)]
        parts[max(free, key=lambda index: step * (wanted[index] - parts[index]))] += step
    return parts

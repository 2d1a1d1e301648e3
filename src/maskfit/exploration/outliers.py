"""Photos that are unlike the others in light, colour, size or shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskfit.data.validation import SMALL
from maskfit.exploration.image_stats import ImageStats
from maskfit.exploration.near_duplicates import FLAT

DARK, BRIGHT = 40.0, 215.0
"""Mean luma below and above which hardly a face can be seen; of 4,200 portraits, four in a thousand are beyond."""

GREY = 2.0
"""Mean difference of the channels up to which a photo counts as grey."""

SHAPE = 1.25
"""How many times wider or narrower than the usual photo one must be to count as of another shape."""


class Kind(NamedTuple):
    """A kind of oddity, in the words of the page."""

    name: str
    what: str


KINDS = (
    Kind("dark", f"mean brightness below {DARK:g} of 255"),
    Kind("bright", f"mean brightness above {BRIGHT:g} of 255"),
    Kind("flat", f"contrast below {FLAT:g}: nearly one tone"),
    Kind("grey", "without colour"),
    Kind("tiny", f"a side shorter than {SMALL} pixels"),
    Kind("shape", f"more than {SHAPE:g} times wider or narrower than the usual photo"),
)


def find_outliers(looks: Sequence[ImageStats]) -> dict[str, tuple[int, ...]]:
    """Numbers of the photos of each kind in `KINDS`, the most striking first.

    What holds for half of the photos is this set's way and not odd: such a kind stays empty.
    """
    seen = np.array([number for number, look in enumerate(looks) if look.readable], dtype=np.int64)
    if not len(seen):
        return {kind.name: () for kind in KINDS}
    rows = [(look.brightness, look.contrast, look.colour, *look.facts.size) for look in (looks[n] for n in seen)]
    light, contrast, colour, width, height = np.array(rows, dtype=np.float64).T
    proportion = np.log(width / height)
    away = np.abs(proportion - np.median(proportion))
    # How striking each photo is, and from where on it counts.
    measures = {
        "dark": (DARK - light, light < DARK),
        "bright": (light - BRIGHT, light > BRIGHT),
        "flat": (FLAT - contrast, contrast < FLAT),
        "grey": (GREY - colour, colour < GREY),
        "tiny": (-np.minimum(width, height), np.minimum(width, height) < SMALL),
        "shape": (away, away > np.log(SHAPE)),
    }
    found = {}
    for name, (strength, odd) in measures.items():
        order = np.argsort(-strength, kind="stable")
        numbers = tuple(int(number) for number in seen[order[odd[order]]])
        found[name] = numbers if len(numbers) <= len(seen) / 2 else ()
    return found

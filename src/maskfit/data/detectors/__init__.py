"""Detectors of faces: one small interface, one table, and what was found remembered.

YuNet and Ultra-Light run in the base install; MTCNN needs the extra `faces`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from maskfit.data.detectors.interface import Detector, Face, Pixels
from maskfit.data.detectors.mtcnn import Mtcnn
from maskfit.data.detectors.ultra_light import UltraLight
from maskfit.data.detectors.yunet import YuNet
from maskfit.data.pretrained_weights import WeightsFile, add_to_cache, find_weights, is_available
from maskfit.errors import RecipeError
from maskfit.registry import ComponentSpec, instantiate, validate_spec

__all__ = [
    "DETECTORS",
    "CachedDetector",
    "Detector",
    "Face",
    "check_detector",
    "find_local_detector",
    "load_detector",
    "pin_detector_weights",
]

DETECTORS: dict[str, Callable[..., Detector]] = {
    "yunet": YuNet,
    "ultra_light": UltraLight,
    "mtcnn": Mtcnn,
}

MAX_CACHED_PHOTOS = 65_536
"""Photos of which a finder remembers the faces."""


class CachedDetector:
    """A detector that looks at no photo twice, so that each is looked at once however many framings ask for it."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._known: OrderedDict[bytes, tuple[Face, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def detect_one(self, photo: Pixels) -> tuple[Face, ...]:
        """The faces on a photo (height, width, 3), the surest first."""
        content = np.ascontiguousarray(photo).data.cast("B")
        key = hashlib.blake2b(content, digest_size=16, salt=b"%d %d" % photo.shape[:2]).digest()
        with self._lock:
            if key in self._known:
                return self._known[key]
        (faces,) = self.detector.detect([photo])
        with self._lock:
            self._known[key] = tuple(faces)
            if len(self._known) > MAX_CACHED_PHOTOS:
                self._known.popitem(last=False)
        return tuple(faces)


def find_local_detector() -> str | None:
    """The first of `DETECTORS` that this machine can open without a network: its weights lie here, or its extra brings
    them; None where there is none. Nothing is imported or read for it.
    """
    for name, kind in DETECTORS.items():
        published: WeightsFile | None = getattr(kind, "published", None)
        brought: str | None = getattr(kind, "brought_by", None)
        if is_available(published) if published else brought and importlib.util.find_spec(brought):
            return name
    return None


def check_detector(part: ComponentSpec) -> None:
    """Looks at a detector's name and options without opening it.

    Raises:
        RecipeError: One is unknown or refused.
    """
    problems = validate_spec(DETECTORS, part, given=("weights",))
    if problems:
        raise RecipeError("; ".join(problems))


def pin_detector_weights(part: ComponentSpec, path: str | None, sha256: str | None) -> WeightsFile | None:
    """Which weights a detector is to have, by their content; None where it brings its own.

    Args:
        part: The detector.
        path: A file of weights, which is kept in the cache; with `sha256` only their name.
        sha256: Of the weights, where that is known already.

    Raises:
        DataError: The file is missing.
        RecipeError: The detector brings its own weights.
    """
    published = getattr(DETECTORS[part.name], "published", None)
    if published is None:
        if path or sha256:
            raise RecipeError(f"the detector '{part.name}' brings its own weights", hint="leave 'weights' out")
        return None
    if sha256 is None:
        return published if path is None else add_to_cache(Path(path))
    return published if sha256 == published.sha256 else WeightsFile(Path(path or published.name).name, sha256)


def load_detector(part: ComponentSpec, weights: WeightsFile | None) -> CachedDetector:
    """The detector with these weights; asked for again, the same one.

    Raises:
        DataError: The weights cannot be found or read.
        MissingExtraError: The detector needs an extra.
        RecipeError: An option is refused.
    """
    with _OPENING:
        return _open(part.model_dump_json(), weights)


_OPENING = threading.Lock()
"""Else two threads that ask at once would both open it."""


@lru_cache(maxsize=8)
def _open(text: str, weights: WeightsFile | None) -> CachedDetector:
    given = {} if weights is None else {"weights": find_weights(weights)}
    return CachedDetector(instantiate(DETECTORS, ComponentSpec.model_validate_json(text), **given))

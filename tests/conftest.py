"""A detector for tests: it finds painted rectangles, needs no weights, and says how often it looked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import pytest

from maskfit.data import detectors
from maskfit.data.detectors.face import Face, Pixels
from maskfit.data.detectors.weights import Weights

FACE_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
"""A rectangle of each is a face, the first the surest."""
LEFT_EYE, RIGHT_EYE = (255, 255, 0), (0, 255, 255)


class Painted:
    """Finds what `paint` painted.

    Args:
        weights: A file, whatever is in it.
        score: As real detectors have it.
    """

    published: ClassVar[Weights | None] = None
    looks: ClassVar[list[tuple[int, ...]]] = []
    lock: ClassVar[Lock] = Lock()

    def __init__(self, weights: Path | None = None, score: float = 0.5) -> None:
        self.score = score

    def detect(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        return [self._look(photo) for photo in photos]

    def _look(self, photo: Pixels) -> list[Face]:
        with self.lock:
            self.looks.append(photo.shape)
        faces = []
        for number, colour in enumerate(FACE_COLOURS):
            rows, columns = _places(photo, colour)
            score = 0.9 - 0.1 * number
            if not len(rows) or score < self.score:
                continue
            box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
            faces.append(Face(box, score, self._eyes(photo)))
        return faces

    def _eyes(self, photo: Pixels) -> tuple[tuple[float, float], ...] | None:
        eyes = []
        for colour in (LEFT_EYE, RIGHT_EYE):
            rows, columns = _places(photo, colour)
            if len(rows):
                eyes.append((float(columns.mean()) + 0.5, float(rows.mean()) + 0.5))
        return (*eyes, *[(0.0, 0.0)] * 3) if len(eyes) == 2 else None


def _places(photo: Pixels, colour: tuple[int, int, int]) -> tuple[Any, ...]:
    """Rows and columns of a colour; JPEG changes colours a little."""
    near = [photo[..., channel] > 215 if level else photo[..., channel] < 40 for channel, level in enumerate(colour)]
    return np.nonzero(near[0] & near[1] & near[2])


class PaintedByFile(Painted):
    """The same with weights, as detectors have that do not bring their own."""

    published: ClassVar[Weights | None] = Weights("painted.onnx", "0" * 64)


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Painted]]:
    """Puts `Painted` in the place of the detectors that crops have by default, and `painted_by_file` beside them."""
    for name in ("yunet", "mtcnn"):
        monkeypatch.setitem(detectors.DETECTORS, name, Painted)
    monkeypatch.setitem(detectors.DETECTORS, "painted_by_file", PaintedByFile)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MASKFIT_DETECTORS", raising=False)
    detectors._open.cache_clear()
    Painted.looks.clear()
    yield Painted
    detectors._open.cache_clear()


@pytest.fixture
def paint() -> Callable[..., Pixels]:
    """Makes a photo (height, width) of grey noise with faces as (left, upper, right, lower), and eyes as (x, y)."""

    def make(height: int, width: int, *faces: tuple[int, int, int, int], eyes: Any = (), seed: int = 0) -> Pixels:
        grey = np.random.default_rng(seed).integers(90, 140, (height, width, 1), dtype=np.uint8)
        photo = np.repeat(grey, 3, axis=2)
        for colour, (left, upper, right, lower) in zip(FACE_COLOURS, faces, strict=False):
            photo[upper:lower, left:right] = colour
        for colour, (x, y) in zip((LEFT_EYE, RIGHT_EYE), eyes, strict=False):
            photo[y - 2 : y + 2, x - 2 : x + 2] = colour
        return photo

    return make

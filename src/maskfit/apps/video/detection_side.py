"""Chooses how large the detector sees the frames of a live source, by the time that a frame has.

A larger side finds smaller faces and takes longer. A file's frames wait, so that its results do not depend on the
machine; those of a live source do not, and what takes longer drops frames.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maskfit.data.image_decoding import Pixels
from maskfit.inference.face_prediction import DetectedFaces
from maskfit.inference.face_predictor import FacePredictor

SIDES = (256, 320, 416, 512, 640, 800, 960)
"""Sides in pixels between which is chosen; every detector with an option `side` takes them."""

BUDGET_SHARE = 0.5
"""Share of a frame's time that detection and cropping may take; prediction, drawing and writing need the rest."""

NUM_TIMES = 8
"""Frames whose median time decides."""

RISE_MARGIN = 0.7
"""A larger side is tried where its expected time is at most this share of what is allowed."""

WAIT_FRAMES = 500
"""Frames for which a side that took too long is not tried again."""


@dataclass
class SideChoice:
    """The side at which faces are detected, chosen by measured times.

    Args:
        side: The side in pixels to begin with.
        seconds: Time that detection of a frame may take.
        sides: Sides between which is chosen, rising.
    """

    side: int
    seconds: float
    sides: tuple[int, ...] = SIDES

    def __post_init__(self) -> None:
        self._times: deque[float] = deque(maxlen=NUM_TIMES)
        self._wait = dict.fromkeys(self.sides, 0)
        self._num_frames = 0

    def update(self, seconds: float, frame_side: int) -> int:
        """Takes the time of a frame and returns the side for the next one.

        Args:
            seconds: Time that detection took at `side`.
            frame_side: Longer side of the frame in pixels; no larger side is of use.

        Returns:
            The side in pixels.
        """
        self._num_frames += 1
        self._times.append(seconds)
        if len(self._times) < NUM_TIMES:
            return self.side
        median = float(np.median(self._times))
        # The time rises with the number of pixels, of which a frame has no more than its own.
        seen = min(self.side, frame_side)
        expected = {side: median * (min(side, frame_side) / seen) ** 2 for side in self.sides}
        if median > self.seconds and self.side > self.sides[0]:
            self._wait[self.side] = self._num_frames + WAIT_FRAMES
            below = [side for side in self.sides if side < self.side]
            self._choose(max((side for side in below if expected[side] <= self.seconds), default=self.sides[0]))
        elif self.side < frame_side and self.side < self.sides[-1]:
            above = self.sides[bisect_right(self.sides, self.side)]
            if expected[above] <= RISE_MARGIN * self.seconds and self._num_frames >= self._wait.get(above, 0):
                self._choose(above)
        return self.side

    def _choose(self, side: int) -> None:
        self.side = side
        self._times.clear()


class BudgetedFacePredictor:
    """Detects the faces of frames at a side that their time allows; for one thread.

    Args:
        face_predictor: The face predictor, whose detector has an option `side`.
        frame_seconds: Time between two frames that are processed.
        clock: Seconds on a clock that never goes back.
    """

    def __init__(
        self, face_predictor: FacePredictor, frame_seconds: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        side = face_predictor.detection_side
        if side is None:
            raise ValueError("the detector has no option 'side'")
        self._predictors = {side: face_predictor}
        self._choice = SideChoice(side, BUDGET_SHARE * frame_seconds, tuple(sorted({*SIDES, side})))
        self._clock = clock

    @property
    def side(self) -> int:
        """The side for the next frame in pixels."""
        return self._choice.side

    def preprocess(self, pixels: Pixels) -> DetectedFaces:
        """Detects the faces of a frame and makes their network inputs; see `FacePredictor.preprocess`.

        Args:
            pixels: (height, width, 3), uint8, upright RGB.

        Returns:
            The faces and their inputs.
        """
        started = self._clock()
        detected = self._predictors[self.side].preprocess(pixels)
        side = self._choice.update(self._clock() - started, max(pixels.shape[:2]))
        if side not in self._predictors:
            # Opened between two measurements.
            (any_predictor, *_) = self._predictors.values()
            self._predictors[side] = any_predictor.with_detection_side(side)
        return detected

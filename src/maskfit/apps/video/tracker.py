"""Tracks boxes from frame to frame by their predicted position.

Each track moves on at its own velocity, so that two people who cross keep their ids, and one whom the detector misses
for a moment is found again. Faces are not compared: a person who leaves and comes back gets a new id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import Box
from maskfit.evaluation.scenes import intersection_over_union
from maskfit.labels.schema import FloatArray

MIN_IOU = 0.1
"""Intersection over union of a box and a track's predicted box from which they match; below, the distance decides."""

MAX_CENTER_DISTANCE, CENTER_DISTANCE_GROWTH, CENTER_DISTANCE_LIMIT = 0.6, 1.0, 1.6
"""Largest distance of a box from a track's predicted box, in sides of a face: at once, added per second unseen, and at
most."""

MAX_SIZE_RATIO = 2.0
"""A face does not become twice as large, or half as large, from one frame to the next."""

VELOCITY_TIME_CONSTANT = 0.3
"""Seconds over which a velocity is averaged."""

TENTATIVE_PENALTY = 0.3
"""Added to the cost of tentative tracks: a false detection beside a face must not take its box, and a person who just
came in and passes before another must not be taken for that one."""

TENTATIVE_MAX_AGE = 0.3
"""Seconds unseen after which a tentative track is dropped."""

MAX_EXTRAPOLATION_SECONDS = 0.5
"""Seconds for which an unseen track moves on; from then on its predicted position stands still."""

RESET_AFTER_GAP = 10
"""Without a frame for this many times `max_unseen_seconds`, all tracks end."""


@dataclass(eq=False)
class Track:
    """A tracked face.

    Attributes:
        box: The last box.
        first_seen: Time of the first box in seconds.
        last_seen: Time of the last box in seconds.
        track_id: 1 or more; 0 while the track is tentative.
        hits: Frames with a box.
        misses: Frames without a box since the last one with.
        velocity: Of the box's center, in pixels per second to the right and down.
    """

    box: Box
    first_seen: float
    last_seen: float
    track_id: int = 0
    hits: int = 1
    misses: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)

    def predict(self, time: float) -> Box:
        """Predicts the box at a time.

        Args:
            time: Seconds, `last_seen` or later.

        Returns:
            The last box moved along the velocity.
        """
        seconds = min(time - self.last_seen, MAX_EXTRAPOLATION_SECONDS)
        right, down = self.velocity[0] * seconds, self.velocity[1] * seconds
        x0, y0, x1, y1 = self.box
        return (x0 + right, y0 + down, x1 + right, y1 + down)

    def update(self, time: float, box: Box) -> None:
        """Adds a box.

        Args:
            time: Seconds, later than `last_seen`.
            box: The box.
        """
        seconds = max(time - self.last_seen, 1e-3)
        self.hits += 1
        # The plain mean of the first steps: an exponential average would start at velocity 0.
        weight = max(1 / (self.hits - 1), 1 - exp(-seconds / VELOCITY_TIME_CONSTANT))
        step = [(new - old) / seconds for new, old in zip(_center(box), _center(self.box), strict=True)]
        self.velocity = (
            self.velocity[0] + weight * (step[0] - self.velocity[0]),
            self.velocity[1] + weight * (step[1] - self.velocity[1]),
        )
        self.box, self.last_seen, self.misses = box, time, 0


class Tracker:
    """Assigns the boxes of each frame to tracks.

    Args:
        min_hits: Frames with a box from which a track counts, 1 or more; until then it is tentative.
        max_unseen_seconds: Seconds without a box after which a track ends, if at least one frame was without it.
        last_id: The highest id that is taken already; 0 for none.

    Attributes:
        min_hits: As the argument.
        max_unseen_seconds: As the argument.
        tracks: All tracks, tentative and currently unseen ones included.
    """

    def __init__(self, min_hits: int = 3, max_unseen_seconds: float = 1.0, last_id: int = 0) -> None:
        self.min_hits = min_hits
        self.max_unseen_seconds = max_unseen_seconds
        self.tracks: list[Track] = []
        self._last_id = last_id
        self._time: float | None = None

    def update(self, time: float, boxes: Sequence[Box]) -> tuple[list[Track], list[Track]]:
        """Processes a frame.

        Args:
            time: Seconds, later than the last frame's.
            boxes: Boxes of the faces on it.

        Returns:
            The track of each box, no two the same; and the tracks that ended, without tentative ones.
        """
        ended = self._end_tracks(time)
        matched: list[Track | None] = [None] * len(boxes)
        for track_index, box_index in _match(self.tracks, boxes, time):
            matched[box_index] = self.tracks[track_index]
        for track in self.tracks:
            if track not in matched:
                track.misses += 1
        tracks = [self._update_track(track, time, box) for track, box in zip(matched, boxes, strict=True)]
        self._time = time
        return tracks, ended

    def _update_track(self, track: Track | None, time: float, box: Box) -> Track:
        """Adds a box to a track, or to a new one."""
        if track is None:
            track = Track(box, time, time)
            self.tracks.append(track)
        else:
            track.update(time, box)
        if not track.track_id and track.hits >= self.min_hits:
            self._last_id += 1
            track.track_id = self._last_id
        return track

    def _end_tracks(self, time: float) -> list[Track]:
        """Removes tracks that were unseen for too long, and returns those that are not tentative."""
        reset = self._time is not None and time - self._time > RESET_AFTER_GAP * self.max_unseen_seconds
        ended = [track for track in self.tracks if reset or self._is_lost(track, time)]
        self.tracks = [track for track in self.tracks if track not in ended]
        return [track for track in ended if track.track_id]

    def _is_lost(self, track: Track, time: float) -> bool:
        limit = self.max_unseen_seconds if track.track_id else min(TENTATIVE_MAX_AGE, self.max_unseen_seconds)
        return track.misses > 0 and time - track.last_seen > limit


def _match(tracks: Sequence[Track], boxes: Sequence[Box], time: float) -> list[tuple[int, int]]:
    """Returns pairs of track and box indices, the lowest cost first.

    Greedy: with distant pairs ruled out, the best pairs hardly ever conflict, and the optimal assignment would need a
    solver that the base install does not have.
    """
    if not tracks or not boxes:
        return []
    predicted = np.array([track.predict(time) for track in tracks], dtype=np.float64)
    unseen = np.array([time - track.last_seen for track in tracks])
    costs = _costs(predicted, np.array(boxes, dtype=np.float64), unseen)
    costs += np.array([0.0 if track.track_id else TENTATIVE_PENALTY for track in tracks])[:, None]
    order = np.argsort(costs, axis=None, kind="stable")
    pairs: list[tuple[int, int]] = []
    free_tracks, free_boxes = set(range(len(tracks))), set(range(len(boxes)))
    for flat_index in order.tolist():
        track, box = divmod(flat_index, len(boxes))
        if not np.isfinite(costs[track, box]) or not free_tracks:
            break
        if track in free_tracks and box in free_boxes:
            pairs.append((track, box))
            free_tracks.remove(track)
            free_boxes.remove(box)
    return pairs


def _costs(predicted: FloatArray, boxes: FloatArray, unseen: FloatArray) -> FloatArray:
    """Computes matching costs.

    Args:
        predicted: (tracks, 4) predicted boxes.
        boxes: (boxes, 4) detected boxes.
        unseen: (tracks,) seconds since the last box.

    Returns:
        (tracks, boxes) costs, infinite where a pair is ruled out.
    """
    first, second = predicted[:, None], boxes[None]
    first_areas, second_areas = _areas(first), _areas(second)
    iou = intersection_over_union(predicted, boxes)
    offset = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    distance = np.linalg.norm(offset, axis=-1) / (first_areas * second_areas) ** 0.25
    size_change = np.abs(np.log(first_areas / second_areas)) / 2
    max_distance = np.minimum(MAX_CENTER_DISTANCE + CENTER_DISTANCE_GROWTH * unseen, CENTER_DISTANCE_LIMIT)[:, None]
    possible = ((iou >= MIN_IOU) | (distance <= max_distance)) & (size_change <= np.log(MAX_SIZE_RATIO))
    return np.asarray(np.where(possible, distance + (1 - iou) + size_change, np.inf))


def _areas(boxes: NDArray[np.float64]) -> FloatArray:
    return np.asarray(np.maximum(np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1), 1e-6))


def _center(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2

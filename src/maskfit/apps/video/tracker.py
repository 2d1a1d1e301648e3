"""Following boxes from frame to frame: who is where he was expected is the same.

Each track goes on at its own speed, so that two who cross keep their numbers, and one whom the detector misses for a
moment is found again. Nothing of a face is compared: who leaves and comes back gets a new number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import Box
from maskfit.labels.schema import FloatArray

MIN_IOU = 0.1
"""Of the union of a box and where it was expected; below, their distance decides."""

MAX_CENTER_DISTANCE, CENTER_DISTANCE_GROWTH, CENTER_DISTANCE_LIMIT = 0.6, 1.0, 1.6
"""How far from where it was expected a box may be, in sides of a face: at once, more each second unseen, at most."""

MAX_SIZE_RATIO = 2.0
"""A face is not twice as large, or half, from one frame to the next."""

VELOCITY_TIME_CONSTANT = 0.3
"""Seconds over which a speed is averaged."""

TENTATIVE_PENALTY = 0.3
"""How much better than one who counts one who does not count yet must fit to get a box: a flicker beside a face is not
to take it, and one who just came in and passes before another is not to be taken for him."""

TENTATIVE_MAX_AGE = 0.3
"""Seconds unseen after which what was hardly seen is forgotten."""

MAX_EXTRAPOLATION_SECONDS = 0.5
"""Seconds for which somebody unseen is taken to go on as before; then he stands still where he would be."""

RESET_AFTER_GAP = 10
"""Without a frame for so many times as long as somebody may be gone, nobody is known any more."""


@dataclass(eq=False)
class Track:
    """Somebody who is followed.

    Attributes:
        box: Where he was last seen.
        first, last: When he was first and last seen, in seconds.
        number: From 1 on; 0 until he was seen often enough to count.
        hits: How often he was seen.
        misses: How often he was not, since.
        speed: Of the middle of the box, in pixels a second, to the right and down.
    """

    box: Box
    first_seen: float
    last_seen: float
    track_id: int = 0
    hits: int = 1
    misses: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)

    def predict(self, time: float) -> Box:
        """Where he is expected."""
        ahead = min(time - self.last_seen, MAX_EXTRAPOLATION_SECONDS)
        right, down = self.velocity[0] * ahead, self.velocity[1] * ahead
        left, upper, other, lower = self.box
        return (left + right, upper + down, other + right, lower + down)

    def update(self, time: float, box: Box) -> None:
        """Takes in where he is now."""
        passed = max(time - self.last_seen, 1e-3)
        self.hits += 1
        # The first steps count fully: an average of one is better than an average that begins at standing still.
        share = max(1 / (self.hits - 1), 1 - exp(-passed / VELOCITY_TIME_CONSTANT))
        moved = [(new - old) / passed for new, old in zip(_middle(box), _middle(self.box), strict=True)]
        self.velocity = (
            self.velocity[0] + share * (moved[0] - self.velocity[0]),
            self.velocity[1] + share * (moved[1] - self.velocity[1]),
        )
        self.box, self.last_seen, self.misses = box, time, 0


class Tracker:
    """Gives the boxes of each frame to tracks.

    Args:
        hits: How often somebody must be seen to count, 1 or more.
        gone: Seconds unseen after which he has left; and at least one frame must have been without him.

    Attributes:
        tracks: Everybody who is followed, those unseen at the moment included.
    """

    def __init__(self, hits: int = 3, gone: float = 1.0) -> None:
        self.min_hits = hits
        self.max_unseen_seconds = gone
        self.tracks: list[Track] = []
        self._count = 0
        self._time: float | None = None

    def update(self, time: float, boxes: Sequence[Box]) -> tuple[list[Track], list[Track]]:
        """Takes in a frame.

        Args:
            time: In seconds, later than the last.
            boxes: Of the faces on it.

        Returns:
            The track of each box, no two the same; and the tracks that ended, of those that count.
        """
        ended = self._forget(time)
        found: list[Track | None] = [None] * len(boxes)
        for place, number in _match(self.tracks, boxes, time):
            found[number] = self.tracks[place]
        for track in self.tracks:
            if track not in found:
                track.misses += 1
        seen = [self._see(track, time, box) for track, box in zip(found, boxes, strict=True)]
        self._time = time
        return seen, ended

    def _see(self, track: Track | None, time: float, box: Box) -> Track:
        if track is None:
            track = Track(box, time, time)
            self.tracks.append(track)
        else:
            track.update(time, box)
        if not track.track_id and track.hits >= self.min_hits:
            self._count += 1
            track.track_id = self._count
        return track

    def _forget(self, time: float) -> list[Track]:
        """Takes out who has left."""
        stood_still = self._time is not None and time - self._time > RESET_AFTER_GAP * self.max_unseen_seconds
        over = [
            track
            for track in self.tracks
            if stood_still
            or (
                track.misses
                and time - track.last_seen
                > (self.max_unseen_seconds if track.track_id else min(TENTATIVE_MAX_AGE, self.max_unseen_seconds))
            )
        ]
        self.tracks = [track for track in self.tracks if track not in over]
        return [track for track in over if track.track_id]


def _match(tracks: Sequence[Track], boxes: Sequence[Box], time: float) -> list[tuple[int, int]]:
    """Pairs of track and box, the nearest first.

    Greedy: with what is out of reach ruled out, the best pairs hardly ever stand in each other's way, and the best sum
    of all pairs would need a solver that the base install does not have.
    """
    if not tracks or not boxes:
        return []
    expected = np.array([track.predict(time) for track in tracks], dtype=np.float64)
    unseen = np.array([time - track.last_seen for track in tracks])
    costs = _costs(expected, np.array(boxes, dtype=np.float64), unseen)
    costs += np.array([0.0 if track.track_id else TENTATIVE_PENALTY for track in tracks])[:, None]
    order = np.argsort(costs, axis=None, kind="stable")
    pairs: list[tuple[int, int]] = []
    free_tracks, free_boxes = set(range(len(tracks))), set(range(len(boxes)))
    for place in order.tolist():
        track, box = divmod(place, len(boxes))
        if not np.isfinite(costs[track, box]) or not free_tracks:
            break
        if track in free_tracks and box in free_boxes:
            pairs.append((track, box))
            free_tracks.remove(track)
            free_boxes.remove(box)
    return pairs


def _costs(expected: FloatArray, boxes: FloatArray, unseen: FloatArray) -> FloatArray:
    """How ill each box (boxes, 4) fits each expected one (tracks, 4): (tracks, boxes), infinite where out of reach."""
    one, other = expected[:, None], boxes[None]
    shared = np.prod(
        np.maximum(np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2]), 0), -1
    )
    areas, others = _areas(one), _areas(other)
    overlap = shared / (areas + others - shared)
    apart = np.linalg.norm((one[..., :2] + one[..., 2:] - other[..., :2] - other[..., 2:]) / 2, axis=-1)
    distance = apart / (areas * others) ** 0.25
    growth = np.abs(np.log(areas / others)) / 2
    reach = np.minimum(MAX_CENTER_DISTANCE + CENTER_DISTANCE_GROWTH * unseen, CENTER_DISTANCE_LIMIT)[:, None]
    possible = ((overlap >= MIN_IOU) | (distance <= reach)) & (growth <= np.log(MAX_SIZE_RATIO))
    return np.asarray(np.where(possible, distance + (1 - overlap) + growth, np.inf))


def _areas(boxes: NDArray[np.float64]) -> FloatArray:
    return np.asarray(np.maximum(np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1), 1e-6))


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2

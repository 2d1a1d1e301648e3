"""Times of frames in seconds that increase from 0, and the declared duration of a video.

A source's own time stamps may be missing, stand still, jump, or start anywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

DEFAULT_FPS = 25
"""Frame rate where a source does not declare one."""

MIN_FRAME_STEP_SECONDS = 1e-3
"""Minimum seconds between two frames."""

MAX_DISORDER_SECONDS = 1.0
"""Time stamps that run back by more belong to another clock, as in files that were joined; by less, they are late."""

MAX_GAP_SECONDS = 60.0
"""Seconds between two frames from which a gap is not believed, where no duration is declared."""

END_FORMATS = {"matroska", "webm", "nut", "asf"}
"""Container formats that declare when a video ends by its own clock, as FFmpeg writes them; others declare its length,
which differs where the first time stamp is not 0."""

MICROSECONDS = 1e6
"""FFmpeg's unit of a container's duration."""


class FrameClock:
    """Converts time stamps to seconds since the first frame.

    A stamp that is missing or stands still is replaced by the nominal frame rate; one that jumps starts a new count
    from there, so that the frames after it keep their distances. Where the next stamps go on as before the jump, as
    after a single wrong one in a damaged video, the count before it goes on.

    Args:
        fps: Nominal frame rate; None where unknown.
        duration: Declared seconds from the first frame to the end; None where unknown.

    Attributes:
        last: Seconds of the last frame.
        num_estimated: Frames whose stamp was missing, stood still or jumped.
    """

    def __init__(self, fps: float | None, duration: float | None) -> None:
        self.last = 0.0
        self.num_estimated = 0
        self._step = 1 / (fps or DEFAULT_FPS)
        self._duration = duration
        self._first: float | None = None
        self._offset: float | None = None
        self._former_offset: float | None = None
        self._restarted_at = 0.0
        self._num_frames = 0
        self._num_stalled = 0

    def next(self, stamp: float | None) -> float:
        """Returns the time of the next frame.

        Args:
            stamp: Its time stamp in seconds, or None.

        Returns:
            Seconds since the first frame, later than the last frame's.
        """
        expected = self.last + self._step if self._num_frames else 0.0
        self._num_frames += 1
        if stamp is None:
            self.num_estimated += 1
            self.last = expected
            return expected
        if self._first is None:
            self._first = stamp
        if self._offset is None:
            self._offset = expected - stamp
        time = stamp + self._choose_offset(stamp, self._offset, expected)
        if self._num_frames == 1 or time >= self.last + MIN_FRAME_STEP_SECONDS:
            self._num_stalled = 0
            if time - self.last > self._max_gap(stamp):
                time = self._restart(stamp, expected)
        else:
            time = self._correct(stamp, time, expected)
        self.last = time
        return time

    def _correct(self, stamp: float, time: float, expected: float) -> float:
        """Returns the time of a frame whose stamp is not later than the last one."""
        if self.last - time > MAX_DISORDER_SECONDS:
            return self._restart(stamp, expected)
        self._num_stalled += 1
        if self._num_stalled > 1:  # one alone may be a duplicate; a clock that stands still must not stop time
            return self._restart(stamp, expected)
        self.num_estimated += 1
        return self.last + MIN_FRAME_STEP_SECONDS

    def _restart(self, stamp: float, expected: float) -> float:
        self.num_estimated += 1
        self._former_offset, self._restarted_at = self._offset, expected
        self._offset = expected - stamp
        return expected

    def _choose_offset(self, stamp: float, offset: float, expected: float) -> float:
        """Returns the offset to use, the one before a jump where the jump was a single wrong stamp."""
        former = self._former_offset
        if former is None:
            return offset
        if expected - self._restarted_at > MAX_DISORDER_SECONDS:  # later, a gap could be mistaken for the former clock
            self._former_offset = None
        elif abs(stamp + former - expected) < abs(stamp + offset - expected):
            self._offset, self._former_offset = former, None
            return former
        return offset

    def _max_gap(self, stamp: float) -> float:
        """Longest gap before a stamp that is believed: any up to the declared end, short ones beyond it."""
        if self._duration is None or self._first is None:
            return MAX_GAP_SECONDS
        if stamp - self._first <= self._duration + MAX_DISORDER_SECONDS:
            return float("inf")
        return max(MAX_DISORDER_SECONDS, 2 * self._step)


def declared_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Returns the length of a video by its header.

    Args:
        container: The open container.
        stream: Its video stream.

    Returns:
        Seconds from the first frame to the end of the last; None where nothing is declared, as by cameras and streams.
    """
    container_start = (container.start_time or 0) / MICROSECONDS
    start = container_start
    if stream.start_time is not None and stream.time_base is not None:
        start = float(stream.start_time * stream.time_base)
    if stream.duration and stream.duration > 0 and stream.time_base is not None:
        seconds, origin = float(stream.duration * stream.time_base), start
    elif (tagged := _tagged_duration(stream.metadata)) is not None:
        seconds, origin = tagged, start
    elif container.duration and container.duration > 0:
        # It includes a sound track, which may begin earlier.
        seconds, origin = container.duration / MICROSECONDS, container_start
    else:
        return None
    if END_FORMATS & set(container.format.name.split(",")):
        origin = 0.0
    rest = seconds + origin - start
    return rest if rest > 0 else seconds


def _tagged_duration(metadata: dict[str, str]) -> float | None:
    """Returns the seconds in a Matroska track's tag DURATION, which FFmpeg and mkvmerge write: 00:00:11.000000000."""
    for key, text in metadata.items():
        match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
        if key.upper().split("-")[0] == "DURATION" and match:
            hours, minutes, seconds = match.groups()
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return None

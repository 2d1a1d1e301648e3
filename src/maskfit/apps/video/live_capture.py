"""Live sources: only the newest frame is processed, and a lost stream is reconnected."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from maskfit.apps.video.capture import Frame, SourceAddress, SourceUnavailableError, VideoCapture
from maskfit.apps.video.frame_times import MIN_FRAME_STEP_SECONDS
from maskfit.errors import DataError

Logger = Callable[[str], None]

FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 30.0
"""Seconds before the first attempt to reconnect; doubled after each failure, up to the second."""

MAX_CLOCK_DRIFT_SECONDS = 2.0
"""Difference between a stream's own clock and the arrival times of its frames from which the offset is set again."""

POLL_SECONDS = 0.2
"""Interval in seconds at which a waiting thread checks whether it should stop."""


class LatestFrameReader:
    """Reads frames in a thread and keeps only the newest until it is taken.

    Args:
        frames: The frames of a source.
        stop: Ends the iteration when set; the thread ends at its next frame.

    Attributes:
        num_dropped: Frames that were replaced by a newer one before anybody took them.
    """

    def __init__(self, frames: Iterable[Frame], stop: threading.Event) -> None:
        self.num_dropped = 0
        self._frames = frames
        self._stop = stop
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="maskfit-video", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._condition:
                while self._newest is None and not self._ended and not self._stop.is_set():
                    self._condition.wait(POLL_SECONDS)
                frame, self._newest = self._newest, None
                if frame is None and self._error is not None:
                    raise self._error
            if frame is None or self._stop.is_set():
                return
            yield frame

    def _read(self) -> None:
        try:
            for frame in self._frames:
                with self._condition:
                    self.num_dropped += self._newest is not None
                    self._newest = frame
                    self._condition.notify()
                if self._stop.is_set():
                    break
        except Exception as error:  # raised again in __iter__
            self._error = error
        finally:
            if isinstance(self._frames, Generator):
                self._frames.close()
            with self._condition:
                self._ended = True
                self._condition.notify()

    def join(self) -> None:
        """Waits for the thread, for about a second at most: it may be blocked by a silent network."""
        self._thread.join(timeout=5 * POLL_SECONDS)


def realtime_frames(frames: Iterable[Frame], stop: threading.Event) -> Iterator[Frame]:
    """Plays the frames of a file at its own speed, as a camera would deliver them.

    Args:
        frames: The frames.
        stop: Ends the iteration when set.

    Yields:
        Each frame at its time.
    """
    started_at = None
    for frame in frames:
        started_at = time.monotonic() - frame.time if started_at is None else started_at
        if stop.wait(max(started_at + frame.time - time.monotonic(), 0.0)):
            return
        yield frame


OpenSource = Callable[[SourceAddress], VideoCapture]
"""Opens a source."""


def open_source(
    address: SourceAddress,
    stop: threading.Event,
    log: Logger,
    max_seconds: float,
    open_once: OpenSource = VideoCapture,
) -> VideoCapture | None:
    """Opens a source, and waits for a stream that is not there yet, as after a power cut, when the camera starts later.

    Args:
        address: The source.
        stop: Ends the waiting when set.
        log: Called with a line when the stream is waited for, and when it is there.
        max_seconds: Seconds for which opening a stream is tried; 0 for once.
        open_once: Opens the source.

    Returns:
        The open source; None where `stop` was set.

    Raises:
        DataError: It cannot be opened; a stream not within `max_seconds`, or refused for its password.
        MissingExtraError: PyAV is not installed.
    """
    began_at = time.monotonic()
    try:
        return open_once(address)
    except SourceUnavailableError as error:
        if max_seconds < FIRST_RETRY_SECONDS:
            raise
        log(f"{address.display_name}: {error.message}; trying again for up to {max_seconds:g} s")
    return _open_within(address, began_at, max_seconds, stop, log, open_once, SourceUnavailableError, "there")


def _open_within(
    address: SourceAddress,
    began_at: float,
    max_seconds: float,
    stop: threading.Event,
    log: Logger,
    open_once: OpenSource,
    passing: type[DataError],
    state: str,
) -> VideoCapture | None:
    """Tries to open a source with growing pauses; None where `stop` was set.

    Raises:
        SourceUnavailableError: It could not be opened in time.
        DataError: It failed with another error than `passing`.
    """
    pause, reason = FIRST_RETRY_SECONDS, ""
    while time.monotonic() + pause <= began_at + max_seconds:
        if stop.wait(pause):
            return None
        try:
            video = open_once(address)
        except passing as error:
            pause, reason = min(2 * pause, MAX_RETRY_SECONDS), f": {error.message}"
            continue
        log(f"{address.display_name} is {state} after {time.monotonic() - began_at:.0f} s")
        return video
    raise SourceUnavailableError(
        f"the source was not {state} within {max_seconds:g} s{reason}",
        location=address.display_name,
        hint="check URL, network and password; --reconnect SECONDS tries for longer",
    )


class ReconnectingSource:
    """Reads a live source across interruptions; frame indices and times continue.

    Args:
        video: The open source; closed by this class.
        stop: Ends the reading when set.
        log: Called with a line when the source is lost, and when it is back.
        max_reconnect_seconds: Seconds for which reconnecting to a lost source is tried; 0 for never.
        open_again: Opens the source.

    Attributes:
        num_interruptions: How often the source was lost.
        num_damaged: Packets that could not be decoded.
        num_corrupt: Frames that were decoded with errors.
        num_estimated_times: Frames whose time stamp was missing or wrong.
    """

    def __init__(
        self,
        video: VideoCapture,
        stop: threading.Event,
        log: Logger,
        max_reconnect_seconds: float,
        open_again: OpenSource = VideoCapture,
    ) -> None:
        self.num_interruptions = 0
        self.num_damaged = 0
        self.num_corrupt = 0
        self.num_estimated_times = 0
        self._video: VideoCapture | None = video
        self._address = video.address
        self._stop = stop
        self._log = log
        self._max_reconnect_seconds = max_reconnect_seconds
        self._open = open_again

    def read(self) -> Iterator[Frame]:
        """Reads frames until the source is lost for good or `stop` is set.

        Yields:
            The frames.

        Raises:
            DataError: The source was lost and could not be reconnected in time.
        """
        import av

        clock, index = _Clock(), 0
        while self._video is not None:
            reason = "it ended"
            try:
                for frame in self._video.read():
                    arrived = datetime.now().astimezone()
                    yield replace(frame, index=index, time=clock.time(frame.time), captured_at=arrived)
                    index += 1
            except av.error.FFmpegError as error:
                reason = error.strerror or reason
            except DataError as error:
                reason = error.message
            finally:
                self.num_damaged += self._video.num_damaged
                self.num_corrupt += self._video.num_corrupt
                self.num_estimated_times += self._video.num_estimated_times
                self._video.close()
            self._video = None if self._stop.is_set() else self._reconnect(reason)
            clock.reset()

    def _reconnect(self, reason: str) -> VideoCapture | None:
        """Opens the source again; returns None where `stop` was set.

        Raises:
            DataError: It could not be reconnected in time.
        """
        limit = self._max_reconnect_seconds
        self.num_interruptions += 1
        self._log(f"{self._address.display_name} was lost: {reason}; reconnecting for up to {limit:g} s")
        try:
            return _open_within(
                self._address, time.monotonic(), limit, self._stop, self._log, self._open, DataError, "back"
            )
        except SourceUnavailableError:
            raise DataError(
                f"the source was lost ({reason}) and not back within {limit:g} s",
                location=self._address.display_name,
                hint="check it; --reconnect SECONDS tries for longer",
            ) from None


class _Clock:
    """Converts a source's own times, which are even, to times since the beginning, using arrival times for gaps."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._offset: float | None = None
        self._last = -MIN_FRAME_STEP_SECONDS

    def reset(self) -> None:
        """Forgets the offset: a reconnected source counts from 0 again."""
        self._offset = None

    def time(self, source_time: float) -> float:
        """Returns the seconds since the beginning of a frame that has just arrived.

        Args:
            source_time: The frame's time by the source's clock.

        Returns:
            Seconds, later than those of the last frame.
        """
        now = time.monotonic() - self._started_at
        if self._offset is None or abs(source_time + self._offset - now) > MAX_CLOCK_DRIFT_SECONDS:
            self._offset = now - source_time
        self._last = max(source_time + self._offset, self._last + MIN_FRAME_STEP_SECONDS)
        return self._last

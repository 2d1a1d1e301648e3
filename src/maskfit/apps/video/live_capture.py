"""Live sources: nobody waits for us, so only the newest frame counts, and a stream that breaks off is opened again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import datetime

from maskfit.apps.video.capture import MIN_FRAME_STEP_SECONDS, Frame, SourceAddress, VideoCapture
from maskfit.errors import DataError

Logger = Callable[[str], None]

FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 30.0
"""Seconds before a stream is tried again; each time twice as long as the last, up to the second."""

MAX_CLOCK_DRIFT_SECONDS = 2.0
"""Seconds by which a stream's own clock may differ from when its frames come, before it is set anew."""

POLL_SECONDS = 0.2
"""Seconds after which somebody who waits looks whether it is over."""


class LatestFrameReader:
    """Reads frames in a thread of its own, and keeps only the newest until it is taken.

    Args:
        frames: Where they come from.
        stop: Set when it is over; the thread then ends at its next frame.

    Attributes:
        dropped: Frames that nobody took before a newer one came.
    """

    def __init__(self, frames: Iterable[Frame], stop: threading.Event) -> None:
        self.num_dropped = 0
        self._frames = frames
        self._stop = stop
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="maskfit-watch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._change:
                while self._newest is None and not self._ended and not self._stop.is_set():
                    self._change.wait(POLL_SECONDS)
                frame, self._newest = self._newest, None
                if frame is None and self._error is not None:
                    raise self._error
            if frame is None or self._stop.is_set():
                return
            yield frame

    def _read(self) -> None:
        try:
            for frame in self._frames:
                with self._change:
                    self.num_dropped += self._newest is not None
                    self._newest = frame
                    self._change.notify()
                if self._stop.is_set():
                    break
        except Exception as error:  # raised again where the frames are taken
            self._error = error
        finally:
            if isinstance(self._frames, Generator):
                self._frames.close()
            with self._change:
                self._ended = True
                self._change.notify()

    def join(self) -> None:
        """Waits for the thread, but not for a network that says nothing."""
        self._thread.join(timeout=5 * POLL_SECONDS)


def realtime_frames(frames: Iterable[Frame], stop: threading.Event) -> Iterator[Frame]:
    """The frames of a file as a camera would have given them: each at its time."""
    began = None
    for frame in frames:
        began = time.monotonic() - frame.time if began is None else began
        if stop.wait(max(began + frame.time - time.monotonic(), 0.0)):
            return
        yield frame


class ReconnectingSource:
    """The frames of a live source, over all its interruptions; numbers and times go on.

    Args:
        video: The source, opened; it is closed here.
        stop: Set when it is over.
        say: Called with a line when the source is lost, and when it is back.
        patience: Seconds for which a lost source is tried again; 0 for never.
        open_again: Opens it.

    Attributes:
        interruptions: How often it was lost.
        damaged: Parts that could not be decoded.
    """

    def __init__(
        self,
        video: VideoCapture,
        stop: threading.Event,
        say: Logger,
        patience: float,
        open_again: Callable[[SourceAddress], VideoCapture] = VideoCapture,
    ) -> None:
        self.num_interruptions = 0
        self.num_damaged = 0
        self._video: VideoCapture | None = video
        self._address = video.address
        self._stop = stop
        self._say = say
        self._patience = patience
        self._open = open_again

    def read(self) -> Iterator[Frame]:
        """The frames.

        Raises:
            DataError: The source was lost and did not come back.
        """
        import av

        clock, number = _Clock(), 0
        while self._video is not None:
            reason = "it ended"
            try:
                for frame in self._video.read():
                    yield Frame(number, clock.time(frame.time), frame.video_frame, datetime.now().astimezone())
                    number += 1
            except av.error.FFmpegError as error:
                reason = error.strerror or reason
            except DataError as error:
                reason = error.message
            finally:
                self.num_damaged += self._video.num_damaged
                self._video.close()
            self._video = None if self._stop.is_set() else self._wait(reason)
            clock.reset()

    def _wait(self, reason: str) -> VideoCapture | None:
        """The source once more; None where it is over.

        Raises:
            DataError: It was not back in time.
        """
        lost, pause = time.monotonic(), FIRST_RETRY_SECONDS
        self.num_interruptions += 1
        self._say(f"{self._address.display_name} broke off: {reason}; trying again for up to {self._patience:g} s")
        while time.monotonic() + pause <= lost + self._patience:
            if self._stop.wait(pause):
                return None
            try:
                video = self._open(self._address)
            except DataError:
                pause = min(2 * pause, MAX_RETRY_SECONDS)
                continue
            self._say(f"{self._address.display_name} is back after {time.monotonic() - lost:.0f} s")
            return video
        raise DataError(
            f"it broke off ({reason}) and was not back within {self._patience:g} s",
            location=self._address.display_name,
            hint="check it; --reconnect SECONDS tries for longer",
        )


class _Clock:
    """Times of frames by the source's clock, which is even, held near the time of arrival, which knows of gaps."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._offset: float | None = None
        self._last = -MIN_FRAME_STEP_SECONDS

    def reset(self) -> None:
        """The source begins to count from 0 again."""
        self._offset = None

    def time(self, own: float) -> float:
        """Seconds since the beginning, of a frame with this time of its own that has just come."""
        now = time.monotonic() - self._began
        if self._offset is None or abs(own + self._offset - now) > MAX_CLOCK_DRIFT_SECONDS:
            self._offset = now - own
        self._last = max(own + self._offset, self._last + MIN_FRAME_STEP_SECONDS)
        return self._last

"""The whole: frames of a source looked at, answered, followed, told, counted and drawn until it ends or is stopped."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from maskfit.apps.video.capture import Frame, FrameSampling, SourceAddress, VideoCapture
from maskfit.apps.video.event_detector import Event, EventDetector, EventThresholds
from maskfit.apps.video.event_writer import DurableCsvWriter, EventFormatter, MinuteCounter
from maskfit.apps.video.frame_annotation import blur, draw
from maskfit.apps.video.live_capture import LatestFrameReader, Logger, ReconnectingSource, realtime_frames
from maskfit.apps.video.video_writer import VideoWriter, check_video_path, open_video_writer
from maskfit.inference.face_predictor import DetectedFaces, FacePredictor

PREFETCH_FRAMES = 2
"""Frames of a file in which faces are looked for while those before are answered for and drawn."""

RECONNECT_SECONDS = 300.0
"""Seconds for which a stream that broke off is tried again, where nobody says otherwise."""


@dataclass(frozen=True)
class VideoOptions:
    """What is to be made of a source.

    Attributes:
        events: The CSV of events; this and the others are replaced where they exist, and not written where None.
        counts: The CSV of people by the minute.
        video: The video with boxes and words.
        blur: Whether faces in that video are made unknowable.
        patience: How long things take before they are believed.
        pace: Which frames are looked at.
        realtime: Whether a file plays at its own speed, and frames are dropped as of a camera.
        seconds: After how many of the source it ends; None for never.
        reconnect: Seconds for which a stream that broke off is tried again.
    """

    events_path: Path | None = None
    counts_path: Path | None = None
    video_path: Path | None = None
    blur: bool = False
    thresholds: EventThresholds = field(default_factory=EventThresholds)
    sampling: FrameSampling = field(default_factory=FrameSampling)
    realtime: bool = False
    max_seconds: float | None = None
    reconnect_seconds: float = RECONNECT_SECONDS


@dataclass
class VideoSummary:
    """What came of it.

    Attributes:
        frames: How many were looked at.
        seconds: How long that took.
        watched: Seconds of the source up to the last frame looked at.
        dropped: Frames that came too fast.
        damaged: Parts that could not be decoded.
        interruptions: How often a live source was lost and came back.
        people: How many were followed.
        events: How many events were told.
        changes: How many of them were changes from one state to another.
        broke_off: Where a video ended too early, how.
        stopped: Whether the user ended it.
    """

    num_frames: int = 0
    seconds: float = 0.0
    source_seconds: float = 0.0
    num_dropped: int = 0
    num_damaged: int = 0
    num_interruptions: int = 0
    num_persons: int = 0
    num_events: int = 0
    num_changes: int = 0
    truncation: str = ""
    stopped: bool = False

    @property
    def fps(self) -> float:
        """Frames a second that were looked at."""
        return self.num_frames / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rounded = {
            "seconds": round(self.seconds, 3),
            "watched": round(self.source_seconds, 3),
            "fps": round(self.fps, 2),
        }
        return {**vars(self), **rounded}


@dataclass
class VideoCallbacks:
    """Whom a watch talks to.

    Attributes:
        tell: Called with each event, and how to say it.
        say: Called with a line about a source that is lost or back.
        progress: Called with (frames of the source done, frames it has or None).
    """

    on_event: Callable[[Event, EventFormatter], None] = lambda event, telling: None
    on_message: Logger = lambda line: None
    on_progress: Callable[[int, int | None], None] = lambda done, total: None


def process_video(
    address: SourceAddress,
    reader: FacePredictor,
    wishes: VideoOptions,
    *,
    stop: threading.Event | None = None,
    listeners: VideoCallbacks | None = None,
) -> VideoSummary:
    """Watches a source. Nothing is written before its first frame is there; no frame is kept.

    Args:
        address: What to watch.
        reader: Finds faces and answers for them.
        wishes: What to make of it.
        stop: Set by another thread or a signal's handler, it ends after the frame in work, with all files whole.
        listeners: Whom to tell what happens.

    Raises:
        DataError: The source cannot be opened, has no frame that can be read, or was lost for good; what was written
            until then is whole.
        MissingExtraError: PyAV is not installed.
    """
    if wishes.video_path:
        check_video_path(wishes.video_path)
    stop = stop or threading.Event()
    listeners = listeners or VideoCallbacks()
    began = time.perf_counter()
    video = VideoCapture(address)
    feed = _Feed(video, wishes, stop, listeners.on_message)
    share = min(wishes.max_seconds / video.duration, 1.0) if wishes.max_seconds and video.duration else 1.0
    total = round(video.num_frames * share) if video.num_frames else None
    with ExitStack() as files:
        desk = _Desk(reader, wishes, listeners, files, video.fps)
        try:
            with closing(feed.look(reader)) as frames:
                for frame, looked in frames:
                    if wishes.max_seconds is not None and frame.time >= wishes.max_seconds:
                        break
                    desk.take(frame, looked)
                    listeners.on_progress(frame.index + 1, total)
                    if stop.is_set():
                        break
        finally:
            # Also for a source that was lost for good: whoever was there is said goodbye to, and files are whole.
            desk.summary.stopped |= stop.is_set()
            feed.close()
            desk.end()
    summary = desk.summary
    summary.seconds = time.perf_counter() - began
    summary.num_dropped, summary.num_damaged, summary.num_interruptions = feed.dropped, feed.damaged, feed.interruptions
    summary.truncation = video.truncation
    return summary


class _Feed:
    """The frames that are wanted of a source, however it is read."""

    def __init__(self, video: VideoCapture, wishes: VideoOptions, stop: threading.Event, say: Logger) -> None:
        self._video = video
        self._wishes = wishes
        # The user's, so that who waits for a camera wakes at once; set in the end in any case, for the reading thread.
        self._over = stop
        self._stream = ReconnectingSource(video, self._over, say, wishes.reconnect_seconds) if video.is_live else None
        self._newest: LatestFrameReader | None = None

    def look(self, reader: FacePredictor) -> Generator[tuple[Frame, DetectedFaces]]:
        """Each frame, with the faces on it."""
        source = self._stream.read() if self._stream else self._video.read()
        frames: Iterable[Frame] = self._wishes.sampling.subsample(source)
        if self._wishes.realtime and not self._stream:
            frames = realtime_frames(frames, self._over)
        if self._stream or self._wishes.realtime:
            frames = self._newest = LatestFrameReader(frames, self._over)
        # What waits for nobody is not looked at ahead either: that would only make it late.
        with closing(
            _ahead(frames, lambda frame: reader.preprocess(frame.pixels), 0 if self._newest else PREFETCH_FRAMES)
        ) as looked:
            yield from looked

    def close(self) -> None:
        if self._newest:
            self._over.set()
            self._newest.join()
        if not self._stream:
            self._video.close()

    @property
    def dropped(self) -> int:
        return self._newest.num_dropped if self._newest else 0

    @property
    def damaged(self) -> int:
        return self._stream.num_damaged if self._stream else self._video.num_damaged

    @property
    def interruptions(self) -> int:
        return self._stream.num_interruptions if self._stream else 0


@dataclass
class _Desk:
    """Takes frames in, and writes what came of them."""

    reader: FacePredictor
    wishes: VideoOptions
    listeners: VideoCallbacks
    files: ExitStack
    rate: float | None
    summary: VideoSummary = field(default_factory=VideoSummary)

    def __post_init__(self) -> None:
        scheme = self.reader.predictor.schema
        self.crowd = EventDetector(scheme, self.reader.predictor.abstain_below, self.wishes.thresholds)
        self.telling = EventFormatter(scheme)
        self.counts = MinuteCounter(self.telling)
        self.rows: DurableCsvWriter | None = None
        self.minutes: DurableCsvWriter | None = None
        self.video: VideoWriter | None = None

    def take(self, frame: Frame, looked: DetectedFaces) -> None:
        (reading,) = self.reader.predict_batch([looked])
        if not self.summary.num_frames:
            self._begin(frame)
        events = self.crowd.update(frame.index, frame.time, reading.faces)
        self._tell(events)
        minutes = self.counts.update(frame.time, self.crowd, events)
        if self.minutes and minutes:
            self.minutes.write(minutes)
        if self.video:
            self.video.write(frame.time, self._drawn(frame, looked))
        self.summary.num_frames += 1
        self.summary.source_seconds = frame.time

    def _begin(self, frame: Frame) -> None:
        """Opens what is to be written, now that there is something."""
        # The first frame looked at need not be the first that came.
        began = frame.captured_at and frame.captured_at - timedelta(seconds=frame.time)
        self.telling = EventFormatter(self.telling.schema, began)
        self.counts = MinuteCounter(self.telling)
        if self.wishes.events_path:
            self.rows = self.files.enter_context(DurableCsvWriter(self.wishes.events_path, self.telling.columns))
        if self.wishes.counts_path:
            self.minutes = self.files.enter_context(DurableCsvWriter(self.wishes.counts_path, self.counts.columns))
        if self.wishes.video_path:
            height, width = frame.pixels.shape[:2]
            rate = self.wishes.sampling.max_fps or (self.rate or 25) / self.wishes.sampling.every
            self.video = self.files.enter_context(open_video_writer(self.wishes.video_path, (width, height), rate))

    def _drawn(self, frame: Frame, looked: DetectedFaces) -> Any:
        pixels = frame.pixels
        if self.wishes.blur:
            # Where somebody is expected as well: a face that the detector misses for a moment must not flash up.
            expected = [track.predict(frame.time) for track in self.crowd.tracker.tracks]
            pixels = blur(pixels, [*(face.box for face in looked.faces), *expected])
        return draw(pixels, self.crowd, frame.time)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self.listeners.on_event(event, self.telling)
        if self.rows and events:
            self.rows.write([list(self.telling.to_row(event).values()) for event in events])
        self.summary.num_events += len(events)
        self.summary.num_persons += sum(event.event == "appeared" for event in events)
        self.summary.num_changes += sum(event.event == "changed" and event.previous is not None for event in events)

    def end(self) -> None:
        if self.summary.num_frames:
            self._tell(self.crowd.flush())
            if self.minutes:
                self.minutes.write(self.counts.flush())


def _ahead(
    frames: Iterable[Frame], look: Callable[[Frame], DetectedFaces], most: int
) -> Generator[tuple[Frame, DetectedFaces]]:
    """Each frame with what is seen on it, found out in another thread, up to so many frames ahead."""
    pool = ThreadPoolExecutor(1)
    waiting: deque[tuple[Frame, Future[DetectedFaces]]] = deque()
    try:
        for frame in frames:
            waiting.append((frame, pool.submit(look, frame)))
            if len(waiting) > most:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)

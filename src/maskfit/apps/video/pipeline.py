"""Processes a video source from frames to events, counts and an annotated video, until it ends or is stopped."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from maskfit.apps.video.capture import Frame, FrameSampling, SourceAddress, VideoCapture
from maskfit.apps.video.detection_side import BudgetedFacePredictor
from maskfit.apps.video.durable_csv import CsvEnd, DurableCsvWriter
from maskfit.apps.video.event_detector import Event, EventDetector, EventThresholds
from maskfit.apps.video.event_writer import EventFormatter, MinuteCounter
from maskfit.apps.video.frame_annotation import blur, draw
from maskfit.apps.video.frame_filling import FrameFiller, PredictedFrame, group_frames
from maskfit.apps.video.frame_times import DEFAULT_FPS
from maskfit.apps.video.live_capture import (
    LatestFrameReader,
    Logger,
    ReconnectingSource,
    open_source,
    realtime_frames,
)
from maskfit.apps.video.video_writer import VideoWriter, check_video_path, open_video_writer
from maskfit.data.image_decoding import Pixels
from maskfit.errors import DataError
from maskfit.inference.face_prediction import DetectedFaces, PhotoPrediction
from maskfit.inference.face_predictor import FacePredictor

PREFETCH_FRAMES = 2
"""Frames of a file whose faces are detected while earlier frames are predicted and drawn."""

DETECT_EVERY = 4
"""Of so many frames of a file one is predicted, and the others where it does not agree with the one before."""

RECONNECT_SECONDS = 300.0
"""Default seconds for which opening a stream, and reconnecting to a lost one, is tried."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class VideoOptions:
    """What to do with a source; existing output files are replaced unless `append` is set; None is not written.

    Attributes:
        events_path: CSV of events.
        counts_path: CSV of persons per minute.
        video_path: Annotated video.
        blur: Whether faces in that video are blurred.
        thresholds: What an event requires.
        sampling: Which frames are processed.
        realtime: Whether a file is played at its own speed, dropping frames as with a camera.
        max_seconds: Seconds of the source after which processing ends; None for its end.
        reconnect_seconds: Seconds for which opening a stream, and reconnecting to a lost source, is tried.
        choose_side: Whether the side at which faces are detected is chosen by the time that a frame has, where frames
            do not wait; a file is seen at the detector's own side.
        detect_every: Of so many frames of a file one is predicted, and the others only where it does not agree with the
            one before; see `frame_filling`. With 1, for a live source, and where faces are blurred every frame is.
        rotation: Degrees clockwise by which every frame is turned before anything else: 0, 90, 180 or 270.
        append: Whether existing CSVs are continued, and the numbers of persons go on from the highest of the events.
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
    choose_side: bool = False
    detect_every: int = DETECT_EVERY
    append: bool = False
    rotation: int = 0


@dataclass
class VideoSummary:
    """Totals of a processed source.

    Attributes:
        num_frames: Processed frames.
        num_filled: Those of them whose faces were interpolated between two frames that agree.
        seconds: Wall-clock time.
        source_seconds: Time of the last processed frame in the source.
        num_dropped: Frames of a live source that arrived too fast to be processed.
        num_damaged: Packets that could not be decoded.
        num_corrupt: Frames that were decoded with errors, because parts of the source are damaged or lost.
        num_estimated_times: Frames whose time stamp was missing or wrong, so that their time is an estimate.
        num_interruptions: How often a live source was lost.
        num_persons: Persons who appeared.
        num_events: Events.
        num_changes: Changes from one state to another, or to "not sure".
        truncation: Why a video ended early; empty where it did not.
        stopped: Whether the user stopped it.
        detection_side: Longer side in pixels at which the last frame was searched for faces; None where the detector
            has no such option.
    """

    num_frames: int = 0
    num_filled: int = 0
    seconds: float = 0.0
    source_seconds: float = 0.0
    num_dropped: int = 0
    num_damaged: int = 0
    num_corrupt: int = 0
    num_estimated_times: int = 0
    num_interruptions: int = 0
    num_persons: int = 0
    num_events: int = 0
    num_changes: int = 0
    truncation: str = ""
    stopped: bool = False
    detection_side: int | None = None

    @property
    def fps(self) -> float:
        """Processed frames per second of wall-clock time."""
        return self.num_frames / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the totals for JSON.

        Returns:
            Total by key; the keys are part of the command's output format.
        """
        return {
            "frames": self.num_frames,
            "filled_in": self.num_filled,
            "seconds": round(self.seconds, 3),
            "watched": round(self.source_seconds, 3),
            "dropped": self.num_dropped,
            "damaged": self.num_damaged,
            "decoded_with_errors": self.num_corrupt,
            "estimated_times": self.num_estimated_times,
            "interruptions": self.num_interruptions,
            "people": self.num_persons,
            "events": self.num_events,
            "changes": self.num_changes,
            "broke_off": self.truncation,
            "stopped": self.stopped,
            "detection_side": self.detection_side,
            "fps": round(self.fps, 2),
        }


@dataclass
class VideoCallbacks:
    """Functions that are called while a source is processed.

    Attributes:
        on_event: Called with each event and a formatter for it.
        on_message: Called with a line when a source is lost or back, or a file that is continued was broken.
        on_progress: Called with (frames of the source done, frames in total or None).
    """

    on_event: Callable[[Event, EventFormatter], None] = lambda event, formatter: None
    on_message: Logger = lambda line: None
    on_progress: Callable[[int, int | None], None] = lambda done, total: None


def process_video(
    address: SourceAddress,
    face_predictor: FacePredictor,
    options: VideoOptions,
    *,
    stop: threading.Event | None = None,
    callbacks: VideoCallbacks | None = None,
) -> VideoSummary:
    """Processes a video source; nothing is written before its first frame, and no frame is kept.

    Args:
        address: The source.
        face_predictor: Detects and predicts faces.
        options: Outputs and settings.
        stop: Set by another thread or a signal handler, ends processing after the current frame, with all files
            complete.
        callbacks: Functions that are called meanwhile.

    Returns:
        The totals.

    Raises:
        DataError: The source cannot be opened, has no readable frame, or was lost for good; the files are complete up
            to that point. Or a file that is to be continued has other columns.
        MissingExtraError: PyAV is not installed.
    """
    if options.video_path:
        check_video_path(options.video_path)
    stop = stop or threading.Event()
    callbacks = callbacks or VideoCallbacks()
    began = time.perf_counter()
    open_once = partial(VideoCapture, rotation=options.rotation)
    video = open_source(address, stop, callbacks.on_message, options.reconnect_seconds, open_once)
    if video is None:
        return VideoSummary(seconds=time.perf_counter() - began, stopped=True)
    source = _FrameSource(video, options, stop, callbacks.on_message)
    fraction = 1.0
    if options.max_seconds and video.duration:
        fraction = min(options.max_seconds / video.duration, 1.0)
    total = round(video.num_frames * fraction) if video.num_frames else None
    with ExitStack() as files:
        try:
            processor = _FrameProcessor(face_predictor, options, callbacks, files, video.fps, video.is_live)
        except DataError:
            source.close()
            raise
        try:
            with closing(source.read(face_predictor, processor.detector)) as frames:
                for predicted in frames:
                    processor.process(predicted)
                    callbacks.on_progress(predicted.frame.index + 1, total)
                    if stop.is_set():
                        break
            processor.summary.stopped = stop.is_set()
        except BaseException as error:
            # A lost source is an end; a closed pipe, or a second Ctrl-C, stops the watch before it.
            processor.summary.stopped = stop.is_set() or not isinstance(error, DataError)
            raise
        finally:
            # Also for a source that was lost for good: everybody's last event is reported, and the files are complete.
            source.close()
            processor.finish()
    summary = processor.summary
    summary.seconds = time.perf_counter() - began
    summary.num_dropped = source.num_dropped
    summary.num_damaged = source.num_damaged
    summary.num_corrupt = source.num_corrupt
    summary.num_estimated_times = source.num_estimated_times
    summary.num_interruptions = source.num_interruptions
    summary.truncation = video.truncation
    summary.detection_side = source.detection_side
    return summary


class _FrameSource:
    """Reads the frames to process from a file or a live source."""

    def __init__(self, video: VideoCapture, options: VideoOptions, stop: threading.Event, log: Logger) -> None:
        self._video = video
        self._options = options
        # The caller's event, so that waiting for a camera ends at once; `close` sets it too, for the reading thread.
        self._stop = stop
        self._stream: ReconnectingSource | None = None
        if video.is_live:
            open_again = partial(VideoCapture, rotation=options.rotation)
            self._stream = ReconnectingSource(video, stop, log, options.reconnect_seconds, open_again)
        self._latest: LatestFrameReader | None = None
        self.detection_side: int | None = None

    def read(self, face_predictor: FacePredictor, detector: EventDetector) -> Generator[PredictedFrame]:
        """Yields each frame with its predictions; the detector of events gets it before the next one is asked for."""
        options = self._options
        source = self._stream.read() if self._stream else self._video.read()
        frames: Iterable[Frame] = options.sampling.subsample(source)
        if options.realtime and not self._stream:
            frames = realtime_frames(frames, self._stop)
        if self._stream or options.realtime:
            frames = self._latest = LatestFrameReader(frames, self._stop)
        if (end := options.max_seconds) is not None:
            frames = takewhile(lambda frame: frame.time < end, frames)
        # A live frame cannot wait for a later one, and a face in a single frame must be blurred there.
        groups = group_frames(frames, 1 if self._latest or options.blur else options.detect_every)
        # No prefetching of live frames: it would only delay them.
        num_ahead = 0 if self._latest else PREFETCH_FRAMES
        detect = self._detection(face_predictor)
        filler = FrameFiller(
            detect,
            lambda frame, faces: face_predictor.preprocess(frame.pixels, faces),
            lambda detected: face_predictor.predict_batch([detected])[0],
            detector,
            None if face_predictor.detector is None else face_predictor.detector.min_score,
        )
        with closing(_prefetch(groups, lambda group: detect(group[-1]), num_ahead)) as detected:
            yield from filler.fill(detected)

    def _detection(self, face_predictor: FacePredictor) -> Callable[[Frame], DetectedFaces]:
        """Returns what detects the faces of a frame, by the detector's own side or within a frame's time."""
        self.detection_side = face_predictor.detection_side
        if not (self._latest and self._options.choose_side and self.detection_side):
            return lambda frame: face_predictor.preprocess(frame.pixels)
        rate = (self._video.fps or DEFAULT_FPS) / self._options.sampling.every
        budgeted = BudgetedFacePredictor(face_predictor, 1 / min(rate, self._options.sampling.max_fps or rate))

        def detect(frame: Frame) -> DetectedFaces:
            self.detection_side = budgeted.side
            return budgeted.preprocess(frame.pixels)

        return detect

    def close(self) -> None:
        if self._latest:
            self._stop.set()
            self._latest.join()
        if not self._stream:
            self._video.close()

    @property
    def num_dropped(self) -> int:
        return self._latest.num_dropped if self._latest else 0

    @property
    def num_damaged(self) -> int:
        return self._stream.num_damaged if self._stream else self._video.num_damaged

    @property
    def num_corrupt(self) -> int:
        return (self._stream or self._video).num_corrupt

    @property
    def num_estimated_times(self) -> int:
        return (self._stream or self._video).num_estimated_times

    @property
    def num_interruptions(self) -> int:
        return self._stream.num_interruptions if self._stream else 0


@dataclass
class _FrameProcessor:
    """Predicts frames, and writes events, counts and the annotated video."""

    face_predictor: FacePredictor
    options: VideoOptions
    callbacks: VideoCallbacks
    files: ExitStack
    fps: float | None
    is_live: bool
    summary: VideoSummary = field(default_factory=VideoSummary)

    def __post_init__(self) -> None:
        predictor = self.face_predictor.predictor
        # Only whether there is a time, which has a column of its own, matters before the first frame.
        self.formatter = EventFormatter(predictor.schema, datetime.now().astimezone() if self.is_live else None)
        self.counter = MinuteCounter(self.formatter)
        self.detector = EventDetector(
            predictor.schema,
            predictor.abstain_below,
            self.options.thresholds,
            predictor.decision_weights,
            predictor.min_face,
            self._check_continued() if self.options.append else 0,
        )
        self.events_csv: DurableCsvWriter | None = None
        self.counts_csv: DurableCsvWriter | None = None
        self.video: VideoWriter | None = None

    def _check_continued(self) -> int:
        """Checks that the files can be continued, and returns the highest number of a person in them.

        Raises:
            DataError: One has other columns.
        """
        highest = 0
        for path, columns, number in (
            (self.options.events_path, self.formatter.columns, "person"),
            (self.options.counts_path, self.counter.columns, ""),
        ):
            end = CsvEnd.read(path, columns, number) if path else None
            if end is None:
                continue
            highest = max(highest, end.highest)
            if not end.is_terminated:
                note = f"note: the last row of {path} ends without a line break, so that its last cell may be cut off"
                self.callbacks.on_message(f"{note}; it is kept")
            if end.broken:
                self.callbacks.on_message(f"note: the last row of {path} breaks off and is left out: {end.broken}")
        return highest

    def process(self, predicted: PredictedFrame) -> None:
        frame, prediction = predicted.frame, predicted.prediction
        if not self.summary.num_frames:
            self._open_files(frame)
        if note := self.formatter.follow_clock(frame.time, frame.captured_at):
            self.callbacks.on_message(note)
        events = self.detector.update(frame.index, frame.time, prediction.faces)
        self._report(events)
        rows = self.counter.update(frame.time, self.detector, events)
        if self.counts_csv and rows:
            self.counts_csv.write(rows)
        if self.video:
            self.video.write(frame.time, self._annotate(frame, prediction))
        self.summary.num_frames += 1
        self.summary.num_filled += predicted.is_filled
        self.summary.source_seconds = frame.time

    def _open_files(self, frame: Frame) -> None:
        """Opens the output files, now that there is a frame."""
        # The first processed frame need not be the first that arrived.
        started_at = frame.captured_at and frame.captured_at - timedelta(seconds=frame.time)
        self.formatter = EventFormatter(self.formatter.schema, started_at)
        self.counter = MinuteCounter(self.formatter)
        options = self.options
        if options.events_path:
            self.events_csv = self._open_csv(options.events_path, self.formatter.columns)
        if options.counts_path:
            self.counts_csv = self._open_csv(options.counts_path, self.counter.columns)
        if options.video_path:
            height, width = frame.pixels.shape[:2]
            fps = options.sampling.max_fps or (self.fps or DEFAULT_FPS) / options.sampling.every
            self.video = self.files.enter_context(open_video_writer(options.video_path, (width, height), fps))

    def _open_csv(self, path: Path, columns: tuple[str, ...]) -> DurableCsvWriter:
        # A file can be watched again, and its events may be many.
        writer = DurableCsvWriter(path, columns, append=self.options.append, sync=self.is_live)
        return self.files.enter_context(writer)

    def _annotate(self, frame: Frame, prediction: PhotoPrediction) -> Pixels:
        pixels = frame.pixels
        if self.options.blur:
            # Predicted boxes too: a face that the detector misses for a moment must not become visible.
            predicted = [track.predict(frame.time) for track in self.detector.tracker.tracks]
            pixels = blur(pixels, [*(face.box for face in prediction.faces if face.box), *predicted])
        return draw(pixels, self.detector, frame.time)

    def _report(self, events: list[Event]) -> None:
        # The file first: whoever is told of the events, as the reader of a pipe, may have ended.
        if self.events_csv and events:
            self.events_csv.write([self.formatter.to_cells(event) for event in events])
        for event in events:
            self.callbacks.on_event(event, self.formatter)
        self.summary.num_events += len(events)
        self.summary.num_persons += sum(event.event == "appeared" for event in events)
        self.summary.num_changes += sum(event.event == "changed" and event.previous is not None for event in events)

    def finish(self) -> None:
        if self.summary.num_frames:
            if self.counts_csv:
                self.counts_csv.write(self.counter.flush())
            self._report(self.detector.flush(self.summary.stopped))


def _prefetch(
    groups: Iterable[Item], detect: Callable[[Item], DetectedFaces], num_ahead: int
) -> Generator[tuple[Item, DetectedFaces]]:
    """Yields each item with its detected faces, which another thread detects up to `num_ahead` items ahead."""
    pool = ThreadPoolExecutor(1)
    pending: deque[tuple[Item, Future[DetectedFaces]]] = deque()
    try:
        for group in groups:
            pending.append((group, pool.submit(detect, group)))
            if len(pending) > num_ahead:
                first, future = pending.popleft()
                yield first, future.result()
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)

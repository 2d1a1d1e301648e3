"""`maskfit video`: tracks people in a video or camera stream and reports mask changes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, progress, require_extra
from maskfit.cli.data.crop import Detector, Weights
from maskfit.cli.defaults import DEFAULT_MODEL_HELP, resolve_models, setup_allocator
from maskfit.cli.predict_options import EngineWord, Top
from maskfit.errors import DataError

if TYPE_CHECKING:
    from maskfit.apps.video.event_detector import Event
    from maskfit.apps.video.event_writer import EventFormatter
    from maskfit.apps.video.pipeline import VideoSummary
    from maskfit.inference.face_predictor import FacePredictor
    from maskfit.inference.predictor import Predictor

STOPPED = 130

FILES, FRAMES, FILTERING = "Files", "Frames", "Filtering"
"""Panels of the help."""

Source = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="A video file, an address such as rtsp://..., or the number of a camera."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="MODEL_OR_RUN", help=f"A model or run; several form an ensemble; {DEFAULT_MODEL_HELP}."
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Threads per network.")]
Json = Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON, then a summary.")]

Events = Annotated[
    Path | None, typer.Option("--out", help="Write a row for every event, as it happens.", rich_help_panel=FILES)
]
CountsFile = Annotated[
    Path | None, typer.Option("--counts", help="Write people per minute as CSV.", rich_help_panel=FILES)
]
Film = Annotated[
    Path | None,
    typer.Option("--video", help="Write the video with boxes: .mp4, .mkv, .mov.", rich_help_panel=FILES),
]
Blur = Annotated[bool, typer.Option("--blur", help="Pixelate faces in --video.", rich_help_panel=FILES)]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.", rich_help_panel=FILES)]

Every = Annotated[int, typer.Option(min=1, metavar="N", help="Process every N-th frame only.", rich_help_panel=FRAMES)]
Fps = Annotated[
    float | None, typer.Option(min=0.01, help="Process at most this many frames per second.", rich_help_panel=FRAMES)
]
Realtime = Annotated[
    bool, typer.Option("--realtime", help="Play a file at its own speed, dropping frames.", rich_help_panel=FRAMES)
]
Seconds = Annotated[
    float | None, typer.Option(min=0.01, help="Stop after this many seconds of the source.", rich_help_panel=FRAMES)
]
Reconnect = Annotated[float, typer.Option(min=0, help="Seconds to retry a lost stream.", rich_help_panel=FRAMES)]

Hold = Annotated[
    float,
    typer.Option(
        "--min-state-seconds", min=0, max=60, help="Seconds that a new state must last.", rich_help_panel=FILTERING
    ),
]
Smooth = Annotated[
    float,
    typer.Option(
        "--smoothing-seconds",
        min=0,
        max=60,
        help="Time constant of the averaging of predictions.",
        rich_help_panel=FILTERING,
    ),
]
Gone = Annotated[
    float,
    typer.Option(
        "--max-unseen-seconds",
        min=0,
        max=3600,
        help="Seconds without detection after which a person has left.",
        rich_help_panel=FILTERING,
    ),
]
Sure = Annotated[
    float,
    typer.Option("--min-confidence", min=0, max=1, help="Minimum probability of a state.", rich_help_panel=FILTERING),
]


def video(
    source: Source,
    model: Models = None,
    target: Events = None,
    counts: CountsFile = None,
    video: Film = None,
    blur: Blur = False,
    force: Force = False,
    every: Every = 1,
    fps: Fps = None,
    realtime: Realtime = False,
    seconds: Seconds = None,
    reconnect: Reconnect = 300,
    hold: Hold = 0.5,
    smooth: Smooth = 0.5,
    gone: Gone = 1.0,
    sure: Sure = 0.6,
    detector: Detector = None,
    weights: Weights = None,
    engine: EngineWord = "auto",
    threads: Threads = 1,
    top: Top = 1,
    json: Json = False,
) -> None:
    """Track people in a video or camera stream, and report who appears, leaves or changes the mask.

    In a file every frame is processed. From a camera only the newest frame is, and dropped frames are counted. Ctrl-C
    stops with all files complete. No image is stored except with --video.

    **Examples**

    `maskfit video entrance.mp4 --model model.onnx --out events.csv --video marked.mp4 --blur`

    `maskfit video rtsp://camera.local/stream --model model.onnx --counts counts.csv --fps 5`

    `maskfit video 0 --model runs/first --json | jq 'select(.mask == "not_wear")'`
    """
    if blur and video is None:
        raise DataError("--blur needs --video", hint="add --video out.mp4")
    _check_outputs([path for path in (target, counts, video) if path], force)
    require_extra("watch", "watch", "av")
    from maskfit.apps.video.capture import FrameSampling, parse_source
    from maskfit.apps.video.event_detector import EventThresholds
    from maskfit.apps.video.pipeline import VideoCallbacks, VideoOptions, process_video
    from maskfit.inference.predictor import Predictor

    address = parse_source(source)
    models = resolve_models(model)
    if not all(name.endswith((".onnx", ".xml")) for name in models):
        setup_allocator()
    reader = _open(Predictor.load(*models, engine=engine, threads=threads, top_k=top), detector, weights)
    options = VideoOptions(
        target,
        counts,
        video,
        blur,
        EventThresholds(hold, smooth, gone, min_confidence=sure),
        FrameSampling(every, fps),
        realtime,
        seconds,
        reconnect,
    )
    write = _writer()
    with _stopping() as stop, progress(f"watching {address.display_name}", "frames") as advance:
        callbacks = VideoCallbacks(_event_printer(write, json), err.print, advance)
        summary = process_video(address, reader, options, stop=stop, callbacks=callbacks)
    if json:
        write(dumps({"event": "summary", **summary.to_dict()}))
    _conclude(summary, [path for path in (target, counts, video) if path])
    if summary.stopped:
        raise typer.Exit(STOPPED)


def _check_outputs(paths: list[Path], force: bool) -> None:
    for path in paths:
        check_overwrite(path, force)
    if len({path.resolve() for path in paths}) < len(paths):
        raise DataError("two outputs have the same path", location=paths[0], hint="choose a file for each")


def _open(predictor: Predictor, detector: str | None, weights: Path | None) -> FacePredictor:
    from maskfit.config.loader import parse_component
    from maskfit.data.crops.face import FaceCrop
    from maskfit.inference.face_predictor import FacePredictor

    finder = None
    if detector or weights:
        part = parse_component(detector or "yunet").model_dump(mode="json")
        finder = FaceCrop(part, None if weights is None else str(weights))
    return FacePredictor(predictor, detector=finder, predict_whole_image=False)


def _writer() -> Callable[[str], None]:
    """Returns a function that writes lines to standard output and flushes.

    While a progress bar is shown on a terminal, rich redirects standard output; a pipe or file must not be affected.
    """
    piped = None if sys.stdout.isatty() else sys.stdout

    def write(line: str) -> None:
        print(line, file=piped, flush=True)

    return write


def _event_printer(write: Callable[[str], None], json: bool) -> Callable[[Event, EventFormatter], None]:
    def tell(event: Event, telling: EventFormatter) -> None:
        write(dumps(telling.to_row(event), ensure_ascii=False) if json else telling.to_text(event))

    return tell


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Yields an event that SIGINT or SIGTERM sets; a second Ctrl-C stops at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # Python allows handlers in the main thread only
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _conclude(summary: VideoSummary, written: list[Path]) -> None:
    people = "1 person" if summary.num_persons == 1 else f"{summary.num_persons:,} people"
    changes = "1 change" if summary.num_changes == 1 else f"{summary.num_changes:,} changes"
    rate = f"{summary.source_seconds:,.1f} s, {summary.fps:,.1f} frames/s"
    line = f"{summary.num_frames:,} frames of {rate}; {people}, {changes}"
    if summary.num_dropped:
        line += f"; {summary.num_dropped:,} frames dropped because they arrived faster"
    if summary.num_interruptions:
        line += f"; interruptions: {summary.num_interruptions:,}"
    err.print(line)
    if summary.num_damaged:
        err.print(f"{summary.num_damaged:,} damaged parts were skipped", style="yellow")
    if summary.truncation:
        err.print(f"the video breaks off: {summary.truncation}; what could be read was watched", style="yellow")
    for path in written:
        err.print(f"written: {path}")

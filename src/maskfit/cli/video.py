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

from maskfit.calibration import DEFAULT_DECIDE, MIN_FACE_SIDE
from maskfit.cli.console import check_overwrite, err, print_written, progress, require_extra
from maskfit.cli.data.crop import DetectorOption, WeightsOption
from maskfit.cli.defaults import DEFAULT_MODEL_HELP, setup_allocator
from maskfit.cli.int8_options import CalibrateOption, calibrate_models, describe_int8
from maskfit.cli.predict_options import AgeBordersOption, EngineOption, TopKOption, check_rotation
from maskfit.errors import DataError
from maskfit.labels.age_distribution import parse_age_borders
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.apps.video.event_detector import Event
    from maskfit.apps.video.event_writer import EventFormatter
    from maskfit.apps.video.pipeline import VideoSummary
    from maskfit.inference.face_predictor import FacePredictor
    from maskfit.inference.predictor import Predictor

EXIT_INTERRUPTED = 130
"""Exit code after SIGINT or SIGTERM, as in shells."""

FILES, FRAMES, FILTERING = "Files", "Frames", "Filtering"
"""Panels of the help."""

SourceArgument = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="A video file, an address such as rtsp://..., or the number of a camera."),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="MODEL_OR_RUN", help=f"A model or run; several form an ensemble; {DEFAULT_MODEL_HELP}."
    ),
]
DecideOption = Annotated[
    str,
    typer.Option(metavar="argmax|macro-f1|accuracy", help="How a value is chosen, as for 'maskfit predict'."),
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads per network.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON, then a summary.")]

EventsOption = Annotated[
    Path | None, typer.Option("--out", help="Write a row for every event, as it happens.", rich_help_panel=FILES)
]
CountsOption = Annotated[
    Path | None, typer.Option("--counts", help="Write people per minute as CSV.", rich_help_panel=FILES)
]
VideoOption = Annotated[
    Path | None,
    typer.Option("--video", help="Write the video with boxes: .mp4, .mkv, .mov.", rich_help_panel=FILES),
]
BlurOption = Annotated[bool, typer.Option("--blur", help="Pixelate faces in --video.", rich_help_panel=FILES)]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace existing files.", rich_help_panel=FILES)]
AppendOption = Annotated[
    bool,
    typer.Option(
        "--append", help="Continue the files of --out and --counts, as after a restart.", rich_help_panel=FILES
    ),
]

EveryOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="Process every N-th frame only.", rich_help_panel=FRAMES)
]
DetectEveryOption = Annotated[
    int,
    typer.Option(
        "--detect-every",
        min=1,
        max=1000,
        metavar="N",
        help="In a file detect faces on every N-th frame, and between two that differ; 1: on every frame.",
        rich_help_panel=FRAMES,
    ),
]
FpsOption = Annotated[
    float | None, typer.Option(min=0.01, help="Process at most this many frames per second.", rich_help_panel=FRAMES)
]
RealtimeOption = Annotated[
    bool, typer.Option("--realtime", help="Play a file at its own speed, dropping frames.", rich_help_panel=FRAMES)
]
SecondsOption = Annotated[
    float | None, typer.Option(min=0.01, help="Stop after this many seconds of the source.", rich_help_panel=FRAMES)
]
ReconnectOption = Annotated[
    float,
    typer.Option(
        min=0, help="Seconds to retry a stream that is lost, or not there at the start.", rich_help_panel=FRAMES
    ),
]
RotateOption = Annotated[
    int,
    typer.Option(
        "--rotate",
        metavar="90|180|270",
        help="Turn every frame by so many degrees clockwise, for a camera mounted sideways: faces must be upright.",
        rich_help_panel=FRAMES,
        show_default=False,
    ),
]

MinStateOption = Annotated[
    float,
    typer.Option(
        "--min-state-seconds", min=0, max=60, help="Seconds that a new state must last.", rich_help_panel=FILTERING
    ),
]
SmoothingOption = Annotated[
    float,
    typer.Option(
        "--smoothing-seconds",
        min=0,
        max=60,
        help="Time constant of the averaging of predictions.",
        rich_help_panel=FILTERING,
    ),
]
MaxUnseenOption = Annotated[
    float,
    typer.Option(
        "--max-unseen-seconds",
        min=0,
        max=3600,
        help="Seconds without detection after which a person has left.",
        rich_help_panel=FILTERING,
    ),
]
MinConfidenceOption = Annotated[
    float,
    typer.Option(
        "--min-confidence",
        min=0,
        max=1,
        help="Minimum probability of a state; the model's own threshold counts where it is higher.",
        rich_help_panel=FILTERING,
    ),
]


MinFaceOption = Annotated[
    float,
    typer.Option(
        "--min-face",
        min=1,
        metavar="PIXELS",
        help="Shorter side of the smallest face that is tracked.",
        show_default=f"{MIN_FACE_SIDE:g}",
    ),
]


def video(
    source: SourceArgument,
    model: ModelOption = None,
    target: EventsOption = None,
    counts: CountsOption = None,
    video: VideoOption = None,
    blur: BlurOption = False,
    force: ForceOption = False,
    append: AppendOption = False,
    every: EveryOption = 1,
    detect_every: DetectEveryOption = 4,
    fps: FpsOption = None,
    realtime: RealtimeOption = False,
    seconds: SecondsOption = None,
    reconnect: ReconnectOption = 300,
    rotate: RotateOption = 0,
    min_state: MinStateOption = 0.5,
    smoothing: SmoothingOption = 0.5,
    max_unseen: MaxUnseenOption = 1.0,
    min_confidence: MinConfidenceOption = 0.6,
    detector: DetectorOption = None,
    min_face: MinFaceOption = MIN_FACE_SIDE,
    weights: WeightsOption = None,
    engine: EngineOption = "auto",
    calibrate: CalibrateOption = None,
    threads: ThreadsOption = 1,
    top_k: TopKOption = 1,
    decide: DecideOption = DEFAULT_DECIDE,
    age_borders: AgeBordersOption = None,
    json: JsonOption = False,
) -> None:
    """Track people in a video or camera stream, and report who appears, leaves or changes the mask.

    In a file every frame is processed. From a camera only the newest frame is, and dropped frames are counted. Ctrl-C
    stops with all files complete. No image is stored except with --video.

    Examples:

        maskfit video entrance.mp4 --model model.onnx --out events.csv --video marked.mp4 --blur

        maskfit video rtsp://camera.local/stream --model model.onnx --out events.csv --append --fps 5

        maskfit video 0 --model runs/first --json | jq 'select(.mask == "not_wear")'
    """
    if blur and video is None:
        raise DataError("--blur needs --video", hint="add --video out.mp4")
    _check_outputs([path for path in (target, counts) if path], video, force, append)
    check_rotation(rotate)
    require_extra("video", "watch", "av")
    from maskfit.apps.video.capture import FrameSampling, parse_source
    from maskfit.apps.video.event_detector import EventThresholds
    from maskfit.apps.video.pipeline import VideoCallbacks, VideoOptions, process_video
    from maskfit.inference.engines.selection import select_continuous_engine
    from maskfit.inference.input_resolution import find_models, resolve_models
    from maskfit.inference.predictor import Predictor

    stream = parse_source(source)
    models = resolve_models(model, err.print)
    if not all(name.endswith((".onnx", ".xml")) for name in models):
        setup_allocator()
    borders = parse_age_borders(age_borders)
    calibrate_models(models, calibrate, engine, lambda own: _load_face_predictor(own, detector, weights, min_face))
    predictor = Predictor.load(
        *models,
        decide=decide,
        age_borders=borders,
        engine=select_continuous_engine(find_models(models, top_k), engine, err.print),
        threads=threads,
        top_k=top_k,
    )
    if line := describe_int8(predictor, engine, calibrate is not None):
        err.print(f"network: {line}")
    if predictor.decision_weights:
        err.print(f"decisions: {predictor.describe_decisions()}")
    face_predictor = _load_face_predictor(predictor, detector, weights, min_face)
    options = VideoOptions(
        target,
        counts,
        video,
        blur,
        EventThresholds(min_state, smoothing, max_unseen, min_confidence=min_confidence),
        FrameSampling(every, fps),
        realtime,
        seconds,
        reconnect,
        choose_side=_may_choose_side(face_predictor, detector),
        detect_every=detect_every,
        append=append,
        rotation=rotate,
    )
    write = _writer()
    with _stopping() as stop, progress(f"processing {stream.display_name}", "frames") as advance:
        callbacks = VideoCallbacks(_event_printer(write, json), err.print, advance)
        summary = process_video(stream, face_predictor, options, stop=stop, callbacks=callbacks)
    if json:
        write(dumps({"event": "summary", **summary.to_dict()}))
    # Of a stream that never came nothing is written.
    written = [path for path in (target, counts, video) if path and summary.num_frames]
    _print_summary(summary, written)
    if summary.stopped:
        raise typer.Exit(EXIT_INTERRUPTED)


def _check_outputs(tables: list[Path], video: Path | None, force: bool, append: bool) -> None:
    if append and force:
        raise DataError("--append continues the files, --force replaces them", hint="leave out one of the two")
    if append and not tables:
        raise DataError("--append needs a file to continue", hint="add --out events.csv, or --counts counts.csv")
    for path in tables:
        check_overwrite(path, force or append, otherwise="add --append to continue it, ")
    # A film cannot be continued.
    check_overwrite(video, force)
    paths = [*tables, *([video] if video else [])]
    if len({path.resolve() for path in paths}) < len(paths):
        raise DataError("two outputs have the same path", location=paths[0], hint="choose a file for each")


def _load_face_predictor(
    predictor: Predictor, detector: str | None, weights: Path | None, min_face: float
) -> FacePredictor:
    from maskfit.inference.detector_choice import describe_other_detector, parse_detector
    from maskfit.inference.face_predictor import FacePredictor

    face_crop = None if detector is None and weights is None else parse_detector(detector, weights)
    note = face_crop and describe_other_detector(face_crop, (item.face_crop for item in predictor.runner.crop_resizes))
    if note:
        err.print(note)
    return FacePredictor(predictor, detector=face_crop, predict_whole_image=False, min_face_side=min_face)


def _may_choose_side(face_predictor: FacePredictor, detector: str | None) -> bool:
    """Whether the detector's side is nobody's choice: neither the user's nor that of a model trained on its crops."""
    named = "side=" in (detector or "")
    trained = any(crop_resize.face_crop for crop_resize in face_predictor.predictor.runner.crop_resizes)
    return not named and (detector is not None or not trained)


def _writer() -> Callable[[str], None]:
    """Returns a function that writes lines to standard output and flushes.

    While a progress bar is shown on a terminal, rich redirects standard output; a pipe or file must not be affected.
    """
    target = None if sys.stdout.isatty() else sys.stdout

    def write(line: str) -> None:
        print(line, file=target, flush=True)

    return write


def _event_printer(write: Callable[[str], None], json: bool) -> Callable[[Event, EventFormatter], None]:
    def print_event(event: Event, formatter: EventFormatter) -> None:
        write(dumps(formatter.to_row(event), ensure_ascii=False) if json else formatter.to_text(event))

    return print_event


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


def _print_summary(summary: VideoSummary, written: list[Path]) -> None:
    people = format_count(summary.num_persons, "person", "people")
    changes = format_count(summary.num_changes, "change")
    rate = f"{summary.source_seconds:,.1f} s, {summary.fps:,.1f} frames/s"
    line = f"{format_count(summary.num_frames, 'frame')} of {rate}; {people}, {changes}"
    if summary.num_filled:
        line += f"; {format_count(summary.num_filled, 'frame')} filled in between two that agree"
    if summary.num_dropped:
        line += f"; {format_count(summary.num_dropped, 'frame')} dropped because they arrived faster"
    if summary.detection_side:
        line += f"; faces looked for at {summary.detection_side:,} pixels"
    if summary.num_interruptions:
        line += f"; interruptions: {summary.num_interruptions:,}"
    err.print(line)
    if summary.num_damaged:
        err.print(
            f"{format_count(summary.num_damaged, 'damaged part was', 'damaged parts were')} skipped", style="yellow"
        )
    if summary.num_corrupt:
        frames = format_count(summary.num_corrupt, "frame was", "frames were")
        err.print(
            f"{frames} decoded with errors: parts of the video are damaged or lost, and frames may be missing",
            style="yellow",
        )
    if summary.num_estimated_times:
        frames = format_count(summary.num_estimated_times, "frame has", "frames have")
        err.print(f"{frames} a missing or wrong time stamp, estimated from the others", style="yellow")
    if summary.truncation:
        err.print(f"the video breaks off: {summary.truncation}; the readable part was processed", style="yellow")
    for path in written:
        print_written(path)

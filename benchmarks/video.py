"""Video: frames per second of `maskfit video` against only reading the video, and against only detecting faces.

    uv run python benchmarks/video.py [--model MODEL] [--video VIDEO] [--rounds N] [--save-video OUT.mp4]

The default video shows three synthetic people at 640 x 480; `--save-video` keeps it. The default model has random
weights, whose predictions mean nothing but take as long as others. Contenders use all cores and take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from maskfit.apps.video.capture import VideoCapture, parse_source
from maskfit.apps.video.pipeline import VideoOptions, process_video
from maskfit.apps.video.video_writer import open_video_writer
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.synthesis.drawn.synthetic_video import render_video

VIDEO_SECONDS = 8.0
"""Length of the synthetic video."""


def write_synthetic_video(path: Path) -> Path:
    """Writes the synthetic video; returns its path."""
    video = render_video(3, 3, seconds=VIDEO_SECONDS)
    with open_video_writer(path, video.background.size, video.fps) as out:
        for seconds, pixels in video.frames():
            out.write(seconds, pixels)
    return path


def write_random_model(path: Path) -> Path:
    """Writes a model with random weights; returns its path."""
    from maskfit.data.preprocessing import CropResize, Preprocessing
    from maskfit.labels.schema import LABEL_SCHEMAS
    from maskfit.model_file import ModelMetadata, save_model
    from maskfit.models.network import build_network
    from maskfit.registry import ComponentSpec

    schema = LABEL_SCHEMAS["mask-gender-age"]
    metadata = ModelMetadata(
        label_schema=schema,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(96, 96), crop=ComponentSpec.create("face"))),
        backbone=ComponentSpec.create("small"),
        head=ComponentSpec.create("multi_head"),
        heads=schema.names,
    )
    return save_model(path, build_network(metadata.backbone, metadata.head, schema.sizes).state_dict(), metadata)


def measure(work: Callable[[], int]) -> tuple[float, float]:
    """Returns frames per second, and CPU milliseconds per frame, which depend less on the load of the machine."""
    began, cpu_began = time.perf_counter(), time.process_time()
    count = work()
    return count / (time.perf_counter() - began), 1e3 * (time.process_time() - cpu_began) / count


def compare(video: Path, model: Path, rounds: int, folder: Path) -> None:
    """Runs all contenders in turn and prints a table."""
    predictor = FacePredictor(Predictor.load(model, threads=1), predict_whole_image=False)
    source = parse_source(str(video))
    detector = predictor.detector._finder.detector  # type: ignore[union-attr]  # without its cache of frames

    def read(detect: bool) -> int:
        count = 0
        for frame in VideoCapture(source).read():
            pixels = frame.pixels
            if detect:
                detector.detect([pixels])
            count += 1
        return count

    def run_pipeline(out: Path | None) -> int:
        # The detector caches the frames that it has seen.
        predictor.detector._finder._known.clear()  # type: ignore[union-attr]
        return process_video(source, predictor, VideoOptions(video_path=out)).num_frames

    contenders = {
        "reading only": lambda: read(False),
        "reading and face detection": lambda: read(True),
        "maskfit video": lambda: run_pipeline(None),
        "maskfit video, with output video": lambda: run_pipeline(folder / "out.mp4"),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            measured[name].append(measure(work))
    print(f"{video.name} with {model.name}, {rounds} rounds, medians")
    baseline = statistics.median(rate for rate, _ in measured["reading only"])
    for name, own in measured.items():
        rates, costs = zip(*own, strict=True)
        median = statistics.median(rates)
        span = f"({min(rates):.1f} to {max(rates):.1f})"
        print(f"  {name:33} {median:7.1f} frames/s {span}, {median / baseline:6.1%} of reading", end="; ")
        print(f"{statistics.median(costs):5.1f} CPU ms per frame")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model file; default: random weights")
    parser.add_argument("--video", type=Path, help="video file; default: a synthetic video")
    parser.add_argument("--save-video", type=Path, help="keep the synthetic video here")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = args.video or write_synthetic_video(args.save_video or folder / "video.mp4")
        model = args.model or write_random_model(folder / "random.safetensors")
        compare(video, model, args.rounds, folder)


if __name__ == "__main__":
    main()

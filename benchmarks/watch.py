"""Watching a video: frames a second, against only reading it, and against only finding the faces on it.

    uv run python benchmarks/watch.py [--model MODEL] [--video VIDEO] [--rounds N] [--film OUT.mp4]

Without a video it is a drawn film of three people, 640 x 480, which `--film` also keeps. Without a model it is a
network of random weights, whose answers mean nothing and take as long as others. All cores; contenders take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from maskfit.apps.video.pipeline import VideoOptions, process_video
from maskfit.apps.video.capture import VideoCapture, parse_source
from maskfit.apps.video.video_writer import open_video_writer
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.synthesis.drawn.synthetic_video import render_video

SECONDS = 8.0


def write_film(path: Path) -> Path:
    film = render_video(3, 3, seconds=SECONDS)
    with open_video_writer(path, film.background.size, film.fps) as out:
        for at, pixels in film.frames():
            out.write(at, pixels)
    return path


def write_random_model(path: Path) -> Path:
    from maskfit.data.preprocessing import CropResize, Preprocessing
    from maskfit.labels.schema import LABEL_SCHEMAS
    from maskfit.model_file import ModelMetadata, save_model
    from maskfit.models.network import build_network
    from maskfit.registry import ComponentSpec

    scheme = LABEL_SCHEMAS["mask-gender-age"]
    facts = ModelMetadata(
        label_schema=scheme,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(96, 96), crop=ComponentSpec.create("face"))),
        backbone=ComponentSpec.create("small"),
        head=ComponentSpec.create("multi_head"),
        heads=scheme.names,
    )
    return save_model(path, build_network(facts.backbone, facts.head, scheme.sizes).state_dict(), facts)


def measure(work: Callable[[], int]) -> tuple[float, float]:
    """Frames a second, and milliseconds of processors for a frame, which hang less on what else the machine does."""
    began, used = time.perf_counter(), time.process_time()
    count = work()
    return count / (time.perf_counter() - began), 1e3 * (time.process_time() - used) / count


def compare(video: Path, model: Path, rounds: int, folder: Path) -> None:
    reader = FacePredictor(Predictor.load(model, threads=1), predict_whole_image=False)
    address = parse_source(str(video))
    finder = reader.detector._finder.detector  # type: ignore[union-attr]  # the finder would remember what it saw

    def read(look: bool) -> int:
        count = 0
        for frame in VideoCapture(address).read():
            pixels = frame.pixels
            if look:
                finder.detect([pixels])
            count += 1
        return count

    def whole(out: Path | None) -> int:
        # Anew each time, since its finder remembers frames that it has seen.
        reader.detector._finder._known.clear()  # type: ignore[union-attr]
        return process_video(address, reader, VideoOptions(video_path=out)).num_frames

    contenders = {
        "reading alone": lambda: read(False),
        "reading and finding faces": lambda: read(True),
        "watch": lambda: whole(None),
        "watch --video": lambda: whole(folder / "out.mp4"),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            measured[name].append(measure(work))
    print(f"{video.name} with {model.name}, {rounds} rounds in turn, medians")
    plain = statistics.median(rate for rate, _ in measured["reading alone"])
    for name, own in measured.items():
        rates, costs = zip(*own, strict=True)
        median = statistics.median(rates)
        span = f"({min(rates):.1f} to {max(rates):.1f})"
        print(f"  {name:26} {median:7.1f} frames a second {span}, {median / plain:6.1%} of reading", end="; ")
        print(f"{statistics.median(costs):5.1f} ms of processors a frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model; random weights where left out")
    parser.add_argument("--video", type=Path, help="a video; a drawn film where left out")
    parser.add_argument("--film", type=Path, help="keep the drawn film here")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = given.video or write_film(given.film or folder / "film.mp4")
        model = given.model or write_random_model(folder / "random.safetensors")
        compare(video, model, given.rounds, folder)


if __name__ == "__main__":
    main()

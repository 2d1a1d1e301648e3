"""What is worth measuring on a GPU, in one run of less than ten minutes.

    uv run python benchmarks/gpu.py [--images DIR] [--minutes 9] [--out gpu.json]

Parts, in this order; a part that no longer fits into the time is stopped or left out, and said to be:

1. `training`: `maskfit train` from its image cache against the network alone on ready tensors (benchmarks/train.py).
2. `epoch`: the command `maskfit train` for one epoch of 18,900 photos: the epoch alone, and with start, image cache and
   checkpoint.
3. `prediction`: the command `maskfit predict` on all photos with that model, from files to CSV; and the share of
   answers that differ from those on the CPU in float32, on the first `--compare` photos.

Without `--images` on drawn faces. Where torch sees no GPU the same runs on the CPU, which the first line says.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EPOCH_PHOTOS = 18_900
"""Photos of an epoch: the competition's training set."""

DRAWN_PERSONS = 150
"""Persons that are drawn without `--images`, seven photos each; repeated, they make an epoch."""

RESERVE_SECONDS = 20.0
"""Time left with which no further part begins."""


class TimeIsUpError(Exception):
    """A part did not end in the time left."""


class Budget:
    """Runs commands within a time limit.

    Args:
        minutes: All time.
    """

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def run(self, *command: str, env: dict[str, str] | None = None) -> tuple[float, str]:
        """Runs a command to its end.

        Args:
            command: The command line.
            env: Additional environment variables.

        Returns:
            Seconds from start to end, and what it printed.

        Raises:
            TimeIsUpError: The time left did not suffice.
        """
        left = self.end - time.monotonic()
        if left < RESERVE_SECONDS:
            raise TimeIsUpError("not begun: the time is up")
        began = time.monotonic()
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=left,
                env={**os.environ, **(env or {})},
            )
        except subprocess.TimeoutExpired:
            raise TimeIsUpError(f"stopped after {left:.0f} s: the time is up") from None
        if done.returncode:
            sys.exit(f"{' '.join(command)}\nended with exit code {done.returncode}:\n{done.stdout[-4000:]}")
        return time.monotonic() - began, done.stdout


def measure_training(args: argparse.Namespace, budget: Budget) -> dict[str, Any]:
    """Photos per second of `maskfit train` and of the network alone, in turns."""
    _, text = budget.run(
        sys.executable,
        str(Path(__file__).with_name("train.py")),
        f"--images={args.images}",
        f"--backbone={args.backbone}",
        f"--size={args.size}",
        f"--batch={args.batch}",
        "--against=network",
        f"--rounds={args.rounds}",
        f"--seconds={args.seconds}",
    )
    rates = dict(re.findall(r"^\s+(maskfit|network) +([\d.]+) images/s", text, re.MULTILINE))
    precision = re.search(r"precision (\S+),", text)
    ratio = re.search(r"speed-up of maskfit ([\d.]+)", text)
    if not precision or not ratio:
        sys.exit(f"train.py printed another table than expected:\n{text}")
    return {
        "precision": precision[1],
        "maskfit_photos_per_second": float(rates["maskfit"]),
        "network_photos_per_second": float(rates["network"]),
        "ratio": float(ratio[1]),
    }


def write_epoch(images: Path, schema: str, photos_wanted: int, out: Path) -> int:
    """Writes a manifest in which each photo counts so often that they make an epoch.

    Args:
        images: The photos.
        schema: Their label schema.
        photos_wanted: Photos of the epoch.
        out: The manifest.

    Returns:
        How often each photo counts.
    """
    from maskfit.data.read_dataset import read_photos
    from maskfit.labels.schema import LABEL_SCHEMAS

    photos = read_photos(str(images), LABEL_SCHEMAS[schema])
    times = math.ceil(photos_wanted / len(photos))
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        names = list(LABEL_SCHEMAS[schema].sizes)
        writer.writerow(["path", "person", *names, "times"])
        for photo in photos:
            writer.writerow([photo.path.resolve(), photo.person, *(photo.labels[name] for name in names), times])
    return times


def measure_epoch(args: argparse.Namespace, budget: Budget, run: Path) -> dict[str, Any]:
    """Seconds of `maskfit train` for one epoch."""
    manifest = args.scratch / "epoch.csv"
    times = write_epoch(args.images, args.schema, args.epoch_photos, manifest)
    seconds, _ = budget.run(
        sys.executable,
        "-m",
        "maskfit",
        "train",
        "baseline",
        f"data.path={manifest}",
        f"data.label_schema={args.schema}",
        f"data.cache_dir={args.scratch / 'cache'}",
        "data.crop=center",
        f"data.image_size={args.size}",
        f"model.backbone={args.backbone}",
        "model.pretrained=none",
        "augmentation=light",
        f"trainer.batch_size={args.batch}",
        "trainer.epochs=1",
        "trainer.full_data_epochs=0",
        "cv.val_fraction=0.1",
        f"output_dir={run}",
    )
    with (run / "fold0" / "metrics.csv").open() as stream:
        epoch = next(csv.DictReader(stream))
    rate = float(epoch["photos_per_second"])
    return {
        "times": times,
        "photos_per_second": rate,
        "epoch_seconds": round(args.epoch_photos / rate, 2),
        "command_seconds": round(seconds, 2),
    }


def measure_prediction(args: argparse.Namespace, budget: Budget, run: Path) -> dict[str, Any]:
    """Photos per second of `maskfit predict`, and the share of other answers than in float32 on the CPU."""
    files = sorted(path for path in args.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    folder = args.scratch / "photos"
    folder.mkdir()
    for number, path in enumerate(files):
        (folder / f"{number:06d}{path.suffix}").symlink_to(path.resolve())
    few = args.scratch / "few"
    few.mkdir()
    for link in sorted(folder.iterdir())[: args.compare]:
        (few / link.name).symlink_to(link.resolve())
    predict = (sys.executable, "-m", "maskfit", "predict", str(run), "--quiet")
    seconds, _ = budget.run(*predict, "--images", str(folder), "--out", str(args.scratch / "all.csv"))
    exact = (*predict, "--images", str(few), "--engine", "torch:precision=f32", "--out", str(args.scratch / "cpu.csv"))
    budget.run(*exact, env={"CUDA_VISIBLE_DEVICES": ""})
    answers = _read_answers(args.scratch / "all.csv")
    wanted = _read_answers(args.scratch / "cpu.csv")
    return {
        "photos": len(answers),
        "command_seconds": round(seconds, 2),
        "photos_per_second_with_start": round(len(answers) / seconds, 1),
        "compared": len(wanted),
        "other_answers": sum(answers[name] != answer for name, answer in wanted.items()),
    }


def _read_answers(path: Path) -> dict[str, str]:
    with path.open() as stream:
        return {row["ImageID"]: row["ans"] for row in csv.DictReader(stream)}


def describe_device() -> str:
    """Returns the GPU that torch sees, or says that there is none."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}"
    return f"no GPU: all of this runs on the CPU, torch {torch.__version__}"


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="photos in the competition's layout; default: synthetic faces")
    parser.add_argument("--schema", default="mask-gender-age", help="label schema of the dataset")
    parser.add_argument("--backbone", default="efficientnet_b0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one turn of the training part")
    parser.add_argument("--persons", type=int, default=DRAWN_PERSONS, help="persons to draw without --images")
    parser.add_argument("--epoch-photos", type=int, default=EPOCH_PHOTOS)
    parser.add_argument("--compare", type=int, default=256, help="photos that are also predicted on the CPU")
    parser.add_argument("--minutes", type=float, default=9.0, help="time for everything")
    parser.add_argument("--out", type=Path, help="also write the results to this JSON file, after every part")
    return parser.parse_args()


def main() -> None:
    """Runs the parts and prints a line of JSON after each."""
    args = parse_arguments()
    budget = Budget(args.minutes)
    results: dict[str, Any] = {"device": describe_device(), "backbone": args.backbone, "size": args.size}
    print(json.dumps(results), flush=True)
    args.scratch = Path(tempfile.mkdtemp(prefix="maskfit-gpu-"))
    try:
        if args.images is None:
            from maskfit.synthesis.drawn import write_train_set

            args.images = write_train_set(args.scratch / "drawn", args.persons)
        run = args.scratch / "run"
        parts: dict[str, Callable[[], Any]] = {
            "training": lambda: measure_training(args, budget),
            "epoch": lambda: measure_epoch(args, budget, run),
            "prediction": lambda: measure_prediction(args, budget, run),
        }
        for name, measure in parts.items():
            try:
                if name == "prediction" and not run.is_dir():
                    raise TimeIsUpError("not begun: the part 'epoch', which trains the model, did not end")
                results[name] = measure()
            except TimeIsUpError as reason:
                results[name] = {"left_out": str(reason)}
            print(json.dumps({name: results[name]}), flush=True)
            if args.out:
                args.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(args.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()

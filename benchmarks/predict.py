"""Prediction from files to CSV against the network alone, the seeds' way and timm's: ratios of one run.

    uv run python benchmarks/predict.py [--photos DIR] [--model MODEL.safetensors] [--rounds N] [--slow N] [--log FILE]

Every contender is a process of its own; they take turns. The command is timed whole, from the shell's start to its end,
by `--engine auto` and by OpenVINO in f32. So are the slow ways, of which only `--slow` photos are timed and the time of
the others is that of these: `start + photos x time of one`. The network alone is timed without its start. Answers are
compared with those of f32. With `--log` rounds may be run one by one: the table is of all in the file.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from maskfit.data.image_decoding import decode
from maskfit.data.image_lists import find_images
from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata, read_model_metadata, save_model
from maskfit.registry import ComponentSpec

SLOW = ("seeds", "timm")
AUTO, F32 = "maskfit", "maskfit in f32"
OURS = {AUTO: "auto", F32: "openvino"}
"""The command, and its engine."""


def make_model(path: Path, seed: int, size: int = 224, backbone: str = "efficientnet_b0") -> Path:
    """A network of random weights, its heads scaled so that photos get different answers; with its ONNX beside it."""
    import torch

    from maskfit.inference.export.onnx_export import write_onnx
    from maskfit.models.network import build_network

    scheme = LABEL_SCHEMAS["mask-gender-age"]
    preprocessing = Preprocessing(crop_resize=CropResize(size=(size, size)))
    facts = ModelMetadata(
        label_schema=scheme,
        preprocessing=preprocessing,
        backbone=ComponentSpec.create(backbone),
        head=ComponentSpec.create("multi_head"),
        heads=scheme.names,
    )
    torch.manual_seed(seed)
    network = build_network(facts.backbone, facts.head, scheme.sizes)
    noise = torch.randn(64, 3, 7, 7).repeat_interleave(size // 7, 2).repeat_interleave(size // 7, 3)
    # Statistics of real features, without which a deep network of random weights says one thing of everything.
    network.train()
    with torch.no_grad():
        for _ in range(10):
            network(noise)
        network.eval()
        seen = network.backbone(noise)
        for layer in network.head.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.copy_(torch.randn_like(layer.weight) / seen.std(0).clamp(min=1e-3) / 10)
                layer.bias.copy_(-layer.weight @ seen.mean(0))
    save_model(path, network.state_dict(), facts)
    write_onnx(path, path.with_suffix(".onnx"))
    return path


def run_command(models: list[Path], images: Path, out: Path, *words: str) -> float:
    """Seconds of the whole command."""
    began = time.perf_counter()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "maskfit",
            "predict",
            *map(str, models),
            "--images",
            str(images),
            "--out",
            str(out),
            "--force",
            *words,
        ],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def run_way(way: str, given: dict[str, object], folder: Path) -> tuple[float, float, float, list[int]]:
    """Seconds of the whole process, of its start, and of its photos; and the answers."""
    words = folder / "given.json"
    words.write_text(json.dumps(given))
    script = Path(__file__).with_name("contenders.py")
    began = time.perf_counter()
    done = subprocess.run([sys.executable, str(script), way, str(words)], check=True, capture_output=True, text=True)
    whole = time.perf_counter() - began
    told = json.loads(done.stdout.splitlines()[-1])
    return whole, whole - told["loop"], told["loop"], told["answers"]


def read_answers(path: Path) -> list[int]:
    with path.open(newline="") as stream:
        return [int(row["ans"]) for row in csv.DictReader(stream)]


def write_frames(photos: list[Path], size: tuple[int, int], path: Path) -> None:
    framing = CropResize(size=size)
    np.save(path, np.stack([framing(decode(photo)) for photo in photos]))


def compare(models: list[Path], images: Path, given: argparse.Namespace, views: int, folder: Path) -> None:
    """Runs all contenders in turn, prints a table."""
    paths = [photo.path for photo in find_images(images)]
    frames = folder / "frames.npy"
    write_frames(paths, read_model_metadata(models[0]).preprocessing.crop_resize.size, frames)
    words = ["--tta", "flip"] if views == 2 else []
    onnx = [model.with_suffix(".onnx") for model in models]
    log: Path = given.log or folder / "log.jsonl"
    for number in range(given.rounds):
        taken = {
            name: run_command(onnx, images, folder / f"{name}.csv", *words, "--engine", engine)
            for name, engine in OURS.items()
        }
        exact, ours = (read_answers(folder / f"{name}.csv") for name in (F32, AUTO))
        changed = sum(one != other for one, other in zip(ours, exact, strict=True))
        print(f"round {number + 1}: {changed} of {len(exact)} answers are not f32's")
        for way in given.ways:
            slow = way in SLOW
            some = paths[: given.slow] if slow else paths
            asked = {"models": [*map(str, models)], "photos": [*map(str, some)], "views": views, "frames": str(frames)}
            _, start, loop, _ = run_way(way, asked, folder)
            taken[f"{way}, scaled from {len(some)}" if slow else way] = (
                start + loop * len(paths) / len(some) if slow else loop
            )
        print("  " + ", ".join(f"{way}: {seconds:.2f} s" for way, seconds in taken.items()), flush=True)
        with log.open("a") as stream:
            stream.write(json.dumps(taken) + "\n")
    print_table([json.loads(line) for line in log.read_text().splitlines()], len(paths))


def print_table(rounds: list[dict[str, float]], photos: int) -> None:
    """A row for each way: the median of its rounds, and how often our two ways go into it."""
    by_way: dict[str, list[float]] = {}
    for taken in rounds:
        for way, seconds in taken.items():
            by_way.setdefault(way, []).append(seconds)
    middle = {way: statistics.median(times) for way, times in by_way.items()}
    print(f"\n| way | seconds for {photos:,} photos | spread | `auto` is | f32 is |")
    print("| --- | --- | --- | --- | --- |")
    for way, times in by_way.items():
        spread = f"{min(times):.2f} to {max(times):.2f}, {len(times)} rounds"
        ratios = " | ".join(f"{middle[way] / middle[ours]:.2f} times as fast" for ours in OURS)
        print(f"| {way} | {middle[way]:.2f} | {spread} | {ratios} |")


def arguments(text: str, ways: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of photos; drawn faces where left out")
    parser.add_argument(
        "--model", type=Path, nargs="+", help="safetensors with .onnx beside; EfficientNet-B0 of chance where left out"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", type=int, default=256, help="photos of which the slow ways are timed")
    parser.add_argument("--log", type=Path, help="rounds are added to this file")
    parser.add_argument("--ways", nargs="*", default=ways, help="contenders.WAYS to measure against")
    return parser.parse_args()


def main(text: str, members: int, views: int, ways: list[str]) -> None:
    given = arguments(text, ways)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = given.photos
        if images is None:
            from maskfit.synthesis.drawn import write_train_set

            images = write_train_set(folder / "drawn", 200)
        models = given.model or [make_model(folder / f"fold{seed}.safetensors", seed) for seed in range(members)]
        compare(models, images, given, views, folder)


if __name__ == "__main__":
    main(
        __doc__ or "",
        1,
        1,
        [
            "openvino",
            "openvino bf16, 2 streams",
            "openvino f32, 2 streams",
            "openvino bf16, 4 at once",
            "openvino f32, 2 at once",
            "seeds",
            "timm",
        ],
    )

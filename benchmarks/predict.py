"""Prediction from image files to CSV against the network alone, the public solutions and timm, measured in one run.

    uv run python benchmarks/predict.py [--images DIR] [--model MODEL.safetensors] [--rounds N] [--slow N] [--log FILE]

Each contender runs in its own process; they take turns. `maskfit predict` is timed from its start to its end, with
`--engine auto` and with OpenVINO in f32. Slow baselines run on `--slow` images only and are extrapolated: `start +
images x seconds per image`. The network alone is timed without its start. Predictions are compared with those in f32.
With `--log` rounds may be run one at a time: the table covers all rounds in the file.
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

SLOW_BASELINES = ("public-solutions", "timm")

AUTO, F32 = "maskfit", "maskfit in f32"

ENGINES = {AUTO: "auto", F32: "openvino"}
"""Contender -> `--engine` of `maskfit predict`."""


def make_model(path: Path, seed: int, size: int = 224, backbone: str = "efficientnet_b0") -> Path:
    """Writes a model with random weights, and its ONNX export beside it.

    The heads are scaled so that images get different predictions.

    Args:
        path: The `.safetensors` file.
        seed: Random seed of the weights.
        size: Height and width of the input.
        backbone: Name of the backbone.

    Returns:
        The path.
    """
    import torch

    from maskfit.inference.export.onnx_export import write_onnx
    from maskfit.models.network import build_network

    schema = LABEL_SCHEMAS["mask-gender-age"]
    metadata = ModelMetadata(
        label_schema=schema,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(size, size))),
        backbone=ComponentSpec.create(backbone),
        head=ComponentSpec.create("multi_head"),
        heads=schema.names,
    )
    torch.manual_seed(seed)
    network = build_network(metadata.backbone, metadata.head, schema.sizes)
    noise = torch.randn(64, 3, 7, 7).repeat_interleave(size // 7, 2).repeat_interleave(size // 7, 3)
    # Estimates BatchNorm statistics: without them a deep network with random weights has the same output for any image.
    network.train()
    with torch.no_grad():
        for _ in range(10):
            network(noise)
        network.eval()
        features = network.backbone(noise)
        for layer in network.head.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.copy_(torch.randn_like(layer.weight) / features.std(0).clamp(min=1e-3) / 10)
                layer.bias.copy_(-layer.weight @ features.mean(0))
    save_model(path, network.state_dict(), metadata)
    write_onnx(path, path.with_suffix(".onnx"))
    return path


def run_command(models: list[Path], images: Path, out: Path, *options: str) -> float:
    """Runs `maskfit predict`; returns its seconds."""
    command = ["predict", *models, "--images", images, "--out", out, "--force", *options]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "maskfit", *map(str, command)], check=True, capture_output=True)
    return time.perf_counter() - began


def run_baseline(name: str, arguments: dict[str, object], folder: Path) -> tuple[float, float]:
    """Runs a baseline; returns the seconds of its start, and of its images."""
    path = folder / "arguments.json"
    path.write_text(json.dumps(arguments))
    script = Path(__file__).with_name("baselines.py")
    began = time.perf_counter()
    done = subprocess.run([sys.executable, str(script), name, str(path)], check=True, capture_output=True, text=True)
    total = time.perf_counter() - began
    result = json.loads(done.stdout.splitlines()[-1])
    return total - result["loop"], result["loop"]


def read_predictions(path: Path) -> list[int]:
    """Returns the class indices of a submission."""
    with path.open(newline="") as stream:
        return [int(row["ans"]) for row in csv.DictReader(stream)]


def write_frames(images: list[Path], size: tuple[int, int], path: Path) -> None:
    """Writes the preprocessed images as one array."""
    crop_resize = CropResize(size=size)
    np.save(path, np.stack([crop_resize(decode(image)) for image in images]))


def compare(models: list[Path], images: Path, args: argparse.Namespace, num_views: int, folder: Path) -> None:
    """Runs all contenders in turn and prints a table.

    Args:
        models: `.safetensors` files with ONNX exports beside them.
        images: Folder of images.
        args: Command-line arguments.
        num_views: 1, or 2 for test-time augmentation with the mirror image.
        folder: Folder for temporary files.
    """
    paths = [image.path for image in find_images(images)]
    frames = folder / "frames.npy"
    write_frames(paths, read_model_metadata(models[0]).preprocessing.crop_resize.size, frames)
    tta = ["--tta", "flip"] if num_views == 2 else []
    onnx = [model.with_suffix(".onnx") for model in models]
    log: Path = args.log or folder / "log.jsonl"
    for number in range(args.rounds):
        seconds_of = {
            name: run_command(onnx, images, folder / f"{name}.csv", *tta, "--engine", engine)
            for name, engine in ENGINES.items()
        }
        exact, automatic = (read_predictions(folder / f"{name}.csv") for name in (F32, AUTO))
        changed = sum(one != other for one, other in zip(automatic, exact, strict=True))
        print(f"round {number + 1}: {changed} of {len(exact)} predictions differ from f32")
        for name in args.baselines:
            is_slow = name in SLOW_BASELINES
            subset = paths[: args.slow] if is_slow else paths
            arguments = {
                "models": [*map(str, models)],
                "images": [*map(str, subset)],
                "num_views": num_views,
                "frames": str(frames),
            }
            start, loop = run_baseline(name, arguments, folder)
            if is_slow:
                seconds_of[f"{name}, extrapolated from {len(subset)}"] = start + loop * len(paths) / len(subset)
            else:
                seconds_of[name] = loop
        print("  " + ", ".join(f"{name}: {seconds:.2f} s" for name, seconds in seconds_of.items()), flush=True)
        with log.open("a") as stream:
            stream.write(json.dumps(seconds_of) + "\n")
    print_table([json.loads(line) for line in log.read_text().splitlines()], len(paths))


def print_table(rounds: list[dict[str, float]], num_images: int) -> None:
    """Prints a row per contender: the median over the rounds, and the speed-up of `maskfit predict` over it."""
    by_name: dict[str, list[float]] = {}
    for seconds_of in rounds:
        for name, seconds in seconds_of.items():
            by_name.setdefault(name, []).append(seconds)
    median = {name: statistics.median(times) for name, times in by_name.items()}
    print(f"\n| contender | seconds for {num_images:,} images | range | speed-up of `auto` | speed-up of f32 |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in by_name.items():
        spread = f"{min(times):.2f} to {max(times):.2f}, {len(times)} rounds"
        ratios = " | ".join(f"{median[name] / median[engine]:.2f}x" for engine in ENGINES)
        print(f"| {name} | {median[name]:.2f} | {spread} | {ratios} |")


def parse_arguments(description: str, baselines: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of images; default: synthetic faces")
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        help=".safetensors files with .onnx beside them; default: EfficientNet-B0 with random weights",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", type=int, default=256, help="number of images for the slow baselines")
    parser.add_argument("--log", type=Path, help="JSON Lines file to which rounds are appended")
    parser.add_argument("--baselines", nargs="*", default=baselines, help="names in baselines.BASELINES")
    return parser.parse_args()


def main(description: str, num_members: int, num_views: int, baselines: list[str]) -> None:
    """Runs the benchmark.

    Args:
        description: Help text.
        num_members: Number of models.
        num_views: 1, or 2 for test-time augmentation with the mirror image.
        baselines: Default baselines.
    """
    args = parse_arguments(description, baselines)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = args.images
        if images is None:
            from maskfit.synthesis.drawn import write_train_set

            images = write_train_set(folder / "drawn", 200)
        models = args.model or [make_model(folder / f"fold{seed}.safetensors", seed) for seed in range(num_members)]
        compare(models, images, args, num_views, folder)


if __name__ == "__main__":
    main(
        __doc__ or "",
        1,
        1,
        [
            "openvino",
            "openvino bf16, 2 streams",
            "openvino f32, 2 streams",
            "openvino bf16, batch 4",
            "openvino f32, batch 2",
            "public-solutions",
            "timm",
        ],
    )

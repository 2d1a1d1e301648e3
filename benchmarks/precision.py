"""A network in f32, bf16 and int8, in ONNX Runtime and OpenVINO: CPU time, and predictions that differ from f32's.

    uv run python benchmarks/precision.py MODEL --images DIR --calibrate DIR [--rounds N]

MODEL is a `.safetensors` or `.onnx` file in f32. Contenders take turns on one thread, on batches of eight preprocessed
images in memory; printed are medians of CPU milliseconds per image and of the ratios of each round. For each precision
it also prints how many images a precision cascade would recompute in f32, and how many predictions would then still
differ, as the mean over draws of the images that the margins are estimated on. `APPROXIMATE` sees the pixels of
`data.fast_downscale`, as `maskfit predict` gives them to int8.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from shutil import copy

import numpy as np
import onnx
from numpy.typing import NDArray

from maskfit.cpu_features import cpu_isa_level
from maskfit.data.image_decoding import decode
from maskfit.data.image_lists import find_images
from maskfit.errors import PhotoError
from maskfit.inference.engines import open_engine
from maskfit.inference.engines.engine import Engine
from maskfit.inference.export.onnx_export import write_onnx
from maskfit.inference.export.quantization import quantize_static
from maskfit.inference.precision_cascade import (
    APPROXIMATE_MARGIN_STDS,
    NUM_APPROXIMATE_PROBES,
    NUM_PROBE_IMAGES,
)
from maskfit.inference.precision_error import MARGIN_STDS, estimate_precision_error
from maskfit.labels.schema import logits_to_probabilities
from maskfit.model_file import ModelMetadata, read_model_metadata

BATCH, PER_ROUND = 8, 32
"""Images in a batch, and of each contender in a round."""

REFERENCE = "OpenVINO f32, 2 per call"

APPROXIMATE = "OpenVINO int8, approximate pixels"

CONTENDERS = {
    "ONNX Runtime f32, 2 per call": ("f32", "onnx:infer_batch_size=2"),
    "ONNX Runtime int8, 8 per call": ("int8-onnx", "onnx"),
    REFERENCE: ("f32", "openvino:precision=f32,infer_batch_size=2"),
    "OpenVINO bf16, 4 per call": ("f32", "openvino:precision=bf16,infer_batch_size=4"),
    "OpenVINO int8, 4 per call": ("int8-openvino", "openvino:precision=f32,infer_batch_size=4"),
    "OpenVINO int8, 8 per call": ("int8-openvino", "openvino:precision=f32,infer_batch_size=8"),
    APPROXIMATE: ("int8-openvino", "openvino:precision=f32,infer_batch_size=4"),
    "OpenVINO int8, the rest in bf16": ("int8-openvino", "openvino:precision=bf16,infer_batch_size=4"),
}
"""Contender -> its network and engine."""


def write_networks(model: Path, calibrate: Path, folder: Path, count: int) -> None:
    """Writes the model in f32 and in int8, for each engine.

    Args:
        model: A `.safetensors` or `.onnx` file.
        calibrate: Folder of photos.
        folder: Where the networks are written.
        count: Photos that calibrate, evenly spaced.
    """
    exact = folder / "f32.onnx"
    if model.suffix == ".onnx":
        copy(model, exact)
    else:
        write_onnx(model, exact)
    photos = list(find_images(calibrate))
    photos = photos[:: max(len(photos) // count, 1)][:count]
    for engine in ("onnx", "openvino"):
        program = quantize_static(onnx.load(exact), read_model_metadata(exact), photos, engine == "openvino")
        onnx.save(program, folder / f"int8-{engine}.onnx")


def time_engines(engines: dict[str, Engine], frames: NDArray[np.uint8], rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds per image of each engine and round, after a round that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(rounds + 1):
        first = number * PER_ROUND % max(len(frames) - PER_ROUND, 1)
        part = frames[first : first + PER_ROUND]
        for name, engine in engines.items():
            began = time.process_time()
            for start in range(0, len(part), BATCH):
                engine.logits(part[start : start + BATCH])
            if number:
                taken[name].append((time.process_time() - began) / len(part) * 1e3)
    return taken


def predict(engine: Engine, metadata: ModelMetadata, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Probabilities (images, classes)."""
    return np.concatenate(
        [
            logits_to_probabilities(metadata.label_schema, engine.logits(frames[start : start + BATCH]))
            for start in range(0, len(frames), BATCH)
        ]
    )


def cascade(
    metadata: ModelMetadata, fast: NDArray[np.float64], exact: NDArray[np.float64], draws: int, approximate: bool
) -> tuple[float, float]:
    """Fractions of images that a cascade recomputes, and of predictions that still differ, over draws of the probes."""
    schema = metadata.label_schema.scored_schema()
    chance = np.random.default_rng(0)
    expected, found = exact.argmax(1), []
    num_probes = NUM_APPROXIMATE_PROBES if approximate else NUM_PROBE_IMAGES
    margin_stds = APPROXIMATE_MARGIN_STDS if approximate else MARGIN_STDS
    for _ in range(draws):
        probes = chance.permutation(len(exact))[:num_probes]
        error = estimate_precision_error(schema, fast[probes], exact[probes], margin_stds=margin_stds)
        if error is None:  # Then all are computed in f32.
            found.append((1.0, 0.0))
            continue
        debiased = error.debias(fast)
        close = error.needs_f32(debiased)
        found.append((close.mean(), (np.where(close, expected, debiased.argmax(1)) != expected).mean()))
    recomputed, changed = np.mean(found, axis=0)
    return recomputed, changed


def read(images: Path, metadata: ModelMetadata) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """All readable images as network inputs, exact and, where they are downscaled, approximate."""
    crop_resize = metadata.preprocessing.crop_resize
    frames, approximate = [], []
    for photo in find_images(images):
        try:
            pixels = decode(photo.path)
        except PhotoError:
            continue
        crop = crop_resize.find_crop(pixels)
        frames.append(crop_resize(pixels, crop))
        nearly = crop_resize.approximate(pixels, crop)
        approximate.append(frames[-1] if nearly is None else nearly)
    return np.stack(frames), np.stack(approximate)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="folder of images to time and compare on")
    parser.add_argument("--calibrate", type=Path, required=True, help="folder of images to calibrate int8 on")
    parser.add_argument("--photos", type=int, default=32, help="images that calibrate")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--draws", type=int, default=40, help="draws of the images that margins are estimated on")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_networks(args.model, args.calibrate, folder, args.photos)
        metadata = read_model_metadata(folder / "f32.onnx")
        engines = {
            name: open_engine(folder / f"{network}.onnx", threads=1, engine=engine)
            for name, (network, engine) in CONTENDERS.items()
        }
        frames, approximate = read(args.images, metadata)
        taken = time_engines(engines, frames, args.rounds)
        tables = {
            name: predict(engine, metadata, approximate if name == APPROXIMATE else frames)
            for name, engine in engines.items()
        }
    size = " x ".join(map(str, metadata.preprocessing.crop_resize.size))
    print(
        f"{args.model.name}, {size}, {len(frames)} images, {args.rounds} rounds, {cpu_isa_level() or 'unknown level'}\n"
    )
    print("| | CPU ms | times f32 | differ from f32 | mean difference | recomputed | differ then |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    exact = tables[REFERENCE]
    differ = partial(np.not_equal, exact.argmax(1))
    for name, rounds in taken.items():
        ratio = statistics.median(one / own for one, own in zip(taken[REFERENCE], rounds, strict=True))
        table = tables[name]
        recomputed, changed = cascade(metadata, table, exact, args.draws, name == APPROXIMATE)
        print(
            f"| {name} | {statistics.median(rounds):.2f} | {ratio:.2f} | {differ(table.argmax(1)).mean():.2%} "
            f"| {np.abs(table - exact).sum(1).mean():.3f} | {recomputed:.1%} | {changed:.3%} |"
        )


if __name__ == "__main__":
    main()

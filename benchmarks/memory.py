"""Peak resident memory of `maskfit predict` for many images against few.

    uv run python benchmarks/memory.py [--model MODEL.onnx] [--few 1000] [--many 100000] [--image-list]

The images are hard links, each with its own name, to a few small synthetic faces. The default network is tiny, because
the network's memory does not depend on the number of images but its time does. `--image-list` reads the names from a
CSV, which is held in memory.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from maskfit.data.image_lists import find_images
from maskfit.synthesis.drawn import write_train_set
from predict import make_model

POLL_SECONDS = 0.05
"""Interval at which the peak is read; the kernel keeps the peak itself, so only the last read counts."""


def link_images(sources: list[Path], folder: Path, count: int) -> Path:
    """Creates hard links to the images, and a list of them beside the folder; returns the folder."""
    folder.mkdir()
    names = [f"{index:07d}{sources[index % len(sources)].suffix}" for index in range(count)]
    for index, name in enumerate(names):
        os.link(sources[index % len(sources)], folder / name)
    folder.with_suffix(".csv").write_text("ImageID\n" + "".join(f"{name}\n" for name in names))
    return folder


def measure_peak(model: Path, images: Path, folder: Path, *options: str) -> tuple[float, float]:
    """Runs `maskfit predict`; returns its peak resident memory in MiB, and its seconds."""
    outputs = ["--out", folder / "s.csv", "--probabilities", folder / "p.csv", "--jsonl", folder / "a.jsonl"]
    command = [sys.executable, "-m", "maskfit", "predict", model, "--images", images, *outputs, "--force", *options]
    began = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        # /proc rather than os.wait4: the command may re-execute itself, and wait4 would include its children.
        try:
            found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            peak = max(peak, int(found[1])) if found else peak
        except OSError:
            pass
        time.sleep(POLL_SECONDS)
    if process.returncode:
        raise SystemExit(f"maskfit predict failed with exit code {process.returncode}")
    return peak / 1024, time.perf_counter() - began


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="ONNX model; default: a tiny network with random weights")
    parser.add_argument("--few", type=int, default=1000, help="number of images of the first run")
    parser.add_argument("--many", type=int, default=100_000, help="number of images of the second run")
    parser.add_argument("--image-list", action="store_true", help="read the image names from a CSV")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = args.model or make_model(folder / "small.safetensors", 0, 56, "small").with_suffix(".onnx")
        drawn = [image.path for image in find_images(write_train_set(folder / "drawn", 4, size=(96, 128)))]
        peaks = []
        for count in (args.few, args.many):
            images = link_images(drawn, folder / f"images{count}", count)
            options = ["--image-list", str(images.with_suffix(".csv"))] if args.image_list else []
            peak, seconds = measure_peak(model, images, folder, *options)
            peaks.append(peak)
            print(f"{count:>9,} images: peak {peak:7.1f} MiB, {seconds:.1f} s", flush=True)
        print(f"ratio of the peaks: {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()

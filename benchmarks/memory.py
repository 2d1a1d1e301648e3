"""Memory of `maskfit predict` for many photos against few: the peak of what is resident.

    uv run python benchmarks/memory.py [--model MODEL.onnx] [--few 1000] [--many 100000] [--listed]

The many are hard links to a few small drawn faces, under names of their own. The network is tiny where none is named,
since its own memory does not grow and its time would; `--listed` takes the photos from a CSV, whose names are held.
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


def link_photos(drawn: list[Path], folder: Path, count: int) -> Path:
    """So many names for the drawn photos, and the list of them beside the folder."""
    folder.mkdir()
    names = [f"{place:07d}{drawn[place % len(drawn)].suffix}" for place in range(count)]
    for place, name in enumerate(names):
        os.link(drawn[place % len(drawn)], folder / name)
    folder.with_suffix(".csv").write_text("ImageID\n" + "".join(f"{name}\n" for name in names))
    return folder


def peak(model: Path, images: Path, folder: Path, *words: str) -> tuple[float, float]:
    """MiB resident at most, and seconds."""
    outputs = ["--out", folder / "s.csv", "--probabilities", folder / "p.csv", "--jsonl", folder / "a.jsonl"]
    command = [sys.executable, "-m", "maskfit", "predict", model, "--images", images, *outputs, "--force", *words]
    began = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        # Of the process itself, which may have started itself anew: os.wait4 would add up nothing else.
        try:
            found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            most = max(most, int(found[1])) if found else most
        except OSError:
            pass
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"the command failed with {process.returncode}")
    return most / 1024, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a .onnx model; a tiny network where left out")
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--listed", action="store_true", help="take the photos from a list")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = given.model or make_model(folder / "small.safetensors", 0, 56, "small").with_suffix(".onnx")
        drawn = [photo.path for photo in find_images(write_train_set(folder / "drawn", 4, size=(96, 128)))]
        found = []
        for count in (given.few, given.many):
            images = link_photos(drawn, folder / f"photos{count}", count)
            words = ["--image-list", str(images.with_suffix(".csv"))] if given.listed else []
            mib, seconds = peak(model, images, folder, *words)
            found.append(mib)
            print(f"{count:>9,} photos: {mib:7.1f} MiB at most, {seconds:.1f} s", flush=True)
        print(f"{found[1] / found[0]:.3f} times as much")


if __name__ == "__main__":
    main()

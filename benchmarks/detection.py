"""Face detection: time of a photo in this source tree and in another one, taking turns photo by photo, with recall.

    git worktree add --detach /tmp/before COMMIT
    uv run python benchmarks/detection.py BOXES.csv --other /tmp/before --detector other=yunet:side=640 \
        --detector yunet:side=640 --detector bundled [--photos 98] [--enlarge 1]

Each detector runs in a process of its own, on one thread, as `FacePredictor` calls it: from pixels to faces. The time
is the processor's, the shortest of three looks at each photo, and the median over photos; work that runs beside it
slows all contenders. Recall is the share of annotated faces of at least 24 pixels that a box overlaps with an IoU of
0.4 or more.
`--enlarge 8` makes a camera's photos of those of 512 pixels. `--list` takes the photos that a file names, one a line.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST_SIDE, LEAST_IOU, LOOKS = 24, 0.4, 3


def work(detector: str, enlarge: int) -> None:
    """Answers each path on standard input with processor seconds and boxes; runs in the child process."""
    from maskfit.inference.detector_choice import parse_detector
    from maskfit.onnx_runtime import import_onnxruntime

    import_onnxruntime()
    crop = parse_detector(detector)
    # Trees before this option always keep faces.
    options = {"keep": False} if "keep" in crop.detect_faces.__code__.co_varnames else {}
    for line in sys.stdin:
        image = Image.open(line.strip()).convert("RGB")
        if enlarge > 1:
            image = image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.BICUBIC)
        pixels = np.array(image)
        seconds = []
        for look in range(LOOKS):
            # Other pixels each time, for a tree that keeps faces by pixels.
            pixels[0, 0, 0] = look
            started = time.thread_time()
            faces = crop.detect_faces(pixels, **options)
            seconds.append(time.thread_time() - started)
        boxes = ";".join(" ".join(f"{edge / enlarge:.2f}" for edge in face.box) for face in faces)
        print(f"{min(seconds)}|{boxes}", flush=True)


def start(name: str, other: Path | None, enlarge: int) -> subprocess.Popen[str]:
    """Starts the process of a contender: `NAME`, or `other=NAME` from the other tree."""
    tree = Path(__file__).parents[1]
    if name.startswith("other="):
        if other is None:
            raise SystemExit(f"{name}: --other names its source tree")
        tree, name = other, name.removeprefix("other=")
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--work", name, "--enlarge", str(enlarge)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(process: subprocess.Popen[str], path: Path) -> tuple[float, NDArray[np.float64]]:
    """Returns the seconds and the boxes (faces, 4) of a photo."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{path}\n")
    process.stdin.flush()
    answer = process.stdout.readline().strip()
    if not answer:
        raise SystemExit("a contender ended; its message is above")
    seconds, boxes = answer.split("|")
    return float(seconds), np.array([box.split() for box in boxes.split(";") if box], float).reshape(-1, 4)


def count_found(boxes: NDArray[np.float64], given: NDArray[np.float64]) -> int:
    """Returns how many of the given boxes some box overlaps."""
    low = np.maximum(boxes[:, None, :2], given[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], given[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(item[:, 2:] - item[:, :2], axis=1) for item in (boxes, given)]
    overlap = shared / (areas[0][:, None] + areas[1] - shared)
    return int((overlap.max(0, initial=0) >= LEAST_IOU).sum())


def main() -> None:
    """Prints a line for each contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("boxes", nargs="?", type=Path, help="CSV: path,xmin,ymin,xmax,ymax; photos beside it")
    parser.add_argument("--other", type=Path, help="another source tree of maskfit")
    parser.add_argument("--detector", action="append", default=[], help="contender, the first is the reference")
    parser.add_argument("--photos", type=int, default=98, help="photos, the first by file name")
    parser.add_argument("--list", type=Path, help="file with the names of the photos to take")
    parser.add_argument("--enlarge", type=int, default=1, help="enlarges each photo so many times")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, args.enlarge)
        return
    if args.boxes is None or not args.detector:
        parser.error("BOXES.csv and --detector are needed")
    given: dict[Path, list[list[float]]] = defaultdict(list)
    with args.boxes.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            edges = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
            large = min(edges[2] - edges[0], edges[3] - edges[1]) >= LEAST_SIDE
            given[args.boxes.parent / row["path"]] += [edges] if large else []
    if args.list:
        names = set(args.list.read_text(encoding="utf-8").split())
        given = {path: boxes for path, boxes in given.items() if path.name in names}
    paths = sorted(given)[: args.photos]
    contenders = {name: start(name, args.other, args.enlarge) for name in args.detector}
    times: dict[str, list[float]] = defaultdict(list)
    results: dict[str, list[Any]] = defaultdict(list)
    for path in paths:
        for name, process in contenders.items():
            seconds, boxes = ask(process, path)
            times[name].append(seconds)
            own = np.array(given[path]).reshape(-1, 4)
            results[name].append((count_found(boxes, own), len(boxes)))
    for process in contenders.values():
        process.communicate()
    total = sum(len(given[path]) for path in paths)
    first = float(np.median(times[args.detector[0]]))
    for name in args.detector:
        middle = float(np.median(times[name]))
        found, boxes = (sum(item[index] for item in results[name]) for index in (0, 1))
        print(
            f"{name}: {middle * 1e3:.2f} ms a photo, {middle / first:.2f} of the first; recall "
            f"{found / total:.3f} of {total} faces, {boxes / len(paths):.2f} boxes a photo"
        )


if __name__ == "__main__":
    main()

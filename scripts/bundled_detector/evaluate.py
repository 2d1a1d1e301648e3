"""Judges face detectors on the street photos that the bundled one was not trained on.

    python scripts/bundled_detector/evaluate.py --scenes street-scenes/scenes.csv \
        --detector bundled --detector yunet --detector yunet:side=640 --detector centerface.onnx

For each detector: recall of the annotated faces of at least 24 pixels (shorter side; IoU of 0.4 or more) and of smaller
and larger ones, found faces that nobody annotated (many are real ones in the background) and how many of them no
teacher saw either, and the time of a photo. All detectors see a photo one after the other, in a turning order, each on
one thread, so that whatever else the machine does slows all of them. With --portraits: on how many of these photos of
one face none, one or more are found.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labels import SAME_FACE_IOU, held_out, overlaps, read_boxes, read_labels
from maskfit.data.crops.face import FaceCrop
from maskfit.data.detectors import load_detector, pin_detector_weights
from maskfit.inference.detector_choice import parse_detector
from maskfit.registry import ComponentSpec

TIMED_PHOTOS = 40
"""Photos that each detector sees three times, of which the shortest time counts."""

LEAST_SIDE = 24
"""Shorter side in pixels of the faces that recall is told of."""


def open_detector(text: str) -> Any:
    """Returns a detector without the cache that would answer the second time from memory."""
    crop: FaceCrop = parse_detector(text)
    spec = ComponentSpec.model_validate(crop.detector)
    return load_detector(spec, pin_detector_weights(spec, crop.weights, crop.sha256)).detector


def judge(found: dict[str, list[np.ndarray]], given: list[np.ndarray], seen: list[np.ndarray]) -> None:
    """Prints the table."""
    sides = [np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) for boxes in given]
    groups = {
        "24 and more": (LEAST_SIDE, 1e9),
        "12 to 24": (12, LEAST_SIDE),
        "24 to 48": (LEAST_SIDE, 48),
        "48 and more": (48, 1e9),
    }
    for name, photos in found.items():
        cells = []
        for group, (low, high) in groups.items():
            hit = total = 0
            for boxes, own, side in zip(photos, given, sides, strict=True):
                chosen = own[(side >= low) & (side < high)]
                hit += int((overlaps(chosen, boxes).max(1) >= SAME_FACE_IOU).sum()) if len(boxes) and len(chosen) else 0
                total += len(chosen)
            cells.append(f"{group} px {hit / max(total, 1):.3f} of {total}")
        extra = [boxes[_apart(boxes, own)] for boxes, own in zip(photos, given, strict=True)]
        unseen = sum(len(boxes[_apart(boxes, other)]) for boxes, other in zip(extra, seen, strict=True)) if seen else 0
        count = len(photos)
        print(f"{name}: {', '.join(cells)}; not annotated {sum(map(len, extra)) / count:.2f} a photo", end="")
        print(f", seen by no teacher {unseen / count:.2f}" if seen else "")


def _apart(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which boxes are none of the others."""
    if not len(boxes) or not len(others):
        return np.ones(len(boxes), bool)
    return overlaps(boxes, others).max(1) < SAME_FACE_IOU


def shortest(seconds: list[float]) -> float:
    """Returns the median over the timed photos of the shortest of three times."""
    return float(np.median(np.array(seconds[: 3 * TIMED_PHOTOS]).reshape(-1, 3).min(1)))


def read_photo(path: Path) -> np.ndarray:
    """Decodes a photo."""
    return np.asarray(Image.open(path).convert("RGB"))


def read_paths(table: Path) -> list[Path]:
    """Returns the column `path` of a CSV."""
    with table.open(encoding="utf-8", newline="") as stream:
        return [table.parent / row["path"] for row in csv.DictReader(stream)]


def write_rows(table: Path, paths: set[Path], out: Path) -> None:
    """Copies the rows of some photos."""
    with table.open(encoding="utf-8", newline="") as source, out.open("w", encoding="utf-8", newline="") as target:
        reader = csv.DictReader(source)
        writer = csv.DictWriter(target, reader.fieldnames or ())
        writer.writeheader()
        writer.writerows(row for row in reader if table.parent / row["path"] in paths)


def main() -> None:
    """Prints scores and times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="CSV of street photos: path,xmin,ymin,xmax,ymax")
    parser.add_argument("--split", default="test", choices=("test", "val"))
    parser.add_argument("--detector", action="append", default=[], help="as for maskfit predict")
    parser.add_argument("--write-rows", type=Path, help="write the judged photos' rows of --scenes, for other commands")
    parser.add_argument("--labels", type=Path, help="labels.jsonl of train.py, for faces that teachers saw")
    parser.add_argument("--portraits", type=Path, help="CSV with a column path: photos of one face")
    args = parser.parse_args()
    boxes = read_boxes(args.scenes)
    splits = held_out(boxes)
    paths = [path for path in boxes if splits[path] == args.split]
    if args.write_rows:
        write_rows(args.scenes, set(paths), args.write_rows)
    if not args.detector:
        return
    detectors = {text: open_detector(text) for text in args.detector}
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for index, path in enumerate(paths):
        photo = read_photo(path)
        names = list(detectors)
        for name in names[index % len(names) :] + names[: index % len(names)]:
            for _ in range(3 if index < TIMED_PHOTOS else 1):
                started = time.perf_counter()
                (faces,) = detectors[name].detect([photo])
                seconds[name].append(time.perf_counter() - started)
            found[name].append(np.array([face.box for face in faces], float).reshape(-1, 4))
    seen = {label.path: label.boxes.astype(float) for label in read_labels(args.labels)} if args.labels else {}
    judge(found, [boxes[path] for path in paths], [seen[path.resolve()] for path in paths] if seen else [])
    first = shortest(seconds[args.detector[0]])
    for name, values in seconds.items():
        best = shortest(values)
        print(f"{name}: {best * 1e3:.1f} ms a photo, {best / first:.2f} times")
    for name, detector in detectors.items() if args.portraits else ():
        counts = np.array([len(detector.detect([read_photo(path)])[0]) for path in read_paths(args.portraits)])
        shares = f"none {np.mean(counts == 0):.3f}, one {np.mean(counts == 1):.3f}, more {np.mean(counts > 1):.3f}"
        print(f"{name}: faces found on {len(counts)} portraits: {shares}")


if __name__ == "__main__":
    main()

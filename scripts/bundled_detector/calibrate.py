"""Gives the scores of an exported detector the weight of the box's size that finds most faces at no more false ones.

    python scripts/bundled_detector/calibrate.py --detector detector/face_detector.onnx --like bundled \
        --scenes street-scenes/scenes.csv --labels detector/labels.jsonl --out face_detector.onnx

A training sees faces of all sizes equally often; in photos most false faces are small. So the logit of a box may rise
with the logarithm of its size. A constant then moves all scores until, at the default score of 0.5, there are no more
faces that neither the data set nor a teacher knows than `--like` finds, on street photos and on portraits; the weight
with which most faces are found is taken. The photos are all street photos but those on which detectors are judged, and
as many portraits. The weight becomes part of the last convolutions, nearly exactly; the network takes no more time.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from evaluate import LEAST_SIDE, open_detector, read_photo
from export import to_onnx
from network import FaceNetwork, start_from, weigh_size

from labels import SAME_FACE_IOU, Label, overlaps, read_boxes, read_labels

LOWEST_SCORE = 0.1
"""Boxes of lower scores are not looked at."""

SMALL, LARGE = (12, LEAST_SIDE - 1e-6), (LEAST_SIDE, np.inf)
"""Shorter sides in pixels of the annotated faces that count."""

WEIGHTS = np.arange(0, 0.31, 0.05)
"""Logits for each unit of a size's logarithm that are tried."""


class Boxes(NamedTuple):
    """What a detector found on photos, without second boxes of a face and faces of unknown or too small ones.

    Attributes:
        logits: (boxes,).
        log_sizes: (boxes,): logarithm of the square root of the box's area in pixels.
        sides: (boxes,): shorter side of the annotated face in pixels; 0 for a false face.
        portrait: (boxes,): whether the photo is a portrait.
    """

    logits: Any
    log_sizes: Any
    sides: Any
    portrait: Any


def collect(detector: str, photos: Sequence[tuple[Any, Label, Any]]) -> Boxes:
    """Returns the boxes of a detector, named as for `maskfit predict`, on photos with labels and annotated boxes."""
    opened = open_detector(f"{detector}:score={LOWEST_SCORE}")
    rows = []
    for pixels, label, given in photos:
        sides = np.minimum(given[:, 2] - given[:, 0], given[:, 3] - given[:, 1])
        known = np.concatenate([given, label.boxes.astype(float)])
        taken = set()
        for box, score, _ in opened.detect([pixels])[0]:
            own = np.array([box])
            near = overlaps(own, given)[0] if len(given) else np.zeros(0)
            best = int(near.argmax()) if len(near) else -1
            size = np.log(np.prod(own[0, 2:] - own[0, :2])) / 2
            if best >= 0 and near[best] >= SAME_FACE_IOU:
                if best not in taken and sides[best] >= SMALL[0]:
                    rows.append((np.log(score / (1 - score)), size, sides[best], label.portrait))
                taken.add(best)
            elif not len(known) or overlaps(own, known).max() < SAME_FACE_IOU:
                rows.append((np.log(score / (1 - score)), size, 0.0, label.portrait))
    return Boxes(*np.array(rows).T)


def calibrate(boxes: Boxes, like: Boxes) -> tuple[float, float]:
    """Returns the weight of the size and the constant with which most faces are found.

    No group of photos has more false faces than with the other detector, and no more of the small faces are missed.
    """
    best = (-1, 0.0, 0.0)
    for weight in WEIGHTS:
        logits = boxes.logits + weight * boxes.log_sizes
        lowest = []
        for portrait in (0, 1):
            allowed = int((select(like, 0, 0, portrait) & (like.logits >= 0)).sum())
            false = np.sort(logits[select(boxes, 0, 0, portrait)])[::-1]
            lowest.append(false[max(allowed - 1, 0) : allowed + 1].mean())
        high = logits >= max(lowest)
        large, small = (int((high & select(boxes, *sides, 0)).sum()) for sides in (LARGE, SMALL))
        if large > best[0] and small >= int((select(like, *SMALL, 0) & (like.logits >= 0)).sum()):
            best = large, float(weight), -float(max(lowest))
    return best[1:]


def select(boxes: Boxes, least: float, most: float, portrait: int) -> Any:
    """Returns which boxes are on portraits or on other photos, on faces of some sides in pixels."""
    return (boxes.sides >= least) & (boxes.sides <= most) & (boxes.portrait == portrait)


def describe(boxes: Boxes, logits: Any) -> str:
    """Returns how many faces and false faces reach the default score."""
    groups = {"large faces": (*LARGE, 0), "small": (*SMALL, 0), "false": (0, 0, 0), "false on portraits": (0, 0, 1)}
    return ", ".join(f"{name} {int(((logits >= 0) & select(boxes, *group)).sum())}" for name, group in groups.items())


def main() -> None:
    """Writes the calibrated file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="CSV of street photos: path,xmin,ymin,xmax,ymax")
    parser.add_argument("--labels", type=Path, required=True, help="labels.jsonl of train.py")
    parser.add_argument("--detector", type=Path, required=True, help="the exported detector")
    parser.add_argument("--like", default="bundled", help="detector with the wanted number of false faces")
    parser.add_argument("--out", type=Path, required=True, help="the calibrated detector")
    args = parser.parse_args()
    given = {path.resolve(): boxes for path, boxes in read_boxes(args.scenes).items()}
    labels = read_labels(args.labels)
    street = [label for label in labels if not label.portrait and label.split != "test"]
    portraits = [label for label in labels if label.portrait]
    portraits = random.Random(1).sample(portraits, min(len(street), len(portraits)))
    photos = [(read_photo(label.path), label, given[label.path.resolve()]) for label in street]
    photos += [(read_photo(label.path), label, label.boxes[label.certain].astype(float)) for label in portraits]
    like = collect(args.like, photos)
    print(f"{args.like}: {describe(like, like.logits)}")
    boxes = collect(str(args.detector), photos)
    print(f"{args.detector}: {describe(boxes, boxes.logits)}")
    weight, shift = calibrate(boxes, like)
    print(f"weight {weight:.3f}, constant {shift:.3f}")
    print(f"as told: {describe(boxes, boxes.logits + weight * boxes.log_sizes + shift)}")
    network = FaceNetwork()
    start_from(network, args.detector)
    weigh_size(network, weight, shift)
    args.out.write_bytes(to_onnx(network))
    boxes = collect(str(args.out), photos)
    print(f"{args.out}: {describe(boxes, boxes.logits)}")


if __name__ == "__main__":
    main()

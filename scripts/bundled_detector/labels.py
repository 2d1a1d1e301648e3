"""Labels of the bundled detector's photos: boxes of the data set, completed by teachers; see `train.py`."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.detectors.interface import Detector, Face, nms

SPLITS = {"test": 100, "val": 50}
"""Street photos held out for judging, and for choosing, less those that the rest has too; the rest trains."""

SAME_PHOTO_BITS = 12
"""Photos are the same if at most so many of the 256 bits of their `difference_hash` differ."""

SAME_FACE_IOU = 0.4
"""Two boxes of at least this overlap are one face."""


class Label(NamedTuple):
    """A photo with its faces.

    Attributes:
        path: The photo.
        split: "train", "val" or "test".
        portrait: Whether the photo shows one face.
        boxes: (faces, 4): left, upper, right, lower.
        landmarks: (faces, 5, 2); not a number where no teacher found the face.
        certain: (faces,): False where it is unknown whether there is a face; neither choice is trained there.
        annotated: (faces,): True for the boxes of the data set.
    """

    path: Path
    split: str
    portrait: bool
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    certain: NDArray[np.bool_]
    annotated: NDArray[np.bool_]


class View(NamedTuple):
    """A way in which a teacher sees a photo.

    Attributes:
        teacher: The detector.
        scale: Enlargement of the photo.
        mirrored: Whether the photo is mirrored.
    """

    teacher: Detector
    scale: float
    mirrored: bool

    def detect(self, photo: Image.Image) -> list[Face]:
        """Returns the faces in the photo's own pixels."""
        size = round(photo.width * self.scale), round(photo.height * self.scale)
        pixels = np.asarray(photo.resize(size, Image.Resampling.BICUBIC) if self.scale != 1 else photo)
        found = self.teacher.detect([pixels[:, ::-1] if self.mirrored else pixels])[0]
        faces = []
        for box, score, points in found:
            x = np.array([box[0], box[2], *(point[0] for point in points or ())])
            y = np.array([box[1], box[3], *(point[1] for point in points or ())])
            x = (size[0] - x if self.mirrored else x) * (photo.width / size[0])
            y = y * (photo.height / size[1])
            order = [1, 0, 3, 2, 4, 6, 5] if self.mirrored and points else [1, 0] if self.mirrored else range(len(x))
            x, y = x[list(order)], y[list(order) if not self.mirrored else [0, 1, *list(order)[2:]]]
            marks = tuple(zip(x[2:].tolist(), y[2:].tolist(), strict=True)) or None
            faces.append(Face((x[0], y[0], x[1], y[1]), score, marks))
        return faces


def held_out(paths: Iterable[Path]) -> dict[Path, str]:
    """Returns the split of each photo: by the hash of its file name, unless it is nearly the same as one in another."""
    order = sorted(paths, key=lambda path: blake2b(path.name.encode(), digest_size=8).digest())
    splits = dict.fromkeys(order, "train")
    first = 0
    for split, count in SPLITS.items():
        splits.update(dict.fromkeys(order[first : first + count], split))
        first += count
    bits = np.array([difference_hash(path) for path in order])
    same = [np.flatnonzero((bits != own).sum(1) <= SAME_PHOTO_BITS).tolist() for own in bits]
    # Again until nothing changes: a photo that is moved may be nearly the same as one that was looked at before.
    while apart := [
        path for path, near in zip(order, same, strict=True) if len({splits[order[index]] for index in near}) > 1
    ]:
        moved = [path for path in apart if splits[path] != "train"]
        splits.update(dict.fromkeys(moved, "train"))
    return splits


def difference_hash(path: Path) -> NDArray[np.bool_]:
    """Returns where a photo of 17 x 16 pixels gets brighter from left to right: 256 bits."""
    small = Image.open(path).convert("L").resize((17, 16), Image.Resampling.BOX)
    return np.diff(np.asarray(small).astype(int), axis=1).ravel() > 0


def overlaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns intersection over union of every pair, (len(one), len(other))."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9))


class Cluster(NamedTuple):
    """The teachers' boxes of one face: how many views saw it, their mean score, box and landmarks."""

    votes: int
    score: float
    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]


def cluster(found: Sequence[Sequence[Face]]) -> list[Cluster]:
    """Joins the faces of all views of a photo."""
    faces = [(view, face) for view, faces in enumerate(found) for face in faces]
    if not faces:
        return []
    boxes = np.array([face.box for _, face in faces], np.float64)
    scores = np.array([face.score for _, face in faces])
    clusters = []
    near = overlaps(boxes, boxes)
    free = np.ones(len(faces), bool)
    for best in nms(boxes, scores, SAME_FACE_IOU):
        members = np.flatnonzero(free & (near[best] >= SAME_FACE_IOU))
        free[members] = False
        weight = scores[members] / scores[members].sum()
        marks = np.array([faces[index][1].landmarks for index in members], np.float64)
        votes = len({faces[index][0] for index in members})
        clusters.append(
            Cluster(
                votes,
                scores[members].sum() / len(found),
                weight @ boxes[members],
                np.einsum("f,fpc->pc", weight, marks),
            )
        )
    return clusters


def label_street(path: Path, split: str, given: NDArray[np.float64], views: Sequence[View]) -> Label:
    """Labels a street photo: annotated boxes, faces on which the teachers agree, and uncertain places."""
    photo = Image.open(path).convert("RGB")
    clusters = cluster([view.detect(photo) for view in views])
    boxes = [*given]
    marks = [np.full((5, 2), np.nan) for _ in given]
    certain, annotated = [True] * len(given), [True] * len(given)
    for item in sorted(clusters, key=lambda item: -item.score):
        near = overlaps(item.box[None], np.array(boxes))[0] if boxes else np.zeros(0)
        if len(near) and near.max() >= SAME_FACE_IOU:
            match = int(near.argmax())
            if np.isnan(marks[match]).any():
                marks[match] = item.landmarks
                if annotated[match]:
                    boxes[match] = (boxes[match] + item.box) / 2
            continue
        seen = item.votes >= len(views) / 2 and item.score >= 0.4
        if not seen and item.votes < 2 and item.score < 0.5 / len(views):
            continue
        boxes.append(item.box)
        marks.append(item.landmarks)
        certain.append(seen)
        annotated.append(False)
    return pack(path, split, False, boxes, marks, certain, annotated)


def label_portrait(path: Path, views: Sequence[View]) -> Label | None:
    """Labels a portrait; None where the teachers do not agree on its face."""
    photo = Image.open(path).convert("RGB")
    clusters = cluster([view.detect(photo) for view in views])
    clusters = sorted(clusters, key=lambda item: -np.prod(item.box[2:] - item.box[:2]) * item.score)
    if not clusters or clusters[0].votes < len(views) or clusters[0].score < 0.6:
        return None
    count = len(clusters)
    return pack(
        path,
        "train",
        True,
        [item.box for item in clusters],
        [item.landmarks for item in clusters],
        [True] + [False] * (count - 1),
        [False] * count,
    )


def pack(
    path: Path,
    split: str,
    portrait: bool,
    boxes: list[Any],
    marks: list[Any],
    certain: list[bool],
    annotated: list[bool],
) -> Label:
    """Builds a label of lists."""
    return Label(
        path,
        split,
        portrait,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(marks, np.float32).reshape(-1, 5, 2),
        np.array(certain, bool),
        np.array(annotated, bool),
    )


def read_boxes(scenes: Path) -> dict[Path, NDArray[np.float64]]:
    """Reads `path,xmin,ymin,xmax,ymax,...`."""
    boxes: dict[Path, list[list[float]]] = defaultdict(list)
    with scenes.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            boxes[scenes.parent / row["path"]].append([float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")])
    return {path: np.array(found) for path, found in boxes.items()}


def label_photos(scenes: Path, portraits: Sequence[Path], views: Sequence[View], out: Path, threads: int) -> None:
    """Writes the labels of street photos and portraits; does nothing if the file is there."""
    if out.is_file():
        return
    given = read_boxes(scenes)
    splits = held_out(given)
    with ThreadPoolExecutor(threads) as pool:
        street = list(pool.map(lambda item: label_street(item[0], splits[item[0]], item[1], views), given.items()))
        print(f"street photos: {len(street)}, faces {sum(len(label.boxes) for label in street)}", flush=True)
        # Portraits are easy: two views are enough.
        easy = [view for view in views if view.scale == 1 and not view.mirrored]
        near = [label for label in pool.map(lambda path: label_portrait(path, easy), portraits) if label]
    print(f"portraits: {len(near)} of {len(portraits)}", flush=True)
    with out.with_suffix(".part").open("w", encoding="utf-8") as stream:
        for label in [*street, *near]:
            row = {
                key: value.tolist() if isinstance(value, np.ndarray) else value
                for key, value in label._asdict().items()
            }
            stream.write(json.dumps(row | {"path": str(label.path.resolve())}) + "\n")
    out.with_suffix(".part").replace(out)


def read_labels(path: Path) -> list[Label]:
    """Reads the result of `label_photos`."""
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    return [
        pack(
            Path(row["path"]),
            row["split"],
            row["portrait"],
            *(row[key] for key in ("boxes", "landmarks", "certain", "annotated")),
        )
        for row in rows
    ]

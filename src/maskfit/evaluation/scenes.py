"""Scores of face detection and face prediction together, on photos whose faces are boxed and labeled.

A found box and a true one match where their intersection over union reaches a threshold; each matches at most once, the
best pairs first. A true face without a match is missed: it is a false negative of its value in the scores over all
faces, and takes no part in those over found faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.labels.schema import UNKNOWN, IntArray, LabelSchema

BoxArray = NDArray[np.float64]
"""Left, upper, right, lower, (boxes, 4)."""

SIZE_EDGES = (0.0, 12.0, 24.0, 32.0, 48.0, 96.0, float("inf"))
"""Edges of the bins of face sizes, in pixels of the shorter side."""

NOT_FOUND = -1
"""In `SceneMatch.found`: no detected face matches."""


@dataclass(frozen=True)
class SceneMatch:
    """The faces of one photo.

    Attributes:
        truth: Boxes of the true faces, (faces, 4).
        labels: Their value of each attribute, (faces, attributes); `UNKNOWN` where it is not known.
        boxes: Boxes of the detected faces, (detected, 4).
        predictions: Their value of each attribute, (detected, attributes).
        found: Position of the detected face that matches each true one, (faces,); `NOT_FOUND` where none does.
        sure: Whether the model is sure of each prediction, (detected, attributes); None where it always is.
    """

    truth: BoxArray
    labels: IntArray
    boxes: BoxArray
    predictions: IntArray
    found: IntArray
    sure: NDArray[np.bool_] | None = None

    def counted(self, min_side: float) -> NDArray[np.bool_]:
        """Returns which true faces count: those whose shorter side has at least `min_side` pixels."""
        return np.asarray(shorter_sides(self.truth) >= min_side)

    def false_faces(self, min_side: float) -> NDArray[np.int64]:
        """Returns the detected faces of at least `min_side` pixels that match no true face of any size."""
        unmatched = np.ones(len(self.boxes), dtype=np.bool_)
        unmatched[self.found[self.found != NOT_FOUND]] = False
        return np.flatnonzero(unmatched & (shorter_sides(self.boxes) >= min_side))

    def wrong(self, min_side: float, attribute: int) -> NDArray[np.int64]:
        """Returns the true faces that count, are found, and whose attribute is predicted wrongly."""
        known = self.counted(min_side) & (self.found != NOT_FOUND) & (self.labels[:, attribute] != UNKNOWN)
        indices = np.flatnonzero(known)
        is_wrong = self.labels[indices, attribute] != self.predictions[self.found[indices], attribute]
        return np.asarray(indices[is_wrong])

    def missed(self, min_side: float) -> NDArray[np.int64]:
        """Returns the true faces that count and are not found."""
        return np.flatnonzero(self.counted(min_side) & (self.found == NOT_FOUND))


def shorter_sides(boxes: BoxArray) -> NDArray[np.float64]:
    """Computes the shorter side of boxes.

    Args:
        boxes: (boxes, 4).

    Returns:
        (boxes,), in pixels.
    """
    return np.asarray(np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))


def intersection_over_union(first: BoxArray, second: BoxArray) -> NDArray[np.float64]:
    """Computes the intersection over union of every pair of boxes.

    Args:
        first: (n, 4).
        second: (m, 4).

    Returns:
        (n, m), in 0 to 1.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def match_boxes(truth: BoxArray, boxes: BoxArray, iou_threshold: float) -> IntArray:
    """Matches detected boxes with true ones, the best pairs first; each box matches at most once.

    Args:
        truth: True boxes, (faces, 4).
        boxes: Detected boxes, (detected, 4).
        iou_threshold: Intersection over union that a match needs, in (0, 1].

    Returns:
        Position of the detected box of each true one, (faces,); `NOT_FOUND` where none matches.
    """
    found = np.full(len(truth), NOT_FOUND, dtype=np.int64)
    overlap = intersection_over_union(truth, boxes)
    taken: set[int] = set()
    for pair in np.argsort(-overlap, axis=None, kind="stable").tolist():
        face, box = divmod(pair, len(boxes))
        if overlap[face, box] < iou_threshold:
            break
        if found[face] == NOT_FOUND and box not in taken:
            found[face] = box
            taken.add(box)
    return found


@dataclass(frozen=True)
class SceneValueScore:
    """Scores of one value of an attribute.

    Attributes:
        name: The value for people.
        faces: True faces of the value.
        found: How many of them are found.
        f1_found: F1 over the found faces.
        f1_all: F1 over all faces; a missed one is a false negative.
    """

    name: str
    faces: int
    found: int
    f1_found: float
    f1_all: float


@dataclass(frozen=True)
class SceneAttributeScore:
    """Scores of one attribute, over the faces whose value is known.

    Attributes:
        name: Name of the attribute.
        faces: Number of these faces.
        accuracy_found: Fraction predicted correctly of those that are found.
        macro_f1_found: Mean F1 of the values that are in the truth, over found faces.
        macro_f1_all: The same over all faces.
        values: Scores of each value, in the order of the codes.
        answered: Fraction of the found faces of which the model is sure; the scores above are of all.
        accuracy_answered: Fraction predicted correctly of those of which it is sure; None for none.
        confusion: (values, values + 1): true value by predicted value; the last column counts missed faces.
    """

    name: str
    faces: int
    accuracy_found: float
    macro_f1_found: float
    macro_f1_all: float
    values: tuple[SceneValueScore, ...]
    confusion: IntArray
    answered: float
    accuracy_answered: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores as JSON values."""
        return {
            "faces": self.faces,
            "accuracy_found": self.accuracy_found,
            "answered": self.answered,
            "accuracy_answered": self.accuracy_answered,
            "macro_f1_found": self.macro_f1_found,
            "macro_f1_all": self.macro_f1_all,
            "values": [asdict(item) for item in self.values],
            "confusion": self.confusion.tolist(),
        }


@dataclass(frozen=True)
class SceneScores:
    """Scores over photos with several faces.

    Attributes:
        photos: Number of photos.
        faces: True faces that count.
        small_faces: True faces that are too small to count.
        found: Faces that count and are found.
        false_faces: Detected faces that match no true one and are large enough to count.
        by_size: (low, high, faces, found) for each bin of sizes, also below the smallest that counts.
        attributes: Scores of each attribute with labels.
        min_side: Pixels of the shorter side from which on a face counts.
        iou_threshold: Intersection over union of a match.
    """

    photos: int
    faces: int
    small_faces: int
    found: int
    false_faces: int
    by_size: tuple[tuple[float, float, int, int], ...]
    attributes: tuple[SceneAttributeScore, ...]
    min_side: float
    iou_threshold: float

    @property
    def recall(self) -> float:
        """Fraction of the faces that count which are found."""
        return self.found / self.faces if self.faces else 0.0

    @property
    def false_per_photo(self) -> float:
        """False faces per photo."""
        return self.false_faces / self.photos if self.photos else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores as JSON values."""
        return {
            "photos": self.photos,
            "faces": self.faces,
            "small_faces": self.small_faces,
            "found": self.found,
            "recall": self.recall,
            "false_faces": self.false_faces,
            "false_per_photo": self.false_per_photo,
            "by_size": [
                {"from": low, "to": None if high == float("inf") else high, "faces": faces, "found": found}
                for low, high, faces, found in self.by_size
            ],
            "attributes": {item.name: item.to_dict() for item in self.attributes},
            "min_face": self.min_side,
            "iou": self.iou_threshold,
        }


def score_scenes(
    matches: Sequence[SceneMatch], schema: LabelSchema, *, min_side: float, iou_threshold: float
) -> SceneScores:
    """Scores the matched faces of photos.

    Args:
        matches: The photos.
        schema: The label schema of labels and predictions.
        min_side: Pixels of the shorter side from which on a face counts, >= 0.
        iou_threshold: The threshold of the matches, which is recorded.

    Returns:
        The scores.
    """
    sides = np.concatenate([np.zeros(0), *(shorter_sides(match.truth) for match in matches)])
    is_found = np.concatenate([np.zeros(0, np.bool_), *(match.found != NOT_FOUND for match in matches)])
    counted = sides >= min_side
    edges = sorted({*SIZE_EDGES, float(min_side)})
    by_size = []
    for low, high in pairwise(edges):
        inside = (sides >= low) & (sides < high)
        by_size.append((low, high, int(inside.sum()), int((inside & is_found).sum())))
    return SceneScores(
        photos=len(matches),
        faces=int(counted.sum()),
        small_faces=int((~counted).sum()),
        found=int((counted & is_found).sum()),
        false_faces=sum(len(match.false_faces(min_side)) for match in matches),
        by_size=tuple(by_size),
        attributes=tuple(
            score
            for column in range(len(schema.names))
            if (score := _score_attribute(matches, schema, column, min_side)).faces
        ),
        min_side=min_side,
        iou_threshold=iou_threshold,
    )


def _score_attribute(
    matches: Sequence[SceneMatch], schema: LabelSchema, column: int, min_side: float
) -> SceneAttributeScore:
    attribute = schema.attributes[column]
    size = len(attribute.values)
    confusion = np.zeros((size, size + 1), dtype=np.int64)
    num_sure = num_sure_right = 0
    for match in matches:
        for face in np.flatnonzero(match.counted(min_side) & (match.labels[:, column] != UNKNOWN)).tolist():
            place = int(match.found[face])
            predicted = size if place == NOT_FOUND else int(match.predictions[place, column])
            confusion[match.labels[face, column], predicted] += 1
            if place != NOT_FOUND and (match.sure is None or match.sure[place, column]):
                num_sure += 1
                num_sure_right += int(match.labels[face, column] == predicted)
    hits = np.diagonal(confusion)
    predicted = confusion[:, :size].sum(axis=0)
    found, faces = confusion[:, :size].sum(axis=1), confusion.sum(axis=1)
    f1_found, f1_all = (
        np.divide(2 * hits, total, out=np.zeros(size), where=total > 0)
        for total in (predicted + found, predicted + faces)
    )
    # A value that is neither in the truth nor predicted takes no part, as in the scores of portraits.
    present_found, present_all = (predicted + found) > 0, (predicted + faces) > 0
    return SceneAttributeScore(
        name=attribute.name,
        faces=int(faces.sum()),
        accuracy_found=float(hits.sum() / found.sum()) if found.sum() else 0.0,
        macro_f1_found=float(f1_found[present_found].mean()) if present_found.any() else 0.0,
        macro_f1_all=float(f1_all[present_all].mean()) if present_all.any() else 0.0,
        values=tuple(
            SceneValueScore(
                attribute.display_name(index),
                int(faces[index]),
                int(found[index]),
                float(f1_found[index]),
                float(f1_all[index]),
            )
            for index in range(size)
        ),
        confusion=confusion,
        answered=num_sure / int(found.sum()) if found.sum() else 0.0,
        accuracy_answered=num_sure_right / num_sure if num_sure else None,
    )

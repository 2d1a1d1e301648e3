"""The drop-one curve of an ensemble: what is left of its score when its least useful members are left out.

Members are dropped one after the other, each time the one whose absence costs least. Where labels are known, the order
of the persons of a fold is found on the other folds' persons, so that the scores are of persons that it was not fitted
on. Without labels the curve shows how many photos keep the class that all members together give them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError
from maskfit.evaluation.metrics import ClassCounts
from maskfit.file_io import write_csv
from maskfit.labels.schema import UNKNOWN, FloatArray, IntArray

ENOUGH = 0.99
"""Part of the full ensemble's score that a smaller one must reach."""

MACRO_F1, AGREEMENT = "macro F1", "agreement"
"""What a curve measures."""

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class DropOneCurve:
    """A drop-one curve.

    Attributes:
        measure: `MACRO_F1` or `AGREEMENT`.
        dropped: Members in the order in which they are dropped, as found on all photos.
        kept: The members that are left at the end, the one that matters most last.
        scores: Score by number of members: of all of them first.
        sizes: The numbers of members, falling.
    """

    measure: str
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    scores: tuple[float, ...]
    sizes: tuple[int, ...]

    @property
    def enough(self) -> int:
        """Smallest number of members from which on every number reaches `ENOUGH` of the full score."""
        needed = ENOUGH * self.scores[0]
        found = self.sizes[0]
        for size, score in zip(self.sizes, self.scores, strict=True):
            if score < needed:
                break
            found = size
        return found

    def to_dict(self) -> dict[str, Any]:
        """Converts to JSON types.

        Returns:
            All attributes, and `enough`.
        """
        return {**{key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()}, "enough": self.enough}

    def describe(self) -> str:
        """Describes the curve.

        Returns:
            Such as "8 of 20 members give 99 % of the macro F1 of all".
        """
        part, members = f"{ENOUGH:.0%}".replace("%", " %"), f"{self.enough} of {self.sizes[0]} members"
        if self.measure == AGREEMENT:
            return f"{members} give {part} of the photos the same class as all of them"
        return f"{members} give {part} of the macro F1 of all"


def drop_one_curve(
    names: Sequence[str],
    members: FloatArray,
    available: BoolArray,
    truth: IntArray | None,
    nested_folds: IntArray | None = None,
) -> DropOneCurve:
    """Drops members one by one from the mean of their probabilities.

    A member that predicts only some of the photos, such as those of its fold, is left only if another one predicts them
    too.

    Args:
        names: The members' names.
        members: Probabilities (members, photos, classes); any value where a member does not predict a photo.
        available: (members, photos), whether a member predicts a photo; every photo has one.
        truth: (photos,) class indices, `UNKNOWN` where there is no label; None measures the agreement with all members.
        nested_folds: (photos,) folds of persons for labels; with them each fold's order is found on the others.

    Returns:
        The curve.

    Raises:
        DataError: A photo is predicted by no member.
    """
    if not available.any(axis=0).all():
        raise DataError("a photo is predicted by no member")
    members = np.where(available[:, :, None], members, 0.0)
    if truth is None:
        target = members.sum(axis=0).argmax(axis=1)
        order, classes = _drop(members, available, lambda found: float((found == target).mean()))
        scores = tuple(float((found == target).mean()) for found in classes)
        return _curve(AGREEMENT, names, order, scores)
    known = truth != UNKNOWN
    members, available, truth = members[:, known], available[:, known], truth[known]
    num_classes = members.shape[2]
    order, classes = _drop(members, available, _macro_f1(truth, num_classes))
    if nested_folds is not None:
        folds = nested_folds[known]
        nested = np.empty_like(np.stack(classes))
        for fold in np.unique(folds):
            inside = folds == fold
            other_order, _ = _drop(members[:, ~inside], available[:, ~inside], _macro_f1(truth[~inside], num_classes))
            nested[:, inside] = _classes_along(members[:, inside], available[:, inside], other_order, len(classes))
        classes = list(nested)
    score = _macro_f1(truth, num_classes)
    return _curve(MACRO_F1, names, order, tuple(score(found) for found in classes))


def write_curves(path: Path, curves: dict[str, DropOneCurve]) -> Path:
    """Writes curves as CSV: `photos,measure,members,score,dropped`, a row for each number of members.

    Args:
        path: The file.
        curves: By the photos that they are of.

    Returns:
        The path.
    """
    rows = [
        (photos, curve.measure, size, f"{score:.6f}", dropped)
        for photos, curve in curves.items()
        for size, score, dropped in zip(curve.sizes, curve.scores, ("", *curve.dropped), strict=True)
    ]
    return write_csv(path, ("photos", "measure", "members", "score", "dropped"), rows)


def _curve(measure: str, names: Sequence[str], order: Sequence[int], scores: tuple[float, ...]) -> DropOneCurve:
    kept = [name for index, name in enumerate(names) if index not in order]
    sizes = tuple(range(len(names), len(names) - len(order) - 1, -1))
    return DropOneCurve(measure, tuple(names[index] for index in order), tuple(kept), scores, sizes)


def _drop(
    members: FloatArray, available: BoolArray, score: Callable[[IntArray], float]
) -> tuple[list[int], list[IntArray]]:
    """The order in which members are dropped, and the classes of the photos before the first and after each."""
    total, count = members.sum(axis=0), available.sum(axis=0)
    left = list(range(len(members)))
    order: list[int] = []
    classes = [total.argmax(axis=1)]
    while True:
        candidates = [index for index in left if not (available[index] & (count == 1)).any()]
        if len(left) < 2 or not candidates:
            return order, classes
        # Of equally useless members the last one goes, which is the lower rank and the later view.
        best = max(candidates, key=lambda index: (score((total - members[index]).argmax(axis=1)), index))
        total, count = total - members[best], count - available[best]
        left.remove(best)
        order.append(best)
        classes.append(total.argmax(axis=1))


def _classes_along(members: FloatArray, available: BoolArray, order: Sequence[int], count: int) -> IntArray:
    """(count, photos) the classes as members are dropped in an order; a photo's last member always stays."""
    total, left = members.sum(axis=0), available.sum(axis=0)
    rows = [total.argmax(axis=1)]
    for index in order[: count - 1]:
        drops = available[index] & (left > 1)
        total = total - members[index] * drops[:, None]
        left = left - drops
        rows.append(total.argmax(axis=1))
    return np.stack([*rows, *[rows[-1]] * (count - len(rows))])


def _macro_f1(truth: IntArray, num_classes: int) -> Callable[[IntArray], float]:
    support = np.bincount(truth, minlength=num_classes).astype(np.float64)

    def score(found: IntArray) -> float:
        hits = np.bincount(truth[found == truth], minlength=num_classes).astype(np.float64)
        predicted = np.bincount(found, minlength=num_classes).astype(np.float64)
        return float(ClassCounts(hits, support, predicted).macro_f1())

    return score

"""Tests of the scores on scenes, against figures counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskfit.evaluation.scenes import (
    NOT_FOUND,
    SceneMatch,
    intersection_over_union,
    match_boxes,
    score_scenes,
)
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN

SCHEMA = LABEL_SCHEMAS["mask"]
WEAR, WRONG, BARE = 0, 1, 2


def boxes(*edges: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(edges, dtype=np.float64).reshape(-1, 4)


def make_match(truth, labels, found_boxes, predictions, threshold=0.4) -> SceneMatch:
    truth, found_boxes = boxes(*truth), boxes(*found_boxes)
    return SceneMatch(
        truth,
        np.array(labels, dtype=np.int64).reshape(-1, 1),
        found_boxes,
        np.array(predictions, dtype=np.int64).reshape(-1, 1),
        match_boxes(truth, found_boxes, threshold),
    )


def test_intersection_over_union():
    first = boxes((0, 0, 10, 10), (20, 20, 30, 30))
    second = boxes((0, 0, 10, 10), (5, 0, 15, 10), (100, 100, 110, 110), (3, 3, 3, 3))
    np.testing.assert_allclose(intersection_over_union(first, second), [[1, 50 / 150, 0, 0], [0, 0, 0, 0]])


def test_the_best_pairs_match_first_and_each_box_once():
    truth = boxes((0, 0, 10, 10), (4, 0, 14, 10))
    # The first detected box overlaps both true ones, the second one better.
    assert match_boxes(truth, boxes((3, 0, 13, 10)), 0.4).tolist() == [NOT_FOUND, 0]
    assert match_boxes(truth, boxes((3, 0, 13, 10), (0, 0, 10, 9)), 0.4).tolist() == [1, 0]
    assert match_boxes(truth, boxes((0, 0, 10, 10), (0, 0, 10, 9)), 0.4).tolist() == [0, NOT_FOUND]
    assert match_boxes(truth, boxes(), 0.4).tolist() == [NOT_FOUND, NOT_FOUND]
    assert match_boxes(boxes(), truth, 0.4).tolist() == []


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, 0), (0.51, NOT_FOUND)])
def test_a_match_needs_the_threshold(threshold, expected):
    assert match_boxes(boxes((0, 0, 10, 10)), boxes((0, 0, 10, 5)), threshold).tolist() == [expected]


def test_scores_of_two_photos_counted_by_hand():
    first = make_match(
        [(0, 0, 30, 30), (40, 0, 70, 30), (80, 0, 110, 30), (120, 0, 130, 40)],
        [WEAR, BARE, WEAR, WEAR],
        # The third face is missed; the fourth is too small to count, but its detection is not false.
        [(0, 0, 30, 30), (40, 0, 70, 30), (120, 0, 130, 40), (200, 200, 240, 240), (300, 0, 310, 10)],
        [WEAR, WEAR, BARE, BARE, BARE],
    )
    second = make_match([(0, 0, 100, 100), (200, 0, 300, 100)], [BARE, UNKNOWN], [(0, 0, 100, 100)], [BARE])
    scores = score_scenes([first, second], SCHEMA, min_side=24, iou_threshold=0.4)
    assert (scores.photos, scores.faces, scores.small_faces, scores.found, scores.false_faces) == (2, 5, 1, 3, 1)
    assert (scores.recall, scores.false_per_photo) == (0.6, 0.5)
    assert [(low, faces, found) for low, _, faces, found in scores.by_size if faces] == [
        (0, 1, 1),
        (24, 3, 2),
        (96, 2, 1),
    ]
    (mask,) = scores.attributes
    assert mask.confusion.tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 1, 0]]
    assert mask.faces == 4
    assert mask.accuracy_found == pytest.approx(2 / 3)
    # worn: 1 hit of 2 predicted, 1 found of 2; not worn: 1 hit of 1 predicted, of 2.
    assert [item.f1_found for item in mask.values] == pytest.approx([2 / 3, 0, 2 / 3])
    assert [item.f1_all for item in mask.values] == pytest.approx([2 / 4, 0, 2 / 3])
    # Nobody wears it wrongly and nobody is predicted to, so that value takes no part.
    assert mask.macro_f1_found == pytest.approx(2 / 3)
    assert mask.macro_f1_all == pytest.approx((0.5 + 2 / 3) / 2)
    record = scores.to_dict()
    assert record["attributes"]["mask"]["values"][0] == {
        "name": "worn", "faces": 2, "found": 1, "f1_found": pytest.approx(2 / 3), "f1_all": 0.5,
    }  # fmt: skip
    assert record["by_size"][-1]["to"] is None


def test_every_face_counts_without_a_minimum():
    match = make_match([(0, 0, 10, 10)], [WEAR], [(0, 0, 10, 10), (50, 0, 55, 5)], [WEAR, WEAR])
    scores = score_scenes([match], SCHEMA, min_side=0, iou_threshold=0.4)
    assert (scores.faces, scores.small_faces, scores.recall, scores.false_faces) == (1, 0, 1.0, 1)


def test_photos_without_a_detected_face():
    match = make_match([(0, 0, 30, 30)], [WEAR], [], [])
    scores = score_scenes([match], SCHEMA, min_side=24, iou_threshold=0.4)
    (mask,) = scores.attributes
    assert (scores.recall, mask.macro_f1_found, mask.macro_f1_all, mask.accuracy_found) == (0, 0, 0, 0)


def test_how_often_the_model_is_sure_is_counted_over_found_faces():
    faces = [(0, 0, 30, 30), (40, 0, 70, 30), (80, 0, 110, 30)]
    match = make_match([*faces, (200, 0, 240, 40)], [WEAR, BARE, WEAR, WEAR], faces, [WEAR, WEAR, WEAR])
    match = replace(match, sure=np.array([[True], [True], [False]]))
    (mask,) = score_scenes([match], SCHEMA, min_side=24, iou_threshold=0.4).attributes
    assert (mask.answered, mask.accuracy_answered) == (pytest.approx(2 / 3), 0.5)
    (always,) = score_scenes([replace(match, sure=None)], SCHEMA, min_side=24, iou_threshold=0.4).attributes
    assert (always.answered, always.accuracy_answered) == (1.0, pytest.approx(2 / 3))

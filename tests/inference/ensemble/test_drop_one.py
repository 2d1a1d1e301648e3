"""The drop-one curve, against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from maskfit.errors import DataError
from maskfit.inference.ensemble.drop_one import AGREEMENT, MACRO_F1, DropOneCurve, drop_one_curve, write_curves

NAMES = ("a", "b", "c", "d", "e")


def made(seed: int = 0, photos: int = 60, classes: int = 4):
    """Members of falling quality, the last one always wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, photos)
    members = []
    for strength in (3.0, 2.0, 1.0, 0.5, -3.0):
        logits = rng.normal(size=(photos, classes)) + strength * np.eye(classes)[truth]
        members.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    return np.stack(members), truth


def macro_f1(truth, found):
    return f1_score(truth, found, average="macro", labels=range(4), zero_division=0)


def test_members_are_dropped_as_a_plain_search_drops_them() -> None:
    members, truth = made()
    curve = drop_one_curve(NAMES, members, np.ones((5, 60), dtype=bool), truth)
    left = list(range(5))
    expected, order = [macro_f1(truth, members.mean(axis=0).argmax(axis=1))], []
    while len(left) > 1:
        options = {
            index: macro_f1(truth, members[[other for other in left if other != index]].mean(axis=0).argmax(axis=1))
            for index in left
        }
        best = max(left, key=lambda index: (options[index], index))
        left.remove(best)
        order.append(NAMES[best])
        expected.append(options[best])
    assert curve.measure == MACRO_F1
    assert curve.dropped == tuple(order)
    assert curve.dropped[0] == "e"
    assert curve.scores == pytest.approx(expected)
    assert curve.sizes == (5, 4, 3, 2, 1)
    assert curve.kept == (NAMES[left[0]],)


def test_without_labels_the_agreement_with_all_members_counts() -> None:
    members, _ = made(1)
    curve = drop_one_curve(NAMES, members, np.ones((5, 60), dtype=bool), None)
    assert curve.measure == AGREEMENT
    assert curve.scores[0] == 1
    everyone = members.mean(axis=0).argmax(axis=1)
    left = [index for index, name in enumerate(NAMES) if name not in curve.dropped[:2]]
    assert curve.scores[2] == pytest.approx((members[left].mean(axis=0).argmax(axis=1) == everyone).mean())


def test_the_last_member_that_predicts_a_photo_stays() -> None:
    """Two folds of two members each: one of each fold is left, and each photo is voted on by its own fold."""
    members, truth = made(2)
    available = np.zeros((4, 60), dtype=bool)
    available[:2, :30] = available[2:, 30:] = True
    curve = drop_one_curve(NAMES[:4], members[:4], available, truth)
    assert curve.sizes == (4, 3, 2)
    assert len({"a", "b"} & set(curve.kept)) == 1
    assert len({"c", "d"} & set(curve.kept)) == 1
    halves = np.concatenate([members[:2, :30].mean(axis=0), members[2:4, 30:].mean(axis=0)])
    assert curve.scores[0] == pytest.approx(macro_f1(truth, halves.argmax(axis=1)))
    with pytest.raises(DataError, match="no member"):
        drop_one_curve(NAMES[:2], members[:2], available[:2], truth)


def test_a_nested_curve_scores_persons_that_the_order_was_not_found_on() -> None:
    members, truth = made(3, photos=40)
    folds = np.arange(40) % 4
    everywhere = np.ones((5, 40), dtype=bool)
    nested = drop_one_curve(NAMES, members, everywhere, truth, folds)
    found = np.empty((5, 40), dtype=int)
    for fold in range(4):
        inside = folds == fold
        order = drop_one_curve(NAMES, members[:, ~inside], everywhere[:, ~inside], truth[~inside]).dropped
        for count in range(5):
            left = [index for index, name in enumerate(NAMES) if name not in order[:count]]
            found[count, inside] = members[left][:, inside].mean(axis=0).argmax(axis=1)
    assert nested.scores == pytest.approx([macro_f1(truth, classes) for classes in found])
    assert nested.dropped == drop_one_curve(NAMES, members, everywhere, truth).dropped


def test_enough_is_where_every_larger_ensemble_is_good_too(tmp_path) -> None:
    curve = DropOneCurve(MACRO_F1, ("d", "c", "b"), ("a",), (0.8, 0.799, 0.7, 0.81), (4, 3, 2, 1))
    assert curve.enough == 3
    assert curve.describe() == "3 of 4 members give 99 % of the macro F1 of all"
    assert curve.to_dict()["enough"] == 3
    text = write_curves(tmp_path / "c.csv", {"held-out": curve}).read_text().splitlines()
    assert text[:2] == ["photos,measure,members,score,dropped", "held-out,macro F1,4,0.800000,"]
    assert text[2] == "held-out,macro F1,3,0.799000,d"

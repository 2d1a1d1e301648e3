"""Thresholds of alarms against a slow reference: every threshold tried on every photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskfit.errors import DataError
from maskfit.evaluation.operating_points import choose_threshold, measure_alarms, operating_curve

PHOTOS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({deserved for _, deserved in rows}) == 2
)
LIMITS = st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0])


def split(rows):
    return np.array([value / 20 for value, _ in rows]), np.array([deserved for _, deserved in rows])


def try_all(probability, deserved):
    """(threshold, recall, false positive rate) of each distinct probability."""
    return [
        (value, (probability >= value)[deserved].mean(), (probability >= value)[~deserved].mean())
        for value in sorted(set(probability.tolist()), reverse=True)
    ]


@given(PHOTOS)
def test_the_curve_counts_what_reaches_each_probability(rows):
    probability, deserved = split(rows)
    curve = operating_curve(probability, deserved)
    expected = try_all(probability, deserved)
    assert curve.threshold.tolist() == [value for value, _, _ in expected]
    np.testing.assert_allclose(curve.caught / deserved.sum(), [recall for _, recall, _ in expected])
    np.testing.assert_allclose(curve.false_alarms / (~deserved).sum(), [rate for _, _, rate in expected])


@given(PHOTOS, LIMITS)
def test_a_limit_of_false_alarms_is_kept_and_no_threshold_catches_more(rows, limit):
    probability, deserved = split(rows)
    threshold = choose_threshold(operating_curve(probability, deserved), max_false_alarms=limit)
    allowed = [item for item in try_all(probability, deserved) if item[2] <= limit + 1e-9]
    best = max((recall for _, recall, _ in allowed), default=0)
    if threshold is None:
        assert best == 0
        return
    alarms = probability >= threshold
    assert alarms[~deserved].mean() <= limit + 1e-9
    assert alarms[deserved].mean() == pytest.approx(best)
    assert alarms[~deserved].mean() == pytest.approx(min(rate for _, recall, rate in allowed if recall == best))


@given(PHOTOS, st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_as_much_as_asked_is_caught_with_the_fewest_false_alarms(rows, limit):
    probability, deserved = split(rows)
    threshold = choose_threshold(operating_curve(probability, deserved), min_caught=limit)
    alarms = probability >= threshold
    fewest = min(rate for _, recall, rate in try_all(probability, deserved) if recall >= limit - 1e-9)
    assert alarms[deserved].mean() >= limit - 1e-9
    assert alarms[~deserved].mean() == pytest.approx(fewest)


def test_a_threshold_has_few_decimals_and_lies_between_probabilities():
    curve = operating_curve([0.91234, 0.40001, 0.4], [True, True, False])
    assert choose_threshold(curve, min_caught=0.5) == 0.66
    threshold = choose_threshold(curve, min_caught=1)
    assert 0.4 < threshold <= 0.40001
    assert len(f"{threshold:g}") <= len("0.400005")


def test_no_threshold_where_the_most_probable_alarm_is_false():
    curve = operating_curve([0.9, 0.8], [False, True])
    assert choose_threshold(curve, max_false_alarms=0.5) is None
    assert choose_threshold(curve, max_false_alarms=1) == pytest.approx(0.4)


def test_alarms_are_measured_with_intervals_over_persons():
    alarms = [True, True, False, True, False, False]
    deserved = [True, True, True, False, False, False]
    point = measure_alarms(alarms, deserved, list("aabbcc"), 0.5)
    assert (point.num_caught, point.num_false) == (2, 1)
    assert point.caught.value == pytest.approx(2 / 3)
    assert point.false_alarms.value == pytest.approx(1 / 3)
    assert point.right is not None
    assert point.right.value == pytest.approx(2 / 3)
    assert point.caught.low <= 0.5 < point.caught.high
    assert measure_alarms([False] * 6, deserved, list("aabbcc")).right is None


@pytest.mark.parametrize("deserved", [[True, True], [False, False]])
def test_photos_of_both_kinds_are_needed(deserved):
    with pytest.raises(DataError, match="photos that deserve an alarm and photos that do not"):
        measure_alarms([True, False], deserved, ["a", "b"])

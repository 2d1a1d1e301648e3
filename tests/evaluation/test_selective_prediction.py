"""Reliability bins, risk-coverage curves and thresholds against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.evaluation.selective_prediction import equal_mass_bins, lowest_threshold, risk_coverage


def test_a_threshold_that_nothing_reaches_is_one_and_a_needless_one_is_zero():
    sure = np.array([0.9, 0.8, 0.7, 0.6])
    assert lowest_threshold(sure, np.zeros(4, bool), accuracy=0.5) == 1.0
    assert lowest_threshold(sure, np.ones(4, bool), accuracy=1.0) == 0.0
    assert lowest_threshold(sure, np.array([True, True, False, True]), accuracy=0.75) == 0.0
    assert lowest_threshold(sure, np.array([True, True, False, False]), accuracy=0.9) == 0.8
    assert lowest_threshold(sure, np.array([True, True, False, False]), coverage=0.75) == 0.7
    # Equal answers are kept or given up together.
    assert lowest_threshold(np.array([0.9, 0.9, 0.5]), np.array([True, False, True]), accuracy=0.9) == 1.0


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.2, 0.4, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=30))
def test_risk_and_coverage_by_counting(answers):
    confidence, right = np.array([a for a, _ in answers]), np.array([b for _, b in answers])
    curve = risk_coverage(confidence, right)
    assert curve.threshold.tolist() == sorted(set(confidence.tolist()), reverse=True)
    for threshold, coverage, risk in zip(*curve, strict=True):
        kept = confidence >= threshold
        assert coverage == pytest.approx(kept.mean())
        assert risk == pytest.approx(1 - right[kept].mean())
    assert curve.coverage[-1] == 1
    assert curve.area() == pytest.approx(
        sum(r * (c - b) for c, b, r in zip(curve.coverage, [0, *curve.coverage[:-1]], curve.risk, strict=True))
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20), st.randoms())
def test_bins_of_equal_mass_hold_every_photo_once_in_any_order(answers, bins, random):
    confidence, right = np.array([a for a, _ in answers]), np.array([b for _, b in answers])
    found = equal_mass_bins(confidence, right, bins)
    assert found.photos.sum() == len(answers)
    assert (found.photos > 0).all()
    assert (np.diff(found.confidence) > 0).all()
    assert (found.photos * found.accuracy).sum() == pytest.approx(right.sum())
    if len(set(confidence.tolist())) == len(answers):
        assert np.ptp(found.photos) <= 1
    order = list(range(len(answers)))
    random.shuffle(order)
    assert equal_mass_bins(confidence[order], right[order], bins).error() == pytest.approx(found.error())


def test_the_error_of_equal_mass_by_hand():
    found = equal_mass_bins([0.5, 0.6, 0.9, 1.0], [True, False, True, True], bins=2)
    assert found.photos.tolist() == [2, 2]
    assert found.error() == pytest.approx(0.5 * abs(0.55 - 0.5) + 0.5 * abs(0.95 - 1.0))

"""Verdicts of differences compared with simulation and with the textbook."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskfit.evaluation.bootstrap import Interval, proportion_interval
from maskfit.report.verdict import POWER, judge_difference


@pytest.mark.parametrize(
    ("low", "value", "high", "word"),
    [
        (0.01, 0.02, 0.03, "better"),
        (-0.03, -0.02, -0.01, "worse"),
        (-0.01, 0.02, 0.05, "not settled"),
        (-0.05, 0.0, 0.05, "not settled"),
        (0.0, 0.0, 0.0, "not settled"),
    ],
)
def test_the_word_follows_the_interval(low, value, high, word):
    assert judge_difference(Interval(value, low, high), 100).word == word


def test_that_many_persons_show_the_difference_four_times_of_five():
    """A slow independent reference: many studies of the size that is named, each with its own interval."""
    generator = np.random.default_rng(0)
    small = generator.normal(0.05, 0.3, size=60)
    needed = judge_difference(
        Interval(0.05, 0.05 - 1.96 * 0.3 / math.sqrt(60), 0.05 + 1.96 * 0.3 / math.sqrt(60)), 60
    ).persons_needed
    assert needed == pytest.approx((1.96 + 0.8416) ** 2 * 0.3**2 / 0.05**2, rel=0.01)
    shown = 0
    for _ in range(200):
        study = generator.normal(0.05, 0.3, size=needed)
        interval = proportion_interval(study, np.ones(needed), np.arange(needed), draws=200)
        shown += interval.low > 0
    assert shown / 200 == pytest.approx(POWER, abs=0.1)
    assert len(small) < needed


@given(
    value=st.floats(-0.5, 0.5).filter(lambda value: abs(value) > 1e-3),
    half=st.floats(1e-3, 0.5),
    persons=st.integers(2, 10_000),
)
def test_a_wider_interval_needs_more_persons_and_the_sign_does_not_matter(value, half, persons):
    needed = judge_difference(Interval(value, value - half, value + half), persons).persons_needed
    mirrored = judge_difference(Interval(-value, -value - half, -value + half), persons).persons_needed
    wider = judge_difference(Interval(value, value - 2 * half, value + 2 * half), persons).persons_needed
    assert needed == mirrored
    assert wider >= needed >= 2


def test_no_difference_names_no_number():
    assert judge_difference(Interval(0.0, -0.1, 0.1), 50).persons_needed is None

"""Smoothing compared with an explicit weighted mean, and debounced states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.apps.video.temporal_smoothing import MIN_PROBABILITY, Debouncer, ExponentialSmoother

SURE, OTHER = np.array([0.98, 0.01, 0.01]), np.array([0.01, 0.01, 0.98])


def reference_mean(times: list[float], rows: list[np.ndarray], seconds: float) -> np.ndarray:
    """The weighted mean of all log-probabilities at the last time, written out."""
    weights = [np.exp(-(times[-1] - time) / seconds) for time in times]
    total = sum(weight * np.log(np.maximum(row, MIN_PROBABILITY)) for weight, row in zip(weights, rows, strict=True))
    mean = np.exp(total / sum(weights))
    return mean / mean.sum()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 0.7), st.lists(st.floats(0, 1), min_size=3, max_size=3)), min_size=1, max_size=20
    ),
    st.floats(0.1, 2),
)
def test_smoothing_equals_the_explicit_weighted_mean(steps, seconds):
    smoother, times, rows = ExponentialSmoother(seconds), [], []
    for step, values in steps:
        times.append((times[-1] if times else 0.0) + step)
        rows.append((np.array(values) + 1e-6) / (sum(values) + 3e-6))
        smoothed = smoother.update(times[-1], {"mask": rows[-1], "gender": rows[-1][::-1]})
    assert smoothed["mask"] == pytest.approx(reference_mean(times, rows, seconds), abs=1e-9)
    assert smoothed["gender"] == pytest.approx(smoothed["mask"][::-1], abs=1e-9)
    assert smoothed["mask"].sum() == pytest.approx(1)


def test_a_time_constant_of_0_uses_each_frame_alone():
    smoother = ExponentialSmoother(0.0)
    smoother.update(0.0, {"mask": SURE})
    assert smoother.update(0.1, {"mask": OTHER})["mask"] == pytest.approx(OTHER)


def test_one_overconfident_frame_does_not_outweigh_a_second():
    smoother = ExponentialSmoother(0.5)
    for place in range(25):
        smoother.update(place / 25, {"mask": SURE})
    assert smoother.update(1.0, {"mask": np.array([0, 0, 1.0])})["mask"].argmax() == 0


def change_seen(rate: float, kept: float, seed: int = 0) -> float:
    """Returns when a change at 2.0 s is detected, given a frame rate and the fraction of frames kept."""
    generator = np.random.default_rng(seed)
    smoother, debouncer = ExponentialSmoother(0.5), Debouncer(0.5)
    for place in range(int(5 * rate)):
        time = place / rate
        if generator.random() > kept:
            continue
        probabilities = smoother.update(time, {"mask": SURE if time < 2 else OTHER})["mask"]
        changed = debouncer.update(time, str(probabilities.argmax()) if probabilities.max() > 0.6 else None)
        if changed and debouncer.state == "2":
            return time
    raise AssertionError("never")


def test_dropped_frames_barely_delay_a_change():
    whole = change_seen(30, 1.0)
    assert 2.5 < whole < 3.1
    for seed in range(5):
        assert change_seen(30, 0.3, seed) == pytest.approx(whole, abs=0.3)
    assert change_seen(8, 1.0) == pytest.approx(whole, abs=0.3)


def test_a_state_must_be_observed_without_interruption():
    debouncer = Debouncer(0.5)
    seen = [(0.0, "a"), (0.4, "a"), (0.5, "a"), (0.6, "b"), (0.9, "b"), (1.0, None), (1.1, "b"), (1.5, "b"), (1.6, "b")]
    assert [debouncer.update(time, state) for time, state in seen] == [False, False, True, *[False] * 5, True]
    assert (debouncer.state, debouncer.since) == ("b", 1.1)


def test_returning_to_the_old_state_resets_the_candidate():
    debouncer = Debouncer(0.3)
    for time, state in [(0.0, "a"), (0.3, "a"), (0.4, "b"), (0.6, "a"), (0.7, "b"), (0.9, "b")]:
        assert debouncer.update(time, state) == (time == 0.3)
    assert debouncer.update(1.0, "b")
    assert debouncer.since == 0.7


def test_a_minimum_of_0_seconds_changes_at_once():
    debouncer = Debouncer(0.0)
    assert [debouncer.update(0.0, "a"), debouncer.update(0.1, "b"), debouncer.update(0.2, None)] == [True, True, False]
    assert debouncer.state == "b"


def test_a_state_that_stays_unlikely_is_withdrawn():
    debouncer = Debouncer(0.5)
    debouncer.update(0.0, "a")
    assert debouncer.update(0.5, "a")
    unlikely = [(1.0, True), (1.4, True), (1.45, False), (1.5, True), (1.9, True), (2.0, True), (3.0, True)]
    assert [debouncer.update(time, None, low) for time, low in unlikely] == [*[False] * 5, True, False]
    assert (debouncer.state, debouncer.since) == (None, 1.5)


def test_a_clear_change_is_one_change_and_not_a_withdrawal_first():
    debouncer = Debouncer(0.5)
    debouncer.update(0.0, "a")
    debouncer.update(0.5, "a")
    seen = [(1.0, None), (1.2, "b"), (1.5, "b"), (1.6, "b"), (1.7, "b")]
    assert [debouncer.update(time, state, True) for time, state in seen] == [False, False, False, False, True]
    assert (debouncer.state, debouncer.since) == ("b", 1.2)


def test_values_that_alternate_do_not_keep_an_unlikely_state():
    debouncer = Debouncer(0.5)
    debouncer.update(0.0, "a")
    debouncer.update(0.5, "a")
    changes = [debouncer.update(1 + place / 10, "bc"[place % 2], True) for place in range(30)]
    assert changes.index(True) == 10
    assert sum(changes) == 1
    assert (debouncer.state, debouncer.since) == (None, 1.0)

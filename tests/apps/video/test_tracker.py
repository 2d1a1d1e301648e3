"""Tracks keep their ids across motion, occlusion and gaps, and no two boxes share one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.apps.video.tracker import Track, Tracker, _costs

STEP = 0.04


def box(x: float, y: float = 100, side: float = 40) -> tuple[float, float, float, float]:
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def follow(tracker: Tracker, frames: list[list[tuple[float, ...]]], step: float = STEP) -> list[list[int]]:
    """Returns the track ids of the boxes of each frame."""
    return [[track.track_id for track in tracker.update(place * step, boxes)[0]] for place, boxes in enumerate(frames)]


def test_a_track_gets_an_id_after_min_hits_and_keeps_it():
    numbers = follow(Tracker(min_hits=3), [[box(50 + 3 * place)] for place in range(20)])
    assert numbers == [[0], [0]] + [[1]] * 18


def test_a_single_false_detection_gets_no_id():
    tracker = Tracker(min_hits=3)
    frames = [[box(50), *([box(300)] if place == 5 else [])] for place in range(40)]
    numbers = follow(tracker, frames)
    assert max(number for row in numbers for number in row) == 1
    assert len(tracker.tracks) == 1


@pytest.mark.parametrize("speed", [60, 250, 500])
def test_crossing_persons_keep_their_ids_even_while_one_hides_the_other(speed):
    frames = []
    for place in range(60):
        x = speed * (place - 30) * STEP
        # The second is a little lower; while they overlap by half the detector sees only the first.
        hidden = abs(2 * x) < 20
        frames.append([box(400 + x), *([] if hidden else [box(400 - x, 106)])])
    numbers = follow(Tracker(), frames)
    assert numbers[5] == [1, 2]
    assert numbers[-1] == [1, 2]


def test_a_short_gap_keeps_the_id_and_a_long_one_does_not():
    for missed, expected in ((10, 1), (40, 2)):
        frames = [[box(50 + 2 * place)] if not 20 <= place < 20 + missed else [] for place in range(80)]
        assert follow(Tracker(max_unseen_seconds=1.0), frames)[-1] == [expected]


def test_a_moving_person_is_matched_at_the_predicted_position():
    frames = [[box(50 + 8 * place)] if not 20 <= place < 30 else [] for place in range(40)]
    assert follow(Tracker(), frames)[-1] == [1]


def test_a_track_ends_once_after_max_unseen_seconds():
    tracker = Tracker(min_hits=2, max_unseen_seconds=0.5)
    all_ended = []
    for place in range(60):
        _, ended = tracker.update(place * STEP, [box(50)] if place < 10 else [])
        all_ended += [(place, track) for track in ended]
    ((place, track),) = all_ended
    assert track.last_seen == pytest.approx(9 * STEP)
    assert 0.5 < place * STEP - track.last_seen <= 0.5 + 2 * STEP
    assert tracker.tracks == []


def test_a_jump_in_position_or_size_is_another_track():
    for other in (box(400), box(52, side=100)):
        tracker = Tracker(min_hits=1)
        assert follow(tracker, [[box(50)]] * 5 + [[other]])[-1] == [2]


def test_a_low_frame_rate_ends_no_visible_track():
    assert follow(Tracker(min_hits=2, max_unseen_seconds=0.5), [[box(50)]] * 6, step=1.0)[1:] == [[1]] * 5


def test_a_long_gap_without_frames_ends_all_tracks():
    tracker = Tracker(min_hits=1, max_unseen_seconds=1.0)
    tracker.update(0.0, [box(50)])
    seen, ended = tracker.update(60.0, [box(50)])
    assert [track.track_id for track in ended] == [1]
    assert [track.track_id for track in seen] == [2]


def test_a_confirmed_track_is_matched_before_a_tentative_one():
    tracker = Tracker(min_hits=3)
    follow(tracker, [[box(50)]] * 5)
    tracker.update(5 * STEP, [box(50), box(75)])
    seen, _ = tracker.update(6 * STEP, [box(62)])
    assert [track.track_id for track in seen] == [1]


def test_a_new_person_who_hides_another_is_not_taken_for_that_one():
    """Five frames a second: the one who walks to the left is hidden by one who comes from there, seen only twice."""
    tracker = Tracker(min_hits=3, max_unseen_seconds=2.0)
    frames = [[box(320 - 20 * place)] for place in range(8)]
    frames += [[box(160), box(72)], [box(140), box(92)], [box(112)], [box(132)], [box(152), box(60)]]
    assert follow(tracker, frames, step=0.2)[-1] == [2, 1]


def test_the_velocity_is_independent_of_the_frame_rate():
    for step in (0.02, 0.04, 0.1):
        track = Track(box(0), 0.0, 0.0)
        for place in range(1, 30):
            track.update(place * step, box(100 * place * step, 100 - 50 * place * step))
        assert track.velocity == pytest.approx((100, -50))
        assert track.predict(29 * step + 0.2) == pytest.approx(
            box(100 * (29 * step + 0.2), 100 - 50 * (29 * step + 0.2))
        )
        assert track.predict(1e9) == track.predict(29 * step + 0.5)


def reference_cost(one: tuple[float, ...], other: tuple[float, ...], unseen: float) -> float:
    """Computes one matching cost with scalars, as a reference."""
    wide = max(min(one[2], other[2]) - max(one[0], other[0]), 0)
    high = max(min(one[3], other[3]) - max(one[1], other[1]), 0)
    areas = [(item[2] - item[0]) * (item[3] - item[1]) for item in (one, other)]
    overlap = wide * high / (sum(areas) - wide * high)
    middles = [((item[0] + item[2]) / 2, (item[1] + item[3]) / 2) for item in (one, other)]
    apart = ((middles[0][0] - middles[1][0]) ** 2 + (middles[0][1] - middles[1][1]) ** 2) ** 0.5
    distance = apart / (areas[0] * areas[1]) ** 0.25
    growth = abs(np.log(areas[0] / areas[1])) / 2
    if (overlap < 0.1 and distance > min(0.6 + unseen, 1.6)) or growth > np.log(2):
        return np.inf
    return distance + 1 - overlap + growth


BOXES = st.lists(st.builds(box, st.floats(0, 300), st.floats(0, 200), st.floats(15, 80)), min_size=0, max_size=6)


@settings(max_examples=60, deadline=None)
@given(BOXES.filter(bool), BOXES.filter(bool), st.floats(0, 2))
def test_costs_equal_the_scalar_reference(some, others, unseen):
    costs = _costs(np.array(some), np.array(others), np.full(len(some), unseen))
    assert costs == pytest.approx(np.array([[reference_cost(one, other, unseen) for other in others] for one in some]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(BOXES, st.floats(0.01, 1.5)), max_size=25), st.integers(1, 4))
def test_no_two_boxes_of_a_frame_share_a_track_and_no_id_is_reused(frames, hits):
    tracker = Tracker(min_hits=hits)
    time, over, most = 0.0, set(), 0
    for boxes, step in frames:
        time += step
        seen, ended = tracker.update(time, boxes)
        assert len({id(track) for track in seen}) == len(boxes)
        assert [track.box for track in seen] == boxes
        over |= {track.track_id for track in ended}
        numbers = [track.track_id for track in tracker.tracks if track.track_id]
        assert len(set(numbers)) == len(numbers)
        assert not set(numbers) & over
        assert all(0 <= track.last_seen <= time for track in tracker.tracks)
        fresh = [number for number in sorted(numbers) if number > most]
        assert fresh == list(range(most + 1, most + 1 + len(fresh)))
        most = max([most, *numbers])


def test_tracks_compare_by_identity():
    track = Track(box(50), 0.0, 0.0)
    assert track != replace(track)

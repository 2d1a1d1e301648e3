"""Events from predictions per frame, and their rows, text, counts and annotations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from maskfit.apps.video.event_detector import Event, EventDetector, EventThresholds
from maskfit.apps.video.event_writer import EventFormatter, MinuteCounter
from maskfit.apps.video.frame_annotation import blur, draw, visible_boxes
from maskfit.data.boxes import CropBox
from maskfit.data.detectors import Face
from maskfit.errors import DataError
from maskfit.inference.annotation import ABSTAIN_COLOR, VALUE_COLORS
from maskfit.inference.face_prediction import FacePrediction
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema

SCHEME = LABEL_SCHEMAS["mask-gender"]
STATES = ("wear", "incorrect", "not_wear")
STEP = 0.1
BOX = (50.0, 50.0, 90.0, 100.0)


def answer(state: str | None, box=BOX, sure: float = 0.96) -> FacePrediction:
    """Returns a face in a state, or in an uncertain one."""
    shares = np.full(3, 1 / 3) if state is None else np.full(3, (1 - sure) / 2)
    if state is not None:
        shares[STATES.index(state)] = sure
    rows = SCHEME.joint_probabilities({"mask": shares[None], "gender": np.array([[0.2, 0.8]])})
    return FacePrediction((), rows[0], Face(box, 0.9), CropBox(box))


def live(detector: EventDetector, states: list[str | None], start: int = 0) -> list[Event]:
    """Runs one person with a state per frame, "-" where unseen."""
    events = []
    for place, state in enumerate(states, start):
        events += detector.update(place, place * STEP, [] if state == "-" else [answer(state)])
    return events


def make_detector(**changes: float) -> EventDetector:
    return EventDetector(
        SCHEME,
        {},
        EventThresholds(**{"smoothing_seconds": 0.2, "min_state_seconds": 0.5, "max_unseen_seconds": 1.0, **changes}),
    )


def test_a_person_appears_changes_and_leaves():
    events = live(make_detector(), ["wear"] * 20 + ["not_wear"] * 20 + ["-"] * 15)
    assert [(event.event, event.state, event.previous) for event in events] == [
        ("appeared", "wear", None),
        ("changed", "not_wear", "wear"),
        ("left", "not_wear", None),
    ]
    appeared, changed, left = events
    assert (appeared.since, appeared.time) == (0.0, pytest.approx(0.5))
    assert 2.0 <= changed.since <= 2.3
    assert changed.time == pytest.approx(changed.since + 0.5)
    assert (left.since, left.frame) == (pytest.approx(3.9), 50)
    assert {event.person for event in events} == {1}
    assert left.predictions[1].value == "female"


def test_an_attribute_of_a_small_face_is_not_sure_in_a_film():
    far, near = ((50.0, 50.0, 50.0 + width, 120.0) for width in (49, 50))
    detector = EventDetector(SCHEME, {}, EventThresholds(), min_face={"gender": 50})
    sure = []
    for place, box in enumerate([far, near]):
        detector.update(place, place * STEP, [answer("wear", box)])
        (person,) = detector._persons.values()
        sure.append([item.is_confident for item in person.predictions])
    assert sure == [[True, False], [True, True]]


def test_a_short_change_is_no_event():
    for spell in (1, 4):
        events = live(make_detector(), ["wear"] * 20 + ["not_wear"] * spell + ["wear"] * 20)
        assert [event.event for event in events] == ["appeared"]


def test_a_state_that_stays_unlikely_is_withdrawn_and_reported():
    events = live(make_detector(), ["wear"] * 20 + [None] * 20 + ["not_wear"] * 20 + [None] * 3)
    assert [(event.event, event.state, event.previous) for event in events] == [
        ("appeared", "wear", None),
        ("changed", None, "wear"),
        ("changed", "not_wear", None),
    ]
    withdrawn = events[1]
    assert withdrawn.time == pytest.approx(withdrawn.since + 0.5)
    assert 2.0 <= withdrawn.since <= 2.4
    row = EventFormatter(SCHEME).to_row(withdrawn)
    assert (row["event"], row["mask"], row["previous"]) == ("changed", "not sure", "wear")
    assert "person 1 changed: not sure (" in EventFormatter(SCHEME).to_text(withdrawn)


def test_a_state_is_kept_while_it_is_the_likeliest_even_below_its_threshold():
    detector = EventDetector(SCHEME, {"mask": 0.9}, EventThresholds(smoothing_seconds=0.2))
    live(detector, ["wear"] * 20)
    events = [
        event for place in range(20, 60) for event in detector.update(place, place * STEP, [answer("wear", sure=0.6)])
    ]
    assert events == []
    assert [event.state for event in detector.flush()] == ["wear"]


def test_a_low_threshold_does_not_withdraw_what_it_admits():
    detector = EventDetector(SCHEME, {}, EventThresholds(smoothing_seconds=0.2, min_confidence=0.4))
    events = [
        event for place in range(60) for event in detector.update(place, place * STEP, [answer("wear", sure=0.45)])
    ]
    assert [(event.event, event.state) for event in events] == [("appeared", "wear")]


def test_an_uncertain_person_appears_without_a_state():
    events = live(make_detector(), [None] * 30 + ["incorrect"] * 20)
    assert [(event.event, event.state, event.previous) for event in events] == [
        ("appeared", None, None),
        ("changed", "incorrect", None),
    ]
    assert events[0].time == pytest.approx(2.0)
    assert not events[0].predictions[0].is_confident


def test_a_person_who_leaves_early_still_appeared():
    events = live(make_detector(), ["wear"] * 4 + ["-"] * 15)
    assert [event.event for event in events] == ["appeared", "left"]


def test_the_higher_of_both_confidence_thresholds_counts():
    detector = EventDetector(SCHEME, {"mask": 0.97}, EventThresholds(smoothing_seconds=0.2))
    assert [event.state for event in live(detector, ["wear"] * 30)] == [None]


def test_flush_ends_the_persons_who_are_still_there():
    detector = make_detector()
    live(detector, ["wear"] * 20)
    assert [(event.event, event.state) for event in detector.flush()] == [("ended", "wear")]


def test_the_debounced_state_is_displayed():
    detector = make_detector()
    live(detector, ["wear"] * 20 + ["not_wear"] * 3)
    (person,) = detector.persons
    assert person.predictions[0].value == "not_wear"
    prediction = detector.current_states(person)[0]
    assert (prediction.value, prediction.display_name, prediction.is_confident) == ("wear", "worn", True)
    assert prediction.probability == person.predictions[0].probabilities["wear"] < 0.5
    (mark,) = visible_boxes(detector, 2.2, (160, 200))
    assert (mark.color, mark.number, mark.label, mark.is_confident) == (VALUE_COLORS[0], 1, "worn?", True)
    (event,) = detector.flush()
    formatter = EventFormatter(SCHEME)
    assert ": worn?, " in formatter.to_text(event)
    assert (formatter.to_row(event)["mask"], formatter.to_row(event)["doubtful"]) == ("wear", True)
    assert dict(zip(formatter.columns, formatter.to_cells(event), strict=True))["doubtful"] == "yes"
    assert mark.box == pytest.approx((50 / 200, 50 / 160, 90 / 200, 100 / 160))


def test_without_a_mask_the_first_attribute_is_the_state():
    detector = EventDetector(LABEL_SCHEMAS["gender-age"], {}, EventThresholds(smoothing_seconds=0.2))
    rows = LABEL_SCHEMAS["gender-age"].joint_probabilities(
        {"gender": np.array([[0.9, 0.1]]), "age": np.array([[0.1, 0.8, 0.1]])}
    )
    events = [
        event
        for place in range(10)
        for event in detector.update(place, place * STEP, [FacePrediction((), rows[0], Face(BOX, 0.9), CropBox(BOX))])
    ]
    assert [event.state for event in events] == ["male"]
    fields = EventFormatter(detector.schema).to_row(events[0])
    assert (fields["gender"], fields["age"]) == ("male", "30-59")


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_state_seconds": -1},
        {"max_unseen_seconds": 1e9},
        {"min_confidence": 1.5},
        {"min_hits": 0},
        {"smoothing_seconds": float("nan")},
    ],
)
def test_thresholds_out_of_range_are_rejected(wrong):
    with pytest.raises(DataError):
        EventThresholds(**wrong)


# Formatting


def an_event(**changes: object) -> Event:
    (event,) = live(make_detector(), ["wear"] * 10)
    return Event(**{**vars(event), **changes})


def test_a_row_has_its_columns_in_order():
    for began in (None, datetime(2026, 5, 1, 8, 30, tzinfo=UTC)):
        formatter = EventFormatter(SCHEME, began)
        fields = formatter.to_row(an_event(event="changed", previous="incorrect", state="wear"))
        assert tuple(fields) == formatter.columns
        assert (fields["mask"], fields["previous"], fields["gender"]) == ("wear", "incorrect", "female")
        assert (fields["left"], fields["lower"]) == (50.0, 100.0)
    assert fields["clock"] == "2026-05-01T08:30:00.500+00:00"


@pytest.mark.parametrize("hours", [26, -3])
def test_times_of_day_follow_a_clock_that_is_set(hours):
    began = datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
    formatter = EventFormatter(SCHEME, began)
    # The times of a stream and its arrivals part by up to two seconds, which is no change of the clock.
    assert formatter.follow_clock(60, began + timedelta(seconds=62)) == ""
    assert formatter.clock(60) == "2026-05-01T08:31:00.000+00:00"
    note = formatter.follow_clock(61, began + timedelta(seconds=61, hours=hours))
    assert f"set {'forward' if hours > 0 else 'back'} by {abs(hours) * 3600:,} seconds" in note
    assert formatter.clock(62) == (began + timedelta(seconds=62, hours=hours)).isoformat(timespec="milliseconds")
    assert formatter.follow_clock(62, began + timedelta(seconds=62, hours=hours)) == ""
    assert EventFormatter(SCHEME).follow_clock(1, began) == EventFormatter(SCHEME, began).follow_clock(1, None) == ""


def test_to_text():
    event = an_event(time=83.26)
    assert EventFormatter(SCHEME).to_text(event) == "01:23.3  person 1 appeared: worn 96%, female 80%"
    assert (
        EventFormatter(SCHEME, datetime(2026, 5, 1, 8, 30, tzinfo=UTC)).to_text(event).startswith("08:31:23  person 1")
    )


def test_every_minute_is_counted():
    detector, counts, rows = make_detector(max_unseen_seconds=0.5), MinuteCounter(EventFormatter(SCHEME)), []
    # There in the first minute, changing; nobody in the second; another, of whom nothing is known, in the third.
    script = {
        **dict.fromkeys(range(20), "wear"),
        **dict.fromkeys(range(20, 40), "not_wear"),
        **dict.fromkeys(range(1250, 1280), None),
    }
    for place in range(1300):
        faces = [answer(script[place])] if place in script else []
        rows += counts.update(place * STEP, detector, detector.update(place, place * STEP, faces))
    rows += counts.flush()
    assert counts.columns == ("minute", "people", *STATES, "not_sure", "changes")
    assert rows == [[0, 1, 0, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 0], [2, 1, 0, 0, 0, 1, 0]]


# Drawing


def test_a_box_has_the_color_of_the_state_and_is_gray_without_one():
    for frames, color in ((3, ABSTAIN_COLOR), (20, VALUE_COLORS[1])):
        detector = make_detector()
        live(detector, ["incorrect"] * frames)
        photo = np.full((160, 200, 3), 200, dtype=np.uint8)
        before = photo.copy()
        drawn = draw(photo, detector, (frames - 1) * STEP)
        assert (photo == before).all()
        assert (drawn[60:95, 48:52] == color.background).all(-1).any(1).mean() > (
            0.9 if color is not ABSTAIN_COLOR else 0.4
        )
        assert tuple(drawn[75, 70]) == (200, 200, 200)


def test_unseen_persons_and_those_outside_the_frame_are_not_drawn():
    detector = make_detector()
    live(detector, ["wear"] * 20)
    assert len(visible_boxes(detector, 2.1, (160, 200))) == 1
    assert visible_boxes(detector, 2.5, (160, 200)) == []
    assert visible_boxes(detector, 2.1, (160, 40)) == []


def test_blur_pixelates_faces_and_nothing_else():
    photo = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    hidden = blur(photo, [(60, 40, 90, 76), (-50, -50, -10, -10), (150, 100, 170, 130)])
    assert len(np.unique(hidden[40:76, 60:90].reshape(-1, 3), axis=0)) <= 64
    assert (hidden[:, :50] == photo[:, :50]).all()
    assert not (hidden[110:, 150:] == photo[110:, 150:]).all()


def test_columns_are_unique_for_every_label_schema():
    for scheme in LABEL_SCHEMAS.values():
        assert isinstance(scheme, LabelSchema)
        columns = EventFormatter(scheme).columns
        assert len(set(columns)) == len(columns)

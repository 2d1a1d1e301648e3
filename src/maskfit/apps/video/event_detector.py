"""Detects events from per-frame predictions: who appears, changes the mask, or leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from maskfit.apps.video.temporal_smoothing import Debouncer, ExponentialSmoother
from maskfit.apps.video.tracker import Track, Tracker
from maskfit.calibration import WeightMap
from maskfit.data.boxes import Box
from maskfit.errors import DataError
from maskfit.inference.decisions import AttributePrediction, abstain_on_small_face, decide
from maskfit.inference.face_prediction import FacePrediction
from maskfit.labels.schema import MASK, LabelSchema

EventType = Literal["appeared", "changed", "left", "ended", "stopped"]

LIKELY_FROM = 0.5
"""Below this probability the other values together are more likely. A state that was once certain is kept down to it,
so that one near its threshold does not flicker."""

STEADY_FROM = 0.7
"""Probability from which a state is far from being unlikely."""

UNDECIDED_FACTOR = 4
"""After this many times `min_state_seconds` a person whose state is still uncertain is reported all the same."""


@dataclass(frozen=True)
class EventThresholds:
    """Durations and confidence that an event requires.

    Attributes:
        min_state_seconds: Seconds for which a new state must be observed, or the current one be unlikely until it is
            withdrawn, in [0, 60].
        smoothing_seconds: Time constant of the smoothing of probabilities in seconds, in [0, 60].
        max_unseen_seconds: Seconds unseen after which a person has left, in [0, 3600].
        min_hits: Frames in which a person must be detected to count, 1 or more.
        min_confidence: Probability that a state needs, in [0, 1], unless the model's threshold is higher.

    Raises:
        DataError: A value is out of range.
    """

    min_state_seconds: float = 0.5
    smoothing_seconds: float = 0.5
    max_unseen_seconds: float = 1.0
    min_hits: int = 3
    min_confidence: float = 0.6

    def __post_init__(self) -> None:
        maxima = {
            "min_state_seconds": 60.0,
            "smoothing_seconds": 60.0,
            "max_unseen_seconds": 3600.0,
            "min_confidence": 1.0,
        }
        for name, maximum in maxima.items():
            if not 0 <= getattr(self, name) <= maximum:
                raise DataError(f"{name} must be in [0, {maximum:g}], got {getattr(self, name)}")
        if self.min_hits < 1:
            raise DataError(f"min_hits must be >= 1, got {self.min_hits}")


@dataclass(frozen=True)
class Event:
    """An event.

    Attributes:
        time: When it was detected, in seconds since the beginning of the source.
        since: When it began: the person was first seen, first seen in the new state, or last seen.
        frame: Index of the frame at `time`.
        person: Track id of the person.
        event: `appeared`, `changed`, `left`, or where the person is there at the end `ended`, or `stopped` where the
            watch was stopped before the video ended.
        state: Name of the current value of the state attribute; None where it is uncertain.
        previous: The state before a change; a change to None withdraws it.
        predictions: The smoothed prediction of each attribute.
        box: The last box of the face, in pixels.
    """

    time: float
    since: float
    frame: int
    person: int
    event: EventType
    state: str | None
    previous: str | None
    predictions: tuple[AttributePrediction, ...]
    box: Box


@dataclass(eq=False)
class TrackedPerson:
    """A person in the video.

    Attributes:
        track: The track of the face.
        smoother: Smooths the probabilities.
        debouncer: Holds the state.
        predictions: The smoothed prediction of each attribute.
        announced: Whether `appeared` was reported.
    """

    track: Track
    smoother: ExponentialSmoother
    debouncer: Debouncer
    predictions: tuple[AttributePrediction, ...] = field(default=())
    announced: bool = False


class EventDetector:
    """Turns the predictions of each frame into events.

    Args:
        schema: The label schema of the predictions.
        abstain_below: Probability below which the model is not sure, by attribute.
        thresholds: What an event requires.
        decision_weights: Decision weights by attribute; None selects the most probable values.
        min_face: By attribute, the shorter side in pixels of a face below which the model is not sure.
        last_person: The highest number of a person that is taken already; 0 for none.

    Attributes:
        schema: The label schema.
        state_attribute: Name of the attribute whose changes are events: the mask where there is one, else the first.
        thresholds: As the argument.
        tracker: Tracks the faces.
    """

    def __init__(
        self,
        schema: LabelSchema,
        abstain_below: Mapping[str, float],
        thresholds: EventThresholds,
        decision_weights: WeightMap | None = None,
        min_face: Mapping[str, float] | None = None,
        last_person: int = 0,
    ) -> None:
        self.schema = schema
        self.state_attribute = find_state_attribute(schema)
        self.thresholds = thresholds
        self.tracker = Tracker(thresholds.min_hits, thresholds.max_unseen_seconds, last_person)
        self._abstain_below = {
            **abstain_below,
            self.state_attribute: max(abstain_below.get(self.state_attribute, 0.0), thresholds.min_confidence),
        }
        self._decision_weights = decision_weights
        self._min_face = min_face or {}
        self._persons: dict[Track, TrackedPerson] = {}
        self._last_time, self._last_frame = 0.0, 0

    @property
    def persons(self) -> list[TrackedPerson]:
        """All persons who count, currently unseen ones included."""
        return [person for track, person in self._persons.items() if track.track_id]

    def sees_everybody(self, width: int, height: int) -> bool:
        """Whether every face that is tracked was there for long enough to count, and was seen in the last frame.

        Args:
            width: Width of a frame in pixels.
            height: Its height.

        Returns:
            Whether it is so; a face that went beyond the edge of the frame need not be seen.
        """

        def is_seen(track: Track) -> bool:
            left, upper, right, lower = track.predict(self._last_time)
            return not track.misses or left < 0 or upper < 0 or right > width or lower > height

        return all(track.track_id and is_seen(track) for track in self.tracker.tracks)

    def is_settled(self, box: Box) -> bool:
        """Whether no event of a person is near: the person was reported and has a clear state.

        Args:
            box: The person's box in the last frame.

        Returns:
            Whether it is so.
        """
        person = next((person for person in self.persons if person.track.box == box), None)
        if person is None or not person.announced or not person.debouncer.is_steady:
            return False
        observed = next(item for item in person.predictions if item.attribute == self.state_attribute)
        return observed.probabilities[person.debouncer.state or ""] >= STEADY_FROM

    def update(self, frame: int, time: float, predictions: Sequence[FacePrediction]) -> list[Event]:
        """Processes a frame.

        Args:
            frame: Index of the frame.
            time: Seconds since the beginning, later than the last frame's.
            predictions: The predictions of its faces; those without a face box are ignored.

        Returns:
            The events that the frame completes.
        """
        self._last_time, self._last_frame = time, frame
        faces = [prediction for prediction in predictions if prediction.box is not None]
        tracks, ended = self.tracker.update(time, [face.box for face in faces if face.box is not None])
        events = [event for track in ended for event in self._end(self._persons[track], "left")]
        active = set(self.tracker.tracks)
        self._persons = {track: person for track, person in self._persons.items() if track in active}
        for track, face in zip(tracks, faces, strict=True):
            if track not in self._persons:
                smoother = ExponentialSmoother(self.thresholds.smoothing_seconds)
                debouncer = Debouncer(self.thresholds.min_state_seconds)
                self._persons[track] = TrackedPerson(track, smoother, debouncer)
            events += self._update_person(self._persons[track], time, face)
        return events

    def flush(self, is_stopped: bool = False) -> list[Event]:
        """Ends the watch.

        Args:
            is_stopped: Whether it was stopped before the video ended.

        Returns:
            The event `ended`, or `stopped`, of each person who is still there.
        """
        return [event for person in self.persons for event in self._end(person, "stopped" if is_stopped else "ended")]

    def current_states(self, person: TrackedPerson) -> tuple[AttributePrediction, ...]:
        """Returns the predictions to display: for the state attribute the debounced state, not the last frame's value.

        Args:
            person: The person.

        Returns:
            The prediction of each attribute.
        """
        state = person.debouncer.state
        attribute = self.schema[self.state_attribute]

        def with_state(prediction: AttributePrediction) -> AttributePrediction:
            if prediction.attribute != self.state_attribute:
                return prediction
            if state is None:
                return replace(prediction, is_confident=False)
            return replace(
                prediction,
                value=state,
                display_name=attribute.display_name(attribute.values.index(state)),
                probability=prediction.probabilities[state],
                is_confident=True,
            )

        return tuple(map(with_state, person.predictions))

    def _update_person(self, person: TrackedPerson, time: float, prediction: FacePrediction) -> Iterator[Event]:
        """Smooths the prediction of one face and yields the event that follows."""
        marginals = self.schema.marginals(prediction.probabilities[None])
        smoothed = person.smoother.update(time, {name: rows[0] for name, rows in marginals.items()})
        joint = self.schema.joint_probabilities({name: row[None] for name, row in smoothed.items()})
        (decided,) = decide(self.schema, joint, self._abstain_below, self._decision_weights)
        person.predictions = abstain_on_small_face(decided, prediction.box, self._min_face)
        previous = person.debouncer.state
        observed = next(item for item in person.predictions if item.attribute == self.state_attribute)
        value = observed.value if observed.is_confident else None
        is_unlikely = previous is not None and observed.probabilities[previous] < LIKELY_FROM
        changed = person.debouncer.update(time, value, is_unlikely)
        if not person.track.track_id:
            return
        if not person.announced:
            first_seen = person.track.first_seen
            max_wait = UNDECIDED_FACTOR * self.thresholds.min_state_seconds
            if person.debouncer.state or time - first_seen >= max_wait:
                person.announced = True
                yield self._event(person, "appeared", first_seen)
        elif changed:
            yield self._event(person, "changed", person.debouncer.since, previous)

    def _end(self, person: TrackedPerson, event: EventType) -> Iterator[Event]:
        """Yields the last event of a person, after `appeared` where that is missing."""
        if not person.announced:
            yield self._event(person, "appeared", person.track.first_seen)
        yield self._event(person, event, person.track.last_seen)

    def _event(self, person: TrackedPerson, event: EventType, since: float, previous: str | None = None) -> Event:
        return Event(
            time=self._last_time,
            since=since,
            frame=self._last_frame,
            person=person.track.track_id,
            event=event,
            state=person.debouncer.state,
            previous=previous,
            predictions=self.current_states(person),
            box=person.track.box,
        )


def format_state(prediction: AttributePrediction) -> str:
    """Formats a prediction, with a "?" where other values are more likely, as when a state is about to change.

    Args:
        prediction: The prediction of one attribute.

    Returns:
        Text for people.
    """
    if is_doubtful(prediction):
        return f"{prediction.display_name}?"
    return str(prediction)


def is_doubtful(prediction: AttributePrediction) -> bool:
    """Whether a state is kept although other values are more likely, as when it is about to change.

    Args:
        prediction: The prediction of one attribute.

    Returns:
        Whether it is so.
    """
    return prediction.is_confident and prediction.probability < LIKELY_FROM


def find_state_attribute(schema: LabelSchema) -> str:
    """Returns the attribute whose changes are events.

    Args:
        schema: The label schema.

    Returns:
        `mask` where the schema has it, else the first attribute.
    """
    return MASK.name if MASK.name in schema.names else schema.names[0]

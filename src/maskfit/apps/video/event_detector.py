"""Everybody in the picture: who he is, what is answered for him over time, and what of it is an event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from maskfit.apps.video.temporal_smoothing import Debouncer, ExponentialSmoother
from maskfit.apps.video.tracker import Track, Tracker
from maskfit.data.boxes import Box
from maskfit.errors import DataError
from maskfit.inference.decisions import AttributePrediction, decide
from maskfit.inference.face_predictor import FacePrediction
from maskfit.labels.schema import MASK, LabelSchema

EventType = Literal["appeared", "changed", "left", "ended"]

LIKELY_FROM = 0.5
"""A probability below which something else, all together, is likelier."""

UNDECIDED_FACTOR = 4
"""So many times as long as a state must hold, somebody may be there before it is said that nobody is sure of him."""


@dataclass(frozen=True)
class EventThresholds:
    """How long things take before they are believed.

    Attributes:
        hold: Seconds for which a new state must hold.
        smooth: Seconds over which answers are averaged.
        gone: Seconds unseen after which somebody has left.
        hits: Frames in which somebody must be seen to count.
        sure: The probability that a state must have to be believed, unless the model asks for more.

    Raises:
        DataError: One is out of range.
    """

    min_state_seconds: float = 0.5
    smoothing_seconds: float = 0.5
    max_unseen_seconds: float = 1.0
    min_hits: int = 3
    min_confidence: float = 0.6

    def __post_init__(self) -> None:
        for name, most in (
            ("min_state_seconds", 60.0),
            ("smoothing_seconds", 60.0),
            ("max_unseen_seconds", 3600.0),
            ("min_confidence", 1.0),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise DataError(f"{name}={getattr(self, name)} must lie in 0 to {most:g}")
        if self.min_hits < 1:
            raise DataError(f"hits={self.min_hits} must be 1 or more")


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        time: When it was sure, in seconds since the beginning.
        since: When it began: first seen, first seen so, last seen.
        frame: The frame at `time`.
        person: The number of the track.
        event: `appeared`, `changed`, `left`, or `ended`: the video did, with somebody in it.
        state: What is believed, by the value's name; None where nothing is.
        previous: What was believed before a change.
        said: The answers, over time.
        box: Where he was last seen.
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
    """Somebody in the picture.

    Attributes:
        track: Where he is.
        smoothing: Over his answers.
        holding: His state.
        said: What is answered for him, over time.
        announced: Whether it was said that he is there.
    """

    track: Track
    smoother: ExponentialSmoother
    debouncer: Debouncer
    predictions: tuple[AttributePrediction, ...] = field(default=())
    announced: bool = False


class EventDetector:
    """Takes in what is answered for the faces of each frame, and gives what happened.

    Args:
        scheme: What the answers are about.
        unsure_below: By attribute, the probability below which the model is not sure.
        patience: How long things take.

    Attributes:
        state: The attribute whose changes are events: the mask where there is one, else the first.
    """

    def __init__(self, scheme: LabelSchema, unsure_below: Mapping[str, float], patience: EventThresholds) -> None:
        self.schema = scheme
        self.state_attribute = find_state_attribute(scheme)
        self.thresholds = patience
        self.tracker = Tracker(patience.min_hits, patience.max_unseen_seconds)
        self._unsure_below = {
            **unsure_below,
            self.state_attribute: max(unsure_below.get(self.state_attribute, 0.0), patience.min_confidence),
        }
        self._people: dict[Track, TrackedPerson] = {}
        self._last = (0.0, 0)

    @property
    def persons(self) -> list[TrackedPerson]:
        """Everybody who counts, those unseen at the moment included."""
        return [person for track, person in self._people.items() if track.track_id]

    def update(self, frame: int, time: float, answers: Sequence[FacePrediction]) -> list[Event]:
        """Takes in a frame; answers without a face are passed over."""
        self._last = (time, frame)
        faces = [answer for answer in answers if answer.box is not None]
        tracks, ended = self.tracker.update(time, [answer.box for answer in faces if answer.box is not None])
        events = [event for track in ended for event in self._goodbye(self._people[track], "left")]
        known = set(self.tracker.tracks)
        self._people = {track: person for track, person in self._people.items() if track in known}
        for track, answer in zip(tracks, faces, strict=True):
            person = self._people.setdefault(
                track,
                TrackedPerson(
                    track,
                    ExponentialSmoother(self.thresholds.smoothing_seconds),
                    Debouncer(self.thresholds.min_state_seconds),
                ),
            )
            events += self._answered(person, time, frame, answer)
        return events

    def flush(self) -> list[Event]:
        """What there is to say of those who are still there."""
        return [event for person in self.persons for event in self._goodbye(person, "ended")]

    def current_states(self, person: TrackedPerson) -> tuple[AttributePrediction, ...]:
        """The answers for people to see: of the state what is believed, even while a frame says something else."""
        value = person.debouncer.state
        attribute = self.schema[self.state_attribute]

        def settled(said: AttributePrediction) -> AttributePrediction:
            if said.attribute != self.state_attribute:
                return said
            if value is None:
                return replace(said, is_confident=False)
            word = attribute.display_name(attribute.values.index(value))
            return replace(said, value=value, display_name=word, probability=said.probabilities[value], is_confident=True)

        return tuple(map(settled, person.predictions))

    def _answered(self, person: TrackedPerson, time: float, frame: int, answer: FacePrediction) -> Iterator[Event]:
        marginals = self.schema.marginals(answer.probabilities[None])
        smooth = person.smoother.update(time, {name: shares[0] for name, shares in marginals.items()})
        (person.predictions,) = decide(
            self.schema,
            self.schema.joint_probabilities({name: shares[None] for name, shares in smooth.items()}),
            self._unsure_below,
        )
        previous = person.debouncer.state
        said = next(said for said in person.predictions if said.attribute == self.state_attribute)
        changed = person.debouncer.update(time, said.value if said.is_confident else None)
        if not person.track.track_id:
            return
        first = person.track.first_seen
        if not person.announced:
            if person.debouncer.state or time - first >= UNDECIDED_FACTOR * self.thresholds.min_state_seconds:
                person.announced = True
                yield self._event(person, "appeared", first, frame, time)
        elif changed:
            yield self._event(person, "changed", person.debouncer.since, frame, time, previous)

    def _goodbye(self, person: TrackedPerson, what: EventType) -> Iterator[Event]:
        time, frame = self._last
        if not person.announced:
            yield self._event(person, "appeared", person.track.first_seen, frame, time)
        yield self._event(person, what, person.track.last_seen, frame, time)

    def _event(
        self, person: TrackedPerson, what: EventType, since: float, frame: int, time: float, previous: str | None = None
    ) -> Event:
        track = person.track
        state = person.debouncer.state
        return Event(time, since, frame, track.track_id, what, state, previous, self.current_states(person), track.box)


def format_state(said: AttributePrediction) -> str:
    """An answer in words, with a "?" where something else is likelier, as when a state is about to change."""
    return f"{said.display_name}?" if said.is_confident and said.probability < LIKELY_FROM else str(said)


def find_state_attribute(scheme: LabelSchema) -> str:
    """The attribute whose changes are events."""
    return MASK.name if MASK.name in scheme.names else scheme.names[0]

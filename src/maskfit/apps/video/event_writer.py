"""Formats events as CSV rows and as text, and counts persons per minute, while the video is processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from maskfit.apps.video.event_detector import (
    Event,
    EventDetector,
    find_state_attribute,
    format_state,
    is_doubtful,
)
from maskfit.inference.decisions import NOT_SURE
from maskfit.labels.schema import LabelSchema

SECONDS_PER_MINUTE = 60.0

UNSURE_COLUMN = "not_sure"
"""Column of persons whose state is uncertain."""

CLOCK_TOLERANCE_SECONDS = 5.0
"""How far the machine's clock and the times of frames may part; the times of a stream vary by up to two seconds."""

EDGES = ("left", "upper", "right", "lower")
"""Columns of a box."""


@dataclass
class EventFormatter:
    """Formats events as rows and as text.

    Attributes:
        schema: The label schema of the predictions.
        started_at: When a live source began by the machine's clock as it is now; rows then have a column `clock` with
            the time of day.
    """

    schema: LabelSchema
    started_at: datetime | None = None

    def follow_clock(self, time: float, captured_at: datetime | None) -> str:
        """Follows the machine's clock where it was set, as on a small computer that learns the time after its start.

        Args:
            time: Seconds since the beginning of a frame, by a clock that cannot be set.
            captured_at: When the frame arrived, by the machine's clock; None for a file.

        Returns:
            A note where the clock was set by more than `CLOCK_TOLERANCE_SECONDS`; else an empty text.
        """
        if captured_at is None or self.started_at is None:
            return ""
        began = captured_at - timedelta(seconds=time)
        change = (began - self.started_at).total_seconds()
        if abs(change) <= CLOCK_TOLERANCE_SECONDS:
            return ""
        self.started_at = began
        direction = "forward" if change > 0 else "back"
        return (
            f"note: the clock of this machine was set {direction} by {abs(change):,.0f} seconds to "
            f"{captured_at.isoformat(timespec='seconds')}; times of day follow it, all other times do not change"
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `to_row`, in order."""
        state = find_state_attribute(self.schema)
        others = (name for name in self.schema.names if name != state)
        return (
            "time",
            *(("clock",) if self.started_at else ()),
            "frame",
            "person",
            "event",
            state,
            "previous",
            "probability",
            "doubtful",
            *others,
            "since",
            *EDGES,
        )

    def to_row(self, event: Event) -> dict[str, object]:
        """Formats an event as a row.

        Args:
            event: The event.

        Returns:
            Value by column; boxes are in pixels of the upright frame, times in seconds since the beginning.
        """
        state = find_state_attribute(self.schema)
        predictions = {prediction.attribute: prediction for prediction in event.predictions}
        others = {
            name: prediction.value if prediction.is_confident else NOT_SURE
            for name, prediction in predictions.items()
            if name != state
        }
        return {
            "time": round(event.time, 3),
            **({"clock": self.clock(event.time)} if self.started_at else {}),
            "frame": event.frame,
            "person": event.person,
            "event": event.event,
            state: event.state or NOT_SURE,
            "previous": (event.previous or NOT_SURE) if event.event == "changed" else "",
            "probability": round(predictions[state].probability, 4),
            "doubtful": is_doubtful(predictions[state]),
            **others,
            "since": round(event.since, 3),
            **dict(zip(EDGES, (round(edge, 1) for edge in event.box), strict=True)),
        }

    def to_cells(self, event: Event) -> list[object]:
        """Formats an event as the cells of a CSV.

        Args:
            event: The event.

        Returns:
            The values of `to_row`, with "yes" and nothing for true and false.
        """
        values = self.to_row(event).values()
        return [("yes" if value else "") if isinstance(value, bool) else value for value in values]

    def to_text(self, event: Event) -> str:
        """Formats an event as a line for people.

        Args:
            event: The event.

        Returns:
            Text such as "01:23.3  person 1 appeared: worn 96%, female 80%".
        """
        minutes, seconds = divmod(event.time, SECONDS_PER_MINUTE)
        when = self.clock(event.time)[11:19] if self.started_at else f"{int(minutes):02d}:{seconds:04.1f}"
        at_end = {"ended": "was there to the end", "stopped": "was there when the watch was stopped"}
        what = at_end.get(event.event, event.event)
        return f"{when}  person {event.person} {what}: {', '.join(map(format_state, event.predictions))}"

    def clock(self, time: float) -> str:
        """Returns the time of day of a live source.

        Args:
            time: Seconds since the beginning.

        Returns:
            ISO 8601 with the time zone; empty for a file.
        """
        if self.started_at is None:
            return ""
        return (self.started_at + timedelta(seconds=time)).isoformat(timespec="milliseconds")


class MinuteCounter:
    """Counts persons per minute; each person counts once, under the last state of that minute.

    Args:
        formatter: Formats times and names the states.
    """

    def __init__(self, formatter: EventFormatter) -> None:
        self._formatter = formatter
        self._state_attribute = formatter.schema[find_state_attribute(formatter.schema)]
        self._minute = 0
        self._state_by_person: dict[int, str] = {}
        self._num_changes = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a row."""
        clock = ("clock",) if self._formatter.started_at else ()
        return ("minute", *clock, "people", *self._state_attribute.values, UNSURE_COLUMN, "changes")

    def update(self, time: float, detector: EventDetector, events: Sequence[Event]) -> list[list[Any]]:
        """Counts a frame.

        Args:
            time: Seconds since the beginning.
            detector: The detector, after it processed the frame.
            events: The events of the frame.

        Returns:
            The rows of all minutes that are over by now, empty minutes included.
        """
        rows = []
        while time >= (self._minute + 1) * SECONDS_PER_MINUTE:
            rows += self.flush()
            self._minute += 1
            self._state_by_person, self._num_changes = {}, 0
        for person in detector.persons:
            if person.track.last_seen == time:
                self._state_by_person[person.track.track_id] = person.debouncer.state or UNSURE_COLUMN
        self._num_changes += sum(event.event == "changed" and event.previous is not None for event in events)
        return rows

    def flush(self) -> list[list[Any]]:
        """Returns the row of the current minute.

        Returns:
            One row.
        """
        clock = [self._formatter.clock(self._minute * SECONDS_PER_MINUTE)] if self._formatter.started_at else []
        states = list(self._state_by_person.values())
        counts = [states.count(name) for name in (*self._state_attribute.values, UNSURE_COLUMN)]
        return [[self._minute, *clock, len(states), *counts, self._num_changes]]

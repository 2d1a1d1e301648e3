"""What happened, as it is written: a row for each event, and counts for each minute, as they come."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from maskfit.apps.video.event_detector import Event, EventDetector, find_state_attribute, format_state
from maskfit.inference.decisions import NOT_SURE
from maskfit.labels.schema import LabelSchema

SECONDS_PER_MINUTE = 60.0

UNSURE_COLUMN = "not_sure"
"""The column of people of whom nothing is believed."""


class DurableCsvWriter:
    """A CSV that is on the disk row by row, so that nothing is lost when power or program fails.

    Args:
        path: Replaced where it exists.
        header: The names of the columns.
    """

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self.write([header])

    def write(self, rows: Iterable[Sequence[object]]) -> None:
        """Adds rows."""
        self._writer.writerows(rows)
        self._stream.flush()

    def __enter__(self) -> DurableCsvWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


@dataclass(frozen=True)
class EventFormatter:
    """How events are told.

    Attributes:
        scheme: What the answers are about.
        began: When a live source began; rows then say what time it was.
    """

    schema: LabelSchema
    started_at: datetime | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what `fields` gives, in order."""
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
            *others,
            "since",
            "left",
            "upper",
            "right",
            "lower",
        )

    def to_row(self, event: Event) -> dict[str, object]:
        """An event by its columns; boxes are in pixels of the upright frame, times in seconds since the beginning."""
        state = find_state_attribute(self.schema)
        said = {said.attribute: said for said in event.predictions}
        others = {name: own.value if own.is_confident else NOT_SURE for name, own in said.items() if name != state}
        edges = dict(zip(("left", "upper", "right", "lower"), (round(edge, 1) for edge in event.box), strict=True))
        return {
            "time": round(event.time, 3),
            **({"clock": self.clock(event.time)} if self.started_at else {}),
            "frame": event.frame,
            "person": event.person,
            "event": event.event,
            state: event.state or NOT_SURE,
            "previous": (event.previous or NOT_SURE) if event.event == "changed" else "",
            "probability": round(said[state].probability, 4),
            **others,
            "since": round(event.since, 3),
            **edges,
        }

    def to_text(self, event: Event) -> str:
        """An event as a line for people."""
        minutes, seconds = divmod(event.time, SECONDS_PER_MINUTE)
        when = self.clock(event.time)[11:19] if self.started_at else f"{int(minutes):02d}:{seconds:04.1f}"
        what = {"ended": "was there to the end"}.get(event.event, event.event)
        return f"{when}  person {event.person} {what}: {', '.join(map(format_state, event.predictions))}"

    def clock(self, time: float) -> str:
        """What time it was, with its zone."""
        if self.started_at is None:
            return ""
        return (self.started_at + timedelta(seconds=time)).isoformat(timespec="milliseconds")


class MinuteCounter:
    """People by the minute: each one who was seen counts once, under what was last believed of him in that minute.

    Args:
        telling: How things are told.
    """

    def __init__(self, telling: EventFormatter) -> None:
        self._telling = telling
        self._state = telling.schema[find_state_attribute(telling.schema)]
        self._minute = 0
        self._seen: dict[int, str] = {}
        self._changes = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's cells."""
        clock = ("clock",) if self._telling.started_at else ()
        return ("minute", *clock, "people", *self._state.values, UNSURE_COLUMN, "changes")

    def update(self, time: float, crowd: EventDetector, events: Sequence[Event]) -> list[list[Any]]:
        """Takes in a frame, and gives the rows of all minutes that are over, empty ones included."""
        rows = []
        while time >= (self._minute + 1) * SECONDS_PER_MINUTE:
            rows += self.flush()
            self._minute += 1
            self._seen, self._changes = {}, 0
        for person in crowd.persons:
            if person.track.last_seen == time:
                self._seen[person.track.track_id] = person.debouncer.state or UNSURE_COLUMN
        self._changes += sum(event.event == "changed" and event.previous is not None for event in events)
        return rows

    def flush(self) -> list[list[Any]]:
        """The row of the minute that is going on."""
        clock = [self._telling.clock(self._minute * SECONDS_PER_MINUTE)] if self._telling.started_at else []
        states = list(self._seen.values())
        counts = [states.count(name) for name in (*self._state.values, UNSURE_COLUMN)]
        return [[self._minute, *clock, len(states), *counts, self._changes]]

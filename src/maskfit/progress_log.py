"""Progress of long steps in a log: where output is not a terminal, a line at least every ten seconds.

On a terminal, progress bars show the same; a log of an hour without a line looks like a program that hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar
from weakref import WeakKeyDictionary

from rich.console import Console

LOG_INTERVAL_SECONDS = 8.0
"""Seconds without a line after which a running step prints one: within ten, also where the processor is busy."""


class Heartbeat:
    """Prints a line from a thread of its own whenever nothing was printed for an interval, until it is closed.

    It does nothing on a terminal or where the console is quiet. Of several for one console the newest prints.

    Args:
        console: Where lines are printed.
        describe: Returns the line; called with the seconds since the start, from the thread.
        interval: Seconds without a line.
    """

    _running: ClassVar[WeakKeyDictionary[Console, list[Heartbeat]]] = WeakKeyDictionary()
    _last_line: ClassVar[WeakKeyDictionary[Console, float]] = WeakKeyDictionary()

    def __init__(
        self, console: Console, describe: Callable[[float], str], interval: float = LOG_INTERVAL_SECONDS
    ) -> None:
        self._console = console
        self._describe = describe
        self._interval = interval
        self._start = time.monotonic()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if console.is_terminal or console.quiet:
            return
        self._last_line.setdefault(console, self._start)
        self._running.setdefault(console, []).append(self)
        self._thread = threading.Thread(target=self._run, name="maskfit-progress", daemon=True)
        self._thread.start()

    @classmethod
    def touch(cls, console: Console) -> None:
        """Notes that a line was printed.

        Args:
            console: Where it was printed.
        """
        cls._last_line[console] = time.monotonic()

    def _run(self) -> None:
        while not self._closed.wait(max(self._due() - time.monotonic(), self._interval / 50)):
            if self._running[self._console][-1] is self and time.monotonic() >= self._due():
                line = self._describe(time.monotonic() - self._start)
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
                self.touch(self._console)

    def _due(self) -> float:
        return self._last_line[self._console] + self._interval

    def close(self) -> None:
        """Ends the lines."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
            self._running[self._console].remove(self)
            self._thread = None


@contextmanager
def log_progress(
    console: Console, title: str, unit: str = "photos", *, interval: float = LOG_INTERVAL_SECONDS
) -> Iterator[Callable[[int, int | None], None]]:
    """Shows in a log that a step is running, with rate and remaining time once they are known.

    Args:
        console: Where lines are printed; nothing is on a terminal.
        title: What is being done.
        unit: What is counted.
        interval: Seconds between two lines.

    Yields:
        A function to call with (done, total); total is None while unknown. It need not be called.
    """
    counts: list[tuple[int, int | None]] = []
    first: list[tuple[int, float]] = []

    def describe(seconds: float) -> str:
        if not counts:
            return f"{title}: {seconds:.0f} s so far"
        before, start = first[0]
        return f"{title}: {format_progress(*counts[-1], unit, time.monotonic() - start, before)}"

    def advance(done: int, total: int | None) -> None:
        # What a resumed step finds done tells nothing of its rate, nor does the time until its workers have started.
        # A count that falls, or another total, is of a step that starts again: its rate counts from there.
        if not first or done < counts[-1][0] or total != counts[-1][1]:
            first[:] = [(done, time.monotonic())]
        counts[:] = [(done, total)]

    beat = Heartbeat(console, describe, interval)
    try:
        yield advance
    finally:
        beat.close()


def format_progress(done: int, total: int | None, unit: str, seconds: float, before: int = 0) -> str:
    """Formats how far a step is.

    Args:
        done: Units done.
        total: Units in total; None where unknown.
        unit: What is counted.
        seconds: Seconds since `before` of them were done, > 0.
        before: Units that were done when the seconds began; more than `done` where the step started again.

    Returns:
        Text such as "120 of 240 persons · 6.1/s · 0:20 left", without a rate where nothing was done in these seconds.
    """
    text = f"{done:,}{'' if total is None else f' of {total:,}'} {unit}"
    if done <= before or seconds <= 0:
        return text
    rate = (done - before) / seconds
    # Of a slow step every digit of 0.04/s counts, which would be 0.0.
    text += f" · {rate:,.{2 if rate < 1 else 1 if rate < 10 else 0}f}/s" if rate >= 0.01 else ""
    return text if total is None else f"{text} · {format_duration(max(total - done, 0) / rate)} left"


def format_duration(seconds: float) -> str:
    """Formats a duration.

    Args:
        seconds: Seconds, >= 0.

    Returns:
        Minutes and seconds, "2:05"; hours first where there are any.
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

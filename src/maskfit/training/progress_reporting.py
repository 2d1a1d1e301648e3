"""Progress of folds in training: a line for each epoch, and a progress bar for each fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from maskfit.progress_log import LOG_INTERVAL_SECONDS, Heartbeat, format_duration


@dataclass(frozen=True)
class FoldProgress:
    """Progress of one fold.

    Attributes:
        title: Name of the training: "fold 1 of 5".
        epoch: Current epoch: "epoch 3/20".
        done: Steps done over all epochs.
        total: Steps of all epochs.
        photos_per_second: Training photos per second, including the time of validation; 0 before the first step.
        seconds_left: Estimated seconds left.
    """

    title: str
    epoch: str
    done: int
    total: int
    photos_per_second: float
    seconds_left: float


class ProgressReporter(Protocol):
    """Receives the progress of folds; implementations show it or send it to another process."""

    def line(self, text: str) -> None:
        """Prints a line.

        Args:
            text: The line.
        """

    def show(self, progress: FoldProgress) -> None:
        """Updates the progress of a fold; called at every step, so it must be fast.

        Args:
            progress: The progress.
        """

    def end(self, title: str) -> None:
        """Removes the progress of a fold that no longer trains.

        Args:
            title: Name of the training.
        """


class ConsoleReporter:
    """Prints lines and a progress bar for each fold; in a log a line about each fold instead, within ten seconds.

    Args:
        console: Output.
        interval: Seconds between two lines in a log.
    """

    def __init__(self, console: Console, interval: float = LOG_INTERVAL_SECONDS) -> None:
        self.console = console
        self.interval = interval
        self._running: dict[str, FoldProgress] = {}
        self._heartbeat: Heartbeat | None = None
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} % · {task.fields[rate]} photos/s · {task.fields[left]} left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self._printed: set[str] = set()

    def line(self, text: str) -> None:
        """Prints a line, unless a fold has said the same before.

        Args:
            text: The line.
        """
        if text in self._printed:
            return
        self._printed.add(text)
        self.console.print(text, markup=False, highlight=False)
        Heartbeat.touch(self.console)

    def show(self, progress: FoldProgress) -> None:
        """Updates the progress bar of a fold.

        Args:
            progress: The progress.
        """
        self._running[progress.title] = progress
        if self._heartbeat is None:
            self._heartbeat = Heartbeat(self.console, lambda seconds: self._describe(), self.interval)
        if not self.tasks:
            self.bar.start()
        if progress.title not in self.tasks:
            self.tasks[progress.title] = self.bar.add_task(progress.title, rate="-", left="-:--")
        rate, seconds = progress.photos_per_second, int(progress.seconds_left)
        self.bar.update(
            self.tasks[progress.title],
            description=f"{progress.title} · {progress.epoch}",
            total=float(progress.total),
            completed=progress.done,
            rate=f"{rate:,.0f}" if rate else "-",
            left=format_duration(seconds) if rate else "-:--",
        )

    def _describe(self) -> str:
        """Returns the lines for a log; called from the heartbeat's thread."""
        return "\n".join(map(_format_line, list(self._running.values())))

    def end(self, title: str) -> None:
        """Removes the progress bar of a fold.

        Args:
            title: Name of the training.
        """
        self._running.pop(title, None)
        if not self._running and self._heartbeat is not None:
            self._heartbeat.close()
            self._heartbeat = None
        if title not in self.tasks:
            return
        self.bar.remove_task(self.tasks.pop(title))
        if not self.tasks:
            self.bar.stop()


def _format_line(progress: FoldProgress) -> str:
    done = f"{progress.title} · {progress.epoch} · {100 * progress.done / max(progress.total, 1):.0f} %"
    if not progress.photos_per_second:
        return f"{done} · the first step is running"
    left = format_duration(progress.seconds_left)
    return f"{done} · {progress.photos_per_second:,.0f} photos/s · {left} left"

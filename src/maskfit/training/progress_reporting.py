"""Progress of folds in training: a line for each epoch, and a progress bar for each fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


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
    """Prints lines and a progress bar for each fold.

    Args:
        console: Output; one that is not a terminal gets only the lines.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} % · {task.fields[rate]} photos/s · {task.fields[left]} left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}

    def line(self, text: str) -> None:
        """Prints a line.

        Args:
            text: The line.
        """
        self.console.print(text, markup=False, highlight=False)

    def show(self, progress: FoldProgress) -> None:
        """Updates the progress bar of a fold.

        Args:
            progress: The progress.
        """
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
            left=f"{seconds // 60}:{seconds % 60:02d}" if rate else "-:--",
        )

    def end(self, title: str) -> None:
        """Removes the progress bar of a fold.

        Args:
            title: Name of the training.
        """
        if title not in self.tasks:
            return
        self.bar.remove_task(self.tasks.pop(title))
        if not self.tasks:
            self.bar.stop()

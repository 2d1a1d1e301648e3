"""Where a person sees folds that train: a line for each epoch, and for each fold under way how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


@dataclass(frozen=True)
class FoldProgress:
    """How far a fold is.

    Attributes:
        title: Which fold it is: "fold 1 of 5".
        epoch: Which epoch of how many: "epoch 3/20".
        done: Steps that are done, of all epochs.
        total: Steps there are.
        rate: Photos a second, validation counted in.
        left: Seconds left.
    """

    title: str
    epoch: str
    done: int
    total: int
    rate: float
    left: float


class ProgressReporter(Protocol):
    """What a fold tells while it trains, wherever that is shown: here, or beyond a pipe."""

    def line(self, text: str) -> None:
        """Says something that stays."""

    def show(self, standing: FoldProgress) -> None:
        """Says how far a fold is; called at every step, so it must be cheap."""

    def end(self, title: str) -> None:
        """This fold no longer trains."""


class ConsoleReporter:
    """Lines, and below them a bar for each fold under way.

    Args:
        console: Where to show it; on one that is no terminal only the lines appear.
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
        self.console.print(text, markup=False, highlight=False)

    def show(self, standing: FoldProgress) -> None:
        if not self.tasks:
            self.bar.start()
        if standing.title not in self.tasks:
            self.tasks[standing.title] = self.bar.add_task(standing.title, rate="-", left="-:--")
        self.bar.update(
            self.tasks[standing.title],
            description=f"{standing.title} · {standing.epoch}",
            total=float(standing.total),
            completed=standing.done,
            rate=f"{standing.rate:,.0f}" if standing.rate else "-",
            left=f"{int(standing.left) // 60}:{int(standing.left) % 60:02d}" if standing.rate else "-:--",
        )

    def end(self, title: str) -> None:
        if title not in self.tasks:
            return
        self.bar.remove_task(self.tasks.pop(title))
        if not self.tasks:
            self.bar.stop()

"""A desk on the cluster: work puts down what it has to tell, the command comes by and reads it, and leaves answers."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Any

from maskfit.training.progress_reporting import FoldProgress


class MessageQueue:
    """What lies between work on a cluster and the command; an actor of Ray's."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.answers: dict[Hashable, Any] = {}

    def put(self, item: Any) -> None:
        """Puts something down."""
        self.told.append(item)

    def get_all(self) -> list[Any]:
        """Everything that was put down since the last time, in order."""
        told, self.told = self.told, []
        return told

    def answer(self, key: Hashable, value: Any) -> None:
        """Leaves an answer for whoever asks for it by this key."""
        self.answers[key] = value

    def answered(self, key: Hashable) -> Any:
        """The answer, once; None while there is none."""
        return self.answers.pop(key, None)


def open_desk() -> Any:
    """A new desk on the cluster that was joined."""
    import ray

    return ray.remote(num_cpus=0)(MessageQueue).remote()


class QueueReporter:
    """A screen that is a desk: what a fold tells, it tells there.

    Args:
        desk: The actor.
        pause: Seconds between two tellings of how far a fold is.
    """

    def __init__(self, desk: Any, pause: float = 0.5) -> None:
        self.desk = desk
        self.pause = pause
        self.told = 0.0

    def line(self, text: str) -> None:
        self.desk.tell.remote(text)

    def show(self, standing: FoldProgress) -> None:
        now = time.monotonic()
        if now - self.told >= self.pause:
            self.told = now
            self.desk.tell.remote(standing)

    def end(self, title: str) -> None:
        self.desk.tell.remote(FoldFinished(title))


class FoldFinished:
    """A fold no longer trains."""

    def __init__(self, title: str) -> None:
        self.title = title

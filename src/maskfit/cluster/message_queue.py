"""Message queue between tasks of a Ray cluster and the command: tasks send messages, the command sends replies."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Any

from maskfit.training.progress_reporting import FoldProgress


class MessageQueue:
    """Ray actor that holds messages for the command and replies for tasks."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._replies: dict[Hashable, Any] = {}

    def put(self, message: Any) -> None:
        """Appends a message.

        Args:
            message: Anything that can be pickled.
        """
        self._messages.append(message)

    def get_all(self) -> list[Any]:
        """Removes and returns all messages.

        Returns:
            The messages since the last call, in order.
        """
        messages, self._messages = self._messages, []
        return messages

    def put_reply(self, key: Hashable, value: Any) -> None:
        """Stores a reply.

        Args:
            key: Key by which the task looks it up.
            value: The reply; not None.
        """
        self._replies[key] = value

    def pop_reply(self, key: Hashable) -> Any:
        """Removes and returns a reply.

        Args:
            key: Key of the reply.

        Returns:
            The reply, or None if there is none yet.
        """
        return self._replies.pop(key, None)


def create_message_queue() -> Any:
    """Creates a queue on the connected cluster.

    Returns:
        The actor's handle.
    """
    import ray

    return ray.remote(num_cpus=0)(MessageQueue).remote()


class QueueReporter:
    """`ProgressReporter` that sends everything to a message queue.

    Args:
        queue: Handle of the `MessageQueue` actor.
        interval: Minimum number of seconds between two `FoldProgress` messages; the ones in between are dropped.
    """

    def __init__(self, queue: Any, interval: float = 0.5) -> None:
        self.queue = queue
        self.interval = interval
        self._last_sent = 0.0

    def line(self, text: str) -> None:
        """Sends a line.

        Args:
            text: The line.
        """
        self.queue.put.remote(text)

    def show(self, standing: FoldProgress) -> None:
        """Sends a fold's progress, at most once per interval.

        Args:
            standing: The progress.
        """
        now = time.monotonic()
        if now - self._last_sent >= self.interval:
            self._last_sent = now
            self.queue.put.remote(standing)

    def end(self, title: str) -> None:
        """Sends that a fold has ended.

        Args:
            title: The fold.
        """
        self.queue.put.remote(FoldFinished(title))


class FoldFinished:
    """Message: a fold has ended.

    Args:
        title: The fold, such as "fold 1 of 5".
    """

    def __init__(self, title: str) -> None:
        self.title = title

"""Time limits of running requests, which a shutdown shortens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class RequestDeadlines:
    """When each running request must have its response: `seconds` after its start, and `stop_seconds` after a shutdown.

    Args:
        seconds: Seconds that a request may take.
        stop_seconds: Seconds that running requests may take after a shutdown signal.

    Attributes:
        stop_time: When the last request must have its response, on the monotonic clock; None before a shutdown.
    """

    def __init__(self, seconds: float, stop_seconds: float) -> None:
        self.seconds = seconds
        self.stop_seconds = stop_seconds
        self.stop_time: float | None = None
        self._running: dict[asyncio.Timeout, asyncio.AbstractEventLoop] = {}

    @property
    def is_stopping(self) -> bool:
        """Whether a shutdown has begun."""
        return self.stop_time is not None

    @property
    def is_over(self) -> bool:
        """Whether the time that a shutdown leaves has passed."""
        return self.stop_time is not None and time.monotonic() >= self.stop_time

    def stop(self) -> None:
        """Begins the time that a shutdown leaves, once; for any thread and for signal handlers."""
        if self.stop_time is not None:
            return
        self.stop_time = time.monotonic() + self.stop_seconds
        for timeout, loop in list(self._running.items()):
            loop.call_soon_threadsafe(self._shorten, timeout)

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Limits the time of a request.

        Yields:
            Nothing.

        Raises:
            TimeoutError: The time is over; `is_over` tells whether because of a shutdown.
        """
        # The event loop's clock is the monotonic one, too.
        deadline = time.monotonic() + self.seconds
        async with asyncio.timeout_at(deadline if self.stop_time is None else min(deadline, self.stop_time)) as timeout:
            self._running[timeout] = asyncio.get_running_loop()
            try:
                # A shutdown may have begun since the deadline was computed, and did not know this request.
                self._shorten(timeout)
                yield
            finally:
                del self._running[timeout]

    def _shorten(self, timeout: asyncio.Timeout) -> None:
        """Brings the end of a running request forward to that of the shutdown."""
        end = timeout.when()
        if self.stop_time is None or timeout not in self._running or timeout.expired() or end is None:
            return
        if self.stop_time < end:
            timeout.reschedule(self.stop_time)

"""Closes HTTP connections whose request headers do not arrive: uvicorn limits neither their time nor their number."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 10.0
"""Seconds from a connection's first chance to send a request to the end of the request's headers."""

PROTOCOL_PATH = f"{__name__}:HeaderTimeoutProtocol"
"""Import path of the protocol, as uvicorn's table of protocols has it."""


class HeaderTimeoutProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP protocol, h11 or httptools, with a time limit for the headers of each request."""

    header_seconds = HEADER_SECONDS
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Starts the time of the first request."""
        super().connection_made(transport)
        self._start_header_timer()

    def data_received(self, data: bytes) -> None:
        """Ends the time where the headers are complete; starts it where a further request begins."""
        super().data_received(data)
        if self._is_in_request():
            self._stop_header_timer()
        elif self._header_timer is None:
            self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the time."""
        self._stop_header_timer()
        super().connection_lost(exc)

    def _is_in_request(self) -> bool:
        """Whether a request's headers are complete and its response is not."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(self.header_seconds, self._close_without_headers)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _close_without_headers(self) -> None:
        self._header_timer = None
        if not self._is_in_request() and not self.transport.is_closing():
            self.transport.close()

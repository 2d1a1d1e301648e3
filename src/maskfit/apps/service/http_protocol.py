"""HTTP connections of the service: none is reset while its client is still sending.

Where a socket is closed while bytes of its client arrive, the client's system may discard the response that it has
received before, and reports a broken connection. So a connection on which a request was refused before its body had
arrived is closed for sending only, and what still arrives is discarded for a while (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from maskfit.apps.header_timeout import HeaderTimeoutProtocol

LINGER_SECONDS = 2.0
"""Seconds after a response for which what a client still sends is discarded before its connection is closed."""

IDLE_SECONDS = 0.5
"""Seconds after a shutdown signal in which a request may begin on an open connection: it may have been sent already."""


class ServiceProtocol(HeaderTimeoutProtocol):
    """uvicorn's HTTP protocol with a time limit for headers, which neither resets connections nor cuts off requests."""

    linger_seconds = LINGER_SECONDS
    idle_seconds = IDLE_SECONDS
    _linger_timer: asyncio.TimerHandle | None = None
    _idle_timer: asyncio.TimerHandle | None = None
    _has_rejected_bytes = False
    _has_begun_request = False

    def connection_made(self, transport: Any) -> None:
        """Takes over the closing of the connection from uvicorn."""
        super().connection_made(_Transport(transport, self._close))

    def data_received(self, data: bytes) -> None:
        """Discards what arrives after the end of the last response."""
        if self._linger_timer is None:
            super().data_received(data)
            self._has_begun_request = not self._is_in_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timers."""
        for timer in (self._linger_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers bytes that are no HTTP, of which more may arrive."""
        self._has_rejected_bytes = True
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """Ends the connection after its running request, or after one that begins within `idle_seconds`.

        Headers of which a part has arrived have their usual time.
        """
        if self._is_in_request():
            super().shutdown()
        elif not self.transport.is_closing():
            self._idle_timer = self.loop.call_later(self.idle_seconds, self._end_idle)

    def _end_idle(self) -> None:
        if not self._has_begun_request and not self.transport.is_closing():
            super().shutdown()

    def _close(self, transport: Any) -> None:
        """Closes the connection, at once where nothing more is to be expected of the client."""
        cycle = self.cycle
        is_refused = cycle is not None and cycle.response_started and cycle.more_body
        if self._linger_timer is not None or transport.is_closing():
            return
        if not (is_refused or self._has_rejected_bytes) or not transport.can_write_eof():
            transport.close()
            return
        self._stop_header_timer()
        self._linger_timer = self.loop.call_later(self.linger_seconds, transport.close)
        # uvicorn stops reading while a body waits for the application.
        self.flow.resume_reading()
        transport.write_eof()


class _Transport:
    """The transport of a connection, whose closing is left to its protocol.

    What is written at once, such as the headers and the body of a response, is sent together: each time that the system
    is called costs as much as the parsing of a request, and may wake the client for a part of what it waits for.
    """

    def __init__(self, transport: Any, close: Callable[[Any], None]) -> None:
        self._transport = transport
        self._close = close
        self._is_closing = False
        self._unsent: list[bytes] = []

    def close(self) -> None:
        """Ends the connection; what is written to it from now on is dropped, as by any transport that is closing."""
        self._is_closing = True
        self._flush()
        self._close(self._transport)

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._is_closing or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Sends bytes, in the event loop's next turn or before the connection is closed."""
        if self._is_closing or not data:
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

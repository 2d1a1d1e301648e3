"""ASGI middleware: counts and times requests, logs them, and hides exceptions from clients."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskfit.apps.service.metrics import Metrics
from maskfit.apps.service.problem_details import to_response
from maskfit.apps.service.request_deadlines import RequestDeadlines

LOG = logging.getLogger("maskfit.service")

STATUS_CLIENT_CLOSED_REQUEST = 499
"""Logged where the client disconnected before the response, as nginx does."""

OTHER = "other"
"""Logged in place of unknown paths and methods, which may contain anything."""

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE")
"""Methods that are logged by name."""


class RequestMiddleware:
    """Outermost ASGI middleware of the service.

    Args:
        app: The wrapped application.
        metrics: Where requests are counted.
        paths: Paths of the routes; others are logged as `OTHER`.
        deadlines: Tells whether a shutdown has begun; then every response is the last one of its connection.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str], deadlines: RequestDeadlines) -> None:
        self.app = app
        self.paths = paths
        self.deadlines = deadlines
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one ASGI connection.

        Args:
            scope: The connection scope.
            receive: Receives messages of the client.
            send: Sends messages to the client.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = STATUS_CLIENT_CLOSED_REQUEST

        async def send_and_record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.deadlines.is_stopping:
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        try:
            await self.app(scope, receive, send_and_record)
        except Exception as error:
            # Without the exception's message, which may contain a photo's name or a path.
            trace = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("unhandled %s\n%s", type(error).__name__, trace)
            if status == STATUS_CLIENT_CLOSED_REQUEST:
                response = to_response(500, "internal error; see the log of the service")
                await response(scope, receive, send_and_record)
        finally:
            self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths else OTHER
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self.metrics.requests.labels(path, method, status).inc()
        self.metrics.request_seconds.labels(path).observe(seconds)
        # Neither the client's address nor anything it sent.
        LOG.info("%s %s %d %.3f s", method, path, status, seconds)

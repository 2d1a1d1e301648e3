"""The guard round all routes: counts and times requests, writes the log, and lets no error's words out."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskfit.apps.service.metrics import Metrics
from maskfit.apps.service.problem_details import to_response

LOG = logging.getLogger("maskfit.service")

STATUS_CLIENT_CLOSED_REQUEST = 499
"""What is logged where the caller went away before the answer, as nginx has it."""

OTHER = "other"
"""What a path that is no route's is called: it may hold anything."""

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE")


class RequestMiddleware:
    """ASGI middleware.

    Args:
        app: What it stands round.
        metrics: Where it counts.
        paths: Of the routes.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self.app = app
        self.paths = paths
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = STATUS_CLIENT_CLOSED_REQUEST

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            # Without the error's own words: they may quote a photo's name or a path.
            LOG.error("a fault: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
            if status == STATUS_CLIENT_CLOSED_REQUEST:
                await to_response(500, "the service failed; its log says where")(scope, receive, watch)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths else OTHER
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self.metrics.requests.labels(path, method, status).inc()
        self.metrics.request_seconds.labels(path).observe(seconds)
        # Neither the address of the caller nor anything that was sent.
        LOG.info("%s %s %d %.3f s", method, path, status, seconds)

"""Runs the service in one process or in several that share a port, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from maskfit.apps.service.http_protocol import LINGER_SECONDS, ServiceProtocol
from maskfit.apps.service.metrics import MULTIPROC_DIR_VARIABLE
from maskfit.apps.service.routes import build_app
from maskfit.apps.service.service import InferenceService
from maskfit.apps.service.settings import SETTINGS_VARIABLE, ServiceSettings
from maskfit.inference.engines import Logger

MAX_CONNECTIONS = 1000
"""Concurrent connections of one worker; further ones get 503."""

WORKER_HEALTHCHECK_SECONDS = 30
"""Seconds after which a silent worker is taken for dead; on a busy machine a worker takes seconds to start."""

LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"line": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "maskfit": {"handlers": ["line"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["line"], "level": "WARNING", "propagate": False},
        # It quotes request bodies.
        "python_multipart": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
"""Logs to standard error, without uvicorn's access log, which contains addresses and full paths."""


def serve(
    settings: ServiceSettings,
    host: str,
    port: int,
    on_start: Callable[[InferenceService], object] = lambda service: None,
    log: Logger = lambda line: None,
) -> None:
    """Serves until the process receives SIGTERM or SIGINT; running requests are completed within `stop_seconds`.

    Args:
        settings: The settings.
        host: The address to listen on.
        port: The TCP port.
        on_start: Called with the service after its models are loaded, just before it listens.
        log: Receives a line about what takes time before.

    Raises:
        MaskfitError: As `InferenceService`.
    """
    # Also where workers load their own models: errors are reported here, once, and weights are downloaded once.
    service = InferenceService(settings, log)
    on_start(service)
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "log_config": LOG_CONFIG,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "lifespan": "on",
        "ws": "none",
        "http": ServiceProtocol,
        "limit_concurrency": MAX_CONNECTIONS,
        # The service answers what is not complete after `stop_seconds`; this is the time to send and receive that.
        "timeout_graceful_shutdown": settings.stop_seconds + math.ceil(LINGER_SECONDS) + 1,
    }
    if settings.workers == 1:
        server = _Server(uvicorn.Config(_build_frozen_app(service), **options))
        with _sigterm_ends_once(service), suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)
        return
    del service
    with _worker_environment(settings):
        config = uvicorn.Config(
            f"{__name__}:worker_app",
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=WORKER_HEALTHCHECK_SECONDS,
            **options,
        )
        _Supervisor(config, sockets=[config.bind_socket()]).run()


class _Server(uvicorn.Server):
    """uvicorn's server, which also serves the clients whose connection it has not accepted when it stops listening.

    The system has completed these connections, and resets them where the port is closed.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops listening, accepts what waits, and ends as uvicorn does."""
        loop = asyncio.get_running_loop()
        # A second handle of each port keeps it open where the first is closed.
        listeners = [listener.dup() for server in self.servers for listener in server.sockets]
        for server in self.servers:
            server.close()
        waiting = []
        for listener in listeners:
            with listener, suppress(OSError):
                listener.setblocking(False)
                while True:
                    waiting.append(listener.accept()[0])
        for connection in waiting:
            with suppress(OSError):
                await loop.connect_accepted_socket(self._make_protocol, connection)
        await super().shutdown(sockets)

    def _make_protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = ServiceProtocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


class _Supervisor(Multiprocess):
    """Runs the worker processes."""

    def terminate_all(self) -> None:
        """Stops listening, then the workers: clients would connect to a port that nobody serves any more."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def worker_app() -> FastAPI:
    """Builds the application of a worker process from the environment.

    Returns:
        The ASGI application.

    Raises:
        MaskfitError: As `InferenceService`.
    """
    return _build_frozen_app(InferenceService(ServiceSettings.model_validate_json(os.environ[SETTINGS_VARIABLE])))


def _build_frozen_app(service: InferenceService) -> FastAPI:
    """Builds the application, and spares the garbage collector all that is loaded by now, which stays to the end.

    It would look at these objects again and again: a tenth of the time outside of the networks.
    """
    app = build_app(service)
    gc.collect()
    gc.freeze()
    return app


@contextmanager
def _sigterm_ends_once(service: InferenceService) -> Iterator[None]:
    """Ignores the SIGTERM that uvicorn raises once more after its shutdown: the exit code would be that of a kill.

    A SIGTERM before uvicorn handles it has its usual effect.
    """
    previous = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL

    def handle(number: int, frame: FrameType | None) -> None:
        if service.deadlines.is_stopping:
            return
        signal.signal(signal.SIGTERM, previous)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _worker_environment(settings: ServiceSettings) -> Iterator[None]:
    """Sets the environment of worker processes: the settings, and a folder for shared metrics."""
    with tempfile.TemporaryDirectory(prefix="maskfit-metrics-") as folder:
        variables = {SETTINGS_VARIABLE: settings.model_dump_json(), MULTIPROC_DIR_VARIABLE: folder}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name in variables:
                del os.environ[name]

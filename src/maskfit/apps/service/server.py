"""Running a service: one process, or several that share a port; ended by SIGTERM or Ctrl-C."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from maskfit.apps.service.metrics import MULTIPROC_DIR_VARIABLE
from maskfit.apps.service.routes import build_app
from maskfit.apps.service.service import InferenceService
from maskfit.apps.service.settings import SETTINGS_VARIABLE, ServiceSettings

MAX_CONNECTIONS = 1000
"""Of one worker; more are answered with 503."""

WORKER_HEALTHCHECK_SECONDS = 30
"""How long a worker may be silent before it is taken for dead; on a busy machine it takes seconds to begin."""

LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"line": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "maskfit": {"handlers": ["line"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["line"], "level": "WARNING", "propagate": False},
        # It quotes bodies.
        "python_multipart": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
"""To standard error, and without uvicorn's log of requests, which has addresses and whole paths."""


def serve(
    settings: ServiceSettings, host: str, port: int, opened: Callable[[InferenceService], object] = lambda service: None
) -> None:
    """Serves until the process gets SIGTERM or SIGINT; what was begun by then is answered, within `stop_seconds`.

    Args:
        settings: What to serve.
        host: The address to listen at.
        port: The port.
        opened: Called with the service when its models are loaded, just before it listens.

    Raises:
        MaskfitError: As `Service`.
    """
    # Also where workers load their own: so that what is wrong is said here, once, and weights are fetched once.
    service = InferenceService(settings)
    opened(service)
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "log_config": LOG_CONFIG,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "lifespan": "on",
        "ws": "none",
        "limit_concurrency": MAX_CONNECTIONS,
        "timeout_graceful_shutdown": settings.stop_seconds,
    }
    # uvicorn ends gracefully and then sends itself the signal once more, so that the exit code would say it was killed.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    if settings.workers == 1:
        uvicorn.run(build_app(service), **options)
        return
    del service
    with _told(settings):
        uvicorn.run(
            f"{__name__}:worker_app",
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=WORKER_HEALTHCHECK_SECONDS,
            **options,
        )


def worker_app() -> FastAPI:
    """The application of a worker process.

    Raises:
        MaskfitError: As `Service`.
    """
    return build_app(InferenceService(ServiceSettings.model_validate_json(os.environ[SETTINGS_VARIABLE])))


@contextmanager
def _told(settings: ServiceSettings) -> Iterator[None]:
    """What workers read from their environment: the settings, and where they put their numbers together."""
    with tempfile.TemporaryDirectory(prefix="maskfit-metrics-") as folder:
        told = {SETTINGS_VARIABLE: settings.model_dump_json(), MULTIPROC_DIR_VARIABLE: folder}
        os.environ.update(told)
        try:
            yield
        finally:
            for name in told:
                del os.environ[name]

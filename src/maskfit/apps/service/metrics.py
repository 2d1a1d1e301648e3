"""Metrics: what Prometheus may read of a service. Numbers only: no names, no addresses, no answers."""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

MULTIPROC_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment's name for a folder in which workers keep their numbers, so that each can tell those of all."""

MEDIA_TYPE = CONTENT_TYPE_LATEST

LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The numbers of one service.

    Attributes:
        requests: By path, method and status.
        seconds: From a request's first byte to its answer, by path.
        photos: By what became of them: answered, unreadable or lost.
        faces: That were answered for, whole photos too.
        queue: Photos that were taken on and are not yet answered.
        batches: Faces that passed the networks together.
        network_seconds: That such a batch took.
        rejections: Of requests, by reason.
    """

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter(
            "maskfit_requests", "Requests by path, method and status.", ["path", "method", "status"], registry=own
        )
        self.request_seconds = Histogram(
            "maskfit_request_seconds", "From a request to its answer.", ["path"], buckets=LATENCY_BUCKETS, registry=own
        )
        self.photos = Counter("maskfit_photos", "Photos by what became of them.", ["outcome"], registry=own)
        self.faces = Counter("maskfit_faces", "Faces that were answered for, whole photos too.", registry=own)
        self.queue_size = Gauge(
            "maskfit_queue_photos", "Photos taken on and not yet answered.", multiprocess_mode="livesum", registry=own
        )
        self.batch_faces = Histogram(
            "maskfit_batch_faces", "Faces that passed the networks together.", buckets=BATCH_SIZE_BUCKETS, registry=own
        )
        self.batch_seconds = Histogram(
            "maskfit_batch_seconds", "That the networks took for a batch.", buckets=LATENCY_BUCKETS, registry=own
        )
        self.rejections = Counter("maskfit_rejections", "Refused requests by reason.", ["reason"], registry=own)

    def render(self) -> bytes:
        """Everything in Prometheus's text format: of all workers, where there are several."""
        folder = os.environ.get(MULTIPROC_DIR_VARIABLE)
        if not folder:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together, path=folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)

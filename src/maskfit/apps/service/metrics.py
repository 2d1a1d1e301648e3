"""Prometheus metrics of the service: numbers only, without names, addresses or predictions."""

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
"""Environment variable for a folder in which workers share their numbers, so that each can report the sum."""

MEDIA_TYPE = CONTENT_TYPE_LATEST
"""Media type of `Metrics.render`."""

LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
"""Upper bounds in seconds; the last is the default time limit of a request."""

BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds in faces."""


class Metrics:
    """Counters of one service.

    Attributes:
        registry: The Prometheus registry.
        requests: Requests by path, method and status.
        request_seconds: Seconds from a request's first byte to its response, by path.
        photos: Photos by outcome: answered, unreadable or lost.
        remembered: Answered photos whose file came before, so that the answer was known.
        without_face: Answered photos on which no face was detected; none where detection was not asked for.
        faces: Predicted faces; a whole photo counts as one.
        queue_size: Photos that were accepted and have no result yet.
        batch_faces: Faces in a batch.
        batch_seconds: Seconds that the networks took for a batch.
        rejections: Rejected requests by reason.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "maskfit_requests", "Requests by path, method and status.", ["path", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "maskfit_request_seconds",
            "Seconds from a request to its response.",
            ["path"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.photos = Counter("maskfit_photos", "Photos by outcome.", ["outcome"], registry=registry)
        self.remembered = Counter(
            "maskfit_photos_remembered", "Answered photos whose answer was known from before.", registry=registry
        )
        self.without_face = Counter(
            "maskfit_photos_without_face", "Answered photos on which no face was detected.", registry=registry
        )
        self.faces = Counter("maskfit_faces", "Predicted faces; a whole photo counts as one.", registry=registry)
        self.queue_size = Gauge(
            "maskfit_queue_photos",
            "Photos that were accepted and have no result yet.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.batch_faces = Histogram(
            "maskfit_batch_faces", "Faces in a batch.", buckets=BATCH_SIZE_BUCKETS, registry=registry
        )
        self.batch_seconds = Histogram(
            "maskfit_batch_seconds",
            "Seconds that the networks took for a batch.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.rejections = Counter("maskfit_rejections", "Rejected requests by reason.", ["reason"], registry=registry)

    def render(self) -> bytes:
        """Returns all metrics in Prometheus's text format.

        Returns:
            The metrics of this process, or the sums over all workers where there are several.
        """
        folder = os.environ.get(MULTIPROC_DIR_VARIABLE)
        if not folder:
            return generate_latest(self.registry)
        combined = CollectorRegistry()
        multiprocess.MultiProcessCollector(combined, path=folder)  # type: ignore[no-untyped-call]
        return generate_latest(combined)

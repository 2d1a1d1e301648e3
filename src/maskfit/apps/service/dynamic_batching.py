"""Batching: photos of many requests are looked at side by side and pass the networks together.

Decoding and looking for faces happen in a pool of threads; the networks run in one thread, which takes whatever has
been seen by then. It waits for more only while other photos are still being looked at: a lone caller waits for nobody.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, Thread

import numpy as np

from maskfit.apps.service.metrics import Metrics
from maskfit.apps.service.problem_details import HTTPProblemError
from maskfit.apps.service.settings import ServiceSettings
from maskfit.data.image_decoding import decode
from maskfit.errors import PhotoError
from maskfit.inference.face_predictor import DetectedFaces, FacePredictor, PhotoPrediction

WARM_UP_SIDE = 256
"""Pixels of the grey photo that is answered before anybody's."""


@dataclass(eq=False)
class _Job:
    """A photo on its way; `content` is dropped as soon as nobody needs it."""

    content: bytes
    faces: bool
    answer: Future[PhotoPrediction] = field(default_factory=Future)


class DynamicBatcher:
    """Answers for photos of many callers.

    Args:
        readers: What answers for the faces on a photo under True, for whole photos under False; of one predictor.
        settings: Sizes and limits.
        metrics: Where it counts.
    """

    def __init__(self, readers: Mapping[bool, FacePredictor], settings: ServiceSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self._readers = dict(readers)
        self._pool = ThreadPoolExecutor(settings.threads, "look")
        self._detected: queue.SimpleQueue[tuple[_Job, DetectedFaces] | None] = queue.SimpleQueue()
        self._networks = Thread(target=self._run, name="networks", daemon=True)
        self._lock = Lock()
        self._open = 0
        self._num_detecting = 0

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and answers."""
        return self._networks.is_alive()

    @property
    def pending_count(self) -> int:
        """Photos that were taken on and are not yet answered."""
        return self._open

    def start(self) -> None:
        """Answers for a grey photo, so that what would fail fails now and the first caller waits no longer."""
        grey = np.full((WARM_UP_SIDE, WARM_UP_SIDE, 3), 128, np.uint8)
        for reader in self._readers.values():
            reader.predict_batch([reader.preprocess(grey)])
        self._networks.start()

    def submit(self, photos: Sequence[bytes], faces: bool) -> list[Future[PhotoPrediction]]:
        """Takes on all of these photos, or none.

        Args:
            photos: Their files' contents.
            faces: Whether each face is to be answered for, or the whole photo.

        Returns:
            For each its answer, or a PhotoError. What is cancelled is not computed, where that is not too late.

        Raises:
            RefusalError: Too many are waiting.
        """
        most = self.settings.limits.queue
        with self._lock:
            if self._open + len(photos) > most:
                raise HTTPProblemError(429, f"{self._open} photos are waiting, and {most} may", "queue")
            self._open += len(photos)
            self._num_detecting += len(photos)
        self.metrics.queue_size.inc(len(photos))
        jobs = [_Job(content, faces) for content in photos]
        for job in jobs:
            job.answer.add_done_callback(partial(self._close, job))
            self._pool.submit(self._look, job)
        return [job.answer for job in jobs]

    def stop(self) -> None:
        """Answers for what was taken on, and ends."""
        self._pool.shutdown()
        self._detected.put(None)
        if self.is_running:
            self._networks.join()

    def _close(self, job: _Job, answer: Future[PhotoPrediction]) -> None:
        """Called once for each photo, when it has its answer or nobody waits for one any more."""
        job.content = b""
        if answer.cancelled():
            outcome = "lost"
        elif error := answer.exception():
            outcome = "unreadable" if isinstance(error, PhotoError) else "lost"
        else:
            outcome = "answered"
        self.metrics.photos.labels(outcome).inc()
        with self._lock:
            self._open -= 1
        self.metrics.queue_size.dec()

    def _look(self, job: _Job) -> None:
        limits = self.settings.limits
        found: DetectedFaces | Exception | None = None
        try:
            if not job.answer.cancelled():
                pixels = decode(job.content, max_pixels=limits.photo_pixels, max_bytes=limits.photo_bytes)
                found = self._readers[job.faces].preprocess(pixels)
        except Exception as error:
            # Whatever it is, somebody waits for it.
            found = error
        # Before it is handed on: the networks would else wait for the photo that they have.
        with self._lock:
            self._num_detecting -= 1
        if isinstance(found, Exception):
            self._settle(job, found)
        elif found is not None:
            self._detected.put((job, found))

    def _run(self) -> None:
        while (first := self._detected.get()) is not None:
            self._answer(self._gather(first))

    def _gather(self, first: tuple[_Job, DetectedFaces]) -> list[tuple[_Job, DetectedFaces]]:
        """What passes the networks together: as many faces as fit, of the photos seen by now or very soon."""
        batch, faces = [first], len(first[1].inputs)
        until = time.monotonic() + self.settings.batch_wait
        while faces < self.settings.batch_size:
            left = until - time.monotonic()
            try:
                more = (
                    self._detected.get(timeout=left)
                    if left > 0 and self._num_detecting
                    else self._detected.get_nowait()
                )
            except queue.Empty:
                break
            if more is None:
                # The end: left for whoever asks next.
                self._detected.put(None)
                break
            batch.append(more)
            faces += len(more[1].inputs)
        return batch

    def _answer(self, batch: Sequence[tuple[_Job, DetectedFaces]]) -> None:
        wanted = [(job, looked) for job, looked in batch if not job.answer.cancelled()]
        faces = sum(len(looked.inputs) for _, looked in wanted)
        began = time.perf_counter()
        try:
            readings = self._readers[False].predict_batch([looked for _, looked in wanted])
        except Exception as error:
            for job, _ in wanted:
                self._settle(job, error)
            return
        if faces:
            self.metrics.batch_faces.observe(faces)
            self.metrics.batch_seconds.observe(time.perf_counter() - began)
            self.metrics.faces.inc(faces)
        for (job, _), reading in zip(wanted, readings, strict=True):
            self._settle(job, reading)

    def _settle(self, job: _Job, answer: PhotoPrediction | Exception) -> None:
        """Gives a photo's answer to whoever still waits for it."""
        if not job.answer.set_running_or_notify_cancel():
            return
        if isinstance(answer, Exception):
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)

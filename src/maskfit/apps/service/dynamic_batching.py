"""Dynamic batching: faces of concurrent requests share batches.

Decoding and face detection run in a pool of threads; the networks run in as many, each of which takes the photos that
are preprocessed by then. It waits for more only while other photos are still being preprocessed, so a lone request
never waits. Each network thread computes alone: two that share a batch wait for each other after every layer.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Lock, Thread

import numpy as np

from maskfit.apps.service.answer_memory import AnswerMemory, Key
from maskfit.apps.service.metrics import Metrics
from maskfit.apps.service.problem_details import HTTPProblemError
from maskfit.apps.service.settings import ServiceSettings
from maskfit.data.image_decoding import decode
from maskfit.data.image_opening import read_size
from maskfit.errors import PhotoError
from maskfit.inference.face_prediction import DetectedFaces, PhotoPrediction
from maskfit.inference.face_predictor import FacePredictor
from maskfit.text import format_count

MAX_DECODED_PHOTOS = 2
"""Photos of the maximum size that may be decoded at one time; of smaller ones as many as there are threads."""

WARM_UP_SIDE = 256
"""Side in pixels of the gray photo that is predicted before any request."""


@dataclass(eq=False)
class _Job:
    """A photo in process.

    Attributes:
        content: The file's bytes; dropped as soon as they are decoded.
        detect_faces: Whether faces are detected; otherwise the whole photo is predicted.
        key: What the memory of answers knows the photo by; set when work on it begins.
        future: The result.
    """

    content: bytes
    detect_faces: bool
    key: Key = b""
    future: Future[PhotoPrediction] = field(default_factory=Future)


class PixelBudget:
    """Limits the pixels that are decoded at one time, over all threads: a small file may hold millions.

    Args:
        max_pixels: The limit.
    """

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._reserved = 0
        self._changed = Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for a photo, and holds it.

        Args:
            pixels: Pixels of the photo, at most the limit.

        Yields:
            Nothing.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._reserved + pixels <= self.max_pixels)
            self._reserved += pixels
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= pixels
                self._changed.notify_all()


class DynamicBatcher:
    """Predicts photos of concurrent requests in shared batches.

    Args:
        face_predictors: The predictor that detects faces under True, the one for whole photos under False; both use the
            same models.
        settings: Batch size and limits.
        metrics: Where photos and batches are counted.
    """

    def __init__(
        self, face_predictors: Mapping[bool, FacePredictor], settings: ServiceSettings, metrics: Metrics
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self._face_predictors = dict(face_predictors)
        self._memory = AnswerMemory(settings.remember)
        self._decoded = PixelBudget(MAX_DECODED_PHOTOS * settings.limits.photo_pixels)
        self._pool = ThreadPoolExecutor(settings.threads, "preprocess")
        # No SimpleQueue: in CPython 3.11, get() with a timeout may wait forever where another thread takes the item.
        self._detected: queue.Queue[tuple[_Job, DetectedFaces] | None] = queue.Queue()
        self._network_threads = [
            Thread(target=self._run, name=f"networks-{number}", daemon=True) for number in range(settings.threads)
        ]
        self._lock = Lock()
        self._num_pending = 0
        self._num_detecting = 0

    @property
    def is_running(self) -> bool:
        """Whether the batcher was started and still predicts."""
        return all(thread.is_alive() for thread in self._network_threads)

    @property
    def pending_count(self) -> int:
        """Photos that were accepted and have no result yet."""
        return self._num_pending

    def start(self) -> None:
        """Predicts a gray photo and starts the network threads.

        The warm-up makes a broken model fail now, and spares the first request the initialization.
        """
        gray = np.full((WARM_UP_SIDE, WARM_UP_SIDE, 3), 128, np.uint8)
        for face_predictor in self._face_predictors.values():
            face_predictor.predict_batch([face_predictor.preprocess(gray)])
        for thread in self._network_threads:
            thread.start()

    def submit(self, photos: Sequence[bytes], detect_faces: bool) -> list[Future[PhotoPrediction]]:
        """Accepts all of the photos, or none.

        Args:
            photos: The files' bytes.
            detect_faces: Whether each face is predicted, or the whole photo.

        Returns:
            A future for each photo; its exception is a PhotoError where the photo cannot be read. A cancelled one is
            not computed where its batch has not started.

        Raises:
            HTTPProblemError: The queue is full.
        """
        max_pending = self.settings.limits.queue
        with self._lock:
            if self._num_pending + len(photos) > max_pending:
                detail = (
                    f"{format_count(self._num_pending, 'photo is', 'photos are')} waiting, and at most "
                    f"{max_pending} may wait"
                )
                raise HTTPProblemError(429, detail, "queue")
            self._num_pending += len(photos)
            self._num_detecting += len(photos)
        self.metrics.queue_size.inc(len(photos))
        jobs = [_Job(content, detect_faces) for content in photos]
        for job in jobs:
            job.future.add_done_callback(partial(self._on_done, job))
            self._pool.submit(self._preprocess, job)
        return [job.future for job in jobs]

    def stop(self) -> None:
        """Predicts all accepted photos, then stops the threads."""
        self._pool.shutdown()
        self._detected.put(None)
        for thread in self._network_threads:
            if thread.is_alive():
                thread.join()

    def _on_done(self, job: _Job, future: Future[PhotoPrediction]) -> None:
        """Counts a photo; called once for each, when it has a result or its request was canceled."""
        job.content = b""
        if future.cancelled():
            outcome = "lost"
        elif error := future.exception():
            outcome = "unreadable" if isinstance(error, PhotoError) else "lost"
        else:
            outcome = "answered"
            if job.detect_faces and not future.result().num_faces:
                self.metrics.without_face.inc()
        self.metrics.photos.labels(outcome).inc()
        with self._lock:
            self._num_pending -= 1
        self.metrics.queue_size.dec()

    def _preprocess(self, job: _Job) -> None:
        """Looks a photo up, or decodes it and detects its faces."""
        result: PhotoPrediction | DetectedFaces | Exception | None = None
        try:
            if not job.future.cancelled():
                job.key = self._memory.key(job.content, job.detect_faces)
                result = self._memory.get(job.key) or self._detect(job)
        except Exception as error:
            # Any exception: a request is waiting for this photo.
            result = error
        # Before the photo is queued: otherwise a network thread would wait for the photo that it already has.
        with self._lock:
            self._num_detecting -= 1
        if isinstance(result, DetectedFaces):
            self._detected.put((job, result))
        elif result is not None:
            if isinstance(result, PhotoPrediction):
                self.metrics.remembered.inc()
            self._set_result(job, result)

    def _detect(self, job: _Job) -> DetectedFaces | None:
        """Decodes a photo and detects its faces; None where its request has ended meanwhile."""
        limits = self.settings.limits
        width, height = read_size(job.content)
        with self._decoded.reserve(min(width * height, limits.photo_pixels)):
            # A request that has ended waits for nothing: looked at again after each step that may take long.
            if job.future.cancelled():
                return None
            content = job.content
            pixels = decode(content, max_pixels=limits.photo_pixels, max_bytes=limits.photo_bytes)
            if job.future.cancelled():
                return None
            return self._face_predictors[job.detect_faces].preprocess(pixels, image=content)

    def _run(self) -> None:
        while (first := self._detected.get()) is not None:
            self._predict(self._collect_batch(first))
        # The end marker is for the other threads too.
        self._detected.put(None)

    def _collect_batch(self, first: tuple[_Job, DetectedFaces]) -> list[tuple[_Job, DetectedFaces]]:
        """Collects a batch: the photos preprocessed by now or within `batch_wait`, up to `batch_size` faces."""
        batch, num_faces = [first], len(first[1].inputs)
        deadline = time.monotonic() + self.settings.batch_wait
        while num_faces < self.settings.batch_size:
            remaining = deadline - time.monotonic()
            try:
                if remaining > 0 and self._num_detecting:
                    item = self._detected.get(timeout=remaining)
                else:
                    item = self._detected.get_nowait()
            except queue.Empty:
                break
            if item is None:
                # The end marker goes back for `_run`.
                self._detected.put(None)
                break
            batch.append(item)
            num_faces += len(item[1].inputs)
        return batch

    def _predict(self, batch: Sequence[tuple[_Job, DetectedFaces]]) -> None:
        active = [(job, detected) for job, detected in batch if not job.future.cancelled()]
        num_faces = sum(len(detected.inputs) for _, detected in active)
        began = time.perf_counter()
        try:
            predictions = self._face_predictors[False].predict_batch([detected for _, detected in active])
        except Exception as error:
            for job, _ in active:
                self._set_result(job, error)
            return
        if num_faces:
            self.metrics.batch_faces.observe(num_faces)
            self.metrics.batch_seconds.observe(time.perf_counter() - began)
            self.metrics.faces.inc(num_faces)
        for (job, _), prediction in zip(active, predictions, strict=True):
            self._memory.put(job.key, prediction)
            self._set_result(job, prediction)

    def _set_result(self, job: _Job, result: PhotoPrediction | Exception) -> None:
        """Sets the result of a photo, unless its request was canceled."""
        if not job.future.set_running_or_notify_cancel():
            return
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)

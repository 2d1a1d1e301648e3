"""The service itself, apart from HTTP: models, batches, numbers, and whether it is ready."""

from __future__ import annotations

import hmac
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskfit.apps.service.dynamic_batching import DynamicBatcher
from maskfit.apps.service.metrics import Metrics
from maskfit.apps.service.model_info import ServiceInfo, describe
from maskfit.apps.service.settings import ServiceSettings
from maskfit.apps.service.uploads import BodyMemoryBudget
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.registry import ComponentSpec


class InferenceService:
    """Models that answer, and everything that routes need.

    Args:
        settings: What it is started with.

    Attributes:
        stopping: Set when the process was told to end; what was begun is still answered.

    Raises:
        ModelFileError: A model cannot be opened, or they cannot answer together.
        DataError: A detector's weights are not here, or the token cannot be used.
        MaskfitError: As `Predictor.load`.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.body_memory = BodyMemoryBudget(settings.limits.max_total_body_bytes)
        self.stopping = False
        self._token = settings.token()
        self.predictor = Predictor.load(
            *settings.models,
            views=settings.views,
            vote=settings.vote,
            batch_size=settings.batch_size,
            threads=settings.threads,
            top=settings.top,
            engine=settings.engine,
        )
        readers = {False: FacePredictor(self.predictor, find=False)}
        if settings.faces:
            # A photo without a face has no answer for a face; who wants the whole photo says so.
            readers[True] = FacePredictor(self.predictor, whole=False, most=settings.limits.faces)
        self.batcher = DynamicBatcher(readers, settings, self.metrics)
        finder = readers[settings.faces].detector
        self._detector = ComponentSpec.model_validate(finder.detector).name if finder else None

    @property
    def requires_token(self) -> bool:
        """Whether callers must show a token."""
        return self._token is not None

    def check_token(self, token: str | None) -> bool:
        """Whether a caller who shows this token may ask; takes the same time whatever is wrong with it."""
        if self._token is None:
            return True
        return hmac.compare_digest((token or "").encode("utf-8", "replace"), self._token.encode())

    @property
    def is_ready(self) -> bool:
        """Whether photos are answered for: models are warm, and nobody told the process to end."""
        return self.batcher.is_running and not self.stopping

    def describe(self) -> ServiceInfo:
        """What is served."""
        return describe(self.predictor, self._detector, self.settings.views, self.settings.limits)


@contextmanager
def on_shutdown_signal(notice: Callable[[], None]) -> Iterator[None]:
    """Calls `notice` when the process is told to end, before the server's own handler does what it does then.

    Signals come to a process's main thread; in another, nothing is noticed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: object) -> None:
        notice()
        then = before[signal.Signals(number)]
        if callable(then):
            then(number, frame)  # type: ignore[arg-type]

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

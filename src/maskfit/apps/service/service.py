"""The service without HTTP: models, batcher, metrics, token and readiness."""

from __future__ import annotations

import hmac
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskfit.apps.service.dynamic_batching import DynamicBatcher
from maskfit.apps.service.metrics import Metrics
from maskfit.apps.service.model_info import ServiceInfo, describe
from maskfit.apps.service.request_deadlines import RequestDeadlines
from maskfit.apps.service.settings import ServiceSettings
from maskfit.apps.service.uploads import BodyMemoryBudget
from maskfit.inference.detector_choice import describe_other_detector, parse_detector
from maskfit.inference.engines import Logger
from maskfit.inference.engines.selection import select_continuous_engine
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.input_resolution import find_models
from maskfit.inference.predictor import Predictor
from maskfit.registry import ComponentSpec


class InferenceService:
    """Models and everything else that the routes need.

    Args:
        settings: The settings.
        log: Receives a line about what takes time.

    Attributes:
        settings: The settings.
        metrics: The metrics.
        body_memory: Memory budget of all request bodies.
        predictor: The models.
        batcher: Predicts photos in batches.
        detector_note: Says that the named detector is not that of the models; empty where it is.
        deadlines: Time limits of running requests; a shutdown shortens them.

    Raises:
        ModelFileError: A model cannot be opened, or the models are incompatible.
        DataError: A detector's file is none, its weights are missing, or the token is invalid.
        RecipeError: There is no such detector, or it has no such option.
        MaskfitError: As `Predictor.load`.
    """

    def __init__(self, settings: ServiceSettings, log: Logger = lambda line: None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.body_memory = BodyMemoryBudget(settings.limits.max_total_body_bytes)
        self.deadlines = RequestDeadlines(settings.limits.seconds, settings.stop_seconds)
        self._token = settings.token()
        self.predictor = Predictor.load(
            *settings.models,
            tta=settings.views,
            vote=settings.vote,
            decide=settings.decide,
            age_borders=settings.age_borders,
            batch_size=settings.batch_size,
            threads=1,
            top_k=settings.top,
            engine=select_continuous_engine(find_models(settings.models, settings.top), settings.engine, log),
        )
        face_predictors = {False: FacePredictor(self.predictor, detect=False)}
        named = parse_detector(settings.detector) if settings.faces and settings.detector else None
        crops = (item.face_crop for item in self.predictor.runner.crop_resizes)
        self.detector_note = describe_other_detector(named, crops) if named else ""
        if settings.faces:
            # A photo without a face gets no prediction; a client that wants the whole photo sends faces=false.
            face_predictors[True] = FacePredictor(
                self.predictor,
                detector=named,
                predict_whole_image=False,
                max_faces=settings.limits.faces,
                min_face_side=settings.limits.min_face,
            )
        self.batcher = DynamicBatcher(face_predictors, settings, self.metrics)
        face_crop = face_predictors[settings.faces].detector
        self._detector = ComponentSpec.model_validate(face_crop.detector).name if face_crop else None

    @property
    def requires_token(self) -> bool:
        """Whether clients must send a bearer token."""
        return self._token is not None

    def check_token(self, token: str | None) -> bool:
        """Checks a client's bearer token in constant time.

        Args:
            token: What the client sent; None without an Authorization header.

        Returns:
            Whether the client is admitted.
        """
        if self._token is None:
            return True
        return hmac.compare_digest((token or "").encode("utf-8", "replace"), self._token.encode())

    @property
    def is_ready(self) -> bool:
        """Whether photos are predicted: the models are warm, and no shutdown has begun."""
        return self.batcher.is_running and not self.deadlines.is_stopping

    def describe(self) -> ServiceInfo:
        """Returns what the service serves.

        Returns:
            Models, attributes and limits.
        """
        return describe(self.predictor, self._detector, self.settings.views, self.settings.limits)


@contextmanager
def on_shutdown_signal(callback: Callable[[], None]) -> Iterator[None]:
    """Calls a function on SIGTERM or SIGINT, before the server's own handler runs.

    Python delivers signals to the main thread only; in another thread this does nothing.

    Args:
        callback: The function.

    Yields:
        Nothing; the previous handlers are restored afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: object) -> None:
        callback()
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)  # type: ignore[arg-type]

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

"""Settings and limits of the service."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from maskfit.calibration import DEFAULT_DECIDE, MIN_FACE_SIDE
from maskfit.errors import DataError

SETTINGS_VARIABLE = "MASKFIT_SERVICE"
"""Environment variable with the settings as JSON, for worker processes."""

TOKEN_VARIABLE = "MASKFIT_TOKEN"
"""Environment variable with the bearer token that clients must send."""

MIN_TOKEN_LENGTH = 16
"""Characters; a shorter token can be guessed."""

Count = Annotated[int, Field(ge=1)]


class Limits(BaseModel):
    """Limits of a request.

    Attributes:
        body_bytes: Bytes of a request's body; all bodies in memory together may have eight times as many.
        photo_bytes: Bytes of one photo.
        photo_pixels: Width x height of one photo, read from its header before decoding.
        photos: Photos in one request.
        faces: Predicted faces of one photo, the largest first.
        min_face: Shorter side in pixels of the smallest face that is predicted.
        queue: Photos of all requests that were accepted and have no result yet.
        seconds: Seconds from a request's first byte to its response.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_bytes: Count = 64_000_000
    photo_bytes: Count = 16_000_000
    photo_pixels: Count = 32_000_000
    photos: Count = 32
    faces: Count = 32
    min_face: Annotated[float, Field(ge=1)] = MIN_FACE_SIDE
    queue: Count = 256
    seconds: Annotated[float, Field(gt=0)] = 30.0

    @property
    def max_total_body_bytes(self) -> int:
        """Bytes of all bodies that are in memory at one time."""
        return 8 * self.body_bytes


class ServiceSettings(BaseModel):
    """Settings of the service; none of them is secret.

    Attributes:
        models: Model files and run folders.
        top: Best models of each fold, as for `Predictor.load`.
        views: Test-time augmentation, as for `Predictor.load`.
        vote: Combination of the models, as for `Predictor.load`.
        decide: How a class is chosen, as for `Predictor.load`.
        age_borders: Borders of the age bands, as for `Predictor.load`.
        engine: Inference engine, as for `Predictor.load`.
        faces: Whether faces can be detected; otherwise every photo is a portrait and no detector is needed.
        detector: The face detector as users name it, for `parse_detector`; None for that of the models or the default.
        limits: Limits of a request.
        batch_size: Maximum faces in a batch.
        batch_wait: Maximum seconds that a face waits for others, in [0, 1].
        remember: Faces whose predictions a worker keeps for files that come again; 0 keeps none.
        workers: Processes; each loads the models.
        token_file: A file with the bearer token; without one, the environment variable `MASKFIT_TOKEN`.
        stop_seconds: Maximum seconds that running requests may take after a shutdown signal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(min_length=1)
    top: Count = 1
    views: str = "original"
    vote: str = "arithmetic"
    decide: str = DEFAULT_DECIDE
    age_borders: tuple[float, ...] | None = None
    engine: str = "auto"
    faces: bool = True
    detector: str | None = None
    limits: Limits = Limits()
    batch_size: Count = 8
    batch_wait: Annotated[float, Field(ge=0, le=1)] = 0.005
    remember: Annotated[int, Field(ge=0)] = 4096
    workers: Count = 1
    token_file: Path | None = None
    stop_seconds: Count = 20

    @property
    def threads(self) -> int:
        """Threads of one worker: the cores that this process may use, divided by the number of workers.

        So many detect faces, and as many run the networks.
        """
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self.workers)

    def token(self) -> str | None:
        """Reads the bearer token.

        Returns:
            The token; None where no client needs one.

        Raises:
            DataError: The file cannot be read, or the token is short or cannot be sent in a header.
        """
        if self.token_file is None:
            text, location = os.environ.get(TOKEN_VARIABLE, ""), f"the environment variable {TOKEN_VARIABLE}"
            if not text:
                return None
        else:
            text, location = _read(self.token_file), str(self.token_file)
        # RFC 6750, section 2.1: the characters that may follow "Bearer".
        if len(text) < MIN_TOKEN_LENGTH or not re.fullmatch(r"[A-Za-z0-9\-._~+/]+=*", text):
            raise DataError(
                f"a token must have {MIN_TOKEN_LENGTH} or more characters of A-Z a-z 0-9 - . _ ~ + /",
                location=location,
                hint="make one with: openssl rand -hex 32",
            )
        return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not plain text"
        raise DataError(
            f"the token cannot be read: {reason}", location=path, hint="check path and permissions"
        ) from None

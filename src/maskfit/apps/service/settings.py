"""Settings: what a service is started with, and what it refuses."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from maskfit.errors import DataError

SETTINGS_VARIABLE = "MASKFIT_SERVICE"
"""The environment's name for the settings as JSON, by which worker processes get them."""

TOKEN_VARIABLE = "MASKFIT_TOKEN"
"""The environment's name for the token that callers must show."""

MIN_TOKEN_LENGTH = 16
"""Characters of a token; a shorter one can be guessed."""

Count = Annotated[int, Field(ge=1)]


class Limits(BaseModel):
    """What a request may ask for.

    Attributes:
        body_bytes: Of a request's body, and eight times that of all bodies in memory together.
        photo_bytes: Of one photo.
        photo_pixels: Width x height of one photo, known from its header before it is decoded.
        photos: In one request.
        faces: Of one photo that are answered for, the largest first.
        queue: Photos of all requests that were taken on and not yet answered.
        seconds: From a request's first byte to its answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_bytes: Count = 64_000_000
    photo_bytes: Count = 16_000_000
    photo_pixels: Count = 32_000_000
    photos: Count = 32
    faces: Count = 32
    queue: Count = 256
    seconds: Annotated[float, Field(gt=0)] = 30.0

    @property
    def max_total_body_bytes(self) -> int:
        """Of all requests' bodies that are in memory at one time."""
        return 8 * self.body_bytes


class ServiceSettings(BaseModel):
    """What a service is started with; nothing in it is secret.

    Attributes:
        models: Model files and run folders.
        top, views, vote, engine: As for `Predictor.load`.
        faces: Whether faces can be looked for; without, every photo is a portrait, and no detector is needed.
        limits: What a request may ask for.
        batch_size: Faces that pass the networks together, at most.
        batch_wait: Seconds that a face waits for others, at most.
        workers: Processes, each with its own models.
        token_file: A file with the token; the environment's where left out.
        stop_seconds: How long requests that were begun may still take when the service is told to stop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(min_length=1)
    top: Count = 1
    views: str = "original"
    vote: str = "arithmetic"
    engine: str = "auto"
    faces: bool = True
    limits: Limits = Limits()
    batch_size: Count = 32
    batch_wait: Annotated[float, Field(ge=0, le=1)] = 0.005
    workers: Count = 1
    token_file: Path | None = None
    stop_seconds: Count = 20

    @property
    def threads(self) -> int:
        """Of one worker: its share of the cores that this process may use."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self.workers)

    def token(self) -> str | None:
        """What callers must show; None where anybody may ask.

        Raises:
            DataError: The file cannot be read, or the token cannot be sent in a header or is short.
        """
        if self.token_file is None:
            text, where = os.environ.get(TOKEN_VARIABLE, ""), f"the environment's {TOKEN_VARIABLE}"
            if not text:
                return None
        else:
            text, where = _read(self.token_file), str(self.token_file)
        # RFC 6750, section 2.1: what may follow "Bearer".
        if len(text) < MIN_TOKEN_LENGTH or not re.fullmatch(r"[A-Za-z0-9\-._~+/]+=*", text):
            raise DataError(
                f"a token has {MIN_TOKEN_LENGTH} characters or more, of A-Z a-z 0-9 - . _ ~ + /",
                location=where,
                hint="make one with: openssl rand -hex 32",
            )
        return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no plain text"
        raise DataError(
            f"the token cannot be read: {reason}", location=path, hint="check path and permissions"
        ) from None

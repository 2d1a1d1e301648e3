"""Weights of networks that only prepare photos, detectors and saliency networks: looked for on this machine, or fetched
once; named by their content, so that a model file can say which ones it needs without saying where they lay.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from maskfit.errors import DataError
from maskfit.file_io import atomic_write, user_cache_dir

TIMEOUT_SECONDS = 30
"""How long to wait for a network that does not answer."""


CHUNK_BYTES = 2**20
"""Bytes fetched at a time."""


class WeightsCache(NamedTuple):
    """Where weights of one kind lie.

    Attributes:
        owner: Whose weights they are, for messages.
        variable: The environment's name for a folder with weights to use, for machines without a network.
        cache: The folder in the user's cache.
        most_bytes: The largest weights that are read or fetched.
    """

    description: str
    env_var: str
    folder: str
    max_bytes: int


DETECTOR_CACHE = WeightsCache("a detector", "MASKFIT_DETECTORS", "detectors", 64 * 2**20)
SALIENCY_CACHE = WeightsCache("a saliency network", "MASKFIT_SALIENCY", "saliency", 1024 * 2**20)


class WeightsFile(NamedTuple):
    """A file of weights.

    Attributes:
        name: What the file is called.
        sha256: Of its content.
        url: Where it is published; "" where nobody knows.
        shelf: Where such weights lie.
    """

    name: str
    sha256: str
    url: str = ""
    cache: WeightsCache = DETECTOR_CACHE


def checksum(path: Path, shelf: WeightsCache = DETECTOR_CACHE) -> str:
    """The SHA-256 of a file of weights.

    Raises:
        DataError: It is missing, no file, too large, or not readable.
    """
    try:
        if not path.is_file():
            raise DataError("there are no such weights", location=path, hint="check the path")
        if path.stat().st_size > shelf.max_bytes:
            what = f"weights of {shelf.description} have at most {shelf.max_bytes:,} bytes"
            raise DataError(what, location=path, hint="name its .onnx file")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        what = f"these weights cannot be read: {error.strerror or error}"
        raise DataError(what, location=path, hint="check path and permissions") from None


def add_to_cache(path: Path, shelf: WeightsCache = DETECTOR_CACHE) -> WeightsFile:
    """Copies a file of weights into the cache, where a model that was trained with them finds them.

    Raises:
        DataError: There is no such file.
    """
    weights = WeightsFile(path.name, checksum(path, shelf), cache=shelf)
    kept = _kept(weights)
    if not kept.is_file():
        with atomic_write(kept) as temporary:
            shutil.copyfile(path, temporary)
    return weights


def find_weights(weights: WeightsFile) -> Path:
    """Where weights lie on this machine; fetches them where they are nowhere and their address is known.

    Raises:
        DataError: They are nowhere and cannot be fetched, or a file of their name has another content.
    """
    for path in _places(weights):
        if path.is_file():
            found = checksum(path, weights.cache)
            if found != weights.sha256:
                raise DataError(
                    f"these weights are damaged or others: their SHA-256 is {found}, not {weights.sha256}",
                    location=path,
                    hint="remove the file, and put the right one there or let it be fetched",
                )
            return path
    if not weights.url:
        raise DataError(
            f"the weights {weights.name} (SHA-256 {weights.sha256}) are not on this machine", hint=_by_hand(weights)
        )
    return _fetched(weights)


def is_available(weights: WeightsFile) -> bool:
    """Whether a file of their name lies where `find` looks before it fetches."""
    return any(path.is_file() for path in _places(weights))


def _places(weights: WeightsFile) -> Iterator[Path]:
    folder = os.environ.get(weights.cache.env_var)
    if folder:
        yield Path(folder) / Path(weights.name).name
    yield _kept(weights)


def _kept(weights: WeightsFile) -> Path:
    """In the cache the checksum is part of the name: other weights may bear the same."""
    return user_cache_dir(weights.cache.folder) / f"{weights.sha256[:16]}-{Path(weights.name).name}"


def _by_hand(weights: WeightsFile) -> str:
    source = f"fetch {weights.url} elsewhere, " if weights.url else "copy them from where the model was trained, "
    return f"{source}put the file as {weights.name} into a folder, and set {weights.cache.env_var} to that folder"


def _fetched(weights: WeightsFile) -> Path:
    path = _kept(weights)
    with atomic_write(path) as temporary:
        try:
            found = _fetch(weights, temporary)
        except (OSError, urllib.error.URLError, HTTPException, ValueError) as error:
            raise DataError(
                f"the weights {weights.name} could not be fetched: {getattr(error, 'reason', None) or error}",
                location=weights.url,
                hint=_by_hand(weights),
            ) from None
        if found != weights.sha256:
            raise DataError(
                f"what came is not {weights.name}: its SHA-256 is {found}, not {weights.sha256}",
                location=weights.url,
                hint=f"a proxy may stand in between; {_by_hand(weights)}",
            )
    return path


def _fetch(weights: WeightsFile, path: Path) -> str:
    """Writes what lies at the weights' address, and gives its SHA-256.

    Raises:
        ValueError: It is too much.
    """
    digest, count = hashlib.sha256(), 0
    with urllib.request.urlopen(weights.url, timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as file:
        while count <= weights.cache.max_bytes and (chunk := answer.read(CHUNK_BYTES)):
            digest.update(chunk)
            file.write(chunk)
            count += len(chunk)
    if count > weights.cache.max_bytes:
        raise ValueError(f"{weights.cache.description}'s weights have at most {weights.cache.max_bytes:,} bytes")
    return digest.hexdigest()

"""Detectors' weights: looked for on this machine, or fetched once; named by their content, so that a model file can say
which ones it needs without saying where they lay.
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
from maskfit.files import cache_folder, replacing

FOLDER = "MASKFIT_DETECTORS"
"""A folder with weights to use, for machines without a network."""

MOST_BYTES = 64 * 2**20
"""The largest weights that are read or fetched; the ones known here have two."""

SECONDS = 30
"""How long to wait for a network that does not answer."""


class Weights(NamedTuple):
    """A file of weights.

    Attributes:
        name: What the file is called.
        sha256: Of its content.
        url: Where it is published; "" where nobody knows.
    """

    name: str
    sha256: str
    url: str = ""


def checksum(path: Path) -> str:
    """The SHA-256 of a file of weights.

    Raises:
        DataError: It is missing, no file, too large, or not readable.
    """
    try:
        if not path.is_file():
            raise DataError("there are no such weights", where=path, fix="check the path")
        if path.stat().st_size > MOST_BYTES:
            what = f"weights of a detector have at most {MOST_BYTES:,} bytes"
            raise DataError(what, where=path, fix="name the detector's .onnx file")
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        what = f"these weights cannot be read: {error.strerror or error}"
        raise DataError(what, where=path, fix="check path and permissions") from None


def keep(path: Path) -> Weights:
    """Copies a file of weights into the cache, where a model that was trained with them finds them.

    Raises:
        DataError: There is no such file.
    """
    weights = Weights(path.name, checksum(path))
    kept = _kept(weights)
    if not kept.is_file():
        with replacing(kept) as temporary:
            shutil.copyfile(path, temporary)
    return weights


def find(weights: Weights) -> Path:
    """Where weights lie on this machine; fetches them where they are nowhere and their address is known.

    Raises:
        DataError: They are nowhere and cannot be fetched, or a file of their name has another content.
    """
    for path in _places(weights):
        if path.is_file():
            found = checksum(path)
            if found != weights.sha256:
                raise DataError(
                    f"these weights are damaged or others: their SHA-256 is {found}, not {weights.sha256}",
                    where=path,
                    fix="remove the file, and put the right one there or let it be fetched",
                )
            return path
    if not weights.url:
        raise DataError(
            f"the weights {weights.name} (SHA-256 {weights.sha256}) are not on this machine", fix=_by_hand(weights)
        )
    return _fetched(weights)


def _places(weights: Weights) -> Iterator[Path]:
    if os.environ.get(FOLDER):
        yield Path(os.environ[FOLDER]) / Path(weights.name).name
    yield _kept(weights)


def _kept(weights: Weights) -> Path:
    """In the cache the checksum is part of the name: other weights may bear the same."""
    return cache_folder("detectors") / f"{weights.sha256[:16]}-{Path(weights.name).name}"


def _by_hand(weights: Weights) -> str:
    source = f"fetch {weights.url} elsewhere, " if weights.url else "copy them from where the model was trained, "
    return f"{source}put the file as {weights.name} into a folder, and set {FOLDER} to that folder"


def _fetched(weights: Weights) -> Path:
    try:
        with urllib.request.urlopen(weights.url, timeout=SECONDS) as answer:
            content: bytes = answer.read(MOST_BYTES + 1)
    except (OSError, urllib.error.URLError, HTTPException, ValueError) as error:
        raise DataError(
            f"the weights {weights.name} could not be fetched: {getattr(error, 'reason', None) or error}",
            where=weights.url,
            fix=_by_hand(weights),
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != weights.sha256:
        raise DataError(
            f"what came is not {weights.name}: its SHA-256 is {found}, not {weights.sha256}",
            where=weights.url,
            fix=f"a proxy may stand in between; {_by_hand(weights)}",
        )
    path = _kept(weights)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path

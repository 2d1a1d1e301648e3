"""Weights of detectors and saliency networks: found locally or downloaded once, and identified by their SHA-256.

A model file stores name and SHA-256 of the weights that it needs, not where they were. The SHA-256 of the networks that
are installed with maskfit are in `weights/SHA256SUMS`, which `sha256sum *.onnx > SHA256SUMS` writes in that folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from maskfit.errors import DataError
from maskfit.file_io import atomic_write
from maskfit.registry import ComponentSpec
from maskfit.user_cache import user_cache_dir

TIMEOUT_SECONDS = 30
"""Timeout of a download that receives no data."""

CHUNK_BYTES = 2**20
"""Bytes read from a download at a time."""

CHECKSUMS_NAME = "SHA256SUMS"
"""File of the checksums, in the form of the program sha256sum."""

REINSTALL_HINT = (
    "install maskfit again with pip install --force-reinstall (in a clone that runs from its sources: git checkout "
    "src/maskfit/weights)"
)
"""What to do about a damaged file."""


class MissingWeightsError(DataError):
    """Weights are not on this machine and cannot be downloaded."""


class WeightsCache(NamedTuple):
    """Locations and limits of one kind of weights.

    Attributes:
        description: What the weights belong to, for messages: "a detector".
        env_var: Environment variable that names a folder with weights, or one file, for machines without internet
            access.
        folder: Name of the folder in the user's cache.
        max_bytes: Maximum size of a weights file.
        remedy: What else helps where weights are missing; "" for nothing.
    """

    description: str
    env_var: str
    folder: str
    max_bytes: int
    remedy: str = ""


DETECTOR_CACHE = WeightsCache(
    "a detector",
    "MASKFIT_DETECTORS",
    "detectors",
    64 * 2**20,
    "'maskfit detectors' lists those on this machine; where the command has --detector, bundled needs no other file",
)
SALIENCY_CACHE = WeightsCache("a saliency network", "MASKFIT_SALIENCY", "saliency", 1024 * 2**20)


class WeightsFile(NamedTuple):
    """A file of weights.

    Attributes:
        name: File name.
        sha256: SHA-256 of its content.
        url: Where it is published; "" if it is not.
        cache: Where such weights are cached.
    """

    name: str
    sha256: str
    url: str = ""
    cache: WeightsCache = DETECTOR_CACHE


def checksum(path: Path, cache: WeightsCache = DETECTOR_CACHE) -> str:
    """Computes the SHA-256 of a weights file.

    Args:
        path: The file.
        cache: Its kind, which limits the size.

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: The file is missing, not a file, too large, or not readable.
    """
    try:
        if not path.is_file():
            raise DataError("the weights file does not exist", location=path, hint="check the path")
        if path.stat().st_size > cache.max_bytes:
            message = f"weights of {cache.description} must have at most {cache.max_bytes:,} bytes"
            raise DataError(message, location=path, hint="give the path of its .onnx file")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        message = f"the weights file cannot be read: {error.strerror or error}"
        raise DataError(message, location=path, hint="check path and permissions") from None


def add_to_cache(path: Path, cache: WeightsCache = DETECTOR_CACHE) -> WeightsFile:
    """Copies a weights file into the cache, so that models trained with it find it later.

    Args:
        path: The file.
        cache: Its kind.

    Returns:
        The cached weights.

    Raises:
        DataError: The file is missing, too large, or not readable.
    """
    weights = WeightsFile(path.name, checksum(path, cache), cache=cache)
    cached = _cache_path(weights)
    if not cached.is_file():
        with atomic_write(cached) as temporary:
            shutil.copyfile(path, temporary)
    return weights


_named_files: dict[str, Path] = {}
"""Files that `use_file` named in this process, by SHA-256."""


def use_file(path: Path, cache: WeightsCache = DETECTOR_CACHE) -> WeightsFile:
    """Names a weights file for this process only: `find_weights` finds it where it is, and nothing is copied.

    Args:
        path: The file.
        cache: Its kind.

    Returns:
        The weights.

    Raises:
        DataError: The file is missing, too large, or not readable.
    """
    weights = WeightsFile(path.name, checksum(path, cache), cache=cache)
    _named_files[weights.sha256] = path
    return weights


def find_weights(weights: WeightsFile) -> Path:
    """Finds weights on this machine, or downloads them.

    Args:
        weights: The weights.

    Returns:
        Path of the file, whose checksum is verified.

    Raises:
        DataError: The weights are missing and cannot be downloaded, or a file of their name has another content.
    """
    for path in _candidates(weights):
        if path.is_file():
            found = checksum(path, weights.cache)
            if found != weights.sha256:
                raise DataError(
                    f"the weights file is damaged or a different one: its SHA-256 is {found}, expected "
                    f"{weights.sha256}",
                    location=path,
                    hint=REINSTALL_HINT
                    if path == packaged_weights(weights.name)
                    else "remove the file, then copy the right one there or let it be downloaded",
                )
            return path
    if not weights.url:
        raise MissingWeightsError(
            f"the weights {weights.name} (SHA-256 {weights.sha256}) are not on this machine",
            hint=_manual_hint(weights),
        )
    return _download(weights)


def find_local_weights(weights: WeightsFile) -> Path | None:
    """Finds weights on this machine by file name only.

    Args:
        weights: The weights.

    Returns:
        The file that `find_weights` would take without a download; None if there is none.
    """
    return next((path for path in _candidates(weights) if path.is_file()), None)


def is_available(weights: WeightsFile) -> bool:
    """Returns whether weights are on this machine, by file name only.

    Args:
        weights: The weights.

    Returns:
        Whether `find_weights` would find a file without a download.
    """
    return find_local_weights(weights) is not None


@runtime_checkable
class NeedsWeights(Protocol):
    """Interface of crops and background removals that need weights or an extra."""

    def pinned(self) -> dict[str, Any]:
        """Returns the options that name the weights by their SHA-256 instead of a local path.

        Returns:
            Options that replace those of the recipe.

        Raises:
            DataError: Weights are missing and cannot be downloaded, or cannot be read.
            MissingExtraError: An extra is missing.
        """
        ...


def pin_component(spec: ComponentSpec, component: object) -> ComponentSpec:
    """Returns a component's spec as model files and the image cache store it.

    Args:
        spec: The spec in the recipe.
        component: What it was instantiated to.

    Returns:
        The spec with pinned weights; `spec` itself for a component without any.

    Raises:
        DataError: Weights are missing and cannot be downloaded, or cannot be read.
        MissingExtraError: An extra is missing.
    """
    if not isinstance(component, NeedsWeights):
        return spec
    return ComponentSpec(name=spec.name, options={**spec.options, **component.pinned()})


def check_pinned(component: object) -> None:
    """Checks that a component does not name weights by a local path alone.

    Args:
        component: A crop or background removal.

    Raises:
        ValueError: It has `weights` without `sha256`.
    """
    if getattr(component, "weights", None) is not None and getattr(component, "sha256", None) is None:
        raise ValueError("weights must be named by their SHA-256, not only by a path")


def packaged_weights(name: str) -> Path | None:
    """Returns weights that are installed with maskfit.

    Args:
        name: File name.

    Returns:
        The file; None where this install has none of that name.
    """
    # A package inside of a zip archive has no file that ONNX Runtime could open.
    path = packaged_path(Path(name).name)
    return path if path.is_file() else None


def _candidates(weights: WeightsFile) -> Iterator[Path]:
    if weights.sha256 in _named_files:
        yield _named_files[weights.sha256]
    packaged = packaged_weights(weights.name)
    if packaged:
        yield packaged
    named = os.environ.get(weights.cache.env_var)
    if named:
        place, name = Path(named), Path(weights.name).name
        if not place.is_file():
            yield place / name
        elif place.name == name:
            # A file that is named alone may belong to another network.
            yield place
    yield _cache_path(weights)


def _cache_path(weights: WeightsFile) -> Path:
    """The path in the cache; it contains the checksum, because different weights may have the same file name."""
    return user_cache_dir(weights.cache.folder) / f"{weights.sha256[:16]}-{Path(weights.name).name}"


def _manual_hint(weights: WeightsFile) -> str:
    """The remedies, the nearest first: the file may be on this machine, or where the model was trained."""
    hints = [
        f"set {weights.cache.env_var} to the folder that has {weights.name}, or copy the file from where the model was "
        f"trained to {_cache_path(weights)}",
        weights.cache.remedy,
        f"or download {weights.url} elsewhere" if weights.url else "",
    ]
    return "; ".join(filter(None, hints))


def _download(weights: WeightsFile) -> Path:
    # Imported late, as urllib is: most runs download nothing.
    from http.client import HTTPException

    path = _cache_path(weights)
    with atomic_write(path) as temporary:
        try:
            found = _download_to(temporary, weights)
        except (OSError, HTTPException, ValueError) as error:
            raise MissingWeightsError(
                f"the weights {weights.name} are not on this machine, and cannot be downloaded: "
                f"{getattr(error, 'reason', None) or error}",
                location=path,
                hint=_manual_hint(weights),
            ) from None
        if found != weights.sha256:
            raise DataError(
                f"the downloaded file is not {weights.name}: its SHA-256 is {found}, expected {weights.sha256}",
                location=path,
                hint=f"check for a proxy that replaces downloads; or {_manual_hint(weights)}",
            )
    return path


def _download_to(path: Path, weights: WeightsFile) -> str:
    """Writes the published file to `path` and returns its SHA-256.

    Raises:
        ValueError: It is larger than the limit.
    """
    import urllib.request

    digest, count = hashlib.sha256(), 0
    with urllib.request.urlopen(weights.url, timeout=TIMEOUT_SECONDS) as response, path.open("wb") as file:
        while count <= weights.cache.max_bytes and (chunk := response.read(CHUNK_BYTES)):
            digest.update(chunk)
            file.write(chunk)
            count += len(chunk)
    if count > weights.cache.max_bytes:
        raise ValueError(f"weights of {weights.cache.description} must have at most {weights.cache.max_bytes:,} bytes")
    return digest.hexdigest()


def packaged_path(name: str) -> Path:
    """Returns where a network of the package is.

    Args:
        name: File name.

    Returns:
        Its path, which an install may lack.
    """
    return Path(str(resources.files("maskfit") / "weights" / name))


def find_packaged_damage(path: Path) -> str | None:
    """Says why a network of the package cannot be used: a damaged one may still run, and answers wrongly.

    Args:
        path: The file; its name says which it is.

    Returns:
        The reason; None where its content is what was packaged. It is read again only where the file changes.
    """
    try:
        stat = path.stat()
        found = _cached_sha256(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        expected = _read_checksums(packaged_path(CHECKSUMS_NAME)).get(path.name)
    except (OSError, UnicodeDecodeError) as error:
        return f"it, or {CHECKSUMS_NAME} beside it, cannot be read: {error}"
    if expected is None:
        return f"it is not listed in {CHECKSUMS_NAME} beside it"
    return None if found == expected else f"its SHA-256 is {found}, that of the package is {expected}"


def _read_checksums(path: Path) -> dict[str, str]:
    rows = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {row[1].removeprefix("*"): row[0] for row in rows if len(row) == 2}


@lru_cache(maxsize=8)
def _cached_sha256(path: Path, *_file_state: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""Lists and removes the networks in the user's cache: int8 and ONNX conversions, and what OpenVINO compiled.

They lie beside the image caches (`data.image_cache.admin`), and `maskfit data cache` shows both.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from maskfit.data.image_cache.admin import CacheInfo
from maskfit.errors import DataError, ModelFileError
from maskfit.file_locks import acquire_lock
from maskfit.inference.engines.int8_files import COMPILED_SUFFIX, ERROR_KEY, USED_SUFFIX, content_hash
from maskfit.inference.engines.int8_origin import read_int8_origin
from maskfit.model_file import bundled_int8_path, read_model_metadata
from maskfit.model_metadata import read_metadata
from maskfit.text import format_count

CONVERSION_NAME = re.compile(r"[0-9a-f]{32}(?P<int8>-int8)?-\d+\.onnx")
"""Names of conversions: `int8_files.conversion_path` and `selection` give them."""

COMPILED_NAME = re.compile(rf"(?P<network>[0-9a-f]{{32}}(-int8-\d+)?){COMPILED_SUFFIX}")
"""Names of the folders with what OpenVINO compiled, as `int8_files.compiled_folder` gives them."""


def list_networks(folder: Path) -> list[CacheInfo]:
    """Lists the converted and compiled networks in a folder; other files in it are ignored.

    Args:
        folder: The folder `networks` of the user's cache; it need not exist.

    Returns:
        One entry for each conversion, whose compiled form counts with it, and for each compiled form of a network that
        is not in the folder, the most recently used first.
    """
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        # Another process may remove one in the meantime.
        with suppress(FileNotFoundError):
            if (name := CONVERSION_NAME.fullmatch(path.name)) and path.is_file():
                found.append(_describe_conversion(path, name["int8"] is not None))
            elif (
                (name := COMPILED_NAME.fullmatch(path.name))
                and path.is_dir()
                and not (folder / f"{name['network']}.onnx").exists()
            ):
                found.append(_describe_compiled(path, name["network"]))
    return sorted(found, key=lambda network: -network.last_used)


def remove_network(network: CacheInfo) -> None:
    """Deletes a network of the cache with its compiled form.

    Args:
        network: One that `list_networks` returned.

    Raises:
        DataError: A process writes it, its file system refuses locks, or the operating system refuses.
    """
    path = network.path
    try:
        if path.is_dir():
            shutil.rmtree(path)
            return
        lock = FileLock(path.with_suffix(".lock"))
        with acquire_lock(lock, "stop what uses it, then delete the file"):
            path.unlink(missing_ok=True)
            path.with_suffix(USED_SUFFIX).unlink(missing_ok=True)
            if (compiled := _compiled_folder(path)).is_dir():
                shutil.rmtree(compiled)
            # While it is held, as of image caches.
            with suppress(PermissionError):
                path.with_suffix(".lock").unlink(missing_ok=True)
    except Timeout:
        raise DataError("a process is making this conversion", location=path, hint="wait until it is done") from None
    except OSError as error:
        message = f"the network cannot be deleted: {error.strerror or error}"
        raise DataError(message, location=path, hint="stop what runs it, or delete the file") from None


def _describe_conversion(path: Path, is_int8: bool) -> CacheInfo:
    kind, photos = "int8 conversion" if is_int8 else "ONNX conversion", 0
    try:
        metadata = read_model_metadata(path)
        height, width = metadata.preprocessing.crop_resize.size
        model = metadata.description or metadata.backbone.name
        description = f"{kind} of {model} ({metadata.backbone.name}, {height}x{width})"
        if is_int8:
            origin = read_int8_origin(path)
            photos = origin.photos if origin else 0
            measured = ", with its measured error" if ERROR_KEY in read_metadata(path) else ""
            description += f", calibrated on {format_count(photos, 'photo')}{measured}"
    except ModelFileError as error:
        description = f"{kind}, damaged: {error.message}"
    return CacheInfo(
        path,
        photos,
        None,
        "network",
        path.stat().st_size + _size(_compiled_folder(path)),
        _last_used(path),
        description,
    )


def _describe_compiled(path: Path, network: str) -> CacheInfo:
    bundled = bundled_int8_path()
    is_bundled = bundled.is_file() and content_hash(bundled) == network
    what = "the bundled model's int8 conversion" if is_bundled else "a conversion that is gone"
    return CacheInfo(path, 0, None, "network", _size(path), path.stat().st_mtime, f"{what}, as OpenVINO compiled it")


def _compiled_folder(path: Path) -> Path:
    return path.with_name(path.stem + COMPILED_SUFFIX)


def _last_used(path: Path) -> float:
    # Of those of older versions it is only known when they were made.
    with suppress(OSError):
        return path.with_suffix(USED_SUFFIX).stat().st_mtime
    return path.stat().st_mtime


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())

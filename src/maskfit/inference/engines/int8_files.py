"""Where int8 conversions are: that of the bundled model comes with it, those of others are in the user's cache.

The engines `openvino:precision=int8` and `onnx:precision=int8` run such a conversion, and close predictions are
recomputed with the model itself.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from shlex import quote

from maskfit.errors import DataError, ModelFileError
from maskfit.inference.precision_error import PrecisionErrorEstimate
from maskfit.labels.schema import LabelSchema
from maskfit.model_file import bundled_int8_path, read_model_metadata
from maskfit.model_metadata import read_metadata
from maskfit.pretrained_weights import REINSTALL_HINT, find_packaged_damage
from maskfit.user_cache import user_cache_dir

CONVERSION_VERSION = 1
"""Part of the file names of conversions, so that a change of the quantization does not find old ones."""

CONVERSION_OF_KEY, ERROR_KEY = "maskfit.int8_of", "maskfit.int8_error"
"""Metadata keys of a conversion: the hash of its model's content, and how its rounding changes probabilities."""

CHECKSUM_KEY = "maskfit.int8_checksum"
"""Metadata key of a conversion's last entry: the hash of all bytes before it."""

DIGEST_BYTES = 16
"""Bytes of the hashes here."""

COMPILED_SUFFIX, USED_SUFFIX = "-compiled", ".used"
"""Ends of names beside a network in the cache: the folder of what OpenVINO compiled, and the file whose time is that of
the last use."""

REMOVE_CONVERSION_HINT = "remove it, or let maskfit predict make it again"
"""What to do about a damaged conversion."""


def find_int8(model: Path) -> Path | None:
    """Finds the conversion of a model.

    Args:
        model: An ONNX model.

    Returns:
        The conversion: the bundled one, or that in the cache; each may be damaged, but a whole one is preferred. None
        where there is none yet, or the user cannot read the cache.
    """
    digest = content_hash(model)
    bundled = bundled_int8_path()
    is_of_bundled = is_intact(bundled) and read_metadata(bundled).get(CONVERSION_OF_KEY) == digest
    if is_of_bundled and find_packaged_damage(bundled) is None:
        return bundled
    with suppress(DataError, OSError):
        path = conversion_path(digest)
        if path.is_file():
            return path
    return bundled if is_of_bundled else None


def find_measured_int8(model: Path) -> Path | None:
    """Finds the conversion of a model where it is known how its rounding changes probabilities.

    Args:
        model: An ONNX model.

    Returns:
        The conversion; None where there is none, it is damaged, or nothing was measured.
    """
    found = find_int8(model)
    if found is None or find_damage(found, model) is not None:
        return None
    return found if ERROR_KEY in read_metadata(found) else None


def require_int8(model: Path, engine: str) -> Path:
    """Returns the conversion of a model that an engine was asked to run in int8.

    Args:
        model: A model file.
        engine: Name of the engine, for the error.

    Returns:
        The conversion.

    Raises:
        ModelFileError: There is none, or it is damaged.
    """
    if model.suffix != ".onnx":
        raise ModelFileError(
            f"only an .onnx model can be converted to int8, not '{model.suffix}'",
            location=model,
            hint="name the .onnx model, or leave out precision=int8",
        )
    found = find_int8(model)
    if found is None:
        raise ModelFileError(
            "there is no int8 conversion of this model in the cache",
            location=model,
            hint=f"maskfit predict {quote(str(model))} --images PHOTOS --engine {engine}:precision=int8 "
            "calibrates one, --calibrate PHOTOS does for serve and video; or leave out precision=int8",
        )
    if (damage := find_damage(found, model)) is not None:
        raise damaged_conversion(found, damage)
    if found != bundled_int8_path():
        mark_used(found)
    return found


def mark_used(network: Path) -> None:
    """Records that a network of the cache was used now, if the cache is writable: `maskfit data cache` sorts by it.

    The time of the network's own file stays, by which its content is known to be unchanged.

    Args:
        network: The file.
    """
    with suppress(OSError):
        network.with_suffix(USED_SUFFIX).touch()


def find_damage(conversion: Path, model: Path) -> str | None:
    """Says why a conversion cannot be used.

    Args:
        conversion: What `find_int8` returned, or where it looks.
        model: The model of which it should be.

    Returns:
        The reason; None where the file is whole and, where its error was measured, of this model: that estimate would
        hide what a damaged network computes.

    Raises:
        ModelFileError: The model cannot be read.
    """
    schema, digest = read_model_metadata(model).label_schema.scored_schema(), content_hash(model)
    try:
        read_model_metadata(conversion)
        entries = read_metadata(conversion)
        if read_int8_error(conversion, schema) is None:
            return None
        if entries.get(CONVERSION_OF_KEY) != digest:
            return "it was made of another model"
        # That of the bundled model has none, but is listed with the package's other files.
        if conversion == bundled_int8_path():
            return find_packaged_damage(conversion)
        if CHECKSUM_KEY in entries and not _has_checksum(conversion.read_bytes()):
            return "its content is not what was written"
    except (ModelFileError, OSError) as error:
        return error.message if isinstance(error, ModelFileError) else error.strerror or str(error)
    return None


def damaged_conversion(conversion: Path, reason: str) -> ModelFileError:
    """Makes the error for a conversion that cannot be used.

    Args:
        conversion: The file.
        reason: What is wrong with it.

    Returns:
        The error to raise.
    """
    hint = REINSTALL_HINT if conversion == bundled_int8_path() else REMOVE_CONVERSION_HINT
    return ModelFileError(f"this int8 conversion is damaged: {reason}", location=conversion, hint=hint)


def add_checksum(content: bytes) -> bytes:
    """Adds the entry by which `find_damage` and `is_intact` tell whether a conversion is whole.

    Args:
        content: An ONNX file.

    Returns:
        The file with one more entry of metadata.
    """
    return content + _checksum_entry(content)


def _has_checksum(content: bytes) -> bool:
    size = len(_checksum_entry(b""))
    return content.endswith(_checksum_entry(content[:-size]))


def _checksum_entry(content: bytes) -> bytes:
    """A field `metadata_props` of ONNX's protobuf message, at whose end further fields may stand."""
    entry = b""
    for tag, text in (
        (b"\x0a", CHECKSUM_KEY),
        (b"\x12", hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()),
    ):
        entry += tag + bytes([len(text)]) + text.encode()
    return b"\x72" + bytes([len(entry)]) + entry


def read_int8_error(conversion: Path, schema: LabelSchema) -> PrecisionErrorEstimate | None:
    """Reads how the rounding of a conversion changes probabilities.

    Args:
        conversion: What `find_int8` returned.
        schema: The scored schema of its model.

    Returns:
        The error; None where it was not measured.

    Raises:
        ModelFileError: The entry is damaged.
    """
    text = read_metadata(conversion).get(ERROR_KEY)
    if text is None:
        return None
    try:
        return PrecisionErrorEstimate.from_json(text, schema)
    except ValueError as error:
        raise ModelFileError(
            f"its metadata '{ERROR_KEY}' is damaged: {error}", location=conversion, hint=REMOVE_CONVERSION_HINT
        ) from None


def compiled_folder(conversion: Path) -> Path | None:
    """Returns the folder in which OpenVINO keeps what it compiled of a conversion.

    One for each conversion, so that no other network's can be taken for it, in the cache also for the bundled one.
    OpenVINO compiles again what is damaged or of another version.

    Args:
        conversion: What `find_int8` returned.

    Returns:
        The folder, which exists; None where none can be made.
    """
    name = conversion.stem + COMPILED_SUFFIX
    if conversion == bundled_int8_path():
        name = content_hash(conversion) + COMPILED_SUFFIX
    try:
        folder = networks_dir() / name
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except (DataError, OSError):
        return None
    return folder if os.access(folder, os.W_OK) else None


def is_intact(path: Path) -> bool:
    """Whether a file of the cache is there and whole, as after a full disk it may not be.

    Args:
        path: The ONNX file.

    Returns:
        Whether its metadata can be read, which are at its end, and it is what was written, where it records that.
    """
    try:
        read_model_metadata(path)
        return CHECKSUM_KEY not in read_metadata(path) or _has_checksum(path.read_bytes())
    except (ModelFileError, OSError):
        return False


def content_hash(model: Path) -> str:
    """Returns the hash of a file's content, by which conversions are found.

    Args:
        model: The file.

    Returns:
        32 hexadecimal digits.

    Raises:
        ModelFileError: It cannot be read.
    """
    try:
        stat = model.stat()
        return _cached_hash(model, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise ModelFileError(f"this model cannot be read: {error.strerror}", location=model) from None


@lru_cache(maxsize=64)
def _cached_hash(model: Path, *_file_state: int) -> str:
    # Cached until the file changes: conversions are looked for about five times before the first prediction.
    return hashlib.blake2b(model.read_bytes(), digest_size=DIGEST_BYTES).hexdigest()


def networks_dir() -> Path:
    """Returns the folder of converted and compiled networks in the user's cache.

    Returns:
        Its path, which may not exist yet.

    Raises:
        DataError: The user has no home folder.
    """
    return user_cache_dir("networks")


def conversion_path(digest: str) -> Path:
    """Returns where the conversion of a model is kept in the cache.

    Args:
        digest: What `content_hash` returned for the model.

    Returns:
        The path.

    Raises:
        DataError: The user has no home folder.
    """
    return networks_dir() / f"{digest}-int8-{CONVERSION_VERSION}.onnx"

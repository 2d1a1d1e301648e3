"""Where int8 conversions are: that of the bundled model comes with it, those of others are in the user's cache.

The engines `openvino:precision=int8` and `onnx:precision=int8` run such a conversion, and close predictions are
recomputed with the model itself.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from maskfit.errors import ModelFileError
from maskfit.file_io import user_cache_dir
from maskfit.inference.precision_error import PrecisionErrorEstimate
from maskfit.labels.schema import LabelSchema
from maskfit.model_file import bundled_int8_path, read_model_metadata
from maskfit.model_metadata import read_metadata

CONVERSION_VERSION = 1
"""Part of the file names of conversions, so that a change of the quantization does not find old ones."""

CONVERSION_OF_KEY, ERROR_KEY = "maskfit.int8_of", "maskfit.int8_error"
"""Metadata keys of a conversion: the hash of its model's content, and how its rounding changes probabilities."""

REMOVE_CONVERSION_HINT = "remove it, or let maskfit predict make it again"
"""What to do about a damaged conversion."""


def find_int8(model: Path) -> Path | None:
    """Finds the conversion of a model.

    Args:
        model: An ONNX model.

    Returns:
        The conversion: the bundled one, or that in the cache, which may be damaged; None where there is none yet.
    """
    digest = content_hash(model)
    bundled = bundled_int8_path()
    if bundled.is_file() and read_metadata(bundled).get(CONVERSION_OF_KEY) == digest:
        return bundled
    path = conversion_path(digest)
    return path if path.is_file() else None


def find_measured_int8(model: Path) -> Path | None:
    """Finds the conversion of a model where it is known how its rounding changes probabilities.

    Args:
        model: An ONNX model.

    Returns:
        The conversion; None where there is none, it is damaged, or nothing was measured.
    """
    found = find_int8(model)
    return found if found and is_intact(found) and ERROR_KEY in read_metadata(found) else None


def require_int8(model: Path, engine: str) -> Path:
    """Returns the conversion of a model that an engine was asked to run in int8.

    Args:
        model: A model file.
        engine: Name of the engine, for the error.

    Returns:
        The conversion.

    Raises:
        ModelFileError: There is none.
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
            hint=f"maskfit predict MODEL.onnx --images PHOTOS --engine {engine}:precision=int8 calibrates one, or "
            "leave out precision=int8",
        )
    return found


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
    name = f"{conversion.stem}-compiled"
    if conversion == bundled_int8_path():
        name = f"{content_hash(conversion)}-compiled"
    folder = user_cache_dir("networks") / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def is_intact(path: Path) -> bool:
    """Whether a file of the cache is there and whole, as after a full disk it may not be.

    Args:
        path: The ONNX file.

    Returns:
        Whether its metadata can be read, which are at its end.
    """
    if not path.is_file():
        return False
    try:
        read_model_metadata(path)
    except ModelFileError:
        return False
    return True


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
        return hashlib.blake2b(model.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise ModelFileError(f"this model cannot be read: {error.strerror}", location=model) from None


def conversion_path(digest: str) -> Path:
    """Returns where the conversion of a model is kept in the cache.

    Args:
        digest: What `content_hash` returned for the model.

    Returns:
        The path.
    """
    return user_cache_dir("networks") / f"{digest}-int8-{CONVERSION_VERSION}.onnx"

"""Int8 conversions of ONNX models: that of the bundled model comes with it, those of others are in the user's cache.

The engines `openvino:precision=int8` and `onnx:precision=int8` run such a conversion, and close predictions are
recomputed with the model itself. A conversion is calibrated on the first photos that are predicted, or by
`inference.int8_calibration`, which also measures what its rounding changes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, MissingExtraError, ModelFileError
from maskfit.file_io import atomic_write, user_cache_dir
from maskfit.file_locks import acquire_lock
from maskfit.inference.precision_error import PrecisionErrorEstimate
from maskfit.labels.schema import LabelSchema
from maskfit.model_file import bundled_int8_path, read_model_metadata
from maskfit.model_metadata import read_metadata

CONVERSION_VERSION = 1
"""Part of the file names of conversions, so that a change of the quantization does not find old ones."""

NUM_CALIBRATION_PHOTOS = 32
"""Photos that calibrate a conversion; docs/performance.md says how many predictions it then changes."""

REMOVE_CONVERSION_HINT = "remove it, or let maskfit predict make it again"
"""What to do about a damaged conversion."""

MIN_CALIBRATION_PHOTOS = 16
"""Fewer photos calibrate nothing: the conversion is kept for later photos, which they may not resemble."""

CONVERSION_OF_KEY, ERROR_KEY = "maskfit.int8_of", "maskfit.int8_error"
"""Metadata keys of a conversion: the hash of its model's content, and how its rounding changes probabilities."""

SMOOTH_OPERATORS = ("Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Mish", "Gelu", "Erf", "Tanh")
"""ONNX operators of smooth activations, which are computed in floating point and take much of a network's time."""


class PhotoCollection(Protocol):
    """Photos whose number is known; each may be constructed when it is taken."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Photo]: ...


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


def suits_int8(model: Path) -> bool:
    """Whether int8 was measured to be faster for networks such as this one: than bf16 with VNNI, than f32 with AVX2.

    Args:
        model: An ONNX model.

    Returns:
        Whether its activations are those of MobileNetV2, which int8 layers compute on the way, and it has no int8
        layers yet.
    """
    if not model.stat().st_size:
        return False  # no network at all, which is reported when it is opened
    with model.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        # The field op_type of a node, with its length: a name of three letters alone also occurs among the weights.
        fields = (b"\x22" + bytes([len(name)]) + name.encode() for name in ("QuantizeLinear", *SMOOTH_OPERATORS))
        return all(content.find(field) < 0 for field in fields)


def can_convert() -> bool:
    """Whether the package is installed that conversions are written with.

    Returns:
        Whether it is.
    """
    return importlib.util.find_spec("onnx") is not None


def convert_to_int8(model: Path, photos: PhotoCollection, log: Callable[[str], None]) -> Path:
    """Returns the conversion of a model, from the cache or calibrated now.

    Args:
        model: An ONNX model.
        photos: The photos that will be predicted; `NUM_CALIBRATION_PHOTOS` of them, evenly spaced, calibrate.
        log: Receives a line about what takes time.

    Returns:
        The conversion.

    Raises:
        MissingExtraError: The package onnx is not installed.
        ModelFileError: The model cannot be quantized, or is in int8 already.
        DataError: There are too few photos, none of those that calibrate can be read, or the cache cannot be written.
    """
    found = find_int8(model)
    if found is not None and is_intact(found):
        return found
    path = conversion_path(content_hash(model))
    if found is not None:
        log(f"{path} is damaged, and is made again")
    if not can_convert():
        raise MissingExtraError("a new int8 conversion", "train")
    if len(photos) < MIN_CALIBRATION_PHOTOS:
        raise DataError(
            f"an int8 conversion is calibrated on {MIN_CALIBRATION_PHOTOS} photos or more, there are {len(photos)}",
            hint="leave out precision=int8, or predict more photos once",
        )
    step = max(len(photos) // NUM_CALIBRATION_PHOTOS, 1)
    selected = list(islice(photos, 0, step * NUM_CALIBRATION_PHOTOS, step))
    log(f"quantizing {model} to int8 once, calibrated on {len(selected)} of the photos; cached in {path.parent}")
    # A second process waits here and then finds the file.
    with lock_conversion(path):
        if not is_intact(path):
            _write(model, selected, path)
    return path


def lock_conversion(path: Path) -> AbstractContextManager[object]:
    """Locks a conversion in the cache while it is written.

    Args:
        path: The conversion.

    Returns:
        A context manager, which waits for other processes.

    Raises:
        DataError: The cache cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        return acquire_lock(lock, "set XDG_CACHE_HOME to a folder on a local disk", wait=True)
    except OSError as error:
        raise DataError(
            f"the cache folder cannot be written: {error.strerror}",
            location=path.parent,
            hint="set XDG_CACHE_HOME to a folder that you may write to",
        ) from None


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


def open_convertible(model: Path) -> Any:
    """Opens an ONNX model that can be quantized.

    Args:
        model: An ONNX model.

    Returns:
        The ONNX program.

    Raises:
        ModelFileError: It has an input that cannot be calibrated, or is in int8 already.
    """
    import onnx

    from maskfit.inference.engines.engine import FRAMES  # engines read conversions

    program = onnx.load(model)
    if FRAMES not in {item.name for item in program.graph.input}:
        raise ModelFileError(
            "an earlier version exported this model, with an input that cannot be calibrated",
            location=model,
            hint="export it again with maskfit export",
        )
    if is_int8(program):
        raise ModelFileError(
            "this model is in int8 already, without an f32 twin that recomputes close predictions",
            location=model,
            hint="name the model that it was exported from, or leave out precision=int8",
        )
    return program


def _write(model: Path, photos: list[Photo], path: Path) -> None:
    from maskfit.inference.export.quantization import quantize_static

    quantized = quantize_static(open_convertible(model), read_model_metadata(model), photos, fuses_activations=True)
    if not is_int8(quantized):
        raise ModelFileError(
            "no layer of this network can be quantized", location=model, hint="leave out precision=int8"
        )
    with atomic_write(path) as draft:
        draft.write_bytes(quantized.SerializeToString())


def is_int8(program: Any) -> bool:
    """Whether an ONNX program has int8 layers.

    Args:
        program: The program.

    Returns:
        Whether it has.
    """
    return any(node.op_type == "QuantizeLinear" for node in program.graph.node)

"""Making int8 conversions of ONNX models, calibrated on the first photos that are predicted.

`inference.int8_calibration` makes those of services and cameras, and also measures what their rounding changes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, MissingExtraError, ModelFileError
from maskfit.file_io import atomic_write
from maskfit.file_locks import acquire_lock
from maskfit.inference.engines.engine import FRAMES
from maskfit.inference.engines.int8_files import content_hash, conversion_path, find_damage, find_int8
from maskfit.model_file import read_model_metadata

NUM_CALIBRATION_PHOTOS = 32
"""Photos that calibrate a conversion; docs/performance.md says how many predictions it then changes."""

MIN_CALIBRATION_PHOTOS = 16
"""Fewer photos calibrate nothing: the conversion is kept for later photos, which they may not resemble."""

SMOOTH_OPERATORS = ("Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Mish", "Gelu", "Erf", "Tanh")
"""ONNX operators of smooth activations, which are computed in floating point and take much of a network's time."""


class PhotoCollection(Protocol):
    """Photos whose number is known; each may be constructed when it is taken."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Photo]: ...


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
    if found is not None and (damage := find_damage(found, model)) is None:
        return found
    path = conversion_path(content_hash(model))
    if found is not None:
        log(f"{found} is damaged, and is made again: {damage}")
    if not can_convert():
        raise MissingExtraError("a new int8 conversion", "train")
    if len(photos) < MIN_CALIBRATION_PHOTOS:
        raise DataError(
            f"an int8 conversion is calibrated on {MIN_CALIBRATION_PHOTOS} photos or more, there are {len(photos)}",
            hint="leave out precision=int8, or predict more photos once",
        )
    step = max(len(photos) // NUM_CALIBRATION_PHOTOS, 1)
    selected = list(islice(photos, 0, step * NUM_CALIBRATION_PHOTOS, step))
    # A second process waits here and then finds the file.
    with lock_conversion(path, model, log):
        if find_damage(path, model) is not None:
            log(
                f"quantizing {model} to int8 once, calibrated on {len(selected)} of the photos; cached in {path.parent}"
            )
            _write(model, selected, path)
    return path


def lock_conversion(path: Path, model: Path, log: Callable[[str], None]) -> AbstractContextManager[object]:
    """Locks a conversion in the cache while it is written.

    Args:
        path: The conversion.
        model: The model of which it is.
        log: Receives a line where another process has the lock.

    Returns:
        A context manager, which waits for other processes.

    Raises:
        DataError: The cache cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        return acquire_lock(
            lock,
            "set XDG_CACHE_HOME to a folder on a local disk",
            on_wait=lambda: log(
                f"another process is calibrating an int8 conversion of {model}; waiting until it is done"
            ),
        )
    except OSError as error:
        raise DataError(
            f"the cache folder cannot be written: {error.strerror}",
            location=path.parent,
            hint="set XDG_CACHE_HOME to a folder that you may write to",
        ) from None


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

"""Calibration of an int8 conversion for what runs on and on, such as a service or a camera.

Unlike the conversion that `maskfit predict` makes on the way, it comes with a measurement of how its rounding changes
probabilities: on other photos than those that calibrate, so that no photo has to be computed both ways later.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from maskfit.data.fast_downscale import import_resizer
from maskfit.data.image_decoding import Pixels
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, MissingExtraError, ModelFileError, PhotoError
from maskfit.file_io import atomic_write
from maskfit.inference.engines.engine import Engine, OnnxEngine
from maskfit.inference.engines.int8_conversion import (
    PhotoCollection,
    can_convert,
    is_int8,
    lock_conversion,
    open_convertible,
    suits_int8,
)
from maskfit.inference.engines.int8_files import (
    CONVERSION_OF_KEY,
    ERROR_KEY,
    add_checksum,
    content_hash,
    conversion_path,
    find_measured_int8,
)
from maskfit.inference.engines.int8_origin import INT8_KEY, Int8Origin, describe_instructions
from maskfit.inference.engines.selection import gains_from_int8
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.image_loading import batched, load_image
from maskfit.inference.precision_error import PrecisionErrorEstimate, estimate_precision_error
from maskfit.labels.schema import FloatArray, logits_to_probabilities
from maskfit.model_file import bundled_int8_path, read_model_metadata
from maskfit.model_metadata import validate_model_file
from maskfit.text import format_count

MIN_INPUTS, MAX_INPUTS = 96, 768
"""Faces that are used. A third of them calibrate, and the tails of the error are estimated from the others, for which
fewer are too few; more change little."""

BATCH_SIZE = 8
"""Faces that a network computes at a time."""


@dataclass(frozen=True)
class Int8Calibration:
    """An int8 conversion that was calibrated now.

    Attributes:
        path: The conversion.
        calibrated: Faces that calibrated it.
        measured: Other faces, on which its error was measured.
        changed: Fraction of these whose class the conversion alone changes.
        recomputed: Fraction of these that are close and therefore recomputed in f32.
        changed_then: Fraction of these whose class is changed even so.
        unreadable: Photos that could not be read and were left out.
    """

    path: Path
    calibrated: int
    measured: int
    changed: float
    recomputed: float
    changed_then: float
    unreadable: int


def calibrate_int8(
    model: Path,
    face_predictor: FacePredictor,
    photos: Iterable[Photo],
    target: Path | None = None,
    source: Path | None = None,
) -> Int8Calibration:
    """Quantizes a model on photos and measures how that changes its probabilities.

    Args:
        model: An ONNX model.
        face_predictor: The model with the detector that it will run with, in f32.
        photos: Photos such as those that will come; those that cannot be read are left out. They are taken until there
            are enough faces.
        target: The file of the package; None is the cache, where `find_int8` looks and each file holds its checksum.
        source: Where the photos are, for errors.

    Returns:
        The conversion and what was measured.

    Raises:
        MissingExtraError: The package onnx is not installed.
        ModelFileError: The model cannot be quantized, is in int8 already, or would not run faster.
        DataError: There are too few faces, too many predictions are close, or the cache cannot be written.
    """
    if not can_convert():
        raise MissingExtraError("a new int8 conversion", "train")
    program = open_convertible(model)
    if not suits_int8(model):
        raise ModelFileError(
            "this network has smooth activations (SiLU, HardSwish, GELU), so int8 would not be faster",
            location=model,
            hint="leave out --calibrate",
        )
    inputs, unreadable = _collect_inputs(face_predictor, photos)
    if len(inputs) < MIN_INPUTS:
        left_out = f"; {format_count(unreadable, 'photo')} cannot be read" if unreadable else ""
        kind = "more photos" if inputs else "photos of faces"
        raise DataError(
            f"int8 is calibrated on {MIN_INPUTS} faces or more, these photos have {len(inputs)}{left_out}",
            location=source,
            hint=f"name a folder with {kind}, such as those that will come, or leave out --calibrate",
        )
    # Every third calibrates, so that both parts resemble all photos however they are sorted.
    calibrating = [exact for number, (exact, _) in enumerate(inputs) if number % 3 == 0]
    measuring = [pair for number, pair in enumerate(inputs) if number % 3]
    from maskfit.inference.export.quantization import quantize_program

    digest = content_hash(model)
    quantized = quantize_program(program, (np.stack(part) for part in batched(calibrating, BATCH_SIZE)))
    if not is_int8(quantized):
        raise ModelFileError("no layer of this network can be quantized", location=model, hint="leave out --calibrate")
    path = target or conversion_path(digest)
    # The network is measured where it will be, not in a temporary folder, which may be small.
    with atomic_write(path) as draft:
        draft.write_bytes(quantized.SerializeToString())
        exact = _probabilities(OnnxEngine(model, threads=1), [own for own, _ in measuring], model)
        fast = _probabilities(OnnxEngine(draft, threads=1), [approximate for _, approximate in measuring], model)
        schema = read_model_metadata(model).label_schema.scored_schema()
        error = estimate_precision_error(
            schema, fast, exact, covers_tails=True, approximate_pixels=import_resizer() is not None
        )
        if error is None:
            raise DataError(
                "so many of these predictions are close that f32 for all is faster than int8",
                location=model,
                hint="leave out --calibrate",
            )
        for key, value in (
            (CONVERSION_OF_KEY, digest),
            (ERROR_KEY, error.to_json()),
            (INT8_KEY, Int8Origin(describe_instructions(), len(calibrating)).to_json()),
        ):
            quantized.metadata_props.add(key=key, value=value)
        content = quantized.SerializeToString()
        # The package lists the checksum of its own.
        draft.write_bytes(add_checksum(content) if target is None else content)
    return _describe(path, len(calibrating), error, fast, exact, unreadable)


def calibrate_where_missing(
    models: Sequence[str],
    face_predictor: Callable[[], FacePredictor],
    photos: PhotoCollection,
    log: Callable[[str], None],
    source: Path | None = None,
) -> None:
    """Calibrates an int8 conversion of a model, unless there is one whose error was measured.

    Args:
        models: What the user named.
        face_predictor: Opens the model in f32 with the detector that it will run with.
        photos: Photos such as those that will come.
        log: Receives lines about what takes time and what was measured.
        source: Where the photos are, for errors.

    Raises:
        ModelFileError: It is not one ONNX model, or there is no such file; or as `calibrate_int8`.
        DataError: As `calibrate_int8`.
        MissingExtraError: As `calibrate_int8`.
    """
    if len(models) != 1 or not models[0].endswith(".onnx"):
        raise ModelFileError(
            "--calibrate takes one .onnx model", location=", ".join(models), hint=_hint_of_one_onnx_model(models)
        )
    path = Path(models[0])
    validate_model_file(path)
    if not gains_from_int8():
        log("this processor was not measured to gain from int8, so the network runs in f32 and nothing is calibrated")
        return
    if _is_calibrated(path, log):
        return
    # Before what takes long: whether the cache can be written, and a second process waits here and then finds the file.
    with lock_conversion(conversion_path(content_hash(path)), path, log):
        if _is_calibrated(path, log):
            return
        log(f"calibrating an int8 conversion of {path} on {len(photos)} photos, once")
        # Evenly spaced: a folder may be sorted by day or by camera.
        spaced = islice(photos, 0, None, max(len(photos) // MAX_INPUTS, 1))
        made = calibrate_int8(path, face_predictor(), spaced, source=source)
    if made.unreadable:
        log(f"left out, because they cannot be read: {format_count(made.unreadable, 'photo')}")
    log(
        f"calibrated on {made.calibrated} faces; of {made.measured} others {made.changed:.1%} get another class in "
        f"int8, {made.recomputed:.0%} are close and recomputed in f32, {made.changed_then:.1%} differ then"
    )
    log(f"kept in {made.path} and used from now on; remove it to run in f32 again")


def _hint_of_one_onnx_model(models: Sequence[str]) -> str:
    if len(models) > 1:
        return "name one of them, or leave out --calibrate: several run in f32"
    if models[0].endswith(".xml"):
        return "name the model as .onnx, which maskfit export writes too, or leave out --calibrate"
    return (
        f"maskfit export {shlex.quote(models[0])} --format onnx --out model.onnx writes one, or leave out --calibrate"
    )


def _is_calibrated(model: Path, log: Callable[[str], None]) -> bool:
    found = find_measured_int8(model)
    if found is None:
        return False
    if found == bundled_int8_path():
        log("the bundled model comes with its int8 conversion, so nothing is calibrated")
    else:
        log(f"the int8 conversion of {model} is calibrated already: {found}; remove it to calibrate again")
    return True


def _collect_inputs(face_predictor: FacePredictor, photos: Iterable[Photo]) -> tuple[list[tuple[Pixels, Pixels]], int]:
    """Network inputs of the photos' faces, at most as many as are used, each also as approximate pixels have it.

    The second value is the number of photos that could not be read.
    """
    crop_resize = face_predictor.predictor.runner.crop_resizes[0]
    inputs: list[tuple[Pixels, Pixels]] = []
    unreadable = 0
    for photo in photos:
        try:
            pixels = load_image(photo)
        except PhotoError:
            unreadable += 1
            continue
        for item in face_predictor.preprocess(pixels).inputs:
            exact, approximate = item.tta_views[0][0], crop_resize.approximate(pixels, item.crops[0])
            inputs.append((exact, exact if approximate is None else approximate))
        if len(inputs) >= MAX_INPUTS:
            break
    return inputs[:MAX_INPUTS], unreadable


def _probabilities(engine: Engine, frames: Sequence[Pixels], location: Path) -> FloatArray:
    metadata = engine.metadata
    parts = [
        logits_to_probabilities(metadata.label_schema, engine.logits(np.stack(part)))
        for part in batched(frames, BATCH_SIZE)
    ]
    table = np.concatenate(parts)
    if not np.isfinite(table).all():
        raise ModelFileError(
            "non-finite probabilities (NaN or inf)",
            location=location,
            hint="leave out --calibrate, or use another model",
        )
    return metadata.calibration.apply_temperature(metadata.label_schema.scored_schema(), table)


def _describe(
    path: Path, calibrated: int, error: PrecisionErrorEstimate, fast: FloatArray, exact: FloatArray, unreadable: int
) -> Int8Calibration:
    debiased = error.debias(fast)
    close = error.needs_f32(debiased)
    differ = debiased.argmax(axis=1) != exact.argmax(axis=1)
    alone = fast.argmax(axis=1) != exact.argmax(axis=1)
    return Int8Calibration(
        path,
        calibrated,
        len(exact),
        float(alone.mean()),
        float(close.mean()),
        float((differ & ~close).mean()),
        unreadable,
    )

"""The option `--calibrate` of what runs on and on: an int8 conversion that is calibrated once, before the start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import err, find_listed_images
from maskfit.errors import DataError

if TYPE_CHECKING:
    from maskfit.inference.face_predictor import FacePredictor
    from maskfit.inference.predictor import Predictor

CalibrateOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Photos such as those that will come, to calibrate an int8 conversion of the model on, once: the network "
        "then runs in int8, and in f32 where int8 could change the class. The bundled model has one.",
        show_default=False,
    ),
]


def calibrate_models(
    models: Sequence[str], photos: Path | None, engine: str, open_predictor: Callable[[Predictor], FacePredictor]
) -> None:
    """Calibrates an int8 conversion where the user asked for one and there is none.

    Args:
        models: The models that will run.
        photos: The folder of photos that the user named; None calibrates nothing.
        engine: The engine that the user named.
        open_predictor: Adds the detector that the model will run with.

    Raises:
        DataError: The engine runs no conversion, or there are too few faces.
        MaskfitError: As `calibrate_where_missing`.
    """
    if photos is None:
        return
    if engine not in ("auto", "onnx:precision=int8", "openvino:precision=int8"):
        raise DataError(
            f"--engine {engine} runs no int8 conversion, so --calibrate is of no use",
            hint="leave out one of the two",
        )
    from maskfit.inference.int8_calibration import calibrate_where_missing
    from maskfit.inference.predictor import Predictor

    listed = find_listed_images(photos)
    calibrate_where_missing(
        models, lambda: open_predictor(Predictor.load(*models, engine="onnx", threads=1)), listed, err.print, photos
    )


def describe_int8(predictor: Predictor, engine: str, calibrated: bool) -> str:
    """Says that the networks run in int8, by which file of the cache, or that they do not though the user asked for it.

    Args:
        predictor: The models.
        engine: The engine that the user named.
        calibrated: Whether the user gave `--calibrate`.

    Returns:
        One line; empty where they run in f32 as usual.
    """
    from maskfit.inference.engines.int8_files import find_damage, find_int8, find_measured_int8
    from maskfit.inference.engines.selection import gains_from_int8
    from maskfit.model_file import bundled_int8_path

    model = Path(predictor.members[0].name)
    if predictor.runner.low_precision_error is None:
        is_looked_for = engine == "auto" and len(predictor.members) == 1 and model.suffix == ".onnx"
        found = find_int8(model) if is_looked_for and gains_from_int8() else None
        if found and (damage := find_damage(found, model)) is not None:
            return f"f32: the int8 conversion {found} cannot be used: {damage}; --calibrate PHOTOS makes it again"
        # That a processor gains nothing was said before.
        used = "f32: other borders of age bands and --combine are computed without the int8 conversion"
        return used if calibrated and gains_from_int8() else ""
    found = find_measured_int8(model)
    kept = "" if found in (None, bundled_int8_path()) else f" ({found})"
    return f"int8{kept}, and f32 where that could change the class; --engine onnx runs everything in f32"

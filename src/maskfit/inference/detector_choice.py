"""Which face detector runs: the one that is named, that of the models, or the default of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from maskfit.config.loader import parse_component
from maskfit.data.crops.face import FaceCrop
from maskfit.data.detectors import DETECTORS
from maskfit.data.detectors.recognition import SIGNATURES, recognize_detector
from maskfit.errors import DataError, RecipeError
from maskfit.pretrained_weights import use_file
from maskfit.registry import ComponentSpec

WAYS_TO_NAME = (
    "name one as --detector bundled, --detector FILE.onnx or --detector yunet:weights=FILE.onnx; "
    "'maskfit detectors' lists those on this machine"
)
"""Hint of errors about a detector's name."""

_FILE = re.compile(r"(?P<path>.*?\.onnx)(?::(?P<options>.*))?", re.IGNORECASE | re.DOTALL)
"""A file with options; also on Windows, where a path has a colon of its own."""


def parse_detector(text: str | None, weights: Path | None = None) -> FaceCrop:
    """Parses a detector as users name it.

    Args:
        text: A name of `DETECTORS`, a detector's file, each with options: `yunet`, `yunet:side=640`,
            `yunet:weights=/path/file.onnx`, `/path/file.onnx`, `/path/file.onnx:side=640`. None with `weights` only.
        weights: The detector's file, where it is given beside its name. Its kind is recognized by its inputs and
            outputs.

    Returns:
        A crop with that detector; a file is used where it is, without a copy in the cache.

    Raises:
        DataError: The file is missing, unreadable or none of a face detector, or of another than was named.
        RecipeError: There is no such detector, or it has no such option.
    """
    match = _FILE.fullmatch(text or "")
    name, options = text, ""
    if match and "weights=" not in match["path"]:
        name, weights, options = None, Path(match["path"]), match["options"] or ""
    elif text is not None and "weights=" not in text and (Path(text).is_file() or os.sep in text):
        name, weights = None, Path(text)
    if name is None:
        path = Path(weights or "").expanduser()
        kind = recognize_detector(path)
        return _crop(parse_component(f"{kind}:{options}" if options else kind, "data.crop.detector"), path)
    spec = parse_component(name, "data.crop.detector")
    own = {key: value for key, value in spec.options.items() if key != "weights"}
    named = weights or spec.options.get("weights")
    spec = ComponentSpec(name=spec.name, options=own)
    _check_options(spec)
    if named is None:
        return FaceCrop(spec.model_dump(mode="json"))
    if getattr(DETECTORS[spec.name], "published", None) is None:
        raise RecipeError(f"the detector '{spec.name}' includes its weights and takes no others", hint="remove weights")
    path = Path(str(named)).expanduser()
    kind = recognize_detector(path)
    if kind != spec.name and spec.name in SIGNATURES:
        raise DataError(
            f"the file belongs to the detector '{kind}', not to '{spec.name}'", location=path, hint=f"--detector {path}"
        )
    return _crop(spec, path)


def describe_other_detector(named: FaceCrop, trained: Iterable[FaceCrop | None]) -> str:
    """Says that models were trained on crops of another detector than the one that was named.

    Args:
        named: The named detector.
        trained: The crops of the models; None for one that crops by no detector.

    Returns:
        A sentence; "" where no model was trained with another one.
    """
    others = {crop.detector_name for crop in trained if crop}
    if not others - {named.detector_name}:
        return ""
    return (
        f"faces are detected by '{named.detector_name}', as named; the model was trained on crops of "
        f"{', '.join(map(repr, sorted(others)))}, which may cost accuracy"
    )


def _crop(spec: ComponentSpec, path: Path) -> FaceCrop:
    _check_options(spec)
    return FaceCrop(spec.model_dump(mode="json"), str(path), use_file(path).sha256)


def _check_options(spec: ComponentSpec) -> None:
    """Raises where there is no such detector or option, and says how detectors are named.

    Raises:
        RecipeError: As said.
    """
    try:
        FaceCrop(spec.model_dump(mode="json"))
    except RecipeError as error:
        raise RecipeError(error.message, hint=WAYS_TO_NAME) from None

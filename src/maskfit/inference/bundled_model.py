"""The model in the box: the one that comes with maskfit, so that a photo can be answered for before any is trained."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from maskfit.errors import ModelFileError

BUNDLED_MODEL_NAME = "bundled.onnx"
"""Its file, in `weights/` of the package."""


def bundled_model_path() -> Path:
    """The model in the box.

    Raises:
        ModelFileError: This install is without it.
    """
    place = resources.files("maskfit") / "weights" / BUNDLED_MODEL_NAME
    # Of a package in an archive there would be no file that ONNX Runtime could open.
    if not isinstance(place, Path) or not place.is_file():
        raise ModelFileError(
            "the model that comes with maskfit is not in this install",
            location=str(place),
            hint="pip install --force-reinstall maskfit, or name a model",
        )
    return place

"""Train, evaluate, combine and serve classifiers that read mask, gender and age band from face photos.

The names below are the public API; each is imported on first use, so that `import maskfit` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maskfit.version import __version__

if TYPE_CHECKING:
    from maskfit.api import (
        FacePredictor,
        LabelSchema,
        Predictor,
        TrainResult,
        calibrate,
        ensemble,
        evaluate,
        export,
        find_label_issues,
        load_dataset,
        load_model,
        load_recipe,
        train,
    )

__all__ = [
    "FacePredictor",
    "LabelSchema",
    "Predictor",
    "TrainResult",
    "__version__",
    "calibrate",
    "ensemble",
    "evaluate",
    "export",
    "find_label_issues",
    "load_dataset",
    "load_model",
    "load_recipe",
    "train",
]


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module 'maskfit' has no attribute '{name}'")
    if name == "LabelSchema":
        from maskfit.labels.schema import LabelSchema

        return LabelSchema
    from maskfit import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)

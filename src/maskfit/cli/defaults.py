"""Defaults from the environment: the competition platform's SM_* variables, also from a `.env` file.

A word on the command line wins over the environment, the environment over `.env`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from maskfit.cli.console import err
from maskfit.memory_allocator import DISABLED_VARIABLE, configure_malloc

TRAIN = "SM_CHANNEL_TRAIN"
"""The training photos: `data.path` of `maskfit train`."""
MODEL_DIR = "SM_MODEL_DIR"
"""Where training writes: `run` of `maskfit train`."""
EVAL = "SM_CHANNEL_EVAL"
"""A folder with `info.csv` and `images`: `--image-list` and `--images` of `maskfit predict`."""
MODEL = "SM_CHANNEL_MODEL"
"""The model file or run folder of `maskfit predict`."""
OUTPUT = "SM_OUTPUT_DATA_DIR"
"""Where `maskfit predict` writes its submission."""
TRUTH = "SM_GROUND_TRUTH_DIR"
"""A folder with the true answers for `maskfit evaluate`."""


def load_environment() -> None:
    """Takes the SM_* variables of a `.env` file in the current folder, where the environment does not set them."""
    path = Path(".env")
    if not path.is_file():
        return
    from dotenv import dotenv_values

    # The file may be another program's: what is in it besides must do no harm.
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for name, value in dotenv_values(stream=StringIO(text)).items():
        if name.startswith("SM_") and value:
            os.environ.setdefault(name, value)


def setup_allocator() -> str | None:
    """Has this process keep the memory that it frees; says so in a line for the log, None where nothing was changed."""
    return (
        f"memory that is freed is kept for the next step ({DISABLED_VARIABLE}=system gives it back)"
        if configure_malloc()
        else None
    )


LEFT_OUT = "left out, the one that comes with maskfit"
"""For the help of a verb that takes models."""


def resolve_models(named: Sequence[str] | None) -> list[str]:
    """The models that were named, or that of SM_CHANNEL_MODEL, or the one in the box, which is said.

    Raises:
        ModelFileError: None was named, and this install is without the one in the box.
    """
    if named:
        return list(named)
    if os.environ.get(MODEL):
        return [os.environ[MODEL]]
    from maskfit.inference.bundled_model import bundled_model_path

    box = bundled_model_path()
    err.print("no model was named: the one that comes with maskfit answers; 'maskfit model-card' says how well")
    return [str(box)]

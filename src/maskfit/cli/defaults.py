"""Defaults of commands: SM_* environment variables (also from a `.env` file), the bundled model, malloc settings.

A value on the command line wins over the environment, the environment over `.env`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

TRAIN = "SM_CHANNEL_TRAIN"
"""Training photos: `data.path` of `maskfit train`."""
MODEL_DIR = "SM_MODEL_DIR"
"""Run folder: `output_dir` of `maskfit train`."""
EVAL = "SM_CHANNEL_EVAL"
"""Folder with `info.csv` and `images`: `--image-list` and `--images` of `maskfit predict`."""
MODEL = "SM_CHANNEL_MODEL"
"""Model file or run folder of `maskfit predict`."""
OUTPUT = "SM_OUTPUT_DATA_DIR"
"""Folder into which `maskfit predict` writes its submission."""
TRUTH = "SM_GROUND_TRUTH_DIR"
"""Folder with the true labels for `maskfit evaluate`."""

DEFAULT_MODEL_HELP = "the bundled model by default"
"""Part of the help of commands that take models."""


def load_environment() -> None:
    """Sets the SM_* variables of a `.env` file in the current folder, where the environment does not set them."""
    path = Path(".env")
    if not path.is_file():
        return
    from dotenv import dotenv_values

    # The file may belong to another program, so anything else in it is ignored.
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for name, value in dotenv_values(stream=StringIO(text)).items():
        if name.startswith("SM_") and value:
            os.environ.setdefault(name, value)


def setup_allocator() -> str | None:
    """Configures malloc to keep freed memory in this process.

    Returns:
        A line for the log, or None where nothing was changed.
    """
    from maskfit.memory_allocator import DISABLED_VARIABLE, configure_malloc

    if not configure_malloc():
        return None
    return f"malloc keeps freed memory for the next step ({DISABLED_VARIABLE}=system turns this off)"


def resolve_models(named: Sequence[str] | None, *, name_card: bool = True) -> list[str]:
    """Returns the models to use.

    Args:
        named: Model files and run folders from the command line.
        name_card: Whether the note on the bundled model names the command that prints its card.

    Returns:
        The named models, or that of SM_CHANNEL_MODEL, or the bundled model with a note on standard error.

    Raises:
        ModelFileError: No model was named, and this install lacks the bundled one.
    """
    if named:
        return list(named)
    if os.environ.get(MODEL):
        return [os.environ[MODEL]]
    from maskfit.cli.console import err
    from maskfit.inference.input_resolution import bundled_model_path

    path = bundled_model_path()
    card = " ('maskfit model-card' shows its scores)" if name_card else ""
    err.print(f"no model named: using the bundled model{card}")
    return [str(path)]

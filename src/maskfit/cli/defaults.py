"""Defaults from the environment: the competition platform's SM_* variables, also from a `.env` file.

A word on the command line wins over the environment, the environment over `.env`.
"""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

TRAIN = "SM_CHANNEL_TRAIN"
"""The training photos: `data.root` of `maskfit train`."""
MODEL_DIR = "SM_MODEL_DIR"
"""Where training writes: `run` of `maskfit train`."""
EVAL = "SM_CHANNEL_EVAL"
"""A folder with `info.csv` and `images`: `--list` and `--images` of `maskfit predict`."""
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

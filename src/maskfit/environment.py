"""Environment variables: SM_* of SageMaker and of the competition's server, also from a `.env` file, and of libraries.

What the caller names wins over the environment, the environment over `.env`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

TRAIN = "SM_CHANNEL_TRAIN"
"""Training photos: `data.path` of a training."""
MODEL_DIR = "SM_MODEL_DIR"
"""Run folder: `output_dir` of a training."""
EVAL = "SM_CHANNEL_EVAL"
"""Folder with `info.csv` and `images`: `--image-list` and `--images` of `maskfit predict`."""
MODEL = "SM_CHANNEL_MODEL"
"""Model file or run folder to predict with."""
OUTPUT = "SM_OUTPUT_DATA_DIR"
"""Folder into which `maskfit predict` writes its submission."""
TRUTH = "SM_GROUND_TRUTH_DIR"
"""Folder with the true labels for `maskfit evaluate`."""


def read_dotenv() -> dict[str, str]:
    """Reads the SM_* variables of a `.env` file in the current folder; whatever else is in it is ignored.

    Returns:
        Values by name; none where there is no file.
    """
    path = Path(".env")
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    # The file may belong to another program.
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    values = dotenv_values(stream=StringIO(text))
    return {name: value for name, value in values.items() if name.startswith("SM_") and value}


def read_variable(name: str) -> str | None:
    """Reads a variable from the environment, otherwise from `.env`; changes nothing.

    Args:
        name: One of the names above.

    Returns:
        Its value; None where it is not set or empty.
    """
    return os.environ.get(name) or read_dotenv().get(name)


@contextmanager
def temporary_variables(**values: str) -> Iterator[None]:
    """Sets variables of the environment and restores them in the end.

    For libraries that read a variable when they are loaded, and for processes that are started meanwhile.

    Args:
        values: Value by name.
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

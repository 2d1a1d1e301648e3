"""The files that the running command was given, none of which an output may replace."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from maskfit.errors import DataError

RUN_FILES = re.compile(
    r"(recipe\.yaml|splits\.csv|folds\.csv|environment\.json|scores\.json|(oof_)?(probabilities|ages)\.csv)"
)
"""Names of a run's own files in its folder; `report.html` is made anew by a command."""

FOLD_FILES = re.compile(
    r".*\.safetensors|.*\.ckpt|(models|scores)\.json|(metrics|train_loss|steps|probabilities|age_bands)\.csv"
)
"""Names of a run's own files in the folder of a fold."""

_arguments: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())


@contextmanager
def command_arguments(values: Mapping[str, object]) -> Iterator[None]:
    """Remembers the arguments of the command that runs within the context.

    Args:
        values: The arguments and options by name; everything that may be a path is kept.

    Yields:
        Nothing.
    """
    token = _arguments.set(tuple(_flatten(values.values())))
    try:
        yield
    finally:
        _arguments.reset(token)


def check_no_input(path: Path) -> None:
    """Checks that an output does not replace what the command reads; to be called before it reads anything.

    Args:
        path: The output.

    Raises:
        DataError: Another argument names this file, or it is a photo, or one of a run's own files, which no command
            replaces: a table may name the photos that are read, and a run its dataset.
    """
    if not path.is_file():
        return
    named = [text for text in _arguments.get() if os.path.exists(text)]
    if sum(_is_same(path, Path(text)) for text in named) > 1:
        raise DataError(
            "the output is a file that the command reads, or another of its outputs",
            location=path,
            hint="choose another file",
        )
    from maskfit.data.photo_dataset import is_photo_name

    if is_photo_name(path.name):
        raise DataError("the output is a photo, which is not replaced", location=path, hint="choose another file")
    if is_file_of_run(path):
        raise DataError(
            "the output is a file of a run, which is not replaced", location=path, hint="choose another file"
        )


def is_file_of_run(path: Path) -> bool:
    """Returns whether a file is one that a training wrote into its run folder and needs there.

    Args:
        path: The file.

    Returns:
        Whether it is.
    """
    folder = path.absolute().parent
    if (folder / "recipe.yaml").is_file() and RUN_FILES.fullmatch(path.name):
        return True
    is_fold = re.fullmatch(r"fold\d+", folder.name) is not None and (folder.parent / "recipe.yaml").is_file()
    return is_fold and FOLD_FILES.fullmatch(path.name) is not None


def _flatten(values: object) -> Iterator[str]:
    """Yields every text and path; of KEY=VALUE also the value."""
    if isinstance(values, str | Path):
        yield str(values)
        if isinstance(values, str) and "=" in values:
            yield values.partition("=")[2]
    elif isinstance(values, Mapping):
        yield from _flatten(list(values.values()))
    elif isinstance(values, Sequence) or hasattr(values, "__iter__"):
        for value in values:
            yield from _flatten(value)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False

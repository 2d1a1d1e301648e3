"""The files that the running command was given, none of which an output may replace."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from maskfit.errors import DataError

RUN_FILES = frozenset({"recipe.yaml", "splits.csv", "environment.json", "oof_probabilities.csv", "oof_ages.csv"})
"""Files of a run's folder that no other command's output may replace; `report.html` is made anew by a command."""

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
        DataError: Another argument names this file, or it is a photo, or a file of a run, in a folder that is named.
    """
    if not path.is_file():
        return
    named = [Path(text) for text in _arguments.get() if os.path.exists(text)]
    if sum(_is_same(path, other) for other in named) > 1:
        raise DataError(
            "the output is a file that the command reads, or another of its outputs",
            location=path,
            hint="choose another file",
        )
    folders = [other for other in named if other.is_dir() and _is_below(path, other)]
    if not folders:
        return
    from maskfit.data.photo_dataset import is_photo_name

    is_of_run = path.name in RUN_FILES and any((folder / "recipe.yaml").is_file() for folder in folders)
    if is_photo_name(path.name) or is_of_run:
        kind = "a file of the run" if is_of_run else "a photo of the folder"
        raise DataError(f"the output is {kind} that the command reads", location=path, hint="choose another file")


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


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))

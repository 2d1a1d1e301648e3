"""How the command speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from maskfit.errors import DataError, MissingExtraError

# Texts are printed as they are: in a file name `[1]` is no markup, `:dog:` no emoji. Colour comes from `style=`.
out = Console(highlight=False, markup=False, emoji=False)
"""For what was asked for."""

err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
"""For progress, remarks and errors."""


RAY_HELP = "A Ray cluster to work on: auto joins the one that runs here or starts one, local starts one, or HOST:PORT."
"""The help of every `--ray`."""

TRAIN_MODULES = ("torch", "torchvision", "timm", "lightning", "sklearn")
"""What the extra 'train' brings and training imports."""


def print_error(error: object) -> None:
    """Says what the user can mend."""
    err.print("error:", style="bold red", end=" ")
    err.print(str(error))


def print_json(value: Any) -> None:
    """Prints `value` as JSON, for scripts: no colours, no wrapping."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table below its title; columns of numbers stand to the right."""
    from rich.table import Table

    # A title of rich's own is broken to the table's width, which may be two narrow columns.
    out.print(title, style="bold", soft_wrap=True)
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column, name in enumerate(header):
        numeric = bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        # Folded, where the screen is too narrow: names of layers and photos differ at their ends.
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    out.print(table)


@contextmanager
def progress(title: str, unit: str = "photos") -> Iterator[Callable[[int, int | None], None]]:
    """A bar with rate and time left; gives a function to call with (done, total), None where there is no telling."""
    # Here, as in the verbs: what is imported above delays every command.
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit} · {{task.fields[rate]}}"),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=None, rate="")

        def advance(done: int, total: int | None) -> None:
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance


def check_overwrite(path: Path | None, force: bool) -> None:
    """Stops before a file of the user's would be replaced, and before work is done whose result cannot be written.

    Raises:
        DataError: The file exists and `force` was not given, it is a folder, or it cannot be made there.
    """
    if path is None:
        return
    if path.is_dir():
        raise DataError("this is a folder", location=path, hint="name a file in it")
    if path.exists() and not force:
        raise DataError(
            "this file exists already", location=path, hint="name another file, or add --force to replace it"
        )
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise DataError(f"nothing can be written into {place}", location=path, hint="name a file in another folder")


def require_extra(verb: str, extra: str, *modules: str) -> None:
    """Stops with the extra to install where a module that `verb` needs is missing; imports nothing.

    Raises:
        MissingExtraError: One of `modules` is not installed.
    """
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise MissingExtraError(f"'maskfit {verb}'", extra)

"""Output of commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from maskfit.cli.command_inputs import check_no_input
from maskfit.errors import DataError, MissingExtraError, printable
from maskfit.file_locks import claim
from maskfit.text import format_count
from maskfit.verbosity import is_quiet

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from maskfit.data.photo_dataset import Photo


def escape(text: str, keep: str = "") -> str:
    """Escapes what a terminal would act on, see `errors.printable`.

    Args:
        text: The text.
        keep: Control characters that stay.

    Returns:
        The text; the same object where nothing has to be escaped, which is checked at the speed of C.
    """
    return text if text.isprintable() else printable(text, keep=keep)


class PlainConsole(Console):
    """A console that prints text as it is, except that control characters, as in file names, are escaped."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints like rich's console.

        Args:
            objects: Texts and rich's renderables.
            **options: As for rich's console.
        """
        super().print(*(escape(item, keep="\n\t") if isinstance(item, str) else item for item in objects), **options)


# In a file name `[1]` is not markup and `:dog:` not an emoji. Color comes from `style=`.
out = PlainConsole(highlight=False, markup=False, emoji=False)
"""For results."""

err = PlainConsole(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True, quiet=is_quiet())
"""For progress, warnings and errors."""


BAR_UPDATE_SECONDS = 0.05
"""Minimum time between two updates of a progress bar, except the last."""

COLUMN_GAP = 2
"""Spaces between two columns of a table."""

RAY_HELP = "Ray cluster: auto joins the one that runs here or starts one, local starts one, or HOST:PORT."
"""Help of every `--ray`."""

TRAIN_MODULES = ("torch", "torchvision", "timm", "lightning", "sklearn")
"""Packages of the extra 'train' that training imports."""


def print_error(error: object) -> None:
    """Prints an error.

    Args:
        error: Usually a `MaskfitError`, whose text has message, location and hint.
    """
    quiet, err.quiet = err.quiet, False
    err.print("error:", style="bold red", end=" ")
    err.print(str(error))
    err.quiet = quiet


def print_set_aside(reasons: Mapping[str, str], shown: int | None = None) -> None:
    """Prints what could not be used, with a count, on standard error; nothing where there is none.

    Args:
        reasons: Reasons by name; the name of a folder ends with a slash.
        shown: How many to list; None for all.
    """
    if not reasons:
        return
    folders = sum(name.endswith("/") for name in reasons)
    photos = len(reasons) - folders
    counts = [(photos, "unreadable photo"), (folders, "folder")]
    listed = " and ".join(format_count(count, noun) for count, noun in counts if count)
    err.print(f"set aside {listed}:", style="yellow")
    for name, reason in list(reasons.items())[:shown]:
        err.print(f"  {escape(name)}: {escape(reason)}")


def find_listed_images(folder: Path) -> list[Photo]:
    """Lists the photos of a folder, and prints which of its entries cannot be used.

    Args:
        folder: The folder.

    Returns:
        The photos, sorted by name.
    """
    from maskfit.data.image_lists import ImageFolder

    images = ImageFolder(folder)
    photos = list(images)
    print_set_aside(images.set_aside)
    return photos


def print_json(value: Any) -> None:
    """Prints a value as JSON without colors or wrapping.

    Args:
        value: Anything that JSON can hold; NaN and infinity are errors.
    """
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table below its title, with numeric columns right-aligned.

    In a file or a pipe no cell is wrapped, whatever its length. On a terminal texts are wrapped between words, so that
    names can be copied; only where the longest words of all columns do not fit are they folded.

    Args:
        title: The line above the table.
        header: Column names.
        rows: Cells, one for each column; floats are printed with four decimals, integers with separators of
            thousands, None as "-".
    """
    from rich.table import Table

    # rich wraps a table's title to the table's width, which may be two narrow columns.
    out.print(title, style="bold", soft_wrap=True)
    texts = [["-" if cell is None else _format_number(cell) or escape(str(cell), "\n") for cell in row] for row in rows]
    widths = _column_widths([header, *texts], out.width if out.is_terminal else None)
    total = sum(widths) + COLUMN_GAP * (len(widths) - 1) if widths else None
    table = Table(header_style="bold", box=None, pad_edge=False, width=total)
    for column, name in enumerate(header):
        cells = [row[column] for row in rows if row[column] is not None]
        numeric = bool(cells) and all(isinstance(cell, int | float) for cell in cells)
        # Folded instead of cut: names of layers and photos differ at their ends.
        justify: JustifyMethod = "right" if numeric else "left"
        table.add_column(name, justify=justify, overflow="fold", width=widths[column] if widths else None)
    for row in texts:
        table.add_row(*row)
    out.print(table, crop=False)


def _format_number(cell: object) -> str:
    """The text of a number; "" of anything else."""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return ""
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4f}"


def _column_widths(rows: Sequence[Sequence[str]], available: int | None) -> list[int] | None:
    """The widths at which no word is split, those of the widest cells where they fit.

    Args:
        rows: The cells, with the header.
        available: Width of the terminal; None for no limit.

    Returns:
        The width of each column; None where the longest words do not fit.
    """
    from rich.cells import cell_len

    columns = list(zip(*rows, strict=True))
    most = [max(cell_len(line) for cell in cells for line in cell.split("\n")) for cells in columns]
    if available is None:
        return most
    least = [max((cell_len(word) for cell in cells for word in cell.split()), default=0) for cells in columns]
    room = available - COLUMN_GAP * (len(columns) - 1)
    spare, wanted = room - sum(least), sum(most) - sum(least)
    if spare < 0:
        return None
    if wanted <= spare:
        return most
    return [low + (high - low) * spare // wanted for low, high in zip(least, most, strict=True)]


def print_written(path: object, detail: str = "", *, console: Console = err) -> None:
    """Prints the line with which every command names a file or folder that it wrote: "written: s.csv: 6 rows".

    Args:
        path: The file or folder.
        detail: What is in it.
        console: Where to print; standard error by default.
    """
    console.print(f"written: {path}{detail and ': '}{detail}", markup=False, soft_wrap=True)


@contextmanager
def progress(title: str, unit: str = "photos") -> Iterator[Callable[[int, int | None], None]]:
    """Shows a progress bar with rate and remaining time; in a log lines instead, within ten seconds of each other.

    Args:
        title: Text before the bar.
        unit: What is counted.

    Yields:
        A function to call with (done, total); total is None while unknown.
    """
    # Imported here, since imports at the top delay every command.
    if not err.is_terminal:
        from maskfit.progress_log import log_progress

        with log_progress(err, title, unit) as advance_log:
            yield advance_log
        return
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
    )
    with bar:
        task = bar.add_task(title, total=None, rate="")

        last = 0.0

        def advance(done: int, total: int | None) -> None:
            nonlocal last
            # The bar is drawn ten times a second, and its speed is computed from up to a thousand calls.
            if (now := time.monotonic()) - last < BAR_UPDATE_SECONDS and done != total:
                return
            last = now
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance


SPREADSHEET_SUFFIXES = frozenset({".xlsx", ".xls", ".xlsm", ".ods"})
"""Suffixes of files that a spreadsheet would not open if they held the text that every command writes."""


def check_overwrite(
    path: Path | None, force: bool, *, reserve: bool = True, otherwise: str = "", inputs_checked: bool = False
) -> None:
    """Checks that an output file can be written, before any work is done, and reserves it for this command.

    Args:
        path: The file; None is accepted.
        force: Whether an existing file may be replaced.
        reserve: Whether another command that would write it meanwhile is refused.
        inputs_checked: Whether the caller compares the file with what the command reads.
        otherwise: What else can be done where the file exists, for the hint, such as "add --append to continue it, ".

    Raises:
        DataError: It is named as a spreadsheet, the file exists and `force` is false, the command reads it, the path is
            a folder, its folder is not writable, or another command writes it.
    """
    if path is None:
        return
    if path.is_dir():
        raise DataError("the path is a folder, not a file", location=path, hint="choose a file in it")
    if path.suffix.lower() in SPREADSHEET_SUFFIXES:
        hint = f"name it {path.with_suffix('.csv').name}, which spreadsheets open"
        raise DataError("no spreadsheet is written, only text", location=path, hint=hint)
    if not inputs_checked:
        check_no_input(path)
    if path.exists() and not force:
        raise DataError(
            "the file exists", location=path, hint=f"choose another file, {otherwise}or add --force to replace it"
        )
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir():
        raise DataError(f"{place} is a file, where a folder is needed", location=path, hint="choose another folder")
    if not os.access(place, os.W_OK):
        raise DataError(f"no permission to write into {place}", location=path, hint="choose another folder")
    if reserve:
        claim(path)


def print_next(*commands: str) -> None:
    """Prints commands that continue the work, a line each, to be copied.

    Args:
        commands: What follows "maskfit", with paths quoted for a shell.
    """
    if is_quiet():
        return
    # uv run leaves no command in the user's PATH; with --no-sync it starts at once, and installs nothing more.
    program = "uv run --no-sync maskfit" if os.environ.get("UV") else "maskfit"
    for command in commands:
        out.print(f"next: {program} {command}", soft_wrap=True)


def require_extra(verb: str, extra: str, *modules: str) -> None:
    """Checks that the packages of an extra are installed, without importing them.

    Args:
        verb: The command that needs them.
        extra: The extra that installs them.
        modules: Names of the packages.

    Raises:
        MissingExtraError: One of `modules` is not installed.
    """
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise MissingExtraError(f"'maskfit {verb}'", extra)

"""Files that are written whole or not at all: under a temporary name beside the target, then renamed."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskfit.errors import DataError, MaskfitError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the folder of `path`; on leaving without an error it takes the place of `path`.

    The folder is made where it is missing. A reader sees the old file or the new one, never half of either.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    # Not tempfile: it makes files for the owner alone, and what the user's own umask gives is wanted here.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder(name: str) -> Path:
    """A folder of maskfit's in the user's cache, where what can be made or fetched again is kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "maskfit" / name


def write_text(path: Path, text: str) -> Path:
    """Writes `text` as UTF-8 and returns the path."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: Path, value: Any) -> Path:
    """Writes `value` as indented JSON. NaN and infinities, which JSON does not know, are refused."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Writes a CSV with a header row and `\\n` line ends."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return Path(path)


def read_csv(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Reads a CSV with a header into one mapping a row; values are stripped, a missing cell is "".

    A byte order mark is taken off. Empty lines at the end are left out; one in between is a row of empty cells, so that
    item `i` is always row `i + 2` of a spreadsheet.

    Raises:
        DataError: The file cannot be read, is no text, lacks a required column, or a row has too many cells.
    """
    return list(iter_csv(path, required))


def iter_csv(path: Path, required: Sequence[str]) -> Iterator[dict[str, str]]:
    """As `read_csv`, row by row: of a long list only the text is held. What is wrong is said once it is come to."""
    path = Path(path)
    rows = _read_rows(path)
    header = [name.strip() for name in next(rows, [])]
    missing = [name for name in required if name not in header]
    if missing:
        found = ", ".join(header[:12]) or "nothing"
        raise DataError(
            f"column {', '.join(missing)} is missing; the first row holds {found}",
            location=path,
            hint=f"the first row must name the columns {', '.join(required)}",
        )
    if len(set(header)) < len(header):
        raise DataError("a column name stands twice in the first row", location=path, hint="rename one of them")
    for number, row in enumerate(rows, start=2):
        if len(row) > len(header):
            raise DataError(
                f"row {number} has {len(row)} cells, the first row has {len(header)}",
                location=path,
                hint="put cells that hold a comma into quotes",
            )
        yield dict(zip(header, [cell.strip() for cell in row] + [""] * (len(header) - len(row)), strict=True))


def _read_rows(path: Path) -> Iterator[list[str]]:
    """The cells of every row; an empty line is a row without cells, and there is none at the end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("there is no such file", location=path, hint="check the path") from None
    except IsADirectoryError:
        raise DataError("this is a folder, not a CSV file", location=path, hint="name the file in it") from None
    except UnicodeDecodeError:
        raise DataError("this is no text file in UTF-8", location=path, hint="save it as CSV in UTF-8") from None
    except OSError as error:
        what = f"this cannot be read: {error.strerror}"
        raise DataError(what, location=path, hint="check path and permissions") from None
    empty = 0
    try:
        # Not splitlines(), to which U+2028 or a form feed in a cell ends a line. Without strict=True a stray quote
        # swallows the rest of the file into one cell, unseen.
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if row:
                yield from ([] for _ in range(empty))
                empty = 0
                yield row
            else:
                empty += 1
    except csv.Error as error:
        raise DataError(f"this is no CSV: {error}", location=path, hint="save it as comma-separated text") from None


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        MaskfitError: The file cannot be read or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MaskfitError("there is no such file", location=path, hint="check the path") from None
    except OSError as error:
        what = f"this cannot be read: {error.strerror}"
        raise MaskfitError(what, location=path, hint="check path and permissions") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MaskfitError(
            f"this is no JSON: {error}", location=path, hint="restore the file or make it anew"
        ) from None

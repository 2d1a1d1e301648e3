"""Atomic file writes (a temporary file in the target's folder, then a rename), and reading of CSV and JSON files."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskfit.errors import DataError, MaskfitError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Replaces a file atomically: readers see either the old file or the new one, never a part of it.

    Args:
        path: The target; its folder is created where it is missing.

    Yields:
        A temporary path in the same folder, renamed to `path` on leaving without an exception.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    # Not tempfile, whose files are readable by their owner only: the user's umask applies here.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def user_cache_dir(name: str) -> Path:
    """Returns a folder of maskfit in the user's cache, for files that can be computed or downloaded again.

    Args:
        name: Name of the folder.

    Returns:
        Its path, which may not exist yet.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "maskfit" / name


def write_text(path: Path, text: str) -> Path:
    """Writes text as UTF-8, atomically.

    Args:
        path: The target.
        text: Its content.

    Returns:
        The path.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: Path, value: Any) -> Path:
    """Writes a value as indented JSON, atomically.

    Args:
        path: The target.
        value: Any JSON value.

    Returns:
        The path.

    Raises:
        ValueError: The value contains NaN or infinity, which JSON does not have.
    """
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    r"""Writes a CSV with a header row and `\n` line ends, atomically.

    Args:
        path: The target.
        header: Names of the columns.
        rows: Cells of each row.

    Returns:
        The path.
    """
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return Path(path)


def read_csv(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Reads a CSV with a header row.

    A byte order mark is removed. Empty lines at the end are dropped; an empty line in between is a row of empty cells,
    so that item `i` is always row `i + 2` of a spreadsheet. Where the first row has no comma, semicolons or tabs
    separate its cells.

    Args:
        path: The file, in UTF-8, UTF-16 with a byte order mark, or Korean CP949.
        required: Columns that must exist.

    Returns:
        One mapping per row; values are stripped, a missing cell is "". All columns without a name are one, "", with the
        cell of the first.

    Raises:
        DataError: The file cannot be read, is not such text, lacks a required column, or a row has too many cells.
    """
    return list(iter_csv(path, required))


def iter_csv(path: Path, required: Sequence[str]) -> Iterator[dict[str, str]]:
    """Reads a CSV row by row, so that only the text of a long list is in memory.

    Args:
        path: As for `read_csv`.
        required: As for `read_csv`.

    Yields:
        One mapping per row.

    Raises:
        DataError: As for `read_csv`, when the iteration reaches the error.
    """
    path = Path(path)
    rows = _read_rows(path)
    header = [name.strip() for name in next(rows, [])]
    missing = [name for name in required if name not in header]
    if missing:
        found = ", ".join(header[:12]) or "nothing"
        raise DataError(
            f"column {', '.join(missing)} is missing; the first row has {found}",
            location=path,
            hint=f"name the columns {', '.join(required)} in the first row",
        )
    named = [name for name in header if name]
    if len(set(named)) < len(named):
        raise DataError("the first row has a duplicate column name", location=path, hint="rename one of the columns")
    for number, row in enumerate(rows, start=2):
        if len(row) > len(header):
            raise DataError(
                f"row {number} has {len(row)} cells, the first row has {len(header)}",
                location=path,
                hint="put cells that contain a comma in quotes",
            )
        cells = [cell.strip() for cell in row] + [""] * (len(header) - len(row))
        # Several columns may lack a name: zip alone would keep the last of them.
        if len(named) + 1 < len(header):
            first = header.index("")
            yield dict(zip(header, cells, strict=True)) | {"": cells[first]}
        else:
            yield dict(zip(header, cells, strict=True))


def _read_rows(path: Path) -> Iterator[list[str]]:
    """Yields the cells of every row; an empty line is a row without cells, and there is none at the end."""
    try:
        text = _decode(path.read_bytes())
    except FileNotFoundError:
        raise DataError("there is no such file", location=path, hint="check the path") from None
    except IsADirectoryError:
        raise DataError("this is a folder, not a CSV file", location=path, hint="name the file in it") from None
    except UnicodeDecodeError:
        raise DataError("the file is not UTF-8 text", location=path, hint="save it as CSV in UTF-8") from None
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise DataError(message, location=path, hint="check path and permissions") from None
    delimiter = _find_delimiter(text)
    empty = 0
    try:
        # Not splitlines(), which also splits at U+2028 and form feeds inside a cell. Without strict=True an unbalanced
        # quote would silently read the rest of the file as one cell.
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            if row:
                yield from ([] for _ in range(empty))
                empty = 0
                yield row
            else:
                empty += 1
    except csv.Error as error:
        raise DataError(f"invalid CSV: {error}", location=path, hint="save it as comma-separated text") from None


def _decode(content: bytes) -> str:
    """Decodes a text file: UTF-8, UTF-16 with a byte order mark, or CP949 where that gives Korean text.

    Raises:
        UnicodeDecodeError: It is none of these.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp949"
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            text = ""
        # Other encodings of one byte per character seldom decode as CP949, and then not to Hangul.
        if text and (encoding == "utf-16" or re.search("[가-힣]", text)):
            return text
        raise


def _find_delimiter(text: str) -> str:
    """Returns the delimiter of the first row: a comma where there is one, else a semicolon or a tab."""
    first_row = re.sub(r'"[^"]*"', "", next((line for line in re.split(r"[\r\n]+", text[:65536]) if line), ""))
    return "," if "," in first_row else max(";\t", key=first_row.count) if re.search("[;\t]", first_row) else ","


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.

    Returns:
        The decoded value.

    Raises:
        MaskfitError: The file cannot be read or is not valid JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MaskfitError("there is no such file", location=path, hint="check the path") from None
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise MaskfitError(message, location=path, hint="check path and permissions") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MaskfitError(
            f"invalid JSON: {error}", location=path, hint="restore the file or generate it again"
        ) from None

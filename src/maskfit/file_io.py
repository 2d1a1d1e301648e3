"""Atomic file writes (a temporary file in the target's folder, then a rename), and reading of CSV and JSON files.

A temporary file is locked by the process that writes it. One of a process that was killed is not: it is removed when
the same target is written next.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

from maskfit.errors import DataError, DiskFullError, MaskfitError, format_list, is_model_name
from maskfit.file_locks import try_lock
from maskfit.text import parse_json

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of the operating system where there is no room for what is written."""

_DISK_FULL_TEXT = re.compile(
    r"no space left|quota exceeded|file too large|file write failed|os error (28|122|27)\b", re.IGNORECASE
)
"""How libraries with exceptions of their own report the same."""

_TEMPORARY_NAME = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{8}\.part")

_pipes: dict[tuple[int, int], bytes] = {}
"""What came from pipes, by device and inode: tables are read several times, for their header, photos and persons."""

_scan_lock = threading.Lock()
_leftovers: dict[Path, dict[str, list[Path]]] = {}
"""By folder and target name: temporary files that were there when this process first wrote into the folder."""


@contextmanager
def atomic_write(path: Path, *, needed: int | None = None) -> Iterator[Path]:
    """Replaces a file atomically: readers see either the old file or the new one, never a part of it.

    Args:
        path: The target; its folder is created where it is missing. Of a symbolic link it is the file that it points
            to, which is replaced as if it was opened for writing.
        needed: Size of the file in bytes where it is known, for the error of a full disk.

    Yields:
        A temporary path in the target's folder, renamed to it on leaving without an exception.

    Raises:
        DataError: The file cannot be created, or is a link to a file that is protected from writing.
        DiskFullError: There is no room for it; the old file is unchanged.
    """
    path = Path(path)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target is not path and target.is_file() and not target.stat().st_mode & 0o222:
        # Stores of data version control are such files, which their names promise the content of; the rename would
        # replace one all the same.
        raise DataError(
            f"this is a link to {target}, which is protected from writing",
            location=path,
            hint="name another file, remove the link, or unlock it (dvc unprotect FILE, git annex unlock FILE)",
        )
    with writing(path, needed=needed), _temporary(target, folder=False) as temporary, writing(path, temporary, needed):
        yield temporary
        temporary.replace(target)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Creates a folder next to a target, for the caller to fill and to rename to it.

    Args:
        path: The target.

    Yields:
        The folder, removed on leaving if it still has its name.
    """
    with writing(path), _temporary(Path(path), folder=True) as temporary, writing(path, temporary):
        yield temporary


@contextmanager
def writing(path: Path, temporary: Path | None = None, needed: int | None = None) -> Iterator[None]:
    """Turns the errors of a full disk, in whatever form a library raises them, into one that says what to do.

    Args:
        path: What is written, or its folder.
        temporary: The file that is written in its place: what is in it counts as needed.
        needed: Size in bytes where it is known.

    Yields:
        Nothing.

    Raises:
        DiskFullError: There is no room for it.
    """
    try:
        yield
    except MaskfitError:
        raise
    except Exception as error:
        if not is_disk_full(error):
            raise
        if needed is None:
            needed = _written_bytes(temporary or path)
        too_large = isinstance(error, OSError) and error.errno == errno.EFBIG
        raise DiskFullError(path, needed, None if too_large else free_bytes(path), too_large=too_large) from error


def _written_bytes(path: Path) -> int | None:
    """One more byte than was written so far to a file or a temporary folder; None for any other folder."""
    with suppress(OSError):
        if path.is_file():
            return path.stat().st_size + 1
        if _TEMPORARY_NAME.fullmatch(path.name):
            return sum(item.stat().st_size for item in path.rglob("*") if item.is_file()) + 1
    return None


def is_disk_full(error: BaseException) -> bool:
    """Returns whether an exception says that there is no room on the disk.

    Args:
        error: The exception.

    Returns:
        Whether it, or what caused it, does.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in DISK_FULL_ERRNOS
    return bool(_DISK_FULL_TEXT.search(str(error)))


def free_bytes(path: Path) -> int | None:
    """Measures the room on the disk of a path.

    Args:
        path: A file or folder, which need not exist.

    Returns:
        Bytes that this user can write; None where it cannot be measured.
    """
    try:
        return shutil.disk_usage(next(part for part in (path, *path.absolute().parents) if part.exists())).free
    except (OSError, StopIteration):
        return None


@contextmanager
def _temporary(path: Path, *, folder: bool) -> Iterator[Path]:
    """Creates and locks a temporary file or folder for a target, and removes it unless it was renamed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary, descriptor = _create_locked(path, folder=folder)
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise
        raise DataError(
            f"cannot be written: {error.strerror}", location=path, hint="check path and permissions, or choose another"
        ) from error
    try:
        yield temporary
    finally:
        if folder:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        os.close(descriptor)


def _create_locked(path: Path, *, folder: bool) -> tuple[Path, int]:
    while True:
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
        # Not tempfile, whose files are readable by their owner only: the user's umask applies here.
        if folder:
            temporary.mkdir()
            descriptor = os.open(temporary, os.O_RDONLY)
        else:
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        # Between its creation and its lock another process may take it for a leftover.
        if try_lock(descriptor) is not False and temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Removes the temporary files for a target that no process writes any more."""
    folder = path.parent.absolute()
    with _scan_lock:
        if folder not in _leftovers:
            # One look for each folder: thousands of files may be written into it.
            found: dict[str, list[Path]] = {}
            with os.scandir(folder) as entries:
                for entry in entries:
                    if match := _TEMPORARY_NAME.fullmatch(entry.name):
                        found.setdefault(match["target"], []).append(folder / entry.name)
            _leftovers[folder] = found
        leftovers = _leftovers[folder].pop(path.name, [])
    for leftover in leftovers:
        with suppress(OSError):
            descriptor = os.open(leftover, os.O_RDONLY)
            try:
                # Only with the lock: where files cannot be locked, another process may still write it.
                if try_lock(descriptor):
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            finally:
                os.close(descriptor)


def write_text(path: Path, text: str) -> Path:
    """Writes text as UTF-8, atomically.

    Args:
        path: The target.
        text: Its content.

    Returns:
        The path.
    """
    content = text.encode()
    with atomic_write(path, needed=len(content)) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def save_image(image: Any, path: Path, format: str, **options: Any) -> None:
    """Writes an image; on a full disk this is an error, where Pillow, given a path, may leave the end of a JPEG out.

    Pillow's encoders write to a file by themselves and take a short write for a whole one
    (`findings/pillow_jpeg_short_write.sh`).

    Args:
        image: A Pillow image.
        path: The file, usually the temporary one of `atomic_write`.
        format: Pillow's name of the format.
        **options: Pillow's options of the format.
    """
    stream = io.BytesIO()
    image.save(stream, format, **options)
    path.write_bytes(stream.getbuffer())


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

    Raises:
        DataError: A cell cannot be written as UTF-8, as a file name in another encoding.
    """
    try:
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
    except UnicodeEncodeError as error:
        part = error.object[max(error.start - 40, 0) : error.end + 40].strip()
        message, hint = f"a text is not UTF-8 and cannot be written: {part}", "rename the file, or correct the text"
        raise DataError(message, location=path, hint=hint) from None
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


def find_repeated_rows(names: Iterable[str], first: int = 2) -> list[str]:
    """Finds rows of a table that are about what an earlier row is about, where neither can be preferred.

    Args:
        names: What each row is about, in the order of the rows.
        first: Number of the first row, as a spreadsheet counts.

    Returns:
        A line for each repeated row, with both row numbers.
    """
    rows: dict[str, int] = {}
    found = []
    for number, name in enumerate(names, start=first):
        if (other := rows.setdefault(name, number)) != number:
            found.append(f"row {number}: duplicate of row {other}, {name}")
    return found


def check_unique_rows(names: Iterable[str], path: Path, hint: str = "give each photo one row") -> None:
    """Checks that a table has one row for each photo.

    Args:
        names: As for `find_repeated_rows`.
        path: The table, for the message.
        hint: What to do next.

    Raises:
        DataError: A photo has two rows; all of them are listed.
    """
    if repeated := find_repeated_rows(names):
        raise DataError(f"photos are repeated:\n{format_list(repeated)}", location=path, hint=hint)


def iter_csv(path: Path, required: Sequence[str], header: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Reads a CSV row by row, so that only the text of a long list is in memory.

    Args:
        path: As for `read_csv`.
        required: As for `read_csv`.
        header: Names of the columns where the table has no header row.

    Yields:
        One mapping per row.

    Raises:
        DataError: As for `read_csv`, when the iteration reaches the error.
    """
    path = Path(path)
    rows = _read_rows(path)
    first_row = 1 if header else 2
    header = header or [name.strip() for name in next(rows, [])]
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
    # Several columns may lack a name: zip alone would keep the last of them.
    nameless = header.index("") if len(named) + 1 < len(header) else None
    for number, row in enumerate(rows, start=first_row):
        if len(row) > len(header):
            message = f"row {number} has {len(row)} cells, the first row has {len(header)}"
            raise DataError(message, location=path, hint="put cells that contain a comma in quotes")
        cells = dict(zip_longest(header, map(str.strip, row), fillvalue=""))
        if nameless is not None:
            cells[""] = row[nameless].strip() if nameless < len(row) else ""
        yield cells


def _read_rows(path: Path) -> Iterator[list[str]]:
    """Yields the cells of every row; an empty line is a row without cells, and there is none at the end."""
    if is_model_name(path) and path.is_file():
        raise DataError(
            "this is a model, where a table is needed",
            location=path,
            hint="name a CSV, or the run folder where a run can be named",
        )
    try:
        text = _decode(_read_content(path))
    except FileNotFoundError:
        raise DataError("there is no such file", location=path, hint="check the path") from None
    except IsADirectoryError:
        raise DataError("this is a folder, not a CSV file", location=path, hint="name the file in it") from None
    except UnicodeDecodeError:
        raise DataError("the file is not UTF-8 text", location=path, hint="save it as CSV in UTF-8") from None
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise DataError(message, location=path, hint="check path and permissions") from None
    # Excel's own first line, which names the delimiter.
    if named := re.match(r"sep=([,;\t|])\r?\n", text):
        text = text[named.end() :]
    delimiter = named[1] if named else _find_delimiter(text)
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


def _read_content(path: Path) -> bytes:
    """The content of a file; of a pipe of this process, such as `<(...)`, also when it is read again."""
    status = os.stat(path)
    if not stat.S_ISFIFO(status.st_mode) and not stat.S_ISCHR(status.st_mode):
        return path.read_bytes()
    if not os.path.abspath(path).startswith(("/dev/", "/proc/")):
        # Reading it again would wait forever, or give what is written to it next.
        hint = "write the table to a file, or give it as <(COMMAND) or /dev/stdin"
        raise DataError("this is a named pipe, which can be read only once", location=path, hint=hint)
    key = (status.st_dev, status.st_ino)
    if key not in _pipes:
        _pipes[key] = path.read_bytes()
    return _pipes[key]


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
    """Returns the delimiter of the first row: a comma where there is one, else a semicolon, a tab or a bar."""
    first_row = re.sub(r'"[^"]*"', "", next((line for line in re.split(r"[\r\n]+", text[:65536]) if line), ""))
    return "," if "," in first_row else max(";\t|", key=first_row.count) if re.search("[;\t|]", first_row) else ","


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
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MaskfitError("there is no such file", location=path, hint="check the path") from None
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise MaskfitError(message, location=path, hint="check path and permissions") from None
    except ValueError as error:  # also of JSON's own and of Unicode
        raise MaskfitError(
            f"invalid JSON: {error}", location=path, hint="restore the file or generate it again"
        ) from None

"""CSV files that are written row by row while a video is watched, and continued after a restart."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from maskfit.errors import DataError, printable
from maskfit.file_io import writing


class DurableCsvWriter:
    """CSV that is flushed after every row, so that nothing is lost when the process ends unexpectedly.

    Args:
        path: The file; replaced where it exists.
        header: Names of the columns.
        append: Continues an existing file in place of replacing it; its header must be the same.
        sync: Whether rows are also written through to the disk, so that they outlast a power cut.

    Raises:
        DataError: A file that is to be continued cannot be, see `CsvEnd.read`.
    """

    def __init__(self, path: Path, header: Sequence[str], *, append: bool = False, sync: bool = False) -> None:
        self.path = path
        self._sync = sync
        path.parent.mkdir(parents=True, exist_ok=True)
        end = CsvEnd.read(path, header) if append else None
        if end is None:
            self._stream = path.open("wb", buffering=0)
            self.write([header])
            return
        self._stream = path.open("r+b", buffering=0)
        self._stream.truncate(end.size)
        self._stream.seek(end.size)
        if not end.is_terminated:
            self._append(b"\n")

    def write(self, rows: Iterable[Sequence[object]]) -> None:
        """Appends rows.

        Args:
            rows: The cells of each row.
        """
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._append(text.getvalue().encode())

    def _append(self, content: bytes) -> None:
        start = self._stream.tell()
        with writing(self.path, needed=start + len(content)):
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[self._stream.write(rest) or 0 :]
            except OSError:
                # What was written before stays whole.
                self._stream.truncate(start)
                raise
        if self._sync:
            # Some devices and network file systems refuse.
            with suppress(OSError):
                os.fsync(self._stream.fileno())

    def __enter__(self) -> DurableCsvWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


@dataclass(frozen=True)
class CsvEnd:
    """Where a CSV is to be continued.

    Attributes:
        size: Bytes that stay: all whole rows, and a last one without its line end if it has all cells.
        is_terminated: Whether they end with a line end.
        broken: Text of a last row that breaks off, as when the power was cut while it was written; empty without one.
        highest: The highest whole number in the column `number_column` of `read`; 0 where there is none.
    """

    size: int
    is_terminated: bool
    broken: str
    highest: int

    @classmethod
    def read(cls, path: Path, header: Sequence[str], number_column: str = "") -> CsvEnd | None:
        """Reads a CSV to its end.

        Args:
            path: The file.
            header: Names of the columns that it must have.
            number_column: The column whose highest number is sought; none where it is empty.

        Returns:
            Its end; None where nothing is there to be continued: no file, or no more than a part of the header.

        Raises:
            DataError: The file cannot be read, or its first row is another than the header.
        """
        if not path.is_file():
            # Also a pipe, which has no beginning that could be read.
            return None
        column = list(header).index(number_column) if number_column else None
        size, highest, is_terminated, broken = 0, 0, True, ""
        try:
            with path.open("rb") as stream:
                first = stream.readline()
                if not _check_header(path, first, header):
                    return None
                size = len(first)
                for line in stream:
                    # A file system that lost the last bytes in a power cut may leave zeros in their place.
                    content = line.rstrip(b"\0")
                    cells = _cells(content)
                    is_terminated = content.endswith(b"\n")
                    if not is_terminated and len(cells) < len(header):
                        is_terminated, broken = True, printable(content.decode("utf-8", "replace"))
                        break
                    size += len(content)
                    if column is not None and column < len(cells) and cells[column].isdecimal():
                        highest = max(highest, int(cells[column]))
        except OSError as error:
            raise DataError(
                f"it cannot be continued: {error.strerror}", location=path, hint="check its permissions"
            ) from error
        return cls(size, is_terminated, broken, highest)


def _check_header(path: Path, first: bytes, header: Sequence[str]) -> bool:
    """Whether the first line is the whole header; False where nothing, or a part of it, is all there is.

    Raises:
        DataError: It is something else.
    """
    expected = ",".join(header)
    if first.endswith(b"\n") and _cells(first) == list(header):
        return True
    text = first.rstrip(b"\0").decode("utf-8", "replace")
    if not first.endswith(b"\n") and expected.startswith(text):
        return False
    found = printable(text.strip()[: len(expected) + 40])
    raise DataError(
        f"it has other columns and cannot be continued: {found}\nneeded are: {expected}",
        location=path,
        hint="name another file; the columns depend on the model, and cameras and streams have a clock",
    )


def _cells(line: bytes) -> list[str]:
    """The cells of a line; spreadsheets write a byte order mark before the first."""
    return next(csv.reader([line.decode("utf-8-sig", "replace").rstrip("\r\n")]), [])

"""The source of an import: a folder or file, with its listing read once for all formats."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from maskfit.data.importers.photo_finder import PhotoFinder, list_files
from maskfit.data.photo_dataset import is_photo_name
from maskfit.errors import DataError

FILE_HINT = "write what it gives to a file beside the photos, and name that"
"""What to do with a pipe where a file is needed."""

SAMPLE_SUBMISSION = re.compile(r"sample[ _-]?submission.*\.csv|submission[ _-]?sample.*\.csv", re.IGNORECASE)
"""Name of a table of placeholders in a competition's data."""

HEAD_BYTES = 65_536
"""Bytes of a file that formats are recognized from."""


class ImportSource:
    """A folder or file that is imported.

    Args:
        path: The folder or file.

    Raises:
        DataError: There is no such folder or file, or it is a pipe.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._heads: dict[str, str] = {}
        if not self.path.exists():
            raise DataError("there is no such folder or file", location=path, hint="check the path")
        if not self.is_folder and not self.path.is_file():
            # Formats are told apart by names and beginnings, and paths are relative to the file's folder.
            raise DataError("this is a pipe or device, no file", location=path, hint=FILE_HINT)

    @property
    def is_folder(self) -> bool:
        """Whether the source is a folder."""
        return self.path.is_dir()

    @property
    def root(self) -> Path:
        """The folder that `files` are relative to: the source, or the folder of the file that it is."""
        return self.path if self.is_folder else self.path.parent

    @cached_property
    def _listed(self) -> tuple[str, ...]:
        return list_files(self.path) if self.is_folder else (self.path.name,)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """POSIX paths of all files relative to `root`, sorted, without hidden ones; for a file, only its name.

        Without `sample_submissions`.
        """
        placeholders = {*self.sample_submissions}
        return tuple(name for name in self._listed if name not in placeholders)

    @cached_property
    def sample_submissions(self) -> tuple[str, ...]:
        """Tables of a folder whose labels are placeholders, as competitions give them: `sample_submission.csv`."""
        if not self.is_folder:
            return ()
        return tuple(name for name in self._listed if SAMPLE_SUBMISSION.fullmatch(PurePosixPath(name).name))

    @cached_property
    def photos(self) -> tuple[str, ...]:
        """Those of `files` whose names have a photo's suffix."""
        return tuple(name for name in self.files if is_photo_name(name))

    @cached_property
    def other_files(self) -> tuple[str, ...]:
        """Those of `files` that are no photos: label files, read-mes."""
        return tuple(name for name in self.files if not is_photo_name(name))

    @cached_property
    def photo_finder(self) -> PhotoFinder:
        """Finds photos in `root` by the names in label files."""
        return PhotoFinder(self.root, self.files if self.is_folder else None)

    def with_suffix(self, *suffixes: str) -> tuple[str, ...]:
        """Returns the files with a suffix.

        Args:
            suffixes: Suffixes in lower case, with the dot.

        Returns:
            Those of `other_files`.
        """
        return tuple(name for name in self.other_files if PurePosixPath(name).suffix.lower() in suffixes)

    def head(self, name: str) -> str:
        """Returns the beginning of a text file, for recognizing its format.

        Args:
            name: One of `files`.

        Returns:
            At most `HEAD_BYTES` bytes, decoded as UTF-8 with replacement characters; empty where it cannot be read.
        """
        if name not in self._heads:
            try:
                with open(self.root / name, "rb") as stream:
                    self._heads[name] = stream.read(HEAD_BYTES).decode("utf-8-sig", errors="replace")
            except OSError:
                self._heads[name] = ""
        return self._heads[name]

    def load_json(self, name: str) -> Any:
        """Reads a JSON file.

        Args:
            name: One of `files`.

        Returns:
            The decoded value; None where it cannot be read.
        """
        try:
            return json.loads((self.root / name).read_text(encoding="utf-8-sig", errors="replace"))
        except (ValueError, OSError, RecursionError):
            return None

    def json_lines(self, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Reads a file of JSON Lines.

        Args:
            name: One of `files`.

        Yields:
            Number and object of each line; an empty mapping for one that is no JSON object.

        Raises:
            DataError: The file cannot be read.
        """
        try:
            with (self.root / name).open(encoding="utf-8-sig", errors="replace", newline="\n") as stream:
                for number, line in enumerate(stream, start=1):
                    if line.strip():
                        yield number, parse_json_line(line)
        except OSError as error:
            raise DataError(
                f"the file cannot be read: {error.strerror}", location=self.describe(name), hint="check its permissions"
            ) from None

    def tables_with(self, *columns: str) -> list[str]:
        """Finds the CSV files whose first row has columns.

        Args:
            columns: Names of columns in lower case.

        Returns:
            Those of `files`.
        """
        found = []
        for name in self.with_suffix(".csv"):
            header = {cell.strip().strip('"').lower() for cell in self.head(name).partition("\n")[0].split(",")}
            if {*columns} <= header:
                found.append(name)
        return found

    def describe(self, name: str) -> str:
        """Returns how a file is named in messages.

        Args:
            name: One of `files`.

        Returns:
            Its path as the user can open it.
        """
        return os.fspath(self.root / name)


def parse_json_line(line: str) -> Mapping[str, Any]:
    """Reads a line of JSON Lines.

    Args:
        line: The line.

    Returns:
        The object; an empty mapping for what is none.
    """
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return item if isinstance(item, dict) else {}

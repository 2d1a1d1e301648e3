"""Photos in a local folder or at a URL that fsspec reads (s3://, gs://, http://).

Names are relative to the root. Listing reads one folder at a time, so that any number of photos can be listed.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from maskfit.data.face_boxes import BoxColumns, find_box_columns, name_with_box
from maskfit.data.image_lists import FolderEntry, ImageFolder, check_entry_name, find_id_column, read_image_list
from maskfit.data.image_opening import MAX_BYTES
from maskfit.data.manifest_files import is_url
from maskfit.data.photo_dataset import is_hidden_or_system_file, is_photo_name
from maskfit.errors import DataError, MissingExtraError, PhotoError, format_list, printable
from maskfit.file_io import iter_csv

PROTOCOL_PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "abfs": "adlfs",
}
"""Package that fsspec needs for a protocol."""


class ImageRoot:
    """The root folder or URL of a set of photos.

    Args:
        root: A folder, or a URL.

    Raises:
        MissingExtraError: It is a URL, and fsspec is not installed.
        DataError: The URL cannot be opened.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") if is_url(root) else root
        if not is_url(root):
            return
        if importlib.util.find_spec("fsspec") is None:
            raise MissingExtraError(f"reading {root.partition('://')[0]}://", "ray")
        _ = self._filesystem

    @cached_property
    def _filesystem(self) -> tuple[Any, str]:
        """The fsspec file system, and the root's path in it."""
        import fsspec

        protocol = self.root.partition("://")[0]
        try:
            filesystem, path = fsspec.core.url_to_fs(self.root)
        except ImportError:
            package = PROTOCOL_PACKAGES.get(protocol, f"fsspec's package for {protocol}")
            raise DataError(
                f"{protocol}:// needs the package {package}", location=self.root, hint=f"pip install {package}"
            ) from None
        except (ValueError, OSError) as error:
            raise DataError(f"the URL cannot be opened: {error}", location=self.root, hint="check the URL") from None
        return filesystem, str(path).rstrip("/")

    def names(self) -> Iterator[str]:
        """Lists all photos below the root that can be used.

        Yields:
            Names relative to the root, in the order of `entries`.

        Raises:
            DataError: As `entries`.
        """
        return (name for name, reason in self.entries() if not reason)

    def entries(self) -> Iterator[FolderEntry]:
        """Lists all photos below the root, and what may hold photos and cannot be used; hidden files are ignored.

        Yields:
            Names relative to the root, folder by folder, sorted within each.

        Raises:
            DataError: There is no photo, or the root cannot be listed.
        """
        if not is_url(self.root):
            yield from ImageFolder(Path(self.root)).entries()
            return
        found = False
        for entry in self._walk():
            found = found or not entry.reason
            yield entry
        if not found:
            raise DataError(
                "there is no photo below this URL", location=self.root, hint="check the URL, or give a --image-list"
            )

    def _walk(self) -> Iterator[FolderEntry]:
        filesystem, root = self._filesystem
        try:
            for folder, _, files in filesystem.walk(root, on_error="raise"):
                relative = str(folder).rstrip("/").removeprefix(root).strip("/")
                for name in sorted(file.rpartition("/")[2] for file in files):
                    if is_photo_name(name) and not is_hidden_or_system_file(name):
                        name = f"{relative}/{name}" if relative else name
                        yield FolderEntry(printable(name), check_entry_name(name))
        except (OSError, ValueError) as error:
            raise DataError(
                f"the URL cannot be listed: {_first_line(error)}", location=self.root, hint="check the URL"
            ) from None

    def path(self, name: str) -> Path | None:
        """Returns the local path of a photo.

        Args:
            name: Name relative to the root.

        Returns:
            The path; None for a photo at a URL.
        """
        return None if is_url(self.root) else Path(self.root) / name

    def reader(self, name: str) -> Callable[[], bytes]:
        """Returns a function that downloads a photo.

        Args:
            name: Name relative to the root, which is a URL.

        Returns:
            A function without arguments that returns the file's bytes or raises `PhotoError`.
        """
        return lambda: self._download(name)

    def _download(self, name: str) -> bytes:
        filesystem, root = self._filesystem
        try:
            # One byte beyond the maximum suffices to detect a file that is too large.
            content: bytes = filesystem.cat_file(f"{root}/{name}", start=0, end=MAX_BYTES + 1)
        except (NotImplementedError, ValueError):
            content = filesystem.cat_file(f"{root}/{name}")
        except Exception as error:  # The packages of protocols raise many exception types.
            raise PhotoError(f"the photo cannot be downloaded: {_first_line(error)}", location=name) from None
        if len(content) > MAX_BYTES:
            raise PhotoError(f"the file is larger than {MAX_BYTES // 2**20} MiB", location=name)
        return content


def read_image_names(path: Path, root: str, log: Callable[[str], None] = lambda line: None) -> Sequence[str]:
    """Reads the names of an evaluation list.

    Args:
        path: A CSV with a column `ImageID`, and perhaps the box of a face, as `read_image_list` reads it.
        root: Folder or URL that the names are relative to. In a folder all photos must exist; at a URL this is not
            checked.
        log: Receives how the boxes of a list were read.

    Returns:
        The names in the order of the list; those of faces end in their box.

    Raises:
        DataError: The file is not such a CSV, or a row cannot be used; one error lists all problems.
    """
    if not is_url(root):
        listed = read_image_list(path, Path(root))
        for note in listed.notes:
            log(note)
        return listed.names
    names = list(_iter_names_with_boxes(path))
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    outside = [name for name in names if not name or name.startswith("/") or ".." in name.split("/")]
    problems = [f"{name} is listed twice" for name in duplicates]
    problems += [f"'{name}' leads out of {root}" for name in outside]
    if problems or not names:
        raise DataError(format_list(problems) or "the list has no rows", location=path, hint="correct the list")
    return names


def _iter_names_with_boxes(path: Path) -> Iterator[str]:
    """The names of a list whose photos cannot be opened here.

    Raises:
        DataError: A box is invalid.
    """
    columns: BoxColumns | None = None
    column = find_id_column(path)
    for number, row in enumerate(iter_csv(path, (column,)), start=2):
        try:
            if number == 2:
                columns = find_box_columns({column.casefold(): column for column in row})
            yield name_with_box(row[column], columns.read(row) if columns else None)
        except DataError as error:
            raise DataError(f"row {number}: {error.message}", location=path, hint=error.hint) from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

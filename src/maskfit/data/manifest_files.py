"""Finds the photos that a manifest names, with one listing of each folder in place of one system call for each row."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from maskfit.data.photo_dataset import PHOTO_SUFFIXES, is_photo_name

MAX_FOLDERS = 50
"""Folders beside a table in which a photo that is missing is looked for."""

ROWS_BEFORE_LISTING = 8
"""Rows of one folder whose photos are looked up one by one; from the next one on the folder is listed."""


def is_url(text: str) -> bool:
    """Returns whether a photo or folder is named by a URL.

    Args:
        text: A path or a URL.

    Returns:
        Whether it contains `://`.
    """
    return "://" in text


class FoundFile(NamedTuple):
    """A photo of a manifest.

    Attributes:
        path: The file.
        name: Its name in every table: the POSIX path relative to the root, or the absolute one of a photo elsewhere
            that is written so.
        absolute: The absolute path, by which two rows of one photo are found.
    """

    path: Path
    name: str
    absolute: str


class _Folder(NamedTuple):
    """A listed folder: its files' names, a path in it, whose siblings are made soon, and whether its path is plain."""

    names: frozenset[str]
    sample: Path
    is_plain: bool


class PhotoFiles:
    """Finds files by the path cells of a manifest.

    Args:
        root: The folder that relative paths start from.
        must_exist: Whether a photo that does not exist is not found. Otherwise its name is taken from the cell.
    """

    def __init__(self, root: Path, must_exist: bool = True) -> None:
        self._root = root
        self._must_exist = must_exist
        self.num_missing = 0
        self._absolute_root = os.path.abspath(root)
        self._num_rows: Counter[str] = Counter()
        self._folders: dict[str, _Folder] = {}

    def find(self, cell: str) -> FoundFile | None:
        """Finds the photo of a row.

        Args:
            cell: Its path, relative to the root or absolute.

        Returns:
            The file and its names; None where there is no file, or no name.
        """
        folder = cell[: cell.rfind("/") + 1]
        listed = self._folders.get(folder) or self._count(folder)
        name = cell[len(folder) :]
        if listed and name in listed.names:
            file, is_exact = listed.sample.with_name(name), True
            if listed.is_plain and "\\" not in name:
                return FoundFile(file, cell, f"{self._absolute_root}/{cell}")
        else:
            looked_up = find_file(cell, self._root)
            if looked_up is None:
                return None if self._must_exist else self._name_missing(cell)
            file, is_exact = looked_up, looked_up == self._root / cell
        if is_exact and is_plain(cell):
            return FoundFile(file, cell, f"{self._absolute_root}/{cell}")
        return FoundFile(file, name_photo(file, cell, self._root), os.path.abspath(file))

    def _name_missing(self, cell: str) -> FoundFile | None:
        """The photo that a cell would be; None for an empty cell or a folder."""
        if not cell or os.path.isdir(self._root / cell):
            return None
        self.num_missing += 1
        file = self._root / cell.replace("\\", "/")
        return FoundFile(file, name_photo(file, cell, self._root), os.path.abspath(file))

    def _count(self, folder: str) -> _Folder | None:
        """Counts a row of a folder that is not listed yet, and lists it from some number of rows on."""
        self._num_rows[folder] += 1
        # A few photos of a folder with millions of files are found sooner without its list.
        if self._num_rows[folder] <= ROWS_BEFORE_LISTING:
            return None
        listed = self._folders[folder] = self._list(folder)
        return listed

    def _list(self, folder: str) -> _Folder:
        names = []
        try:
            with os.scandir(os.path.join(self._root, folder)) as entries:
                for entry in entries:
                    try:
                        if entry.is_file():
                            names.append(entry.name)
                    except OSError:  # A link to itself.
                        continue
        except (OSError, ValueError):  # A folder that may be entered, but not listed: each photo is looked up.
            names = []
        return _Folder(frozenset(names), self._root / folder / "photo", is_plain(folder + "photo"))


def find_file(cell: str, root: Path) -> Path | None:
    """Finds the file of a path cell.

    Args:
        cell: The cell.
        root: The folder that relative paths start from.

    Returns:
        The file; None where it does not exist.
    """
    if not cell:
        return None
    if os.path.isfile(os.path.join(root, cell)):
        return root / cell
    # A table written on Windows has backslashes; a file with a backslash in its name is found first. Korean and
    # accented names have two Unicode forms, and a table may have the other one.
    plain = cell.replace("\\", "/")
    for text in dict.fromkeys((cell, plain, unicodedata.normalize("NFC", plain), unicodedata.normalize("NFD", plain))):
        if os.path.isfile(root / text):
            return root / text
    return None


def find_likely_path(cell: str, root: Path) -> str:
    """Finds the photo that a path cell without a file likely means: with a suffix, or in a folder beside the table.

    Args:
        cell: The cell.
        root: The folder that relative paths start from.

    Returns:
        The path as the cell should have it; "" where there is no such photo.
    """
    if not cell or os.path.isabs(cell):
        return ""
    try:
        folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())[:MAX_FOLDERS]
    except OSError:
        return ""
    for folder in ("", *folders):
        for suffix in ("", *(sorted(PHOTO_SUFFIXES) if not is_photo_name(cell) else ())):
            path = PurePosixPath(folder, cell + suffix)
            if os.path.isfile(root / path):
                return path.as_posix()
    return ""


def name_inside(file: Path, folder: Path) -> str | None:
    """Returns the name that a photo, or a folder of photos, has in a folder.

    Args:
        file: The photo or folder of photos.
        folder: The folder.

    Returns:
        The POSIX path relative to the folder; None where it is elsewhere.
    """
    # Links below the folder are followed as they stand; ".." behind a link cannot be taken away from the text.
    as_written = os.path.abspath(file) if ".." not in file.parts else None
    # A photo that is a link, as into a store of data version control, has the link's name.
    as_linked, real_folder = os.path.join(os.path.realpath(file.parent), file.name), os.path.realpath(folder)
    for path, root in (
        (as_written, os.path.abspath(folder)),
        (as_linked, real_folder),
        (os.path.realpath(file), real_folder),
    ):
        if path is not None and Path(path).is_relative_to(root):
            return Path(path).relative_to(root).as_posix()
    return None


def is_plain(cell: str) -> bool:
    """Returns whether a path is relative, with nothing to resolve in it, so that it is the photo's name as it stands.

    Args:
        cell: The cell.

    Returns:
        Whether it is.
    """
    return "\\" not in cell and not {"", ".", ".."} & set(cell.split("/"))


def name_photo(file: Path, cell: str, root: Path) -> str:
    """Returns the name of a photo in every table.

    Args:
        file: The file.
        cell: The path cell.
        root: The folder that relative paths start from.

    Returns:
        The POSIX path relative to the root; the absolute one of a photo elsewhere that is written so.
    """
    if is_plain(cell) and file == root / cell:
        return cell
    name = PurePosixPath(os.path.relpath(file, root)).as_posix()
    return file.as_posix() if os.path.isabs(cell) and name.startswith("../") else name

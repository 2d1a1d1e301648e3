"""Photos without labels: the evaluation list `info.csv` (`ImageID,ans`), or all photos of a folder.

Both are lazy: of a list only the names are kept, some hundred bytes per photo; of a folder only the names of one folder
at a time. No entry of a folder is passed over in silence: what could hold photos and cannot be used is set aside, with
a reason.
"""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple, overload

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.face_boxes import find_box_columns, name_with_box, split_name
from maskfit.data.manifest_boxes import BoxReader, EmptyBoxError
from maskfit.data.manifest_columns import ID_COLUMNS, PATH_COLUMNS
from maskfit.data.manifest_files import PhotoFiles, find_file, is_url, name_inside
from maskfit.data.photo_dataset import Photo, describe_other_format, is_hidden_or_system_file, is_photo_name
from maskfit.errors import DataError, format_list, printable
from maskfit.file_io import iter_csv

ID_COLUMN = "ImageID"
"""Column of the evaluation list with the photos' names."""

LEADS_OUT = "leads out of the folder of photos"
"""What is wrong with a path to a photo that is not in the folder."""

PERSON_COLUMN = "person"
"""Column of a list with the person on each photo, for predictions by person."""


@dataclass(frozen=True)
class ListedImages(Sequence[Photo]):
    """The photos of a list, each constructed on access.

    Attributes:
        folder: The folder that names are relative to.
        names: The photos' names, in order; those of faces end in their box, `photo.jpg[left,upper,right,lower]`.
        notes: How the list was read where it could be meant otherwise.
    """

    folder: Path
    names: Sequence[str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> ListedImages: ...
    def __getitem__(self, index: int | slice) -> Photo | ListedImages:
        if isinstance(index, slice):
            return ListedImages(self.folder, self.names[index], self.notes)
        return listed_photo(self.folder, self.names[index])


def listed_photo(folder: Path, name: str) -> Photo:
    """Builds a row of a list from its name.

    Args:
        folder: The folder that names are relative to.
        name: A photo's name, or `photo.jpg[left,upper,right,lower]` for a face of it. A file that has this very name is
            that photo.

    Returns:
        The row, without labels.
    """
    file, box = split_name(name)
    if box is not None and os.path.isfile(folder / name):
        file, box = name, None
    return Photo(folder / _existing_form(file, folder), name, file, box=box)


def _existing_form(name: str, folder: Path) -> str:
    """The Unicode form of a name that exists: names with accents or Hangul have two, and a list may have the other."""
    if name.isascii() or os.path.isfile(folder / name):
        return name
    forms = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    return next((form for form in forms if os.path.isfile(folder / form)), name)


class FolderEntry(NamedTuple):
    """An entry of a folder of photos.

    Attributes:
        name: Path relative to the folder, with slashes; printable, and with a slash at its end for a folder.
        reason: Why it is set aside; empty for a photo.
    """

    name: str
    reason: str = ""


@dataclass(frozen=True)
class ImageFolder:
    """All photos in a folder and its subfolders, sorted by name, without labels; each name occurs once.

    Hidden and system files and files without a photo's suffix are ignored. What may hold photos and cannot be used,
    such as a TIFF, is in `set_aside`.

    Attributes:
        path: The folder.

    Raises:
        DataError: The folder is missing, is a file, cannot be listed, or holds no photo.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.is_file():
            raise DataError("this is a file, not a folder", location=self.path, hint="give the folder of the photos")
        if not self.path.is_dir():
            raise DataError("there is no such folder", location=self.path, hint="check the path")
        if next(iter(self), None) is None:
            lines = [f"{name}: {reason}" for name, reason in self.set_aside.items()]
            raise DataError(
                "there is no photo in this folder" + (f":\n{format_list(lines)}" if lines else ""),
                location=self.path,
                hint="make them readable, or rename them" if lines else "give a folder with .jpg or .png files",
            )

    def __iter__(self) -> Iterator[Photo]:
        return (Photo(self.path / name, name, name) for name, reason in self.entries() if not reason)

    def __len__(self) -> int:
        return self._counted[0]

    @property
    def set_aside(self) -> Mapping[str, str]:
        """Entries that may hold photos and cannot be used, by printable name, with the reason."""
        return self._counted[1]

    def entries(self) -> Iterator[FolderEntry]:
        """Lists the photos and what is set aside.

        Yields:
            The entries, sorted by name.
        """
        return _iter_entries(self.path, "")

    @cached_property
    def _counted(self) -> tuple[int, dict[str, str]]:
        # Counted once: files may be added and removed in the meantime.
        count, set_aside = 0, {}
        for name, reason in self.entries():
            if reason:
                set_aside[name] = reason
            else:
                count += 1
        return count, set_aside


def check_entry_name(name: str) -> str:
    """Checks that a file name can stand in tables and on a terminal.

    Args:
        name: Name of a file or folder, as Python lists it.

    Returns:
        Why it cannot; empty for a usable name.
    """
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "the file name is not UTF-8; rename it"
    return "" if printable(name) == name else "the file name has control characters or a line break; rename it"


def is_folder(entry: os.DirEntry[str], *, follow_symlinks: bool = True) -> bool:
    """Returns whether an entry is a folder; unlike `DirEntry.is_dir` it raises nothing for a link to itself.

    Args:
        entry: The entry.
        follow_symlinks: Whether a link to a folder is one.

    Returns:
        Whether it is a folder, as far as that can be found out.
    """
    try:
        return entry.is_dir(follow_symlinks=follow_symlinks)
    except OSError:
        return False


def _iter_entries(folder: Path, prefix: str) -> Iterator[FolderEntry]:
    """Yields photos and what is set aside in `folder`, named after `prefix`, in the order of sorting all of them."""
    found: list[tuple[str, str]] = []
    try:
        with os.scandir(folder) as entries:
            found = [item for entry in entries if (item := _classify(entry)) is not None]
    except OSError as error:
        # A folder without a name is the one that was asked for.
        yield FolderEntry(prefix or "./", f"the folder cannot be listed: {error.strerror or error}")
    for name, reason in sorted(found):
        if name.endswith("/") and not reason:
            yield from _iter_entries(folder / name, prefix + name)
        else:
            yield FolderEntry(prefix + printable(name), reason)


def _classify(entry: os.DirEntry[str]) -> tuple[str, str] | None:
    """Name and reason of an entry; None where it is no photo and holds none. With a slash it sorts as its photos do."""
    if is_hidden_or_system_file(entry.name):
        return None
    if is_folder(entry, follow_symlinks=False):
        return f"{entry.name}/", check_entry_name(entry.name)
    if is_folder(entry):
        return f"{entry.name}/", "a link to a folder, which is not followed"
    # A broken link, or one to itself, is a photo that cannot be read.
    if is_photo_name(entry.name):
        return entry.name, check_entry_name(entry.name)
    other = describe_other_format(entry.name)
    return (entry.name, other) if other else None


def read_list_persons(path: Path) -> list[str] | None:
    """Reads who is on each photo of a list.

    Args:
        path: A CSV with a column `ImageID`.

    Returns:
        Its column `person` in the order of the rows; None where it has no such column.

    Raises:
        DataError: The file is not such a CSV, or a row names no person.
    """
    persons = []
    for number, row in enumerate(iter_csv(path, ()), start=2):
        if PERSON_COLUMN not in row:
            return None
        if not row[PERSON_COLUMN]:
            raise DataError(f"row {number} names no person", location=path, hint="name the person in every row")
        persons.append(row[PERSON_COLUMN])
    return persons


def read_image_list(path: Path, folder: Path) -> ListedImages:
    """Reads an evaluation list; no row is skipped, because a submission needs all of them.

    Args:
        path: A CSV with a column `ImageID`, or one of `PATH_COLUMNS` as a manifest has, and perhaps the box of a face
            in four columns (`data.face_boxes`); a photo may then have a row for each face. Other columns (`ans`) are
            ignored.
        folder: The folder that every `ImageID` is relative to, and that none leads out of. The paths of a manifest are
            those of `data.manifest` where this is its own folder; with another folder they are relative to it, or lead
            into it from the manifest's folder.

    Returns:
        Photos without labels in the order of the rows, named by their `ImageID`, and the box where there is one.

    Raises:
        DataError: The file is not such a CSV, a photo is missing or listed twice, an `ImageID` leads out of `folder`,
            or a box is empty or not on its photo; one error lists all problems.
    """
    problems: list[str] = []
    first_rows: dict[str, int] = {}
    num_repeated = num_urls = 0
    boxes = BoxReader(None)
    column = find_id_column(path)
    find = partial(_find_listed, folder) if column == ID_COLUMN else _ManifestNames(path.parent, folder).find
    for number, row in enumerate(iter_csv(path, (column,)), start=2):
        if number == 2:
            boxes = _open_boxes(path, row)
        name, problem = find(row[column]) if row[column] else ("", f"{column} is empty")
        if not problem:
            name, problem = _add_box(boxes, number, name, row, folder)
        if not problem and (first := first_rows.setdefault(name, number)) != number:
            problem = f"{name} is already in row {first}"
            num_repeated += 1
        if problem:
            problems.append(f"row {number}: {problem}")
            num_urls += is_url(row[column])
    if not first_rows and not problems:
        raise DataError("the list has no rows", location=path, hint=f"write one {ID_COLUMN} per row")
    if problems:
        count = "a row" if len(problems) == 1 else f"{len(problems):,} rows"
        elsewhere = None if first_rows else _find_other_folder(path, folder, column)
        hint = _hint_for_list(folder, column, any(problem.endswith(LEADS_OUT) for problem in problems))
        if elsewhere:
            hint = f"the photos are in another folder: --images {shlex.quote(str(elsewhere))}"
        elif num_urls == len(problems):
            hint = f"photos at URLs are not downloaded: download them; {_hint_for_import(path)}"
        elif num_repeated == len(problems):
            hint = "name each photo in one row"
        raise DataError(
            # Where the folder is another one, every row says the same.
            f"{count} cannot be used:\n{format_list(problems, shown=5 if elsewhere else MAX_LISTED)}",
            location=path,
            hint=hint,
        )
    notes = tuple(note.to_line() for note in boxes.notes())
    return ListedImages(folder, tuple(first_rows), notes)


def _find_other_folder(path: Path, folder: Path, column: str) -> Path | None:
    """The folder that has the photo of the list's first row, of those where photos usually are; None where none has."""
    name = next(iter_csv(path, (column,)))[column]
    others = (folder / "images", path.parent / "images", path.parent)
    return next((other for other in others if name and not _find_listed(other, name)[1]), None)


def _hint_for_list(folder: Path, column: str, leads_out: bool) -> str:
    """What to do about rows that cannot be used."""
    place = folder.resolve()
    if not leads_out:
        return (
            f"name the folder of the photos with --images (now {place}), add the photos, or correct the list; rows are "
            "never skipped"
        )
    if column == ID_COLUMN:
        return (
            f"each {ID_COLUMN} is a path in the folder of photos, {place}: name another with --images, or correct the "
            "list; in a manifest, whose column is path, paths are relative to it or absolute, and may lead anywhere"
        )
    return f"give a folder that holds the photos with --images (now {place}), or leave it out: paths start at the list"


def _hint_for_import(path: Path) -> str:
    table = shlex.quote(str(path))
    return f"a table with labels becomes one of paths by: maskfit data import {table} --images DIR --out list.csv"


def _open_boxes(path: Path, row: Mapping[str, str]) -> BoxReader:
    """The reader of the boxes of a list, given its first row."""
    try:
        return BoxReader(find_box_columns({column.casefold(): column for column in row}))
    except DataError as error:
        raise DataError(error.message, location=path, hint=error.hint) from None


def default_folder(path: Path) -> Path:
    """Finds the folder that the names of a list are relative to, where nobody says it.

    Args:
        path: The list.

    Returns:
        Of a list with `ImageID` the folder `images` beside it where there is one, of a manifest its own folder; the
        other one where only that has the photo of the first row.

    Raises:
        DataError: The file is not a CSV.
    """
    folders = [path.parent / "images", path.parent]
    if not folders[0].is_dir():
        return path.parent
    column = find_id_column(path)
    if column != ID_COLUMN:
        folders.reverse()
    first = next(iter_csv(path, (column,)), {}).get(column, "")
    return next((folder for folder in folders if first and find_file(split_name(first)[0], folder)), folders[0])


def find_id_column(path: Path) -> str:
    """Finds the column of a list that names the photos.

    Args:
        path: A CSV.

    Returns:
        `ImageID`, or where there is none the first of `PATH_COLUMNS`, as spelled in the file; `ImageID` where there is
        neither.

    Raises:
        DataError: The file is not a CSV, or it has ids or URLs in place of names.
    """
    columns = {column.casefold(): column for column in next(iter_csv(path, ()), {})}
    if ID_COLUMN in columns.values():
        return ID_COLUMN
    named = next((columns[name] for name in PATH_COLUMNS if name in columns), "")
    if not named and (other := next((columns[name] for name in ID_COLUMNS if name in columns), "")):
        raise DataError(
            f"no column names the photos; '{other}' may be their ids or URLs",
            location=path,
            hint=f"call it {ID_COLUMN} if it holds names with suffix, such as a.jpg; {_hint_for_import(path)}",
        )
    return named or ID_COLUMN


def _add_box(boxes: BoxReader, number: int, name: str, row: Mapping[str, str], folder: Path) -> tuple[str, str]:
    """The name of a row with its box, and what is wrong with that."""
    mistakes: list[tuple[str, str]] = []
    try:
        box = boxes.read(number, row, listed_photo(folder, name).path, mistakes)
    except EmptyBoxError:
        return name, f"the box of {name} is empty or not on the photo"
    return name_with_box(name, box), "; ".join(message for message, _ in mistakes)


def _find_listed(folder: Path, name: str) -> tuple[str, str]:
    """The name of a row, and what is wrong with it. A list of others never leads out of the folder of photos."""
    # Windows separators count as well: a list may be written on one system and read on another.
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
        return name, f"{name} {LEADS_OUT}"
    if not os.path.isfile(listed_photo(folder, name).path):
        return name, f"{name} is not in {folder}"
    return name, ""


class _ManifestNames:
    """Names of the rows of a manifest, whose paths are relative to it, or absolute."""

    def __init__(self, own_folder: Path, folder: Path) -> None:
        self._own_folder, self._folder = own_folder, folder
        is_own = os.path.realpath(own_folder) == os.path.realpath(folder)
        self._files = PhotoFiles(own_folder) if is_own else None

    def find(self, cell: str) -> tuple[str, str]:
        """The name of a row, and what is wrong with it."""
        if self._files is not None:
            # A manifest names its photos wherever they are, as it does for a training.
            found = self._files.find(cell)
            # A row may be named as in a submission, with its box.
            name, problem = (found.name, "") if found else _find_listed(self._folder, cell)
            return name, f"{cell} does not exist" if problem else ""
        name, problem = _find_listed(self._folder, cell)
        if problem and (file := find_file(cell, self._own_folder)) and (inside := name_inside(file, self._folder)):
            return inside, ""
        return name, problem


def find_images(folder: Path) -> list[Photo]:
    """Lists all photos of an `ImageFolder`.

    Args:
        folder: The folder.

    Returns:
        The photos, sorted by name.

    Raises:
        DataError: The folder is missing, is a file, or holds no photo.
    """
    return list(ImageFolder(Path(folder)))

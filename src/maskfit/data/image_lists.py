"""Photos without labels: the evaluation list `info.csv` (`ImageID,ans`), or whatever lies in a folder.

Both are gone through as they are needed: of a list the names are held, which is some hundred bytes a photo; of a folder
the names of one folder at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import overload

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.photo_dataset import Photo, is_hidden_or_system_file, is_photo_name
from maskfit.errors import DataError, format_list
from maskfit.file_io import iter_csv

ID_COLUMN = "ImageID"


@dataclass(frozen=True)
class ListedImages(Sequence[Photo]):
    """The photos of a list, each made when it is asked for.

    Attributes:
        images: The folder that names are relative to.
        names: The photos' names, in order.
    """

    folder: Path
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Photo: ...
    @overload
    def __getitem__(self, place: slice) -> ListedImages: ...
    def __getitem__(self, place: int | slice) -> Photo | ListedImages:
        if isinstance(place, slice):
            return ListedImages(self.folder, self.names[place])
        name = self.names[place]
        return Photo(self.folder / name, name, name)


@dataclass(frozen=True)
class ImageFolder:
    """Every photo in a folder and the folders below it, sorted by name, without labels; no name comes twice.

    Hidden and system files, and files that do not end like a photo, are passed over; links to folders are not followed.

    Attributes:
        path: The folder.

    Raises:
        DataError: The folder is missing, is a file, or holds no photo.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.is_file():
            raise DataError(
                "this is a file, not a folder", location=self.path, hint="name the folder that the photos lie in"
            )
        if not self.path.is_dir():
            raise DataError("there is no such folder", location=self.path, hint="check the path")
        if next(iter(self), None) is None:
            raise DataError(
                "there is no photo in this folder", location=self.path, hint="give a folder with .jpg or .png files"
            )

    def __iter__(self) -> Iterator[Photo]:
        return (Photo(self.path / name, name, name) for name in _names_in(self.path, ""))

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        # Counted when first asked for, and not again: files may come and go.
        return sum(1 for _ in _names_in(self.path, ""))


def _names_in(folder: Path, above: str) -> Iterator[str]:
    """The names of all photos in `folder`, each after `above`, in the order that sorting them all would give."""
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden_or_system_file(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    # With its slash a folder stands where the names of the photos in it do.
                    names.append(f"{entry.name}/")
                elif is_photo_name(entry.name) and not entry.is_dir():
                    names.append(entry.name)
    except OSError:
        # As os.walk: a folder that may not be looked into, or went meanwhile, is passed over.
        return
    for name in sorted(names):
        if name.endswith("/"):
            yield from _names_in(folder / name, above + name)
        else:
            yield above + name


def read_image_list(path: Path, images: Path) -> ListedImages:
    """The photos of an evaluation list, one for each row and in the order of the rows.

    Args:
        path: A CSV with a column `ImageID`; any other column (`ans`) is not read.
        images: The folder that every `ImageID` is relative to.

    Returns:
        Photos without labels, their names the `ImageID`s as they are written.

    Raises:
        DataError: It is no such CSV, a photo is missing or listed twice, or an `ImageID` leads out of `images`; one
            error names all of them. No row is ever skipped: a submission must have all of them.
    """
    problems: list[str] = []
    first_rows: dict[str, int] = {}
    for number, row in enumerate(iter_csv(path, (ID_COLUMN,)), start=2):
        name = row[ID_COLUMN]
        mistake = _find_mistake(name, images, first_rows.setdefault(name, number), number)
        if mistake:
            problems.append(f"row {number}: {mistake}")
    if not first_rows:
        raise DataError("the list has no rows", location=path, hint=f"write one {ID_COLUMN} a row")
    if problems:
        count = "a row" if len(problems) == 1 else f"{len(problems)} rows"
        raise DataError(
            f"{count} cannot be used:\n{format_list(problems, shown=MAX_LISTED)}",
            location=path,
            hint=f"complete {images}, or mend the list; rows are never skipped",
        )
    return ListedImages(images, tuple(first_rows))


def _find_mistake(name: str, images: Path, first: int, number: int) -> str:
    if not name:
        return f"{ID_COLUMN} is empty"
    # Windows separators count as well: a list may be written on one system and read on another.
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
        return f"{name} leads out of the folder of photos"
    if first != number:
        return f"{name} stands in row {first} already"
    if not os.path.isfile(images / name):
        return f"{name} is not in {images}"
    return ""


def find_images(folder: Path) -> list[Photo]:
    """Every photo of `PhotoFolder`, at once.

    Raises:
        DataError: As `PhotoFolder`.
    """
    return list(ImageFolder(Path(folder)))

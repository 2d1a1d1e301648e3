"""Photos without labels: the evaluation list `info.csv` (`ImageID,ans`), or whatever lies in a folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from maskfit.data.photo import Photo, is_litter, is_photo_name
from maskfit.data.problems import SHOWN
from maskfit.errors import DataError, several
from maskfit.files import read_csv

ID_COLUMN = "ImageID"


def read_list(path: Path, images: Path) -> list[Photo]:
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
    rows = read_csv(path, (ID_COLUMN,))
    if not rows:
        raise DataError("the list has no rows", where=path, fix=f"write one {ID_COLUMN} a row")
    problems: list[str] = []
    first_rows: dict[str, int] = {}
    photos: list[Photo] = []
    for number, row in enumerate(rows, start=2):
        name = row[ID_COLUMN]
        mistake = _find_mistake(name, images, first_rows.setdefault(name, number), number)
        if mistake:
            problems.append(f"row {number}: {mistake}")
        photos.append(Photo(images / name, name, name))
    if problems:
        count = "a row" if len(problems) == 1 else f"{len(problems)} rows"
        raise DataError(
            f"{count} cannot be used:\n{several(problems, shown=SHOWN)}",
            where=path,
            fix=f"complete {images}, or mend the list; rows are never skipped",
        )
    return photos


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
    """Every photo in a folder and the folders below it, sorted by name, without labels.

    Hidden and system files, and files that do not end like a photo, are passed over; links to folders are not followed.

    Raises:
        DataError: The folder is missing, is a file, or holds no photo.
    """
    folder = Path(folder)
    if folder.is_file():
        raise DataError("this is a file, not a folder", where=folder, fix="name the folder that the photos lie in")
    if not folder.is_dir():
        raise DataError("there is no such folder", where=folder, fix="check the path")
    names: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_litter(name)]
        names += [
            Path(place, name).relative_to(folder).as_posix()
            for name in files
            if is_photo_name(name) and not is_litter(name)
        ]
    if not names:
        raise DataError("there is no photo in this folder", where=folder, fix="give a folder with .jpg or .png files")
    return [Photo(folder / name, name, name) for name in sorted(names)]

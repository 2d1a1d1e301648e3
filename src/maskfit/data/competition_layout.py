"""The competition's layout: a folder `000001_female_Asian_45` for each person, with seven photos in it.

`mask1` to `mask5` are worn masks, `incorrect_mask` one worn wrongly, `normal` a bare face. The whole folder name is the
person: ids carry suffixes (001498 and 001498-1 are two people), and one id stands on two folders.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from maskfit.data.data_problems import DataProblem, raise_if_fatal
from maskfit.data.photo_dataset import Photo, PhotoDataset, is_hidden_or_system_file, is_photo_name, read_label
from maskfit.errors import LabelError
from maskfit.labels.schema import AGE, GENDER, MASK, Attribute, LabelSchema

FOLDER_REGEX = re.compile(r"(?P<id>[^_\s]+)_(?P<gender>[A-Za-z]+)_(?P<race>[^_]+)_(?P<age>\d+(\.\d+)?)")
STEMS = {**{f"mask{number}": "wear" for number in range(1, 6)}, "incorrect_mask": "incorrect", "normal": "not_wear"}
"""What each of a person's seven photos shows; names in upper case are read as well."""

FOLDER_PATTERN = "ID_gender_race_age, such as 000001_female_Asian_45"
FILE_PATTERN = "mask1 to mask5, incorrect_mask or normal, with .jpg, .jpeg or .png"


def read_layout(root: Path, scheme: LabelSchema) -> PhotoDataset:
    """The photos of a folder in the competition's layout, sorted by folder and file name.

    Raises:
        DataError: A folder or file does not fit the layout, or there are none; one error names all of them.
    """
    found, problems = scan_layout(root, scheme)
    raise_if_fatal(problems, root)
    return found


def scan_layout(root: Path, scheme: LabelSchema) -> tuple[PhotoDataset, list[DataProblem]]:
    """The photos that fit the layout and everything that does not, in the order of the disk's names.

    Args:
        root: Holds the person folders, or a folder `images` that does.
        scheme: Its mask, gender and age say which values and years are possible; labels of all three are kept, also
            where the scheme does not ask for them.

    Returns:
        The set, whose root is the folder of the person folders, and the problems.
    """
    try:
        root = find_person_dirs(root)
        entries = _sorted_entries(root)
    except OSError as error:
        fix = "check the path and its permissions"
        return PhotoDataset(root, ()), [DataProblem("fatal", "source", str(root), _say(error), fix)]
    attributes = {item.name: item for item in (MASK, GENDER, AGE, *scheme.attributes)}
    photos: list[Photo] = []
    problems: list[DataProblem] = []
    hidden = 0
    for entry in entries:
        if is_hidden_or_system_file(entry.name):
            hidden += 1
        elif entry.is_dir():
            labels = _read_folder_name(entry.name, attributes, problems)
            hidden += _read_person(entry, labels, photos, problems)
        elif is_photo_name(entry.name):
            fix = "move it into the folder of its person"
            problems.append(DataProblem("fatal", "file name", entry.name, "a photo outside of a person's folder", fix))
        # Other files beside the person folders (train.csv, a read-me) are nobody's photo and do no harm.
    if hidden:
        what = f"{hidden} hidden or system files or folders, such as ._mask1.jpg, are passed over"
        problems.append(DataProblem("note", "hidden files", str(root), what, "nothing; or delete them"))
    if not photos and not any(problem.severity == "fatal" for problem in problems):
        what = "there are no person folders with photos here"
        problems.append(DataProblem("fatal", "empty", str(root), what, f"give a folder of folders {FOLDER_PATTERN}"))
    return PhotoDataset(root, tuple(photos)), problems


def find_person_dirs(root: Path) -> Path:
    """`root`, or the folder `images` in it where the root itself holds no person folder."""
    if any(FOLDER_REGEX.fullmatch(entry.name) and entry.is_dir() for entry in _sorted_entries(root)):
        return root
    images = root / "images"
    return images if images.is_dir() else root


def _sorted_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _read_folder_name(
    name: str, attributes: dict[str, Attribute], problems: list[DataProblem]
) -> dict[str, str | float] | None:
    """Gender and age from a folder's name; None, and a problem noted, where it does not fit."""
    fix = f"rename it to the pattern {FOLDER_PATTERN}"
    match = FOLDER_REGEX.fullmatch(name)
    if match is None:
        problems.append(DataProblem("fatal", "folder name", name, f"expected {FOLDER_PATTERN}", fix))
        return None
    labels: dict[str, str | float] = {}
    for part in ("gender", "age"):
        try:
            labels[part] = read_label(attributes[part], match[part])
        except LabelError as error:
            problems.append(DataProblem("fatal", "folder name", name, f"{error}; expected {FOLDER_PATTERN}", fix))
    return labels if len(labels) == 2 else None


def _read_person(
    folder: os.DirEntry[str], labels: dict[str, str | float] | None, photos: list[Photo], problems: list[DataProblem]
) -> int:
    """Adds the photos of one folder, where its name could be read, and its problems; gives the hidden files' count.

    Only files are looked at: a folder in the folder is a problem and is not entered, so that no chain of links can
    lead in a circle.
    """
    hidden = 0
    seen: dict[str, str] = {}
    try:
        entries = _sorted_entries(folder.path)
    except OSError as error:
        problems.append(DataProblem("fatal", "folder", folder.name, _say(error), "check its permissions"))
        return 0
    for entry in entries:
        name = f"{folder.name}/{entry.name}"
        if is_hidden_or_system_file(entry.name):
            hidden += 1
            continue
        stem = Path(entry.name).stem.lower()
        problem = _find_misfit(entry, stem, seen)
        if problem:
            problems.append(DataProblem("fatal", "file name", name, *problem))
            continue
        seen[stem] = entry.name
        if labels is not None:
            photos.append(Photo(Path(entry.path), name, folder.name, {"mask": STEMS[stem], **labels}))
    missing = [stem for stem in STEMS if stem not in seen]
    if missing:
        what = f"{len(seen)} of the seven photos; missing: {', '.join(missing)}"
        problems.append(DataProblem("warning", "incomplete", folder.name, what, "add them, or train with fewer"))
    return hidden


def _find_misfit(entry: os.DirEntry[str], stem: str, seen: dict[str, str]) -> tuple[str, str] | None:
    """What is wrong with a name in a person's folder, and what to do; None where it fits."""
    if not entry.is_file():
        kind = "a folder" if entry.is_dir() else "a link that leads nowhere" if entry.is_symlink() else "no file"
        return f"{kind} in a person's folder; expected {FILE_PATTERN}", "move or delete it"
    if stem not in STEMS or not is_photo_name(entry.name):
        return f"expected {FILE_PATTERN}", "rename it, or move it out of the folder"
    if stem in seen:
        return f"{stem} is there twice, the other is {seen[stem]}", "keep one of the two"
    return None


def _say(error: OSError) -> str:
    return f"the folder cannot be read: {error.strerror or error}"

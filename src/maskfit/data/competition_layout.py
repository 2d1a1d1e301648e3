"""The competition's layout: a folder `000001_female_Asian_45` per person, with seven photos in it.

`mask1` to `mask5` show a mask worn correctly, `incorrect_mask` one worn incorrectly, and `normal` no mask. The whole
folder name is the person: ids have suffixes (001498 and 001498-1 are two people), and one id occurs in two folders.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from maskfit.data.data_problems import DataProblem, raise_if_fatal
from maskfit.data.image_lists import check_entry_name, is_folder
from maskfit.data.photo_dataset import (
    Photo,
    PhotoDataset,
    describe_other_format,
    is_hidden_or_system_file,
    is_photo_name,
    read_label,
)
from maskfit.errors import LabelError, printable
from maskfit.labels.schema import AGE, GENDER, MASK, Attribute, LabelSchema

FOLDER_REGEX = re.compile(r"(?P<id>[^_\s]+)_(?P<gender>[A-Za-z]+)_(?P<race>[^_]+)_(?P<age>\d+(\.\d+)?)")
STEMS = {**{f"mask{number}": "wear" for number in range(1, 6)}, "incorrect_mask": "incorrect", "normal": "not_wear"}
"""Mask label by file name without suffix, in lower case; upper case is read as well."""

_UPLOAD_PREFIX = "(?:[0-9a-f]{8}-)?"
"""What labeling tools put before the name of an uploaded file."""

_FILE_REGEXES = (
    re.compile(rf"{_UPLOAD_PREFIX}(?P<person>{FOLDER_REGEX.pattern})[_-].+"),
    re.compile(rf"{_UPLOAD_PREFIX}(?P<person>\d{{3,}}(?:-\d+)?)[_-](?:{'|'.join(STEMS)})", re.IGNORECASE),
)
"""File names that begin with the name of a person folder, or are an ID and the name of one of the seven photos."""

FOLDER_PATTERN = "ID_gender_race_age, such as 000001_female_Asian_45"
FILE_PATTERN = "mask1 to mask5, incorrect_mask or normal, with .jpg, .jpeg or .png"


def read_layout(root: Path, schema: LabelSchema) -> PhotoDataset:
    """Reads a folder in the competition's layout.

    Args:
        root: As for `scan_layout`.
        schema: The label schema.

    Returns:
        The photos, sorted by folder and file name.

    Raises:
        DataError: A folder or file does not match the layout, or there are no photos; one error lists all problems.
    """
    dataset, problems = scan_layout(root, schema)
    raise_if_fatal(problems, root)
    return dataset


def scan_layout(root: Path, schema: LabelSchema) -> tuple[PhotoDataset, list[DataProblem]]:
    """Reads the photos that match the layout and collects the problems of everything else.

    Args:
        root: Folder of the person folders, or a folder whose subfolder `images` is.
        schema: The label schema, whose mask, gender and age define the valid values and years; labels of all three are
            kept, also where the schema lacks the attribute.

    Returns:
        The dataset, whose root is the folder of the person folders, and the problems in the order of the names.
    """
    try:
        root = find_person_dirs(root)
        entries = _sorted_entries(root)
    except OSError as error:
        hint = "check the path and its permissions"
        return PhotoDataset(root, ()), [DataProblem("fatal", "source", str(root), _read_error(error), hint)]
    attributes = {item.name: item for item in (MASK, GENDER, AGE, *schema.attributes)}
    photos: list[Photo] = []
    problems: list[DataProblem] = []
    num_hidden = 0
    for entry in entries:
        if is_hidden_or_system_file(entry.name):
            num_hidden += 1
        elif reason := _check_entry(entry):
            problems.append(DataProblem("fatal", "file name", printable(entry.name), *reason))
        elif is_folder(entry):
            labels = _parse_folder_name(entry.name, attributes, problems)
            num_hidden += _read_person(entry, labels, photos, problems)
        elif is_photo_name(entry.name):
            hint = "move it into the folder of its person"
            message = "the photo is not in a person's folder"
            problems.append(DataProblem("fatal", "file name", entry.name, message, hint))
        elif other := describe_other_format(entry.name):
            message, _, hint = other.partition("; ")
            problems.append(DataProblem("fatal", "file name", entry.name, message, hint))
        # Other files next to the person folders (train.csv, a read-me) are ignored.
    if num_hidden:
        message = f"{num_hidden:,} hidden or system files or folders, such as ._mask1.jpg, are ignored"
        problems.append(DataProblem("note", "hidden files", str(root), message, "none needed; they may be deleted"))
    if not photos and not any(problem.severity == "fatal" for problem in problems):
        message = "there are no person folders with photos here"
        problems.append(DataProblem("fatal", "empty", str(root), message, f"give a folder of folders {FOLDER_PATTERN}"))
    return PhotoDataset(root, tuple(photos)), problems


def find_person_dirs(root: Path) -> Path:
    """Finds the folder that contains the person folders.

    Args:
        root: A folder.

    Returns:
        `root`, or its subfolder `images` if `root` itself contains no person folder.

    Raises:
        OSError: The folder cannot be read.
    """
    if any(FOLDER_REGEX.fullmatch(entry.name) and is_folder(entry) for entry in _sorted_entries(root)):
        return root
    images = root / "images"
    return images if images.is_dir() else root


def find_person(stem: str) -> str:
    """Finds the person in a file name such as `000001_female_Asian_45_mask1`.

    Args:
        stem: A file name without its suffix.

    Returns:
        The name of the person's folder, or the person's ID; empty where the file name has another pattern.
    """
    for regex in _FILE_REGEXES:
        match = regex.fullmatch(stem)
        if match is None:
            continue
        try:
            GENDER.encode(match.groupdict().get("gender"))
        except LabelError:
            continue
        return match["person"]
    return ""


def _sorted_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _parse_folder_name(
    name: str, attributes: dict[str, Attribute], problems: list[DataProblem]
) -> dict[str, str | float] | None:
    """Gender and age from a folder's name; None where it does not match, which adds a problem."""
    hint = f"rename it to the pattern {FOLDER_PATTERN}"
    match = FOLDER_REGEX.fullmatch(name)
    if match is None:
        problems.append(DataProblem("fatal", "folder name", name, f"expected {FOLDER_PATTERN}", hint))
        return None
    labels: dict[str, str | float] = {}
    for attribute in ("gender", "age"):
        try:
            labels[attribute] = read_label(attributes[attribute], match[attribute])
        except LabelError as error:
            problems.append(DataProblem("fatal", "folder name", name, f"{error}; expected {FOLDER_PATTERN}", hint))
    return labels if len(labels) == 2 else None


def _read_person(
    folder: os.DirEntry[str], labels: dict[str, str | float] | None, photos: list[Photo], problems: list[DataProblem]
) -> int:
    """Adds the photos of a person's folder, if its name is valid, and its problems; returns the count of hidden files.

    Subfolders are a problem and are not entered, so links cannot lead in a circle.
    """
    num_hidden = 0
    name_of_stem: dict[str, str] = {}
    try:
        entries = _sorted_entries(folder.path)
    except OSError as error:
        problems.append(DataProblem("fatal", "folder", folder.name, _read_error(error), "check its permissions"))
        return 0
    for entry in entries:
        name = f"{folder.name}/{printable(entry.name)}"
        if is_hidden_or_system_file(entry.name):
            num_hidden += 1
            continue
        stem = Path(entry.name).stem.lower()
        problem = _check_file(entry, stem, name_of_stem)
        if problem:
            problems.append(DataProblem("fatal", "file name", name, *problem))
            continue
        name_of_stem[stem] = entry.name
        if labels is not None:
            photos.append(Photo(Path(entry.path), name, folder.name, {"mask": STEMS[stem], **labels}))
    missing = [stem for stem in STEMS if stem not in name_of_stem]
    if missing:
        message = f"{len(name_of_stem)} of the seven photos; missing: {', '.join(missing)}"
        problems.append(DataProblem("warning", "incomplete", folder.name, message, "add them, or train with fewer"))
    return num_hidden


def _check_entry(entry: os.DirEntry[str]) -> tuple[str, str] | None:
    """Message and hint for an entry that may be or hold photos and cannot be used; None for any other."""
    try:
        if not entry.is_dir() and not is_photo_name(entry.name):
            return None
    except OSError as error:
        # A link to itself, or into a folder without permission.
        return f"the link cannot be followed: {error.strerror or error}", "repair or delete it"
    message, _, hint = check_entry_name(entry.name).partition("; ")
    return (message, hint) if message else None


def _check_file(entry: os.DirEntry[str], stem: str, name_of_stem: dict[str, str]) -> tuple[str, str] | None:
    """Message and hint for a file that does not belong into a person's folder; None for a valid one."""
    if reason := _check_entry(entry):
        return reason
    if not entry.is_file():
        kind = "a folder" if is_folder(entry) else "a broken link" if entry.is_symlink() else "not a regular file"
        return f"{kind} in a person's folder; expected {FILE_PATTERN}", "move it out of the folder"
    if stem in STEMS and (other := describe_other_format(entry.name)):
        message, _, hint = other.partition("; ")
        return message, hint
    if stem not in STEMS or not is_photo_name(entry.name):
        return f"expected {FILE_PATTERN}", "rename it, or move it out of the folder"
    if stem in name_of_stem:
        return f"{stem} is there twice, the other is {name_of_stem[stem]}", "keep one of the two"
    return None


def _read_error(error: OSError) -> str:
    return f"the folder cannot be read: {error.strerror or error}"

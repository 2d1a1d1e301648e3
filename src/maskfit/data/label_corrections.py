"""Label corrections: a CSV that replaces labels of a dataset. No file is renamed, moved or deleted.

The columns are `person,photo,attribute,value,tier,reason`, with one row per change:

- `person`: the whole folder name, or its part before the first `_` if that is unique. The part must match completely:
  001498 and 001498-1 are two people. Empty where nobody says who is on the photo: then `photo` names it;
- `photo`: a file name with or without its suffix; empty for all photos of the person;
- `attribute` and `value`: the correct label. `age` takes years or a band, `age_band` the code of a band too. `use` with
  `no` excludes the photo. Swapped labels are two rows;
- `tier` and `reason`: confidence and explanation, for reviewers.

The publicly known label errors of the competition's photos are included as `known_errors.csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath
from typing import Literal

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.label_codes import CodesOption, LabelCodes
from maskfit.data.manifest_columns import BAND_SUFFIXES, look_like_bands
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, LabelError, did_you_mean, format_list
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.schema import LabelSchema, as_number
from maskfit.text import format_count

COLUMNS = ("person", "photo", "attribute", "value", "tier", "reason")
"""Columns of a corrections file."""

USE_ATTRIBUTE = "use"
"""In position of an attribute: whether the photo is used. Its only value is `no`."""

TIERS = ("certain", "likely", "disputed")
"""Confidence of the known errors, falling."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One row of a corrections file.

    Attributes:
        person: Person as in the file; empty where the photo alone says what is meant.
        photo: File name; empty for all photos of the person.
        attribute: Name of an attribute, or `USE_ATTRIBUTE`.
        value: The correct value.
        tier: One of `TIERS`, or any other text.
        reason: Explanation.
        row: Row number in the file, for messages; 0 for a correction without a file.
    """

    person: str
    photo: str
    attribute: str
    value: str
    tier: str = ""
    reason: str = ""
    row: int = 0

    def __str__(self) -> str:
        prefix = f"row {self.row}: " if self.row else ""
        place = "/".join(part for part in (self.person, self.photo) if part)
        return f"{prefix}{place} {self.attribute}={self.value}"


@dataclass(frozen=True, slots=True)
class CorrectedDataset:
    """A corrected dataset.

    Attributes:
        photos: The dataset with its new labels and without the excluded photos, in the same order.
        relabeled: Number of photos with other labels than before.
        excluded: Number of photos that were removed.
        unmatched: Corrections that match no photo; empty where `strict`.
    """

    photos: PhotoDataset
    relabeled: int
    excluded: int
    unmatched: tuple[Correction, ...]


def read_corrections(path: Path) -> list[Correction]:
    """Reads a corrections file.

    Args:
        path: A CSV with at least the columns attribute and value, and person or photo.

    Returns:
        The corrections in the order of the rows.

    Raises:
        DataError: The file is not such a CSV, or a row has no attribute or value, or neither person nor photo.
    """
    corrections = _read_rows(path)
    problems = [
        f"row {item.row}: {what}"
        for item in corrections
        for what, cell in (
            ("person and photo are empty", item.person or item.photo),
            ("attribute is empty", item.attribute),
            ("value is empty", item.value),
        )
        if not cell
    ]
    if problems:
        raise DataError(
            format_list(problems, shown=MAX_LISTED), location=path, hint="complete the rows, or delete them"
        )
    return corrections


def write_corrections(path: Path, corrections: Sequence[Correction]) -> Path:
    """Writes a corrections file.

    Args:
        path: The file.
        corrections: The corrections.

    Returns:
        The path.
    """
    return write_csv(path, COLUMNS, [[getattr(item, name) for name in COLUMNS] for item in corrections])


def known_errors(tier: Literal["certain", "likely"] = "certain") -> list[Correction]:
    """Returns corrections of the competition's publicly known label errors.

    They match only that dataset, so apply them with `strict=False` to anything that may be a part of it. Disputed rows
    propose no label and are never applied; see `known_ambiguous`.

    Args:
        tier: Minimum confidence; "likely" includes "certain".

    Returns:
        The corrections.

    Raises:
        DataError: The tier does not exist.
    """
    if tier not in TIERS[:2]:
        raise DataError(f"there is no tier '{tier}' of known errors", hint=f"use {' or '.join(TIERS[:2])}")
    tiers = TIERS[: TIERS.index(tier) + 1]
    return [item for item in _read_known_errors() if item.tier in tiers and item.attribute]


def known_ambiguous() -> list[Correction]:
    """Returns the competition's disputed labels, for which no correct label is agreed: for review, never applied.

    Returns:
        Rows without an attribute.
    """
    return [item for item in _read_known_errors() if not item.attribute]


def apply_corrections(
    photos: PhotoDataset,
    corrections: Sequence[Correction],
    schema: LabelSchema,
    *,
    strict: bool = True,
    codes: CodesOption | None = None,
) -> CorrectedDataset:
    """Applies corrections to the labels of a dataset; the dataset object and its files are not modified.

    Args:
        photos: The dataset.
        corrections: The corrections; their order does not matter.
        schema: The label schema, whose attributes can be corrected.
        strict: Whether a correction that matches no photo, or names an attribute that the schema lacks, is an error;
            otherwise it is ignored.
        codes: Meanings of codes without words, as for `read_photos`.

    Returns:
        The corrected dataset.

    Raises:
        DataError: Corrections contradict each other, name an unknown value, or an id that two persons have, or all ages
            look like codes of bands; with `strict` also corrections that match nothing. One error lists all of them.
    """
    label_codes = LabelCodes(schema, codes)
    problems = _find_band_codes(corrections, label_codes)
    unmatched: list[Correction] = []
    plan: dict[int, dict[str, tuple[str | float, Correction]]] = {}
    index = _PhotoIndex(photos)
    for item in corrections:
        try:
            name, value = _read_value(item, label_codes)
            positions = index.find(item)
        except _UnmatchedError as error:
            unmatched.append(item)
            if strict:
                problems.append(f"{item}: {error.message}")
            continue
        except (DataError, LabelError) as error:
            problems.append(f"{item}: {error.message}")
            continue
        for position in positions:
            before, other = plan.setdefault(position, {}).setdefault(name, (value, item))
            if before != value:
                problems.append(f"{item}: contradicts {other}")
    if problems:
        raise DataError(format_list(list(dict.fromkeys(problems)), shown=MAX_LISTED), hint="correct these rows")
    return _apply(photos, plan, unmatched)


def read_corrected(
    root: str | Path,
    schema: LabelSchema,
    corrections: Sequence[str | Path] = (),
    known: Literal["none", "certain", "likely"] = "none",
    codes: CodesOption | None = None,
    *,
    must_use_codes: bool = True,
) -> tuple[PhotoDataset, list[str]]:
    """Reads a dataset and applies corrections.

    Args:
        root: A folder or manifest, as for `read_photos`.
        schema: The label schema.
        corrections: Corrections files; every row must match.
        known: Tier of the competition's known errors to apply before the files; rows of persons that the dataset lacks
            are ignored, since it may be a part of the competition's dataset.
        codes: Meanings of codes without words, as for `read_photos`.
        must_use_codes: As for `read_photos`; with corrections, which may need them, unused codes are a note.

    Returns:
        The corrected dataset, and one line per note on how the source was read and per file on what it changed.

    Raises:
        DataError: The dataset or a file cannot be read, or a row does not match.
    """
    photos = read_photos(root, schema, codes, must_use_codes=must_use_codes and not corrections)
    layers = [(read_corrections(Path(path)), True, str(path)) for path in corrections]
    if known != "none":
        layers.insert(0, (known_errors(known), False, "known errors"))
    summary = [note.to_line() for note in photos.notes]
    for rows, strict, name in layers:
        result = apply_corrections(photos, rows, schema, strict=strict, codes=codes)
        photos = result.photos
        summary.append(f"{name}: {format_count(result.relabeled, 'photo')} relabeled, {result.excluded:,} excluded")
    return photos, summary


class _UnmatchedError(DataError):
    """A correction that matches nothing in the dataset."""


class _PhotoIndex:
    """Finds the photos that a correction matches."""

    def __init__(self, photos: PhotoDataset) -> None:
        self._photos = photos
        self._positions: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[str]] = {}
        named: dict[str, None] = {}
        for position, photo in enumerate(photos):
            self._positions.setdefault(photo.person, []).append(position)
            # Where nobody says who is on a photo, its own name stands for the person and has no meaningful beginning.
            if photo.person != photo.file_name:
                named[photo.person] = None
        for person in named:
            self._prefixes.setdefault(person.partition("_")[0], []).append(person)

    def find(self, item: Correction) -> list[int]:
        """Positions in the dataset, at least one."""
        person = item.person
        if not person:
            return self._find_photo(item)
        if person not in self._positions:
            matches = self._prefixes.get(person, [])
            if not matches:
                raise _UnmatchedError(self._describe_unknown(person))
            if len(matches) > 1:
                raise DataError(
                    f"'{person}' matches {format_count(len(matches), 'person')}: {', '.join(matches)}; "
                    "write the whole name"
                )
            person = matches[0]
        positions = [position for position in self._positions[person] if _is_photo(self._photos[position], item.photo)]
        if not positions:
            positions = self._find_faces(person, item)
        if not positions:
            stems = [PurePosixPath(self._photos[position].name).stem for position in self._positions[person]]
            raise _UnmatchedError(f"{person} has no photo '{item.photo}'; {did_you_mean(item.photo, stems)}")
        return positions

    def _describe_unknown(self, person: str) -> str:
        """Says that there is no such person, and what to write instead."""
        if self._prefixes:
            return f"no person '{person}'; {did_you_mean(person, self._prefixes)}"
        example = self._photos[0].file_name if len(self._photos) else "a.jpg"
        return (
            f"no person '{person}': nobody says who is on the photos of this dataset; leave person empty and name the "
            f"photo, such as {example}, in the column photo"
        )

    def _find_photo(self, item: Correction) -> list[int]:
        """Positions of the photo, or of the faces on it, that a correction without a person names."""
        rows, files = self._names
        positions = rows.get(item.photo, []) or files.get(item.photo, [])
        if not positions:
            names = [photo.file_name for photo in self._photos]
            raise _UnmatchedError(f"no photo '{item.photo}'; {did_you_mean(item.photo, names)}")
        # All faces of a photo may be excluded together; a label is that of one face.
        is_one_file = len({self._photos[position].file_name for position in positions}) == 1
        if len(positions) > 1 and not (is_one_file and item.attribute == USE_ATTRIBUTE):
            names = [self._photos[position].name for position in positions]
            listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise DataError(f"'{item.photo}' may mean {len(names)} rows: {listed}; write the whole name")
        return positions

    @cached_property
    def _names(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """Positions by each name of a row, and of rows with a box by each name of their file."""
        rows: dict[str, list[int]] = {}
        files: dict[str, list[int]] = {}
        for position, photo in enumerate(self._photos):
            for name in set(accepted_names(photo)):
                rows.setdefault(name, []).append(position)
            if photo.box is not None:
                for name in set(accepted_names(replace(photo, name=photo.file_name, box=None))):
                    files.setdefault(name, []).append(position)
        return rows, files

    def _find_faces(self, person: str, item: Correction) -> list[int]:
        """Positions of the faces of a person on a photo that the correction names without a box."""
        faces = []
        for position in self._positions[person]:
            photo = self._photos[position]
            if photo.box is not None and _is_photo(replace(photo, name=photo.file_name, box=None), item.photo):
                faces.append(position)
        # All faces of a photo may be excluded together; a label is that of one face.
        if len(faces) > 1 and item.attribute != USE_ATTRIBUTE:
            names = ", ".join(PurePosixPath(self._photos[position].name).name for position in faces[:3])
            raise DataError(f"{item.photo} has {len(faces)} faces; name one of them: {names}")
        return faces


def accepted_names(photo: Photo) -> tuple[str, ...]:
    """Returns the names by which a corrections file may refer to a row.

    Args:
        photo: The row.

    Returns:
        Its whole name, its name without folders, and, for a row without a box, that without its suffix.
    """
    name = PurePosixPath(photo.name)
    return (photo.name, name.name, name.stem) if photo.box is None else (photo.name, name.name)


def _is_photo(photo: Photo, text: str) -> bool:
    return not text or text in accepted_names(photo)


def _find_band_codes(corrections: Sequence[Correction], codes: LabelCodes) -> list[str]:
    """One line per age where all ages of a file are numbers that look like codes of bands."""
    problems = []
    for attribute in codes.schema.attributes:
        items = [item for item in corrections if item.attribute == attribute.name and as_number(item.value) is not None]
        if not attribute.bin_edges or codes.is_set(attribute.name):
            continue
        if look_like_bands([item.value for item in items], len(attribute.values)):
            listed = ", ".join(f"{code} = {value}" for code, value in enumerate(attribute.values))
            problems += [
                f"{item}: looks like a band code ({listed}), not years; write {attribute.name}_band as the attribute, "
                f"or set data.codes={{{attribute.name}: years}}"
                for item in items
            ]
    return problems


def _read_value(item: Correction, codes: LabelCodes) -> tuple[str, str | float]:
    """Returns the attribute and its value; `age_band` is the attribute `age`."""
    schema = codes.schema
    if item.attribute == USE_ATTRIBUTE:
        if item.value != "no":
            raise LabelError(f"'{item.value}' is not a value of {USE_ATTRIBUTE}; write no, or delete the row")
        return USE_ATTRIBUTE, item.value
    of_bands = {
        attribute.name + suffix: attribute.name
        for attribute in schema.attributes
        for suffix in BAND_SUFFIXES
        if attribute.bin_edges
    }
    name = item.attribute if item.attribute in schema.names else of_bands.get(item.attribute, "")
    if not name:
        raise _UnmatchedError(
            f"there is no attribute '{item.attribute}'; {did_you_mean(item.attribute, (*schema.names, USE_ATTRIBUTE))}"
        )
    if not item.value:
        raise LabelError("the value is empty")
    value = codes.read(schema[name], item.value, is_band=name != item.attribute)
    if value is None:
        raise LabelError(f"'{item.value}' is not a value of {name}; exclude the photo with use,no instead")
    return name, value


def _apply(
    photos: PhotoDataset, plan: dict[int, dict[str, tuple[str | float, Correction]]], unmatched: list[Correction]
) -> CorrectedDataset:
    kept: list[Photo] = []
    changed = 0
    for position, photo in enumerate(photos):
        labels = {name: value for name, (value, _) in plan.get(position, {}).items()}
        if labels.pop(USE_ATTRIBUTE, None) == "no":
            continue
        changes = {name: value for name, value in labels.items() if photo.labels.get(name) != value}
        changed += bool(changes)
        kept.append(photo.with_labels(changes) if changes else photo)
    result = replace(photos, photos=tuple(kept))
    return CorrectedDataset(result, changed, len(photos) - len(kept), tuple(unmatched))


def _read_rows(path: Path) -> list[Correction]:
    rows = read_csv(path, ())
    if rows and "proposed" in rows[0] and "value" not in rows[0]:
        raise DataError(
            "this is a list of label issues, not of corrections",
            location=path,
            hint="decide with maskfit review RUN, which writes corrections; or take all proposals, some of them "
            "wrong: maskfit label-issues RUN --corrections FILE",
        )
    rows = read_csv(path, ("attribute", "value"))
    return [
        Correction(**{name: row.get(name, "") for name in COLUMNS}, row=number)
        for number, row in enumerate(rows, start=2)
    ]


def _read_known_errors() -> list[Correction]:
    with as_file(files("maskfit.data").joinpath("known_errors.csv")) as path:
        return _read_rows(path)

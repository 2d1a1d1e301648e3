"""Corrections of wrong labels: a CSV laid over the labels of a set. No file is renamed, moved or deleted.

`person,photo,attribute,value,tier,reason`, a row for each change:

- `person`: the whole folder name, or its part before the first `_` where only one person has it. The whole part counts:
  001498 and 001498-1 are two people;
- `photo`: a file name with or without its ending; empty for all photos of the person;
- `attribute` and `value`: what is right. `use` with `no` leaves the photo out. Swapped labels are two rows;
- `tier` and `reason`: how sure, and why; for people.

The errors of the competition's photos that are publicly known ship as `known_errors.csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath
from typing import Literal

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.photo_dataset import Photo, PhotoDataset, read_label
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, LabelError, did_you_mean, format_list
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.schema import LabelSchema

COLUMNS = ("person", "photo", "attribute", "value", "tier", "reason")
USE_ATTRIBUTE = "use"
"""In place of an attribute: whether the photo is used at all. Its only value is `no`."""

TIERS = ("certain", "likely", "disputed")


@dataclass(frozen=True, slots=True)
class Correction:
    """One row of a corrections file; `row` is its number there, for messages."""

    person: str
    photo: str
    attribute: str
    value: str
    tier: str = ""
    reason: str = ""
    row: int = 0

    def __str__(self) -> str:
        lead = f"row {self.row}: " if self.row else ""
        return f"{lead}{self.person}{'/' + self.photo if self.photo else ''} {self.attribute}={self.value}"


@dataclass(frozen=True, slots=True)
class CorrectedDataset:
    """A corrected set, and what was done to it.

    Attributes:
        photos: The set with its new labels, without the photos that were left out, otherwise in the old order.
        changed: How many photos bear other labels than before.
        left_out: How many photos are no longer in the set.
        unmatched: Rows that fitted no photo; always empty where strict.
    """

    photos: PhotoDataset
    relabeled: int
    excluded: int
    unmatched: tuple[Correction, ...]


def read_corrections(path: Path) -> list[Correction]:
    """The rows of a corrections file. Only person, attribute and value must be there as columns.

    Raises:
        DataError: It is no such CSV, or a row lacks its person, attribute or value.
    """
    corrections = _read_rows(path)
    problems = [
        f"row {item.row}: {name} is empty"
        for item in corrections
        for name in ("person", "attribute", "value")
        if not getattr(item, name)
    ]
    if problems:
        raise DataError(
            format_list(problems, shown=MAX_LISTED), location=path, hint="complete the rows, or delete them"
        )
    return corrections


def write_corrections(path: Path, corrections: Sequence[Correction]) -> Path:
    """Writes corrections as `read_corrections` reads them."""
    return write_csv(path, COLUMNS, [[getattr(item, name) for name in COLUMNS] for item in corrections])


def known_errors(tier: Literal["certain", "likely"] = "certain") -> list[Correction]:
    """Corrections of the competition's publicly known label errors; "likely" includes "certain".

    They fit that set alone, so apply them with `strict=False` to anything that may be a part of it.

    Raises:
        DataError: There is no such tier. Disputed rows propose no label and are never applied; see `known_remarks`.
    """
    if tier not in TIERS[:2]:
        raise DataError(f"there is no tier '{tier}' of known errors", hint=f"use {' or '.join(TIERS[:2])}")
    wanted = TIERS[: TIERS.index(tier) + 1]
    return [item for item in _read_shipped() if item.tier in wanted and item.attribute]


def known_ambiguous() -> list[Correction]:
    """What people said of the competition's labels without agreeing on a right one: for review, never applied."""
    return [item for item in _read_shipped() if not item.attribute]


def apply_corrections(
    photos: PhotoDataset, corrections: Sequence[Correction], scheme: LabelSchema, *, strict: bool = True
) -> CorrectedDataset:
    """Lays corrections over the labels of a set; the set itself and its files stay as they are.

    Args:
        photos: The set.
        corrections: In any order; no row stands above another.
        scheme: Its attributes can be corrected.
        strict: Whether a row that fits no photo, or an attribute the scheme does not have, is an error; otherwise it
            is passed over.

    Raises:
        DataError: Rows contradict each other, name an unknown attribute or value, or an id that two persons bear;
            where strict, also rows that fit nothing. One error names all of them.
    """
    problems: list[str] = []
    unmatched: list[Correction] = []
    plan: dict[int, dict[str, tuple[str | float, Correction]]] = {}
    register = _Register(photos)
    for item in corrections:
        try:
            value = _read_value(item, scheme)
            places = register.find(item)
        except _UnmatchedError as error:
            unmatched.append(item)
            if strict:
                problems.append(f"{item}: {error.message}")
            continue
        except (DataError, LabelError) as error:
            problems.append(f"{item}: {error.message}")
            continue
        for place in places:
            before, other = plan.setdefault(place, {}).setdefault(item.attribute, (value, item))
            if before != value:
                problems.append(f"{item}: contradicts {other}")
    if problems:
        raise DataError(format_list(list(dict.fromkeys(problems)), shown=MAX_LISTED), hint="mend these corrections")
    return _carry_out(photos, plan, unmatched)


def read_corrected(
    root: str | Path,
    scheme: LabelSchema,
    corrections: Sequence[str | Path] = (),
    known: Literal["none", "certain", "likely"] = "none",
) -> tuple[PhotoDataset, list[str]]:
    """A set of photos under its corrections, and what each file of them did, a line each.

    Args:
        root: As for `photos.read_photos`.
        scheme: What its labels are about.
        corrections: Files of corrections; every row must fit.
        known: Which tier of the competition's known errors is laid under them; rows of persons who are not here are
            passed over, since a part of the set need not hold everybody.

    Raises:
        DataError: The set or a file cannot be read, or a row does not fit.
    """
    photos = read_photos(root, scheme)
    layers = [(read_corrections(Path(path)), True, str(path)) for path in corrections]
    if known != "none":
        layers.insert(0, (known_errors(known), False, "known errors"))
    remarks = []
    for rows, strict, name in layers:
        result = apply_corrections(photos, rows, scheme, strict=strict)
        photos = result.photos
        remarks.append(f"{name}: {result.relabeled} photos relabelled, {result.excluded} left out")
    return photos, remarks


class _UnmatchedError(DataError):
    """A row that fits nothing in this set."""


class _Register:
    """Finds the photos that a correction is about."""

    def __init__(self, photos: PhotoDataset) -> None:
        self._photos = photos
        self._places: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[str]] = {}
        for place, photo in enumerate(photos):
            self._places.setdefault(photo.person, []).append(place)
        for person in self._places:
            self._prefixes.setdefault(person.partition("_")[0], []).append(person)

    def find(self, item: Correction) -> list[int]:
        """Places in the set, at least one."""
        person = item.person
        if person not in self._places:
            named = self._prefixes.get(person, [])
            if not named:
                raise _UnmatchedError(f"no person '{person}'; {did_you_mean(person, self._prefixes)}")
            if len(named) > 1:
                raise DataError(f"'{person}' is {len(named)} persons: {', '.join(named)}; write the whole name")
            person = named[0]
        places = [place for place in self._places[person] if _is_photo(self._photos[place], item.photo)]
        if not places:
            stems = [PurePosixPath(self._photos[place].name).stem for place in self._places[person]]
            raise _UnmatchedError(f"{person} has no photo '{item.photo}'; {did_you_mean(item.photo, stems)}")
        return places


def _is_photo(photo: Photo, wanted: str) -> bool:
    name = PurePosixPath(photo.name)
    return not wanted or wanted in (photo.name, name.name, name.stem)


def _read_value(item: Correction, scheme: LabelSchema) -> str | float:
    if item.attribute == USE_ATTRIBUTE:
        if item.value != "no":
            raise LabelError(f"'{item.value}' is no value of {USE_ATTRIBUTE}; write no, or delete the row")
        return item.value
    if item.attribute not in scheme.names:
        raise _UnmatchedError(
            f"there is no attribute '{item.attribute}'; {did_you_mean(item.attribute, (*scheme.names, USE_ATTRIBUTE))}"
        )
    if not item.value:
        raise LabelError("the value is empty")
    return read_label(scheme[item.attribute], item.value)


def _carry_out(
    photos: PhotoDataset, plan: dict[int, dict[str, tuple[str | float, Correction]]], unmatched: list[Correction]
) -> CorrectedDataset:
    kept: list[Photo] = []
    changed = 0
    for place, photo in enumerate(photos):
        labels = {name: value for name, (value, _) in plan.get(place, {}).items()}
        if labels.pop(USE_ATTRIBUTE, None) == "no":
            continue
        changes = {name: value for name, value in labels.items() if photo.labels.get(name) != value}
        changed += bool(changes)
        kept.append(photo.with_labels(changes) if changes else photo)
    result = replace(photos, photos=tuple(kept))
    return CorrectedDataset(result, changed, len(photos) - len(kept), tuple(unmatched))


def _read_rows(path: Path) -> list[Correction]:
    rows = read_csv(path, ("person", "attribute", "value"))
    return [
        Correction(**{name: row.get(name, "") for name in COLUMNS}, row=number)
        for number, row in enumerate(rows, start=2)
    ]


def _read_shipped() -> list[Correction]:
    with as_file(files("maskfit.data").joinpath("known_errors.csv")) as path:
        return _read_rows(path)

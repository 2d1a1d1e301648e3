"""Majority labels: one label for each photo from the votes of several annotators, and how far they agree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.importers.path_writer import PathWriter
from maskfit.data.majority_cells import write_majority_cell
from maskfit.data.manifest_columns import find_columns
from maskfit.data.manifest_files import find_file
from maskfit.errors import DataError, format_list
from maskfit.file_io import iter_csv, write_csv
from maskfit.labels.schema import Attribute, LabelSchema
from maskfit.text import format_count
from maskfit.training.annotator_tables import describe_missing_photos
from maskfit.training.soft_labels import SoftLabelTable, read_soft_labels


@dataclass(frozen=True, slots=True)
class Tie:
    """A photo on which two or more values of an attribute have the most votes; its label stays empty.

    Attributes:
        photo: Name of the photo as in the table.
        attribute: The attribute.
        votes: Value -> number of votes, the most first.
    """

    photo: str
    attribute: str
    votes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far annotators agree about an attribute, on photos with at least two votes.

    Attributes:
        photos: Number of these photos.
        unanimous: Number of those on which all votes are equal.
        pairs: Number of pairs of votes on one photo.
        agreeing_pairs: Number of those that are equal.
    """

    photos: int
    unanimous: int
    pairs: int
    agreeing_pairs: int

    @property
    def pairwise(self) -> float | None:
        """Share of pairs of votes that are equal, in 0 to 1; None without a pair."""
        return self.agreeing_pairs / self.pairs if self.pairs else None


@dataclass(frozen=True, slots=True)
class MajorityLabels:
    """One label for each photo, by the most votes.

    Attributes:
        photos: Names of the photos as in the table, in its order.
        persons: Who is on each photo; "" where the table does not say.
        labels: Attribute -> cell of each photo, "" without votes or with a tie; attributes without votes are left out.
        ties: Photos without a majority, by attribute.
        agreement: Agreement by attribute.
    """

    photos: tuple[str, ...]
    persons: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    ties: tuple[Tie, ...]
    agreement: Mapping[str, Agreement]

    @property
    def has_two_votes_at_most(self) -> bool:
        """Whether no photo has three votes on an attribute, so that every disagreement is a tie."""
        return all(item.pairs == item.photos for item in self.agreement.values())


def find_majority(path: Path, schema: LabelSchema) -> MajorityLabels:
    """Finds the value with the most votes for each photo and attribute.

    Values are those of the label schema: ages in years are counted by their band, and the years of a band's votes give
    the cell, their median.

    Args:
        path: A CSV of votes, as `data.soft_labels` takes it (`training.soft_labels`): a row for each photo and
            annotator, or a column for each value with numbers of votes.
        schema: The label schema.

    Returns:
        The labels.

    Raises:
        DataError: The file is no such table, has probabilities in place of votes or boxes of faces, or names several
            persons for one photo.
    """
    table = read_soft_labels(path, schema)
    voted = {name for label in table.labels for name in label}
    if fractional := [name for name in schema.names if name in voted and name not in table.num_votes]:
        raise DataError(
            f"{', '.join(fractional)}: these are probabilities, and a majority is of votes",
            location=path,
            hint="give numbers of votes, or a row for each photo and annotator; probabilities are trained on as they "
            "are: data.soft_labels",
        )
    persons = _read_persons(table, schema)
    labels: dict[str, tuple[str, ...]] = {}
    ties: list[Tie] = []
    agreement: dict[str, Agreement] = {}
    for attribute in schema.attributes:
        if attribute.name in table.num_votes:
            labels[attribute.name], agreement[attribute.name] = _count(table, attribute, ties)
    return MajorityLabels(table.names, persons, labels, tuple(ties), agreement)


def _read_persons(table: SoftLabelTable, schema: LabelSchema) -> tuple[str, ...]:
    """The person of each photo, from the table's column of persons."""
    first = next(iter_csv(table.path, []))
    columns, _ = find_columns(list(first), schema)
    if columns is None:
        return ("",) * len(table.names)
    if columns.box is not None:
        raise DataError(
            "the table has boxes, and votes are counted for whole photos",
            location=table.path,
            hint="write each face as a photo first: maskfit data crop",
        )
    person_of: dict[str, str] = {}
    problems = []
    for number, row in enumerate(iter_csv(table.path, []) if columns.person else (), start=2):
        photo, person = row[columns.path], row[columns.person]
        if person and person_of.setdefault(photo, person) != person:
            problems.append(f"row {number}: {photo} is of {person_of[photo]} in a row above, and here of {person}")
    if problems:
        raise DataError(
            f"the rows of a photo name several persons:\n{format_list(problems, shown=MAX_LISTED)}",
            location=table.path,
            hint=f"correct column {columns.person}",
        )
    return tuple(person_of.get(name, "") for name in table.names)


def _count(table: SoftLabelTable, attribute: Attribute, ties: list[Tie]) -> tuple[tuple[str, ...], Agreement]:
    """The cells of an attribute, and the agreement; ties are appended."""
    columns = [number for number, label in enumerate(table.labels) if attribute.name in label]
    texts = [str(table.labels[number][attribute.name]) for number in columns]
    masks = [attribute.allowed_mask(text) for text in texts]
    groups = list(dict.fromkeys(tuple(mask.tolist()) for mask in masks))
    group_of = [groups.index(tuple(mask.tolist())) for mask in masks]
    votes = np.rint(table.weights[:, columns] * table.num_votes[attribute.name][:, None]).astype(np.int64)
    counts = np.zeros((len(votes), len(groups)), dtype=np.int64)
    for column, group in enumerate(group_of):
        counts[:, group] += votes[:, column]
    words = [_describe(attribute, group) for group in groups]
    cells = []
    for row, own in enumerate(counts):
        best = np.flatnonzero(own == own.max())
        if not own.any():
            cells.append("")
        elif len(best) > 1:
            cells.append("")
            order = np.argsort(-own, kind="stable")
            said = {words[group]: int(own[group]) for group in order.tolist() if own[group]}
            ties.append(Tie(table.names[row], attribute.name, said))
        else:
            winners = [column for column, group in enumerate(group_of) if group == best[0] and votes[row, column]]
            told: Counter[str] = Counter()
            for column in winners:
                told[texts[column]] += int(votes[row, column])
            cells.append(write_majority_cell(attribute, told))
    total = counts.sum(axis=1)
    several = total > 1
    return tuple(cells), Agreement(
        photos=int(several.sum()),
        unanimous=int((counts.max(axis=1) == total)[several].sum()),
        pairs=int((total * (total - 1) // 2).sum()),
        agreeing_pairs=int((counts * (counts - 1) // 2).sum()),
    )


def _describe(attribute: Attribute, allowed: Sequence[bool]) -> str:
    return " or ".join(value for value, is_allowed in zip(attribute.values, allowed, strict=True) if is_allowed)


def write_majority(majority: MajorityLabels, table: Path, target: Path, images: Path | None = None) -> Path:
    """Writes majority labels as a manifest.

    Args:
        majority: The labels.
        table: The table of votes.
        target: The CSV; paths of photos are relative to its folder.
        images: Folder of the photos; that of the table by default.

    Returns:
        The path.

    Raises:
        DataError: The target is the table, photos do not exist, or one is named in several ways.
    """
    if target.resolve() == table.resolve():
        raise DataError("this is the table of votes", location=target, hint="choose another file for --out")
    root = images or table.parent
    files = [find_file(name, root) for name in majority.photos]
    missing = [name for name, file in zip(majority.photos, files, strict=True) if file is None]
    if missing:
        raise describe_missing_photos(missing, root, table)
    _check_distinct(majority.photos, files, table)
    paths = PathWriter(target.parent)
    has_person = any(majority.persons)
    header = ["path", *(["person"] if has_person else []), *majority.labels]
    rows = (
        [paths.write(file), *([person] if has_person else []), *cells]
        for file, person, *cells in zip(files, majority.persons, *majority.labels.values(), strict=True)
        if file is not None
    )
    return write_csv(target, header, rows)


def write_ties(
    majority: MajorityLabels, table: Path, target: Path, images: Path | None = None, root: Path | None = None
) -> Path:
    """Writes the photos with a tie as a table for one more annotator, whose cells are empty.

    Args:
        majority: The labels.
        table: The table of votes.
        target: The CSV, `path,mask,tied`; `tied` has the votes so far.
        images: Folder of the photos, if they are named from there; that of the table by default.
        root: Folder that written paths start from; that of the target by default.

    Returns:
        The path.
    """
    tied: dict[str, list[str]] = {}
    for tie in majority.ties:
        votes = ", ".join(f"{value} {count}" for value, count in tie.votes.items())
        tied.setdefault(tie.photo, []).append(f"{tie.attribute}: {votes}")
    names = [name for name in majority.labels if any(tie.attribute == name for tie in majority.ties)]
    paths = PathWriter(root or target.parent)
    # Ties are sorted by attribute, the table is in the order of the votes.
    files = {name: find_file(name, images or table.parent) for name in majority.photos if name in tied}
    rows = [[paths.write(file), *[""] * len(names), "; ".join(tied[name])] for name, file in files.items() if file]
    return write_csv(target, ["path", *names, "tied"], rows)


def _check_distinct(names: Sequence[str], files: Sequence[Path | None], table: Path) -> None:
    """Checks that each name is of another file: otherwise the votes of one photo would be counted as those of two."""
    names_of: dict[str, list[str]] = {}
    for name, file in zip(names, files, strict=True):
        names_of.setdefault(os.path.abspath(file) if file else "", []).append(name)
    repeated = [" and ".join(own) for own in names_of.values() if len(own) > 1]
    if repeated:
        raise DataError(
            f"{format_count(len(repeated), 'photo is', 'photos are')} named in several ways:\n"
            f"{format_list(repeated, shown=MAX_LISTED)}",
            location=table,
            hint="write each photo in one way, so that its votes are counted together",
        )

"""Merges the rows of one photo or face: labels that they agree on are kept, others stay empty or are counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskfit.data.importers.interface import Box, RawRow
from maskfit.data.majority_cells import write_majority_cell
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count

SHOWN_FILES = 4
"""Names of files that a note lists."""


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A row of the manifest.

    Attributes:
        photo: The photo's file.
        labels: Attribute -> cell: a value, years, or a band.
        person: Who is on it; empty where nobody says.
        box: Where the face is; None for the whole photo.
        extra: As in `RawRow`.
    """

    photo: Path
    labels: Mapping[str, str]
    person: str = ""
    box: Box | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A photo or face whose rows, or whose words in one row, give different labels; the label stays empty.

    Attributes:
        photo: The photo's file.
        attribute: The attribute.
        readings: What each row says, with its location: ("row 3", "wear").
        box: The face's box; None for the whole photo.
    """

    photo: Path
    attribute: str
    readings: tuple[tuple[str, str], ...]
    box: Box | None = None


@dataclass(slots=True)
class RowMerger:
    """Merges rows of one photo (and box): labels that all rows agree on are kept, others stay empty.

    With `majority` the label of more rows than any other is kept too, counted as `maskfit data majority` does: ages in
    years by their bands.

    Attributes:
        schema: Has the attributes of the labels.
        majority: Whether the label of most rows is kept.
        decided: Number of labels that were.
        order: The rows by photo and box.
        agreements: Attribute -> photos whose rows agree, and photos with several rows that have it.
    """

    schema: LabelSchema
    majority: bool = False
    decided: int = 0
    order: dict[tuple[str, Box | None], list[tuple[RawRow, Mapping[str, str]]]] = field(default_factory=dict)
    agreements: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, row: RawRow, labels: Mapping[str, str]) -> None:
        """Adds a row.

        Args:
            row: The row.
            labels: Its labels, as attribute -> cell.
        """
        self.order.setdefault((os.fspath(row.photo), row.box), []).append((row, labels))

    def finish(self, notes: list[str]) -> tuple[list[ImportedRow], list[Disagreement]]:
        """Merges the rows.

        Args:
            notes: Receives how far rows of one photo agree.

        Returns:
            A row for each photo or face, and the labels that stay empty because the rows differ.
        """
        rows: list[ImportedRow] = []
        disagreements: list[Disagreement] = []
        repeated, shared = 0, list[str]()
        for group in self.order.values():
            first, labels = group[0]
            if len(group) > 1:
                repeated += 1
                labels = self._merge(group, disagreements)
            persons = Counter(row.person for row, _ in group if row.person)
            if len(persons) > 1:
                shared.append(f"{first.photo.name} ({', '.join(persons)})")
            extra = next((row.extra for row, _ in group if row.extra), {})
            rows.append(ImportedRow(first.photo, labels, next(iter(persons), ""), first.box, extra))
        noun = "face" if all(box for (_, box), group in self.order.items() if len(group) > 1) else "photo"
        if shared:
            listed = ", ".join(shared[:SHOWN_FILES]) + (", ..." if len(shared) > SHOWN_FILES else "")
            count = format_count(len(shared), f"{noun} is", f"{noun}s are")
            notes.append(f"{count} of several persons, of whom the first is taken: {listed}")
        if repeated:
            photos = format_count(repeated, f"{noun} is", f"{noun}s are")
            differing = "stay empty; --majority takes the label of most rows"
            if self.majority:
                differing = f"{self.decided:,} taken from most rows, the others stay empty"
            notes.append(f"{photos} in several rows, which were merged; labels that differ: {differing}")
        for name, (same, compared) in self.agreements.items():
            notes.append(f"{name}: the rows of one {noun} agree in {same:,} of {format_count(compared, noun)}")
        return rows, disagreements

    def _merge(
        self, group: Sequence[tuple[RawRow, Mapping[str, str]]], disagreements: list[Disagreement]
    ) -> dict[str, str]:
        merged: dict[str, str] = {}
        for name in dict.fromkeys(name for _, labels in group for name in labels):
            readings = tuple((row.location, labels[name]) for row, labels in group if name in labels)
            values = self._group_cells(name, [cell for _, cell in readings])
            if len(readings) > 1:
                same, compared = self.agreements.get(name, (0, 0))
                self.agreements[name] = same + (len(values) == 1), compared + 1
            best = max(values, key=lambda value: len(values[value]))
            if len(values) == 1 or (self.majority and self._is_majority(values)):
                merged[name] = write_majority_cell(self.schema[name], Counter(values[best]))
                self.decided += len(values) > 1
            else:
                disagreements.append(Disagreement(group[0][0].photo, name, readings, group[0][0].box))
        return merged

    def _group_cells(self, name: str, cells: Sequence[str]) -> dict[object, list[str]]:
        """The cells by what counts as one label: the cell itself, or with `majority` the values that it allows."""
        groups: dict[object, list[str]] = {}
        for cell in cells:
            value = tuple(self.schema[name].allowed_mask(cell).tolist()) if self.majority else cell
            groups.setdefault(value, []).append(cell)
        return groups

    @staticmethod
    def _is_majority(values: Mapping[object, Sequence[str]]) -> bool:
        """Whether one label has more rows than any other."""
        first, second, *_ = sorted(map(len, values.values()), reverse=True)
        return first > second

"""Columns that define slices: an attribute's labels, a part of the competition's folder names, a manifest's column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from maskfit.data.competition_layout import FOLDER_REGEX
from maskfit.data.manifest import read_rows
from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import UNKNOWN, IntArray, LabelSchema, as_number

MAX_VALUES = 16
"""Maximum number of slices of a column; above it numbers are binned and rare names are merged into `others`."""

NUM_RANGES = 5
"""Number of bins, with equally many photos each, that a numeric column is divided into."""

FOLDER_PARTS = ("id", "gender", "race", "age")
"""Parts of a folder name in the competition's layout."""


def read_columns(
    names: Sequence[str],
    photos: Sequence[str],
    persons: Sequence[str],
    schema: LabelSchema,
    truth: IntArray,
    manifest: Path | None,
) -> dict[str, tuple[str, ...]]:
    """Reads the values of columns for each photo.

    Args:
        names: Columns, case-insensitive: an attribute, a column of the manifest, a part of the folder name (`race`), or
            `file` for the file name without folder and suffix (`mask1`).
        photos: Names of the photos.
        persons: (photos,) person on each photo.
        schema: Scored label schema.
        truth: (photos, attributes) value codes.
        manifest: CSV that lists the photos; None where there is none.

    Returns:
        (photos,) values by column; "" for a photo without one.

    Raises:
        DataError: A column is unknown.
    """
    cells = {} if manifest is None or not names else read_rows(manifest, schema)
    found = {}
    for name in names:
        values = _column(name, photos, persons, schema, truth, cells)
        if values is None:
            known = [*schema.names, *FOLDER_PARTS, "file", *next(iter(cells.values()), {})]
            raise DataError(
                f"there is no column '{name}'; {did_you_mean(name, dict.fromkeys(known))}", hint="--by COLUMN"
            )
        found[name] = _limit_values(values)
    return found


def _column(
    name: str,
    photos: Sequence[str],
    persons: Sequence[str],
    schema: LabelSchema,
    truth: IntArray,
    cells: Mapping[str, Mapping[str, str]],
) -> list[str] | None:
    """The values of a column; None where it is unknown."""
    key = name.casefold()
    attributes = {attribute.name.casefold(): column for column, attribute in enumerate(schema.attributes)}
    if key in attributes:
        attribute, codes = schema.attributes[attributes[key]], truth[:, attributes[key]].tolist()
        return ["" if code == UNKNOWN else attribute.display_name(code) for code in codes]
    header = {column.casefold(): column for column in next(iter(cells.values()), {})}
    if key in header:
        return [cells.get(photo, {}).get(header[key], "") for photo in photos]
    if key == "file":
        return [PurePosixPath(photo).stem for photo in photos]
    if key in FOLDER_PARTS:
        matches = [FOLDER_REGEX.fullmatch(person) for person in persons]
        return [match[key] if match else "" for match in matches] if any(matches) else None
    return None


def _limit_values(values: Sequence[str]) -> tuple[str, ...]:
    """The values with at most `MAX_VALUES` different ones."""
    counts = Counter(value for value in values if value)
    if len(counts) <= MAX_VALUES:
        return tuple(values)
    numbers = [as_number(value) if value else None for value in values]
    known = np.array([number for number in numbers if number is not None])
    if len(known) == sum(counts.values()):
        edges = np.unique(np.quantile(known, np.linspace(0, 1, NUM_RANGES + 1)))
        return tuple("" if number is None else _range(number, edges.tolist()) for number in numbers)
    kept = {value for value, _ in counts.most_common(MAX_VALUES - 1)}
    return tuple(value if value in kept or not value else "others" for value in values)


def _range(number: float, edges: Sequence[float]) -> str:
    index = min(max(int(np.searchsorted(edges, number, side="right")) - 1, 0), max(len(edges) - 2, 0))
    return f"{edges[index]:g} to {edges[min(index + 1, len(edges) - 1)]:g}"

"""Columns to slice a set by: an attribute's labels, a part of the competition's folder names, a manifest's column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from maskfit.data.competition_layout import FOLDER
from maskfit.data.manifest import read_rows
from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import UNKNOWN, IntArray, LabelSchema, as_number

MOST_VALUES = 16
"""How many values of a column are told apart: of a number as ranges, of a name the most frequent."""

RANGES = 5
"""Into how many ranges of equally many photos a number falls."""

PARTS = ("id", "gender", "race", "age")
"""The parts of a folder's name in the competition's layout."""


def read_columns(
    names: Sequence[str],
    photos: Sequence[str],
    persons: Sequence[str],
    scheme: LabelSchema,
    truth: IntArray,
    manifest: Path | None,
) -> dict[str, tuple[str, ...]]:
    """The values of each photo in the named columns, "" where it has none.

    Args:
        names: A column of the manifest, an attribute, a part of a folder's name (`race`), or `file` for the photo's own
            name without its folder and ending (`mask1`). Upper and lower case are the same.
        photos: The photos' names.
        persons: (photos,) who is on each.
        scheme: The official scheme.
        truth: (photos, attributes) codes.
        manifest: The CSV that lists the photos, where one does.

    Raises:
        DataError: A column is not known.
    """
    cells = {} if manifest is None or not names else read_rows(manifest, scheme)
    found = {}
    for name in names:
        values = _column(name, photos, persons, scheme, truth, cells)
        if values is None:
            known = [*scheme.names, *PARTS, "file", *next(iter(cells.values()), {})]
            raise DataError(
                f"there is no column '{name}'; {did_you_mean(name, dict.fromkeys(known))}", hint="--by COLUMN"
            )
        found[name] = _few(values)
    return found


def _column(
    name: str,
    photos: Sequence[str],
    persons: Sequence[str],
    scheme: LabelSchema,
    truth: IntArray,
    cells: Mapping[str, Mapping[str, str]],
) -> list[str] | None:
    wanted = name.casefold()
    own = {attribute.name.casefold(): place for place, attribute in enumerate(scheme.attributes)}
    if wanted in own:
        attribute, codes = scheme.attributes[own[wanted]], truth[:, own[wanted]].tolist()
        return ["" if code == UNKNOWN else attribute.display_name(code) for code in codes]
    header = {column.casefold(): column for column in next(iter(cells.values()), {})}
    if wanted in header:
        return [cells.get(photo, {}).get(header[wanted], "") for photo in photos]
    if wanted == "file":
        return [PurePosixPath(photo).stem for photo in photos]
    if wanted in PARTS:
        matches = [FOLDER.fullmatch(person) for person in persons]
        return [match[wanted] if match else "" for match in matches] if any(matches) else None
    return None


def _few(values: Sequence[str]) -> tuple[str, ...]:
    """The same values, of which there are not too many to look at."""
    counts = Counter(value for value in values if value)
    if len(counts) <= MOST_VALUES:
        return tuple(values)
    numbers = [as_number(value) if value else None for value in values]
    said = np.array([number for number in numbers if number is not None])
    if len(said) == sum(counts.values()):
        edges = np.unique(np.quantile(said, np.linspace(0, 1, RANGES + 1)))
        return tuple("" if number is None else _range(number, edges.tolist()) for number in numbers)
    kept = {value for value, _ in counts.most_common(MOST_VALUES - 1)}
    return tuple(value if value in kept or not value else "others" for value in values)


def _range(number: float, edges: Sequence[float]) -> str:
    place = min(max(int(np.searchsorted(edges, number, side="right")) - 1, 0), max(len(edges) - 2, 0))
    return f"{edges[place]:g} to {edges[min(place + 1, len(edges) - 1)]:g}"

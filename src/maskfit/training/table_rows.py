"""Which row of a table belongs to which photo: by name, whatever its slashes and Unicode form, else by path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, format_list
from maskfit.text import fold_name


def find_rows(names: Sequence[str], photos: Iterable[Photo], table: Path) -> NDArray[np.int64]:
    """Finds the row of each photo: by its name in the dataset, or by its path relative to the table's folder.

    Args:
        names: The photos' names in the table, unique.
        photos: Photos of the dataset. Of several files with one name, as in `data.extra_train`, the name stands for
            the first.
        table: The table's file.

    Returns:
        (photos,) row numbers from 0; -1 where a photo has none.

    Raises:
        DataError: Several rows name one photo, by different paths.
    """
    photos = list(photos)
    first: dict[str, Path] = {}
    named = {
        index: photo.name
        for index, photo in enumerate(photos)
        if first.setdefault(photo.name, photo.path) == photo.path
    }
    paths = {index: str(photo.path) for index, photo in enumerate(photos) if photo.box is None}
    path_of = _path_resolver(table.parent)
    matching = _Matching(names, np.full(len(photos), -1, dtype=np.int64))
    matching.add(str, named)
    # Two names with one normal form are two photos, and are not matched by it.
    matching.add(fold_name, named, fold_name)
    # Of a path to a link the folder first: two photos may be links to one file.
    if repeated := matching.add(path_of, paths, path_of):
        raise DataError(
            f"rows name one photo:\n{format_list(repeated, shown=MAX_LISTED)}",
            location=table,
            hint="give each photo one row",
        )
    matching.add(lambda name: _real_path(path_of(name)), paths, _real_path)
    return matching.rows


@dataclass
class _Matching:
    """Photos and the rows that were found for them so far.

    Attributes:
        names: The photos' names in the table.
        rows: (photos,) row numbers; -1 where there is none yet.
    """

    names: Sequence[str]
    rows: NDArray[np.int64]

    def add(
        self, key_of_row: Callable[[str], str], photos: Mapping[int, str], key_of_photo: Callable[[str], str] = str
    ) -> list[str]:
        """Matches photos that have no row to unused rows with the same key; returns the rows that share a photo's."""
        missing = [index for index in photos if self.rows[index] < 0]
        unused = np.setdiff1d(np.arange(len(self.names)), self.rows)
        if not missing or not len(unused):
            return []
        rows_of_key: dict[str, list[int]] = {}
        for row in unused.tolist():
            rows_of_key.setdefault(key_of_row(self.names[row]), []).append(row)
        repeated = {}
        for index in missing:
            key = key_of_photo(photos[index])
            found = rows_of_key.get(key, [])
            if len(found) == 1:
                self.rows[index] = found[0]
            elif found:
                repeated[key] = " and ".join(self.names[row] for row in found)
        return list(repeated.values())


def _path_resolver(root: Path) -> Callable[[str], str]:
    """Returns a function that makes paths, relative to a folder, comparable: with their folders resolved."""
    resolve = cache(_real_path)

    def resolver(name: str) -> str:
        folder, file = os.path.split(os.path.join(root, fold_name(name)))
        return os.path.join(resolve(folder), file)

    return resolver


def _real_path(path: str) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # No path: there is a null character in it.
        return path

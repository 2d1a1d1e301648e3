"""One table of votes from a table of each annotator."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.importers.path_writer import PathWriter
from maskfit.data.manifest_columns import ManifestColumns, find_columns
from maskfit.data.manifest_files import find_file, is_url
from maskfit.errors import DataError, LabelError, format_list
from maskfit.file_io import iter_csv, write_csv
from maskfit.labels.schema import Labels, LabelSchema
from maskfit.text import format_count
from maskfit.training.soft_labels import find_annotator_column, find_codes

ANNOTATOR = "annotator"
"""Name of the column that is written."""


def join_annotator_tables(
    tables: Sequence[Path], schema: LabelSchema, target: Path, images: Path | None = None
) -> Path:
    """Writes the rows of several annotators' tables into one, with a row for each photo and annotator.

    Args:
        tables: A CSV for each annotator, `path,mask`; its name without ending is that of the annotator, unless it has
            a column `annotator`.
        schema: The label schema; other columns than its attributes and `person` are left out.
        target: The CSV to write; paths of photos are relative to its folder.
        images: Folder that paths start from; that of each table by default.

    Returns:
        The path.

    Raises:
        DataError: A file is no such table, two have one name, cells cannot be read, or photos do not exist.
    """
    if target.resolve() in [table.resolve() for table in tables]:
        raise DataError("this is the table of an annotator", location=target, hint="choose another file for --votes")
    names = Counter(table.stem for table in tables)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise DataError(
            f"several tables are named {repeated[0]}, and a table's name is that of its annotator",
            location=next(table for table in tables if table.stem == repeated[0]),
            hint="name each file once, after its annotator",
        )
    columns = [_find_columns(table, schema) for table in tables]
    labels = [name for name in schema.names if any(name in own.labels for own in columns)]
    person = ["person"] if any(own.person for own in columns) else []
    paths = PathWriter(target.parent)
    rows: list[list[str]] = []
    for table, own in zip(tables, columns, strict=True):
        rows += _rows(table, own, schema, labels, bool(person), images or table.parent, paths)
    return write_csv(target, ["path", ANNOTATOR, *person, *labels], rows)


def _find_columns(table: Path, schema: LabelSchema) -> ManifestColumns:
    """The columns of one annotator's table."""
    first = next(iter_csv(table, []), None)
    found, problems = find_columns(list(first or ()), schema)
    if found is None:
        raise DataError(problems[0].message, location=table, hint=problems[0].hint)
    if found.box is not None:
        raise DataError(
            "the table has boxes, and votes are counted for whole photos",
            location=table,
            hint="write each face as a photo first: maskfit data crop",
        )
    if found.bands:
        name, column = next(iter(found.bands.items()))
        raise DataError(
            f"column {column} is not counted", location=table, hint=f"write years or bands into a column {name}"
        )
    if not found.labels:
        raise DataError(
            f"the table has no column of labels; it has {', '.join(first or ())}",
            location=table,
            hint=f"each annotator's table needs path and {' or '.join(schema.names)}; a table that has numbers of "
            "votes is given alone",
        )
    return found


def _rows(
    table: Path,
    columns: ManifestColumns,
    schema: LabelSchema,
    labels: Sequence[str],
    has_person: bool,
    root: Path,
    paths: PathWriter,
) -> Iterator[list[str]]:
    """The rows of one table as they are written."""
    annotator = find_annotator_column(next(iter_csv(table, []), {}))
    missing, problems = [], []
    row_of_vote: dict[tuple[str, str], int] = {}
    used: dict[tuple[str, str], None] = {}
    for number, row in enumerate(iter_csv(table, []), start=2):
        name = row[columns.path]
        file = find_file(name, root)
        if file is None:
            missing.append(f"row {number}: {name or 'no path'}")
            continue
        whose = (row[annotator] if annotator else "") or table.stem
        if (before := row_of_vote.setdefault((whose, name), number)) != number:
            problems.append(f"row {number}: {whose} voted on {name} in row {before} already")
        persons = [row[columns.person] if columns.person else ""] if has_person else []
        cells = [row[columns.labels[attribute]] if attribute in columns.labels else "" for attribute in labels]
        problems += _problems_of_cells(dict(zip(labels, cells, strict=True)), schema, number)
        used.update(dict.fromkeys(pair for pair in zip(labels, cells, strict=True) if pair[1]))
        yield [paths.write(file), whose, *persons, *cells]
    problems += find_codes(schema, used)
    if problems:
        raise DataError(
            f"votes cannot be read:\n{format_list(problems, shown=MAX_LISTED)}",
            location=table,
            hint="correct these rows: each is the vote of one annotator for one photo, and empty cells are no vote",
        )
    if missing:
        raise describe_missing_photos(missing, table, table)


def describe_missing_photos(missing: Sequence[str], location: Path, table: Path) -> DataError:
    """Makes the error for photos of a table of votes that do not exist.

    Args:
        missing: The photos, or rows with them.
        location: The folder or table where they are missing.
        table: The table of votes.

    Returns:
        The error; its next step is another one where all are URLs, which are not downloaded.
    """
    hint = "name the folder that the table's paths start from: --images DIR"
    if all(map(is_url, missing)):
        command = f"maskfit data import {shlex.quote(str(table))} --images DIR --majority --out FILE"
        hint = f"photos at URLs are not downloaded: download them, then count the votes by: {command}"
    listed = format_list(missing, shown=MAX_LISTED)
    return DataError(
        f"{format_count(len(missing), 'photo does', 'photos do')} not exist:\n{listed}", location=location, hint=hint
    )


def _problems_of_cells(cells: Labels, schema: LabelSchema, number: int) -> Iterator[str]:
    for attribute, cell in cells.items():
        try:
            schema[attribute].allowed_mask(cell)
        except LabelError as error:
            yield f"row {number}: {error}"

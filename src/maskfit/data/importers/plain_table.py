"""Tables that no importer reads: manifests already, or tables that lack what a manifest needs."""

from __future__ import annotations

import shlex

from maskfit.data.importers.box_rows import ONE_CELL_BOX, has_one_cell_box
from maskfit.data.importers.source import ImportSource
from maskfit.data.manifest_columns import VOTES_HINT, find_columns, find_likely_columns
from maskfit.errors import DataError
from maskfit.file_io import read_csv
from maskfit.labels.schema import LabelSchema

TABLE_SUFFIXES = (".csv", ".tsv")
"""Suffixes of tables; a manifest has the first."""


def explain_table(source: ImportSource, schema: LabelSchema) -> DataError | None:
    """Explains why a table of no format is not imported, and what to do with it.

    Args:
        source: The source of the import.
        schema: The label schema.

    Returns:
        The error; None where the source is no table.

    Raises:
        DataError: The table cannot be read.
    """
    path = source.path
    if source.is_folder or path.suffix.lower() not in TABLE_SUFFIXES:
        return None
    rows = read_csv(path, ())
    columns, problems = find_columns(list(rows[0]) if rows else [], schema)
    is_csv = path.suffix.lower() == TABLE_SUFFIXES[0]
    command = f"maskfit data check {shlex.quote(str(path if is_csv else path.with_suffix('.csv')))}"
    rename = "" if is_csv else f"rename it to {path.with_suffix('.csv').name} and run "
    name_it = "" if is_csv else f"rename it to {path.with_suffix('.csv').name}, "
    if columns is None:
        # The command that checks manifests names the same, and no command can know it.
        hint = f"{problems[0].hint}; then {rename}{command}"
        return DataError(f"nothing can be imported from this table: {problems[0].message}", location=path, hint=hint)
    if not (columns.labels or columns.bands or columns.number):
        likely = [problem for problem in find_likely_columns(rows, columns, schema) if problem.kind == "labels"]
        problem = next(iter(likely), None)
        hint = f"name a column {', '.join(schema.names)} or class" if problem is None else problem.hint
        others = f", but {', '.join(columns.unread)}" if columns.unread else ""
        message = f"it has no column of labels{others}" if problem is None else problem.message
        # Labels of votes are written into another table.
        hint += "" if hint == VOTES_HINT else f"; then {rename}{command}"
        return DataError(f"nothing can be imported from this table: {message}", location=path, hint=hint)
    if columns.box is None and any(has_one_cell_box(row, columns.unread) for row in rows):
        return DataError(
            f"nothing can be imported from this table: {ONE_CELL_BOX}",
            location=path,
            hint="name them left, upper, right, lower, or x, y, width, height",
        )
    return DataError(
        f"this table is a manifest already, since column {columns.path} names the photos; nothing has to be imported",
        location=path,
        hint=f"{name_it}use it as it is; what has to be changed in it, if anything, is listed by: {command}",
    )

"""Predictions as tables with typed columns, one file for each shard: CSV, or Parquet for tools for large data."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maskfit.errors import MissingExtraError
from maskfit.inference.prediction import BatchPredictions
from maskfit.labels.age_distribution import AgeEstimate, age_column_names, find_age_attribute
from maskfit.labels.schema import LabelSchema


class TableFormat(NamedTuple):
    """A file format of tables.

    Attributes:
        suffix: Suffix of its files, without the dot.
        write: Writes the predictions of some batches to a path.
        check: Raises MissingExtraError where a package that it needs is not installed.
    """

    suffix: str
    write: Callable[[Path, LabelSchema, Sequence[BatchPredictions]], None]
    check: Callable[[], None]


def columns(schema: LabelSchema, ages: bool = False) -> list[str]:
    """Returns the column names.

    Args:
        schema: The schema of the predictions.
        ages: Whether the predictions have ages in years.

    Returns:
        `ImageID`, the class index `ans`, its `probability`; each attribute's value, and `NAME_sure`; `p0` to `pN`; mean
        and quantiles of an age in years.
    """
    of_years = find_age_attribute(schema) if ages else None
    years = age_column_names(of_years.name) if of_years else ()
    attributes = [column for name in schema.names for column in (name, f"{name}_sure")]
    return [
        "ImageID",
        "ans",
        "probability",
        *attributes,
        *(f"p{number}" for number in range(schema.num_classes)),
        *years,
    ]


def to_rows(schema: LabelSchema, batch: BatchPredictions) -> Iterator[list[Any]]:
    """Converts predictions to rows.

    Args:
        schema: The schema of the predictions.
        batch: The predictions.

    Yields:
        The row of each photo, in the order of `columns`.
    """
    estimates: Sequence[AgeEstimate | None] = batch.age_estimates or [None] * len(batch)
    for name, class_index, probability, attributes, probabilities, age in zip(
        batch.names,
        batch.classes.tolist(),
        batch.confidence.tolist(),
        batch.decide(),
        batch.probabilities.tolist(),
        estimates,
        strict=True,
    ):
        cells = [cell for item in attributes for cell in (item.value, item.is_confident)]
        years = () if age is None else (age.mean, *map(float, age.quantiles))
        yield [name, class_index, probability, *cells, *probabilities, *years]


def _have_ages(batches: Sequence[BatchPredictions]) -> bool:
    return any(batch.ages is not None for batch in batches)


def write_csv_table(path: Path, schema: LabelSchema, batches: Sequence[BatchPredictions]) -> None:
    """Writes a CSV, which `evaluation.probability_table` reads as probabilities.

    Args:
        path: The file.
        schema: The schema of the predictions.
        batches: The predictions.
    """
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns(schema, _have_ages(batches)))
        for batch in batches:
            for row in to_rows(schema, batch):
                writer.writerow([f"{cell:.8g}" if isinstance(cell, float) else cell for cell in row])


def write_parquet_table(path: Path, schema: LabelSchema, batches: Sequence[BatchPredictions]) -> None:
    """Writes a Parquet file, probabilities in float32.

    Args:
        path: The file.
        schema: The schema of the predictions.
        batches: The predictions.
    """
    import pyarrow
    from pyarrow import parquet

    names = columns(schema, _have_ages(batches))
    types = {"ImageID": pyarrow.string(), "ans": pyarrow.int32()}
    types |= {name: pyarrow.string() for name in schema.names}
    types |= {f"{name}_sure": pyarrow.bool_() for name in schema.names}
    table_schema = pyarrow.schema([(name, types.get(name, pyarrow.float32())) for name in names])
    rows = [row for batch in batches for row in to_rows(schema, batch)]
    data = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in table_schema.names]
    arrays = [pyarrow.array(column, kind) for column, kind in zip(data, table_schema.types, strict=True)]
    parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=table_schema), path)


def _check_pyarrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("--format parquet", "ray")


FORMATS: dict[str, TableFormat] = {
    "csv": TableFormat("csv", write_csv_table, lambda: None),
    "parquet": TableFormat("parquet", write_parquet_table, _check_pyarrow),
}
"""Formats by name, as `--format` takes them."""

"""Answers as tables with typed columns, a file at a time: CSV, or Parquet for the tools of large data."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maskfit.errors import MissingExtraError
from maskfit.inference.prediction import BatchPredictions
from maskfit.labels.schema import LabelSchema


class TableFormat(NamedTuple):
    """A kind of table.

    Attributes:
        ending: How its files end.
        write: Writes the answers of some batches to a path.
        check: Stops where what it needs is not installed.
    """

    suffix: str
    write: Callable[[Path, LabelSchema, Sequence[BatchPredictions]], None]
    check: Callable[[], None]


def columns(scheme: LabelSchema) -> list[str]:
    """`ImageID`, the class number `ans`, its `probability`; each attribute in words, and `NAME_sure`; `p0` to `pN`."""
    named = [column for name in scheme.names for column in (name, f"{name}_sure")]
    return ["ImageID", "ans", "probability", *named, *(f"p{number}" for number in range(scheme.num_classes))]


def to_rows(scheme: LabelSchema, part: BatchPredictions) -> Iterator[list[Any]]:
    """A row for each photo of a batch."""
    for name, number, share, said, all_ in zip(
        part.names,
        part.classes.tolist(),
        part.confidence.tolist(),
        part.decide(),
        part.probabilities.tolist(),
        strict=True,
    ):
        named = [cell for item in said for cell in (item.value, item.is_confident)]
        yield [name, number, share, *named, *all_]


def write_csv_table(path: Path, scheme: LabelSchema, parts: Sequence[BatchPredictions]) -> None:
    """A CSV; `evaluation.tables` reads it as a table of probabilities."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns(scheme))
        for part in parts:
            for row in to_rows(scheme, part):
                writer.writerow([f"{cell:.8g}" if isinstance(cell, float) else cell for cell in row])


def write_parquet_table(path: Path, scheme: LabelSchema, parts: Sequence[BatchPredictions]) -> None:
    """Parquet, probabilities in 32 bits."""
    import pyarrow
    from pyarrow import parquet

    kinds = {"ImageID": pyarrow.string(), "ans": pyarrow.int32()}
    kinds |= {name: pyarrow.string() for name in scheme.names}
    kinds |= {f"{name}_sure": pyarrow.bool_() for name in scheme.names}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float32())) for name in columns(scheme)])
    lines = [row for part in parts for row in to_rows(scheme, part)]
    data = [list(column) for column in zip(*lines, strict=True)] if lines else [[] for _ in schema.names]
    arrays = [pyarrow.array(column, kind) for column, kind in zip(data, schema.types, strict=True)]
    parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), path)


def _need_pyarrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("--format parquet", "ray")


FORMATS: dict[str, TableFormat] = {
    "csv": TableFormat("csv", write_csv_table, lambda: None),
    "parquet": TableFormat("parquet", write_parquet_table, _need_pyarrow),
}
"""The names of `--format`."""

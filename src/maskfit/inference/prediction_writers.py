"""Prediction files, written while batches come in; each file appears whole or not at all.

Rows are written to a temporary file as soon as their batch is predicted. Only when all photos are done does it take
the name that was asked for; after an error nothing of it is left. So memory holds one batch, however many photos there
are.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from maskfit.evaluation.probability_table import probability_header, probability_rows
from maskfit.file_io import atomic_write
from maskfit.inference.prediction import BatchPredictions
from maskfit.inference.submission import CLASS_COLUMN, ID_COLUMN
from maskfit.labels.age_distribution import AgeEstimate, age_column_names, find_age_attribute
from maskfit.labels.schema import LabelSchema

AddBatch = Callable[[BatchPredictions], None]
"""Takes the predictions of the next batch."""


def add_submission(stream: TextIO, schema: LabelSchema, ages: bool = False) -> AddBatch:
    """Writes `ImageID,ans`: the class index of each photo.

    Args:
        stream: An open file; gets the header now.
        schema: The schema of the predictions.
        ages: Whether the predictions have ages in years.

    Returns:
        A function that writes the rows of a batch.
    """
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow([ID_COLUMN, CLASS_COLUMN])
    return lambda batch: rows.writerows(zip(batch.names, batch.classes.tolist(), strict=True))


def add_probabilities(stream: TextIO, schema: LabelSchema, ages: bool = False) -> AddBatch:
    """Writes `ImageID,p0,...,pN`, as `evaluation.probability_table` reads it.

    Args:
        stream: An open file; gets the header now.
        schema: The schema of the predictions.
        ages: Whether the predictions have ages in years.

    Returns:
        A function that writes the rows of a batch.
    """
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(probability_header(schema.num_classes))
    return lambda batch: rows.writerows(probability_rows(batch.names, batch.probabilities))


def add_attributes(stream: TextIO, schema: LabelSchema, ages: bool = False) -> AddBatch:
    """Writes `ImageID` and the display name of each attribute's value, as a manifest is read.

    With ages follow their mean and quantiles: `age_mean`, `age_q10`, `age_q50`, `age_q90`. At the end is for each
    attribute whether the model is sure: `mask_sure`, `true` or `false`.

    Args:
        stream: An open file; gets the header now.
        schema: The schema of the predictions.
        ages: Whether the predictions have ages in years.

    Returns:
        A function that writes the rows of a batch.
    """
    rows = csv.writer(stream, lineterminator="\n")
    of_years = find_age_attribute(schema) if ages else None
    sure = [f"{name}_sure" for name in schema.names]
    rows.writerow([ID_COLUMN, *schema.names, *(age_column_names(of_years.name) if of_years else ()), *sure])

    def add(batch: BatchPredictions) -> None:
        estimates: Sequence[AgeEstimate | None] = (batch.age_estimates if of_years else None) or [None] * len(batch)
        indices_of_photos = schema.to_attribute_indices(batch.classes)
        marginals = schema.marginals(batch.probabilities)
        # Of the class's own values, as in `BatchPredictions.records`.
        is_sure = [
            marginals[name][np.arange(len(batch)), indices_of_photos[:, column]] >= batch.abstain_below.get(name, 0.0)
            for column, name in enumerate(schema.names)
        ]
        for row, (name, indices, age) in enumerate(
            zip(batch.names, indices_of_photos.tolist(), estimates, strict=True)
        ):
            values = (item.display_name(index) for item, index in zip(schema.attributes, indices, strict=True))
            years = () if age is None else (f"{age.mean:.2f}", *age.quantiles)
            rows.writerow([name, *values, *years, *("true" if column[row] else "false" for column in is_sure)])

    return add


def add_json_lines(stream: TextIO, schema: LabelSchema, ages: bool = False) -> AddBatch:
    """Writes one JSON object per line and photo; see `BatchPredictions.records`.

    Args:
        stream: An open file.
        schema: The schema of the predictions.
        ages: Whether the predictions have ages in years.

    Returns:
        A function that writes the lines of a batch.
    """

    def add(batch: BatchPredictions) -> None:
        for record in batch.records():
            stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")

    return add


WRITERS: dict[str, Callable[[TextIO, LabelSchema, bool], AddBatch]] = {
    "submission": add_submission,
    "probabilities": add_probabilities,
    "attributes": add_attributes,
    "jsonl": add_json_lines,
}
"""Kinds of prediction files: each writes its header to a stream and returns what takes the batches."""


@contextmanager
def open_prediction_writers(
    files: Mapping[str, Path], schema: LabelSchema, *, ages: bool = False
) -> Iterator[AddBatch]:
    """Opens prediction files, which appear when the context is left without an error.

    Args:
        files: By a name of `WRITERS`. An existing file is replaced.
        schema: The schema of the predictions.
        ages: Whether the predictions have ages in years.

    Yields:
        A function that writes the predictions of a batch to all files.
    """
    with ExitStack() as stack:
        # Entered first and so left last: every file is closed before the first of them takes its place.
        drafts = {kind: stack.enter_context(atomic_write(path)) for kind, path in files.items()}
        streams = {
            kind: stack.enter_context(draft.open("w", encoding="utf-8", newline="")) for kind, draft in drafts.items()
        }
        adders = [WRITERS[kind](stream, schema, ages) for kind, stream in streams.items()]

        def add(batch: BatchPredictions) -> None:
            for write in adders:
                write(batch)

        yield add

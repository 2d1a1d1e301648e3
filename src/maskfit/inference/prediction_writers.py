"""Writing: answers into files while they come, each file whole or not at all.

What is said of a photo is written once its batch is answered, into a file of another name. Only when all photos were
answered does it take the name that was asked for; after an error nothing is left of it. So memory holds a batch,
however many photos there are.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from maskfit.evaluation.probability_table import probability_header, probability_rows
from maskfit.file_io import atomic_write
from maskfit.inference.prediction import BatchPredictions
from maskfit.inference.submission import CLASS_COLUMN, ID_COLUMN
from maskfit.labels.schema import LabelSchema

Add = Callable[[BatchPredictions], None]
"""Takes the next batch of answers."""


def add_submission(stream: TextIO, scheme: LabelSchema) -> Add:
    """`ImageID,ans`: a class number for each photo."""
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow([ID_COLUMN, CLASS_COLUMN])
    return lambda answers: rows.writerows(zip(answers.names, answers.classes.tolist(), strict=True))


def add_probabilities(stream: TextIO, scheme: LabelSchema) -> Add:
    """`ImageID,p0,...,pN`, as `evaluation.tables` reads it."""
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(probability_header(scheme.num_classes))
    return lambda answers: rows.writerows(probability_rows(answers.names, answers.probabilities))


def add_attributes(stream: TextIO, scheme: LabelSchema) -> Add:
    """`ImageID` and a column in words for each attribute, as a manifest reads it."""
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow([ID_COLUMN, *scheme.names])

    def add(answers: BatchPredictions) -> None:
        for name, codes in zip(answers.names, scheme.to_attribute_indices(answers.classes).tolist(), strict=True):
            words = (attribute.display_name(code) for attribute, code in zip(scheme.attributes, codes, strict=True))
            rows.writerow([name, *words])

    return add


def add_json_lines(stream: TextIO, scheme: LabelSchema) -> Add:
    """A JSON object in a line of its own for each photo: see `Answers.records`."""

    def add(answers: BatchPredictions) -> None:
        for record in answers.records():
            stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")

    return add


WRITERS: dict[str, Callable[[TextIO, LabelSchema], Add]] = {
    "submission": add_submission,
    "probabilities": add_probabilities,
    "attributes": add_attributes,
    "jsonl": add_json_lines,
}
"""What answers can be written as: each writes its header to a stream and gives what takes the answers."""


@contextmanager
def open_prediction_writers(files: Mapping[str, Path], scheme: LabelSchema) -> Iterator[Add]:
    """Opens files for answers and gives what takes these, batch by batch; they appear on leaving without an error.

    Args:
        files: By a name of `KINDS`. A file that is there is replaced.
        scheme: What the answers are about.
    """
    with ExitStack() as files_open:
        # Entered first and so left last: every file is closed before the first of them takes its place.
        drafts = {kind: files_open.enter_context(atomic_write(path)) for kind, path in files.items()}
        streams = {
            kind: files_open.enter_context(draft.open("w", encoding="utf-8", newline=""))
            for kind, draft in drafts.items()
        }
        adders = [WRITERS[kind](stream, scheme) for kind, stream in streams.items()]

        def add(answers: BatchPredictions) -> None:
            for own in adders:
                own(answers)

        yield add

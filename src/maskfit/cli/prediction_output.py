"""Output of `maskfit predict`: files, and predictions on standard output."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from maskfit.cli.console import check_overwrite, err, escape, print_set_aside, print_written
from maskfit.errors import DataError
from maskfit.file_io import writing
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.cli.predict_faces import AnswerCounts
    from maskfit.inference.prediction import BatchPredictions

MAX_SHOWN_FALLBACKS = 10
"""Maximum number of photos without a face that are listed; --json lists all."""


@dataclass(frozen=True)
class OutputPaths:
    """Files to write; None is not written.

    Attributes:
        submission, probabilities, attributes, jsonl: Paths by kind of output (`inference.prediction_writers.KINDS`).
    """

    submission: Path | None
    probabilities: Path | None
    attributes: Path | None
    jsonl: Path | None

    def named(self) -> dict[str, Path]:
        """Returns the files to write, by kind."""
        return {kind: path for kind, path in vars(self).items() if path}

    def check_overwrite(self, force: bool) -> None:
        """Checks that no existing file would be replaced, and that all paths differ.

        Args:
            force: Whether existing files may be replaced.

        Raises:
            DataError: A file exists and `force` is false, or two outputs have the same path.
        """
        paths = list(self.named().values())
        for path in paths:
            check_overwrite(path, force)
        if len({path.resolve() for path in paths}) < len(paths):
            raise DataError("two outputs have the same path", location=paths[0], hint="choose a file for each")


@dataclass
class PredictionSummary:
    """Counts and warnings of a prediction, collected batch by batch.

    Attributes:
        keep_all: Whether all photos without a face are listed, or only the first.
        rows: Number of predicted photos.
        unreadable: Reasons of unreadable photos, by name.
        shown_fallbacks: Names of photos without a face.
        num_fallbacks: Number of photos without a face.
    """

    keep_all: bool
    rows: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    shown_fallbacks: list[str] = field(default_factory=list)
    num_fallbacks: int = 0

    def add(self, predictions: BatchPredictions) -> None:
        """Adds the next batch."""
        self.rows += len(predictions)
        self.unreadable |= predictions.unreadable
        self.num_fallbacks += len(predictions.fallback_crops)
        self.shown_fallbacks += (
            predictions.fallback_crops
            if self.keep_all
            else predictions.fallback_crops[: MAX_SHOWN_FALLBACKS - len(self.shown_fallbacks)]
        )

    def print(self, written: list[Path], submission: Path | None = None, schema_name: str | None = None) -> None:
        """Prints written files, photos without a face and unreadable photos on standard error.

        Args:
            written: The files.
            submission: The one with class indices; None without it.
            schema_name: Name of their label schema; None for the default one, and for one without a name.
        """
        for path in written:
            print_written(path, format_count(self.rows, "row"))
        if submission is not None and schema_name is not None:
            # Class 2 of another schema would be scored as class 2 of the default one.
            command = f"maskfit evaluate TRUTH {shlex.quote(str(submission))} --schema {schema_name}"
            err.print(f"next: {command}", markup=False, soft_wrap=True)
        if self.num_fallbacks:
            shown = self.shown_fallbacks[:MAX_SHOWN_FALLBACKS]
            more = self.num_fallbacks - len(shown)
            named = ", ".join(shown) + (f" and {more:,} more" if more else "")
            err.print(f"no face found in {format_count(self.num_fallbacks, 'photo')}, using the fallback crop: {named}")
        print_set_aside(self.unreadable)


@contextmanager
def buffered_stdout(buffer: bool) -> Iterator[TextIO]:
    """Returns a stream for predictions: standard output, or a buffer printed there on success.

    Args:
        buffer: Whether predictions must be complete, so that nothing is printed on failure.

    Yields:
        The stream.
    """
    if not buffer:
        yield sys.stdout
        return
    with (
        writing(Path(tempfile.gettempdir())),
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        yield stream
        stream.seek(0)
        shutil.copyfileobj(stream, sys.stdout)


def print_predictions(predictions: BatchPredictions, stream: TextIO, counts: AnswerCounts) -> None:
    """Prints one line for each photo.

    Args:
        predictions: A batch of predictions.
        stream: Where to print.
        counts: Counts of the answers, to which these are added.
    """
    from maskfit.inference.decisions import format_prediction

    for name, decisions in zip(predictions.names, predictions.decide(), strict=True):
        stream.write(f"{escape(name)}: {format_prediction(decisions)}\n")
        counts.add(decisions[0])


@contextmanager
def stream_json(stream: TextIO, extras: Callable[[], dict[str, Any]]) -> Iterator[Callable[[BatchPredictions], None]]:
    """Writes one JSON object with the predictions under `answers`, batch by batch, followed by further members.

    Args:
        stream: Where to write.
        extras: Returns the other members once all predictions are written.

    Yields:
        A function to call with each batch.
    """
    rows = 0

    def add(predictions: BatchPredictions) -> None:
        nonlocal rows
        batch_rows = zip(
            predictions.names,
            predictions.classes.tolist(),
            predictions.confidence.tolist(),
            predictions.decide(),
            strict=True,
        )
        for name, number, probability, decisions in batch_rows:
            record = {
                "photo": name,
                "answer": predictions.schema.describe(number),
                "class": number,
                "probability": probability,
                "attributes": {decision.attribute: decision.to_dict() for decision in decisions},
            }
            stream.write(",\n" if rows else "\n")
            stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False))
            rows += 1

    stream.write('{"answers": [')
    yield add
    stream.write("\n]")
    for name, value in extras().items():
        stream.write(f",\n{json.dumps(name)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}")
    stream.write("}\n")

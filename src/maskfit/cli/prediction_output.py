"""Output of `maskfit predict`: files, and predictions on standard output."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from maskfit.cli.console import check_overwrite, err
from maskfit.errors import DataError

if TYPE_CHECKING:
    from maskfit.inference.prediction import BatchPredictions

GUESSES_SHOWN = 10
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
        each = vars(self)
        return {kind: path for kind, path in each.items() if path}

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
        every: Whether all photos without a face are listed, or only the first.
        rows: Number of predicted photos.
        unreadable: Reasons of unreadable photos, by name.
        guessed: Names of photos without a face.
        guesses: Number of photos without a face.
    """

    every: bool
    rows: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    guesses: int = 0

    def add(self, answers: BatchPredictions) -> None:
        """Adds the next batch."""
        self.rows += len(answers)
        self.unreadable |= answers.unreadable
        self.guesses += len(answers.fallback_crops)
        self.guessed += (
            answers.fallback_crops if self.every else answers.fallback_crops[: GUESSES_SHOWN - len(self.guessed)]
        )

    def print(self, written: list[Path]) -> None:
        """Prints written files, photos without a face and unreadable photos on standard error.

        Args:
            written: The files.
        """
        for path in written:
            err.print(f"written: {path}: {self.rows} rows")
        if self.guesses:
            shown = self.guessed[:GUESSES_SHOWN]
            more = self.guesses - len(shown)
            named = ", ".join(shown) + (f" and {more:,} more" if more else "")
            err.print(f"no face found in {self.guesses:,} photos, using the fallback crop: {named}")
        if self.unreadable:
            err.print(f"set aside {len(self.unreadable)} unreadable photos:", style="yellow")
            for name, reason in self.unreadable.items():
                err.print(f"  {name}: {reason}")


@contextmanager
def buffered_stdout(hold: bool) -> Iterator[TextIO]:
    """Returns a stream for predictions: standard output, or a buffer printed there on success.

    Args:
        hold: Whether predictions must be complete, so that nothing is printed on failure.

    Yields:
        The stream.
    """
    if not hold:
        yield sys.stdout
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        yield stream
        stream.seek(0)
        shutil.copyfileobj(stream, sys.stdout)


def print_predictions(answers: BatchPredictions, stream: TextIO) -> None:
    """Prints one line for each photo.

    Args:
        answers: A batch of predictions.
        stream: Where to print.
    """
    from maskfit.inference.decisions import format_prediction

    for name, said in zip(answers.names, answers.decide(), strict=True):
        stream.write(f"{name}: {format_prediction(said)}\n")


@contextmanager
def stream_json(stream: TextIO, rest: Callable[[], dict[str, Any]]) -> Iterator[Callable[[BatchPredictions], None]]:
    """Writes one JSON object with `answers`, batch by batch, followed by further members.

    Args:
        stream: Where to write.
        rest: Returns the other members once all predictions are written.

    Yields:
        A function to call with each batch.
    """
    rows = 0

    def add(answers: BatchPredictions) -> None:
        nonlocal rows
        each = zip(answers.names, answers.classes.tolist(), answers.confidence.tolist(), answers.decide(), strict=True)
        for name, number, share, said in each:
            record = {
                "photo": name,
                "answer": answers.schema.describe(number),
                "class": number,
                "probability": share,
                "attributes": {one.attribute: one.to_dict() for one in said},
            }
            stream.write(",\n" if rows else "\n")
            stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False))
            rows += 1

    stream.write('{"answers": [')
    yield add
    stream.write("\n]")
    for name, value in rest().items():
        stream.write(f",\n{json.dumps(name)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}")
    stream.write("}\n")

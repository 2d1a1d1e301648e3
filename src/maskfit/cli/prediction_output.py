"""What `maskfit predict` hands out: files that are written, and answers on standard output."""

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
"""Photos without a face that are named; --json names all."""


@dataclass(frozen=True)
class OutputPaths:
    """What a prediction writes; None is not written.

    Attributes:
        submission, probabilities, attributes, jsonl: Kinds of `inference.writing.KINDS`.
    """

    submission: Path | None
    probabilities: Path | None
    attributes: Path | None
    jsonl: Path | None

    def named(self) -> dict[str, Path]:
        """The files to write, by kind."""
        each = vars(self)
        return {kind: path for kind, path in each.items() if path}

    def check_overwrite(self, force: bool) -> None:
        """Stops before anything is replaced: a file that exists, or one of these by another.

        Raises:
            DataError: Something would be.
        """
        paths = list(self.named().values())
        for path in paths:
            check_overwrite(path, force)
        if len({path.resolve() for path in paths}) < len(paths):
            raise DataError("two outputs bear one name", location=paths[0], hint="name a file for each")


@dataclass
class PredictionSummary:
    """What is said beside the answers, gathered while they come. Nothing is held of a photo that was answered.

    Attributes:
        every: Whether all guesses are named, or only the first.
        rows: How many photos were answered.
        unreadable: Photos that were set aside, by name, and why.
        guessed: Names of photos without a face.
        guesses: How many these are.
    """

    every: bool
    rows: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)
    guesses: int = 0

    def add(self, answers: BatchPredictions) -> None:
        """Takes the next batch."""
        self.rows += len(answers)
        self.unreadable |= answers.unreadable
        self.guesses += len(answers.fallback_crops)
        self.guessed += (
            answers.fallback_crops if self.every else answers.fallback_crops[: GUESSES_SHOWN - len(self.guessed)]
        )

    def print(self, written: list[Path]) -> None:
        """Says on standard error what was written, guessed and set aside."""
        for path in written:
            err.print(f"wrote {path}: {self.rows} rows")
        if self.guesses:
            shown = self.guessed[:GUESSES_SHOWN]
            more = self.guesses - len(shown)
            named = ", ".join(shown) + (f" and {more:,} more" if more else "")
            err.print(f"no face found in {self.guesses:,} photos, the crop's fallback was taken: {named}")
        if self.unreadable:
            err.print(f"set aside, {len(self.unreadable)} that cannot be read:", style="yellow")
            for name, reason in self.unreadable.items():
                err.print(f"  {name}: {reason}")


@contextmanager
def buffered_stdout(hold: bool) -> Iterator[TextIO]:
    """Gives where to print answers: standard output, or what goes there on leaving without an error.

    Args:
        hold: Whether answers are worth nothing unless all of them come.
    """
    if not hold:
        yield sys.stdout
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        yield stream
        stream.seek(0)
        shutil.copyfileobj(stream, sys.stdout)


def print_predictions(answers: BatchPredictions, stream: TextIO) -> None:
    """A line for each photo."""
    from maskfit.inference.decisions import format_prediction

    for name, said in zip(answers.names, answers.decide(), strict=True):
        stream.write(f"{name}: {format_prediction(said)}\n")


@contextmanager
def stream_json(stream: TextIO, rest: Callable[[], dict[str, Any]]) -> Iterator[Callable[[BatchPredictions], None]]:
    """One JSON object with `answers`, written while they come, and then `rest`.

    Args:
        stream: Where it goes.
        rest: Gives the other members once all answers are there.
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

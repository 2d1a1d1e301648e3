"""A run is a folder that tells its whole story; this file is the only one that knows the names in it.

RUN/
  recipe.yaml         the recipe, every default written out
  folds.csv           who was trained on and who was held out
  environment.json    versions, machine, command
  probabilities.csv   out-of-fold: each photo as judged by the fold that never saw its person
  scores.json         what they score
  report.html         the same for people
  fold0/
    best.safetensors  the model of the best epoch
    last.ckpt         for resuming only
    metrics.csv       a row for each epoch
    steps.csv         a row for each step
    probabilities.csv the held-out photos
    scores.json       what they score; written last, so that it says that the fold is done
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from maskfit.errors import RunError


@dataclass(frozen=True)
class FoldFolder:
    """The files of one fold."""

    path: Path

    @property
    def model(self) -> Path:
        return self.path / "best.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.path / "last.ckpt"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def steps(self) -> Path:
        return self.path / "steps.csv"

    @property
    def probabilities(self) -> Path:
        return self.path / "probabilities.csv"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def done(self) -> bool:
        """Whether training of this fold came to its end."""
        return self.scores.is_file()


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def folds(self) -> Path:
        return self.path / "folds.csv"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def probabilities(self) -> Path:
        return self.path / "probabilities.csv"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def fold(self, number: int) -> FoldFolder:
        """The folder of one fold."""
        return FoldFolder(self.path / f"fold{number}")

    def fold_numbers(self) -> list[int]:
        """The folds that have begun, in order."""
        names = (re.fullmatch(r"fold(\d+)", item.name) for item in self.path.iterdir() if item.is_dir())
        return sorted(int(match[1]) for match in names if match)

    def models(self) -> list[Path]:
        """The models of all folds that are done.

        Raises:
            RunError: None is.
        """
        models = [self.fold(number).model for number in self.fold_numbers() if self.fold(number).done]
        if not models:
            raise RunError(
                "no fold of this run is done", where=self.path, fix="maskfit train RECIPE run=THIS --resume ends it"
            )
        return models


def is_run(path: Path) -> bool:
    """Whether a folder is a run."""
    return path.is_dir() and RunFolder(path).recipe.is_file()

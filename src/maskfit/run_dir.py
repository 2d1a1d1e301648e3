"""A run is a folder that tells its whole story; this file is the only one that knows the names in it.

RUN/
  recipe.yaml         the recipe, every default written out
  folds.csv           who was trained on and who was held out
  environment.json    versions, machine, command, and the precision that was chosen
  probabilities.csv   out-of-fold: each photo as judged by the fold that never saw its person
  scores.json         what they score
  report.html         the same for people
  fold0/
    best.safetensors  the model of the best epoch
    models.json       which models are kept, the best first; beside it the next best as epoch007.safetensors
    final.safetensors with trainer.full_data_epochs: the model after the last epochs on all photos
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

from maskfit.errors import MaskfitError, RunError
from maskfit.file_io import read_json

_MEND = "restore the file, or train this fold anew"


@dataclass(frozen=True)
class FoldDir:
    """The files of one fold."""

    path: Path

    @property
    def model(self) -> Path:
        return self.path / "best.safetensors"

    @property
    def models_index(self) -> Path:
        return self.path / "models.json"

    @property
    def final(self) -> Path:
        return self.path / "final.safetensors"

    def epoch(self, number: int) -> Path:
        """The model of an epoch that is among the best but is not the best."""
        return self.path / f"epoch{number:03d}.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.path / "last.ckpt"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def step_losses_csv(self) -> Path:
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

    def top_k_models(self, count: int = 1) -> list[Path]:
        """The models of the fold's best epochs, the best first; without an index there is `best.safetensors` alone.

        Raises:
            RunError: Fewer than `count` are kept, or the index is damaged or names a file that is not in this folder.
        """
        models = [self.model]
        if self.models_index.is_file():
            models = [self.path / name for name in self._indexed()]
        if not 1 <= count <= len(models):
            kept = "one model" if len(models) == 1 else f"{len(models)} models"
            raise RunError(
                f"this fold keeps {kept}, not {count}",
                location=self.path,
                hint=f"take --top {len(models)}, or train with trainer.save_top_k={max(count, 1)}",
            )
        absent = [path.name for path in models[:count] if not path.is_file()]
        if absent and self.models_index.is_file():
            raise RunError(f"the index names {absent[0]}, which is not there", location=self.models_index, hint=_MEND)
        return models[:count]

    def _indexed(self) -> list[str]:
        """The file names in the index, in its order."""
        try:
            rows = read_json(self.models_index)
            names = [row["file"] for row in rows]
        except (MaskfitError, TypeError, KeyError):
            names = []
        # An index from elsewhere must not lead out of the fold.
        if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise RunError("this is no index of models", location=self.models_index, hint=_MEND)
        return names


@dataclass(frozen=True)
class RunDir:
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

    def fold(self, number: int) -> FoldDir:
        """The folder of one fold."""
        return FoldDir(self.path / f"fold{number}")

    def fold_numbers(self) -> list[int]:
        """The folds that have begun, in order."""
        names = (re.fullmatch(r"fold(\d+)", item.name) for item in self.path.iterdir() if item.is_dir())
        return sorted(int(match[1]) for match in names if match)

    def models(self, top: int = 1) -> list[Path]:
        """The models of all folds that are done, of each the `top` best.

        Raises:
            RunError: No fold is done, or one keeps fewer.
        """
        done = [self.fold(number) for number in self.fold_numbers() if self.fold(number).done]
        models = [path for fold in done for path in fold.top_k_models(top)]
        if not models:
            raise RunError(
                "no fold of this run is done",
                location=self.path,
                hint="maskfit train RECIPE output_dir=THIS --resume ends it",
            )
        return models


def is_run_dir(path: Path) -> bool:
    """Whether a folder is a run."""
    return path.is_dir() and RunDir(path).recipe.is_file()

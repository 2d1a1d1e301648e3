"""File layout of a run folder; no other module knows these file names.

RUN/
  recipe.yaml             the recipe, every default written out
  splits.csv              person -> fold
  environment.json        versions, machine, command, its folder, and the precision that was chosen
  oof_probabilities.csv   out-of-fold predictions: each photo by the fold that was not trained on its person
  oof_ages.csv            with narrow age bands: the probability of each year of age, out of fold
  scores.json             scores of the out-of-fold predictions
  report.html             the report
  fold0/
    best.safetensors      model of the best epoch
    models.json           the models that are kept, best first; the others are named like epoch007.safetensors
    full_data.safetensors with trainer.full_data_epochs: the model after further epochs on all photos
    last.ckpt             checkpoint for resuming
    metrics.csv           one row per epoch
    train_loss.csv        one row per training step
    probabilities.csv     predictions of the held-out photos
    age_bands.csv         with narrow age bands: their probabilities, which are scored as the official bands
    scores.json           their scores; written last, so that it marks the fold as complete

Runs of earlier versions have `folds.csv`, `probabilities.csv`, `final.safetensors` and `steps.csv` in place of
`splits.csv`, `oof_probabilities.csv`, `full_data.safetensors` and `train_loss.csv`; these are found too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from maskfit.errors import MaskfitError, RunError
from maskfit.file_io import read_json
from maskfit.text import format_count

WORKING_DIR = "working_dir"
"""Key of `environment.json`: the folder in which the training was started, where relative paths of the recipe start."""

_REPAIR_HINT = "restore the file, or train this fold again"


def _with_old_name(path: Path, old_name: str) -> Path:
    """Returns `path`, or the same file's old name where only that exists."""
    old = path.with_name(old_name)
    return old if old.is_file() and not path.is_file() else path


def epoch_of_model(path: Path) -> int:
    """Returns the epoch in the name of `FoldDir.epoch_model`.

    Args:
        path: The model file.

    Returns:
        The epoch, from 0.
    """
    return int(path.stem.removeprefix("epoch"))


@dataclass(frozen=True)
class FoldDir:
    """Paths of the files of one fold.

    Attributes:
        path: The fold's folder.
    """

    path: Path

    @property
    def model(self) -> Path:
        """Model of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def models_index(self) -> Path:
        """List of the models that are kept."""
        return self.path / "models.json"

    @property
    def full_data_model(self) -> Path:
        """Model after the further epochs on all photos."""
        return _with_old_name(self.path / "full_data.safetensors", "final.safetensors")

    def epoch_model(self, number: int) -> Path:
        """Returns the path of a model that is kept although its epoch is not the best.

        Args:
            number: Epoch, from 0.

        Returns:
            The path.
        """
        return self.path / f"epoch{number:03d}.safetensors"

    @property
    def checkpoint(self) -> Path:
        """Checkpoint for resuming."""
        return self.path / "last.ckpt"

    @property
    def metrics(self) -> Path:
        """Metrics by epoch."""
        return self.path / "metrics.csv"

    @property
    def train_loss(self) -> Path:
        """Training loss by step."""
        return _with_old_name(self.path / "train_loss.csv", "steps.csv")

    @property
    def probabilities(self) -> Path:
        """Predictions of the held-out photos."""
        return self.path / "probabilities.csv"

    @property
    def age_bands(self) -> Path:
        """Predictions of the narrow age bands, where the run was trained on them."""
        return self.path / "age_bands.csv"

    @property
    def scores(self) -> Path:
        """Scores of these predictions."""
        return self.path / "scores.json"

    @property
    def done(self) -> bool:
        """Whether training of this fold is complete."""
        return self.scores.is_file()

    def top_k_models(self, count: int = 1) -> list[Path]:
        """Returns the models of the fold's best epochs, best first.

        Args:
            count: Number of models, >= 1; without an index there is only `best.safetensors`.

        Returns:
            Paths of existing files, except that `best.safetensors` is not checked where there is no index.

        Raises:
            RunError: Fewer than `count` models are kept, or the index is damaged or names a file that is missing.
        """
        models = [self.model]
        if self.models_index.is_file():
            models = [self.path / name for name in self._indexed_names()]
        if not 1 <= count <= len(models):
            kept = format_count(len(models), "model")
            raise RunError(
                f"this fold keeps {kept}, not {count}",
                location=self.path,
                hint=f"use --top-k {len(models)}, or train with trainer.save_top_k={max(count, 1)}",
            )
        missing = [path.name for path in models[:count] if not path.is_file()]
        if missing and self.models_index.is_file():
            raise RunError(
                f"the index names {missing[0]}, which is missing", location=self.models_index, hint=_REPAIR_HINT
            )
        return models[:count]

    def _indexed_names(self) -> list[str]:
        """Returns the file names in the index, in its order."""
        try:
            rows = read_json(self.models_index)
            names = [row["file"] for row in rows]
        except (MaskfitError, TypeError, KeyError):
            names = []
        # An index from an untrusted source must not lead out of the fold's folder.
        if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise RunError("invalid index of models", location=self.models_index, hint=_REPAIR_HINT)
        return names


@dataclass(frozen=True)
class RunDir:
    """Paths of the files of one run.

    Attributes:
        path: The run folder.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The complete recipe."""
        return self.path / "recipe.yaml"

    @property
    def splits(self) -> Path:
        """Assignment of persons to folds."""
        return _with_old_name(self.path / "splits.csv", "folds.csv")

    @property
    def environment(self) -> Path:
        """Versions, machine and command."""
        return self.path / "environment.json"

    def read_working_dir(self) -> Path | None:
        """Reads in which folder the training was started.

        Returns:
            The folder, which may be gone; None where the run does not record it.
        """
        try:
            recorded = read_json(self.environment)[WORKING_DIR]
        except (MaskfitError, KeyError, TypeError):
            return None
        return Path(recorded) if isinstance(recorded, str) and recorded else None

    @property
    def oof_probabilities(self) -> Path:
        """Out-of-fold predictions."""
        return _with_old_name(self.path / "oof_probabilities.csv", "probabilities.csv")

    @property
    def oof_ages(self) -> Path:
        """Out-of-fold ages in years, where the run was trained on narrow age bands."""
        return self.path / "oof_ages.csv"

    @property
    def scores(self) -> Path:
        """Scores of the out-of-fold predictions."""
        return self.path / "scores.json"

    @property
    def report(self) -> Path:
        """The report as HTML."""
        return self.path / "report.html"

    def fold(self, number: int) -> FoldDir:
        """Returns the folder of one fold.

        Args:
            number: Fold, from 0.

        Returns:
            Its paths; the folder may not exist.
        """
        return FoldDir(self.path / f"fold{number}")

    def fold_numbers(self) -> list[int]:
        """Returns the numbers of the folds that have been started, ascending."""
        names = (re.fullmatch(r"fold(\d+)", item.name) for item in self.path.iterdir() if item.is_dir())
        return sorted(int(match[1]) for match in names if match)

    def models(self, top: int = 1) -> list[Path]:
        """Returns the best models of all complete folds.

        Args:
            top: Number of models per fold, >= 1.

        Returns:
            Paths by fold, best first within a fold.

        Raises:
            RunError: No fold is complete, or one keeps fewer models.
        """
        folds = [self.fold(number) for number in self.fold_numbers() if self.fold(number).done]
        models = [path for fold in folds for path in fold.top_k_models(top)]
        if not models:
            raise RunError(
                "no fold of this run is complete",
                location=self.path,
                hint="finish it with 'maskfit train RECIPE output_dir=THIS --resume'",
            )
        return models


def is_run_dir(path: Path) -> bool:
    """Checks whether a folder is a run folder.

    Args:
        path: Any path.

    Returns:
        Whether it is a folder with a `recipe.yaml`.
    """
    return path.is_dir() and RunDir(path).recipe.is_file()


def explain_no_run(path: Path) -> RunError:
    """Makes the error for a path that is not a run folder.

    Args:
        path: The path.

    Returns:
        The error to raise.
    """
    if path.is_file():
        hint = "name the folder that maskfit train wrote: it has predictions of held-out photos, which a model lacks"
        return RunError("this is a file, and a run is a folder", location=path, hint=hint)
    if not path.exists():
        return RunError("there is no such run", location=path, hint="check the path")
    return RunError("this is not a run: it has no recipe.yaml", location=path, hint="name a run folder")

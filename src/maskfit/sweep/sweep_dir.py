"""File names in a sweep's folder; no other module knows them.

SWEEP/
  recipe.yaml   the base recipe, with all defaults written out
  space.yaml    the search space, as it was given
  study.db      Optuna's study, unless another storage was named
  lock          held by the one command that works in this folder
  trials.csv    one row per trial
  report.html   the same as a page
  best.yaml     the recipe of the best trial, for `maskfit train`
  trials/0007   run folder of a trial; models and checkpoints of the best trials only
  logs/0007.txt output of a trial
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskfit.run_dir import RunDir


@dataclass(frozen=True)
class SweepDir:
    """The files of one sweep.

    Attributes:
        path: The sweep's folder.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The base recipe."""
        return self.path / "recipe.yaml"

    @property
    def space(self) -> Path:
        """The search space."""
        return self.path / "space.yaml"

    @property
    def study(self) -> Path:
        """SQLite database of Optuna's study."""
        return self.path / "study.db"

    @property
    def lock(self) -> Path:
        """Lock file."""
        return self.path / "lock"

    @property
    def trials(self) -> Path:
        """Table of all trials."""
        return self.path / "trials.csv"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.path / "report.html"

    @property
    def best(self) -> Path:
        """Recipe of the best trial."""
        return self.path / "best.yaml"

    def trial(self, number: int) -> RunDir:
        """Returns the run folder of a trial.

        Args:
            number: Trial number.

        Returns:
            The folder, which may not exist yet.
        """
        return RunDir(self.path / "trials" / f"{number:04d}")

    def log(self, number: int) -> Path:
        """Returns the log file of a trial.

        Args:
            number: Trial number.

        Returns:
            The path.
        """
        return self.path / "logs" / f"{number:04d}.txt"

    @property
    def exists(self) -> bool:
        """Whether the folder holds a sweep."""
        return self.space.is_file()

"""A sweep is a folder; this file is the only one that knows the names in it.

SWEEP/
  recipe.yaml   the recipe that is varied, every default written out
  space.yaml    what is tried, as it was given
  study.db      what was tried and what came of it, unless another storage was named
  lock          one command at a time works here
  trials.csv    a row for each trial
  report.html   the same for people
  best.yaml     the recipe of the best trial; `maskfit train` takes it as it is
  trials/0007   the run of a trial; models and checkpoints are kept of the best alone
  logs/0007.txt what a trial said
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskfit.run_dir import RunDir


@dataclass(frozen=True)
class SweepDir:
    """The files of one sweep."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def space(self) -> Path:
        return self.path / "space.yaml"

    @property
    def study(self) -> Path:
        return self.path / "study.db"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def trials(self) -> Path:
        return self.path / "trials.csv"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def best(self) -> Path:
        return self.path / "best.yaml"

    def trial(self, number: int) -> RunDir:
        """The run of a trial."""
        return RunDir(self.path / "trials" / f"{number:04d}")

    def log(self, number: int) -> Path:
        """What a trial said."""
        return self.path / "logs" / f"{number:04d}.txt"

    @property
    def begun(self) -> bool:
        """Whether a sweep was begun here."""
        return self.space.is_file()

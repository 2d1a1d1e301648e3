"""The results of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskfit.sweep.search_space import Dimension
from maskfit.sweep.study import TrialRecord
from maskfit.sweep.sweep_dir import SweepDir
from maskfit.text import format_count


@dataclass(frozen=True)
class SweepResults:
    """The results of a sweep.

    Attributes:
        name: Name of the recipe.
        folder: The sweep's folder.
        trials: Every trial, by number.
        best: The done trial with the highest score.
        importances: Parameter -> fraction of the scores' variance that it explains, in [0, 1].
        parameters: Name -> range or choice, by the names in `TrialRecord.params`.
        photos: Number of held-out photos on which each trial was evaluated.
        persons: Number of persons on those photos.
    """

    name: str
    folder: SweepDir
    trials: tuple[TrialRecord, ...]
    best: TrialRecord
    importances: Mapping[str, float]
    parameters: Mapping[str, Dimension]
    photos: int
    persons: int

    def count(self, state: str) -> int:
        """Counts the trials in a state.

        Args:
            state: `done`, `pruned`, `failed` or `running`.

        Returns:
            The number of trials.
        """
        return sum(item.state == state for item in self.trials)

    @property
    def num_within_interval(self) -> int:
        """Number of other done trials whose score is not below the best trial's interval over persons."""
        low = self.best.metadata.get("low")
        done = [item for item in self.trials if item.state == "done" and item.number != self.best.number]
        return 0 if low is None else sum((item.score or 0.0) >= low for item in done)

    @property
    def reliability_note(self) -> str:
        """Sentences on how reliable the best score is: its interval, and that it is optimistic."""
        low, high = self.best.metadata.get("low"), self.best.metadata.get("high")
        interval = "" if low is None or high is None else f" (95 % interval over persons: {low:.3f} to {high:.3f})"
        near = (
            f" {format_count(self.num_within_interval, 'other trial is', 'other trials are')} within that interval."
            if interval
            else ""
        )
        return (
            f"Evaluated on {format_count(self.photos, 'held-out photo')} of "
            f"{format_count(self.persons, 'person')}{interval}.{near} The best of "
            f"{self.count('done')} trials was selected on these same photos, so its score is optimistic: evaluate the "
            "best recipe on persons that no trial was evaluated on."
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the results as JSON values.

        Returns:
            The mapping that `maskfit tune --json` prints.
        """
        return {
            "sweep": str(self.folder.path),
            "photos": self.photos,
            "persons": self.persons,
            "best": _trial_to_dict(self.best),
            "best_recipe": str(self.folder.best),
            "within_interval": self.num_within_interval,
            "importances": dict(self.importances),
            "trials": [_trial_to_dict(item) for item in self.trials],
        }


def _trial_to_dict(trial: TrialRecord) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "score": trial.score,
        "epochs": len(trial.steps),
        "values": trial.params,
        **trial.metadata,
    }

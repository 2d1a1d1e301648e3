"""What came of a sweep, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskfit.sweep.search_space import Dimension
from maskfit.sweep.study import TrialRecord
from maskfit.sweep.sweep_dir import SweepDir


@dataclass(frozen=True)
class SweepResults:
    """What came of a sweep.

    Attributes:
        name: What the recipe is called.
        folder: Where all of it lies.
        trials: Every trial, in order.
        best: The best of those that are done.
        importances: The share of the scores' variance that each value accounts for.
        dimensions: What was varied, by the names that trials have for it.
        photos, persons: On how many photos of how many persons each trial was judged.
    """

    name: str
    folder: SweepDir
    trials: tuple[TrialRecord, ...]
    best: TrialRecord
    importances: Mapping[str, float]
    dimensions: Mapping[str, Dimension]
    photos: int
    persons: int

    def count(self, state: str) -> int:
        """How many trials ended so."""
        return sum(item.state == state for item in self.trials)

    @property
    def num_within_interval(self) -> int:
        """How many other trials that are done lie within the best one's interval over persons."""
        low = self.best.facts.get("low")
        done = [item for item in self.trials if item.state == "done" and item.number != self.best.number]
        return 0 if low is None else sum((item.score or 0.0) >= low for item in done)

    @property
    def reliability_note(self) -> str:
        """How far the best score is to be believed."""
        low, high = self.best.facts.get("low"), self.best.facts.get("high")
        around = "" if low is None or high is None else f" (95 % of draws of persons: {low:.3f} to {high:.3f})"
        near = f" {self.num_within_interval} other trials lie within that range." if around else ""
        return (
            f"Judged on {self.photos:,} held-out photos of {self.persons:,} persons{around}.{near} The best of "
            f"{self.count('done')} trials was chosen by these very photos, so its score is optimistic: judge the best "
            "recipe on persons that no trial was judged on."
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "sweep": str(self.folder.path),
            "photos": self.photos,
            "persons": self.persons,
            "best": _as_dict(self.best),
            "best_recipe": str(self.folder.best),
            "within_interval": self.num_within_interval,
            "importances": dict(self.importances),
            "trials": [_as_dict(item) for item in self.trials],
        }


def _as_dict(item: TrialRecord) -> dict[str, Any]:
    return {
        "number": item.number,
        "state": item.state,
        "score": item.score,
        "epochs": len(item.steps),
        "values": item.params,
        **item.facts,
    }

"""A sweep's memory: Optuna's study, which outlives the command, and what is asked of it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from maskfit.errors import DataError, RunError
from maskfit.registry import ComponentSpec
from maskfit.sweep.samplers import make_sampler
from maskfit.sweep.search_space import Space
from maskfit.sweep.trial_worker import Outcome

IDENTITY = "maskfit"
"""The study's attribute that says what it is about."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class TrialRecord:
    """A trial of the study.

    Attributes:
        number: From 0.
        state: `done`, `pruned`, `failed` or `running`.
        score: The held-out macro F1 of one that is done; of a pruned one the last that it reported.
        params: By the names of `Space.names`; options of parts that were not chosen are missing.
        steps: (step, macro F1) of each epoch, over all folds.
        facts: What else is known: `seconds`, `low`, `high`, `reason`, `attempts`, `same_as`.
    """

    number: int
    state: str
    score: float | None
    params: dict[str, Any]
    steps: tuple[tuple[int, float], ...]
    facts: dict[str, Any]


def format_value(value: Any) -> str:
    """A value as tables have it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def values_of(tried: TrialRecord) -> str:
    """A trial's values in one line."""
    return ", ".join(f"{name}={format_value(value)}" for name, value in tried.params.items())


_STATES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


class Study:
    """What was tried, and what to try next.

    Args:
        study: Optuna's.
        space: What is tried.
        sampler: How the next trial is chosen, by its name in `SAMPLERS`.
        seed: All of the sweep's own chance follows from it.
        parallel: Whether trials run side by side.
    """

    def __init__(self, study: optuna.Study, space: Space, sampler: ComponentSpec, seed: int, parallel: bool) -> None:
        self.study = study
        self.space = space
        self.sampler = sampler
        self.seed = seed
        self.parallel = parallel
        self.going: dict[int, optuna.Trial] = {}

    def interrupted_trials(self) -> list[int]:
        """Trials that were under way when the command ended; they are under way again."""
        cut = [trial for trial in self.study.get_trials(deepcopy=False) if not trial.state.is_finished()]
        for trial in cut:
            # As `study.ask()` makes them: Optuna has no public way back to a trial that is under way.
            self.going[trial.number] = optuna.Trial(self.study, trial._trial_id)
        return [trial.number for trial in cut]

    def ask(self) -> int:
        """Begins another trial and gives its number."""
        number = len(self.study.get_trials(deepcopy=False))
        self._seed_for(number)
        trial = self.study.ask()
        self.going[trial.number] = trial
        return int(trial.number)

    def draw(self, number: int) -> dict[str, Any]:
        """A trial's values by key of the recipe; asked again, they are the same."""
        self._seed_for(number)
        return self.space.draw(self.going[number])

    def values(self, number: int) -> dict[str, Any]:
        """The values of a trial that ended, by key of the recipe."""
        return self.space.draw(optuna.trial.FixedTrial(self.tried()[number].params))

    def _seed_for(self, number: int) -> None:
        # Chance follows from the place, as in training: a sweep that goes on draws what it would have drawn uncut.
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        self.study.sampler = make_sampler(self.sampler, seed, self.parallel)

    def find_duplicate(self, number: int) -> TrialRecord | None:
        """A trial of the same values that is done: training it again would give the same."""
        own = self.going[number].params
        return next((item for item in self.tried() if item.state == "done" and item.params == own), None)

    def set_attr(self, number: int, **facts: Any) -> None:
        """Writes down facts of a trial under way."""
        for name, value in facts.items():
            self.going[number].set_user_attr(name, value)

    def get_attr(self, number: int, name: str, default: Any = None) -> Any:
        """A fact of a trial under way."""
        return self.going[number].user_attrs.get(name, default)

    def report(self, number: int, step: int, score: float) -> bool:
        """Takes note of an epoch; whether the trial should be given up. Of known epochs it judges the last."""
        trial = self.going[number]
        known = self.study.get_trials(deepcopy=False)[number].intermediate_values
        if step not in known:
            trial.report(score, step)
        elif step < max(known):
            return False
        return bool(trial.should_prune())

    def end(self, number: int, outcome: Outcome) -> None:
        """Takes note of a trial's end."""
        self.set_attr(
            number,
            seconds=outcome.seconds + self.get_attr(number, "seconds", 0.0),
            low=outcome.low,
            high=outcome.high,
            **({"reason": outcome.reason} if outcome.reason else {}),
        )
        trial = self.going.pop(number)
        # A grid that is done would stop Optuna's own loop, which does not run here; the others hear nothing of an end.
        self.study.sampler = optuna.samplers.RandomSampler()
        if outcome.state == "done":
            self.study.tell(trial, outcome.score)
        else:
            state = TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL
            self.study.tell(trial, state=state)

    def tried(self) -> list[TrialRecord]:
        """Every trial, in order."""
        return [_tried(trial) for trial in self.study.get_trials(deepcopy=False)]

    def best(self) -> TrialRecord | None:
        """The best of those that are done; the first of equal ones."""
        done = [item for item in self.tried() if item.state == "done" and item.score is not None]
        return max(done, key=lambda item: (item.score or 0.0, -item.number)) if done else None

    def importances(self) -> dict[str, float]:
        """How much of the scores' variance each value accounts for, by fANOVA; empty where too few trials are done.

        Only what all trials drew can be compared: options of parts that not all chose are left out.
        """
        done = [item for item in self.tried() if item.state == "done"]
        if len(done) < 4 or len({item.score for item in done}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.seed)
        return dict(optuna.importance.get_param_importances(self.study, evaluator=evaluator))


def open_study(
    storage: str, name: str, identity: dict[str, Any], pruner: optuna.pruners.BasePruner, *, resume: bool
) -> optuna.Study:
    """Opens a study, or begins it.

    Args:
        storage: An address as SQLAlchemy takes it, such as sqlite:///tune.db.
        name: What the study is called there.
        identity: What it is about; a study is never gone on with about something else.
        pruner: When a trial is given up.
        resume: Whether it may be there already.

    Raises:
        DataError: The storage cannot be opened.
        RunError: It is there and may not be, or is about something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _storage_errors(storage):
        opened = optuna.storages.RDBStorage(storage)
        there = name in optuna.study.get_all_study_names(opened)
        if there and not resume:
            raise RunError(
                f"there is a study '{name}' already",
                location=storage,
                hint="add --resume, or name another with --study",
            )
        study = optuna.create_study(
            storage=opened, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
        )
        written = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        known = study.user_attrs.get(IDENTITY)
        if known is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(IDENTITY, written)
        elif known != written:
            raise RunError(
                f"the study '{name}' was begun with another recipe or space; {_changed(known, identity)}",
                location=storage,
                hint="resume it with the same recipe, words and space, or name another --study and --out",
            )
    return study


def _changed(known: str | None, identity: dict[str, Any]) -> str:
    before = json.loads(known) if known else {}
    names = [name for name in identity if before.get(name) != identity[name]]
    return f"what differs: {', '.join(names)}"


@contextmanager
def _storage_errors(storage: str) -> Iterator[None]:
    """Whatever a database says, in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (SQLAlchemyError, ImportError, ValueError) as error:
        what = str(error).strip().splitlines()[0]
        raise DataError(
            f"the storage cannot be opened: {what}",
            location=storage,
            hint="write it like sqlite:///tune.db, or install the driver it needs",
        ) from None


def _tried(trial: FrozenTrial) -> TrialRecord:
    steps = tuple(sorted(trial.intermediate_values.items()))
    return TrialRecord(
        trial.number, _STATES[trial.state], trial.value, dict(trial.params), steps, dict(trial.user_attrs)
    )

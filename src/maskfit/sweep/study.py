"""The record of a sweep: an Optuna study in a database, which survives the command."""

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
from maskfit.sweep.trial_worker import TrialOutcome

IDENTITY = "maskfit"
"""Name of the study attribute that holds the recipe and the space of the sweep."""

MIN_IMPORTANCE_TRIALS = 4
"""Number of done trials from which on importances are computed: the regression forest needs some variance."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial of the study.

    Attributes:
        number: Trial number, from 0.
        state: `done`, `pruned`, `failed` or `running`.
        score: Held-out macro F1 of a done trial; of a pruned one the last that it reported.
        params: Value by the names of `Space.parameters`; options of components that were not chosen are missing.
        steps: (step, macro F1) of each epoch, over all folds.
        metadata: Further values: `seconds`, `low`, `high`, `reason`, `attempts`, `same_as`.
    """

    number: int
    state: str
    score: float | None
    params: dict[str, Any]
    steps: tuple[tuple[int, float], ...]
    metadata: dict[str, Any]


def format_value(value: Any) -> str:
    """Returns a value as tables show it: floats with four significant digits.

    Args:
        value: The value.

    Returns:
        Its text.
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_params(trial: TrialRecord) -> str:
    """Returns a trial's values in one line.

    Args:
        trial: The trial.

    Returns:
        `name=value` pairs, separated by commas.
    """
    return ", ".join(f"{name}={format_value(value)}" for name, value in trial.params.items())


_STATES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


class Study:
    """Records trials and proposes new ones.

    Args:
        study: Optuna's study.
        space: The search space.
        sampler: How the next trial is chosen; a name in `SAMPLERS` with options.
        seed: Seed of the sweep.
        parallel: Whether several trials run at a time.
    """

    def __init__(self, study: optuna.Study, space: Space, sampler: ComponentSpec, seed: int, parallel: bool) -> None:
        self.study = study
        self.space = space
        self.sampler = sampler
        self.seed = seed
        self.parallel = parallel
        self._running: dict[int, optuna.Trial] = {}

    def interrupted_trials(self) -> list[int]:
        """Reopens the trials that were running when the command ended.

        Returns:
            Their numbers; they count as running again.
        """
        unfinished = [trial for trial in self.study.get_trials(deepcopy=False) if not trial.state.is_finished()]
        for trial in unfinished:
            # As `study.ask()` creates them: Optuna has no public way to reopen a running trial.
            self._running[trial.number] = optuna.Trial(self.study, trial._trial_id)
        return [trial.number for trial in unfinished]

    def ask(self) -> int:
        """Creates a new trial.

        Returns:
            Its number.
        """
        number = len(self.study.get_trials(deepcopy=False))
        self._seed_sampler(number)
        trial = self.study.ask()
        self._running[trial.number] = trial
        return int(trial.number)

    def draw(self, number: int) -> dict[str, Any]:
        """Draws the values of a running trial; repeated calls return the same values.

        Args:
            number: The trial.

        Returns:
            Recipe key -> value.
        """
        self._seed_sampler(number)
        return self.space.draw(self._running[number])

    def values(self, number: int) -> dict[str, Any]:
        """Returns the values of an ended trial.

        Args:
            number: The trial.

        Returns:
            Recipe key -> value.
        """
        return self.space.draw(optuna.trial.FixedTrial(self.trials()[number].params))

    def _seed_sampler(self, number: int) -> None:
        # Seeded by the trial's number: a resumed sweep draws the values that an uninterrupted one would have drawn.
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        self.study.sampler = make_sampler(self.sampler, seed, self.parallel)

    def find_duplicate(self, number: int) -> TrialRecord | None:
        """Returns a done trial with the same values; training again would give the same score.

        Args:
            number: A running trial.

        Returns:
            The first such trial, or None.
        """
        own = self._running[number].params
        return next((item for item in self.trials() if item.state == "done" and item.params == own), None)

    def set_attr(self, number: int, **metadata: Any) -> None:
        """Stores metadata of a running trial.

        Args:
            number: The trial.
            **metadata: Name -> JSON value.
        """
        for name, value in metadata.items():
            self._running[number].set_user_attr(name, value)

    def get_attr(self, number: int, name: str, default: Any = None) -> Any:
        """Returns one metadata value of a running trial.

        Args:
            number: The trial.
            name: Name of the value.
            default: Returned where there is none.

        Returns:
            The value.
        """
        return self._running[number].user_attrs.get(name, default)

    def report(self, number: int, step: int, score: float) -> bool:
        """Records the score of an epoch; a step that was recorded before a resume keeps its score.

        Args:
            number: The trial.
            step: Epoch counted over all folds, from 0.
            score: Macro F1.

        Returns:
            Whether the pruner stops the trial; never at a step before the last recorded one.
        """
        trial = self._running[number]
        recorded = self.study.get_trials(deepcopy=False)[number].intermediate_values
        if step not in recorded:
            trial.report(score, step)
        elif step < max(recorded):
            return False
        return bool(trial.should_prune())

    def end(self, number: int, outcome: TrialOutcome) -> None:
        """Records the end of a running trial.

        Args:
            number: The trial.
            outcome: How it ended; its seconds are added to those of earlier attempts.
        """
        self.set_attr(
            number,
            seconds=outcome.seconds + self.get_attr(number, "seconds", 0.0),
            low=outcome.low,
            high=outcome.high,
            **({"reason": outcome.reason} if outcome.reason else {}),
        )
        trial = self._running.pop(number)
        # A finished grid sampler would call study.stop(), which fails outside of study.optimize().
        self.study.sampler = optuna.samplers.RandomSampler()
        if outcome.state == "done":
            self.study.tell(trial, outcome.score)
        else:
            state = TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL
            self.study.tell(trial, state=state)

    def trials(self) -> list[TrialRecord]:
        """Returns every trial.

        Returns:
            The trials by number.
        """
        return [_to_record(trial) for trial in self.study.get_trials(deepcopy=False)]

    def best(self) -> TrialRecord | None:
        """Returns the done trial with the highest score; the first of equal ones.

        Returns:
            The trial, or None if no trial is done.
        """
        done = [item for item in self.trials() if item.state == "done" and item.score is not None]
        return max(done, key=lambda item: (item.score or 0.0, -item.number)) if done else None

    def importances(self) -> dict[str, float]:
        """Computes the fraction of the scores' variance that each parameter explains, by fANOVA.

        Only parameters that every trial has are compared: options of components that not all trials chose are left out.

        Returns:
            Parameter name -> fraction in [0, 1]; empty with fewer than `MIN_IMPORTANCE_TRIALS` done trials or equal
            scores.
        """
        done = [item for item in self.trials() if item.state == "done"]
        if len(done) < MIN_IMPORTANCE_TRIALS or len({item.score for item in done}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.seed)
        return dict(optuna.importance.get_param_importances(self.study, evaluator=evaluator))


def open_study(
    storage: str, name: str, identity: dict[str, Any], pruner: optuna.pruners.BasePruner, *, resume: bool
) -> optuna.Study:
    """Opens a study or creates it.

    Args:
        storage: SQLAlchemy URL, such as sqlite:///tune.db.
        name: Name of the study in the storage.
        identity: Recipe and space as JSON values; a study is never continued with different ones.
        pruner: When a trial is stopped early.
        resume: Whether the study may exist already.

    Returns:
        The study, which maximizes.

    Raises:
        DataError: The storage cannot be opened.
        RunError: The study exists and `resume` is false, or it was created with another identity.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with _storage_errors(storage):
        database = optuna.storages.RDBStorage(storage)
        exists = name in optuna.study.get_all_study_names(database)
        if exists and not resume:
            raise RunError(
                f"the study '{name}' already exists",
                location=storage,
                hint="add --resume, or choose another name with --study",
            )
        study = optuna.create_study(
            storage=database, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
        )
        serialized = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        known = study.user_attrs.get(IDENTITY)
        if known is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(IDENTITY, serialized)
        elif known != serialized:
            raise RunError(
                f"the study '{name}' was created with another recipe or space; {_describe_difference(known, identity)}",
                location=storage,
                hint="resume it with the same recipe, overrides and space, or choose another --study and --out",
            )
    return study


def _describe_difference(known: str | None, identity: dict[str, Any]) -> str:
    before = json.loads(known) if known else {}
    names = [name for name in identity if before.get(name) != identity[name]]
    return f"what differs: {', '.join(names)}"


@contextmanager
def _storage_errors(storage: str) -> Iterator[None]:
    """Turns any database error into a one-line DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (SQLAlchemyError, ImportError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise DataError(
            f"the storage cannot be opened: {first_line}",
            location=storage,
            hint="write it like sqlite:///tune.db, or install the driver it needs",
        ) from None


def _to_record(trial: FrozenTrial) -> TrialRecord:
    steps = tuple(sorted(trial.intermediate_values.items()))
    return TrialRecord(
        trial.number, _STATES[trial.state], trial.value, dict(trial.params), steps, dict(trial.user_attrs)
    )

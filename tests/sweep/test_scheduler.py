"""The loop of a sweep: trials, pruning, retries, and resuming after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from maskfit.config.recipe import Recipe
from maskfit.errors import DataError, RunError
from maskfit.registry import ComponentSpec
from maskfit.sweep.samplers import PRUNERS
from maskfit.sweep.search_space import read_space
from maskfit.sweep.study import Study, open_study
from maskfit.sweep.sweep_dir import SweepDir
from maskfit.sweep.trial_worker import TrialOutcome

from .conftest import FormulaExecutor, Killed

RunSweep = Callable[..., Study]


def summary(study: Study) -> list[tuple[object, ...]]:
    return [(item.number, item.state, item.score, item.params, item.steps) for item in study.trials()]


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_a_sweep_is_determined_by_its_seed(run_sweep: RunSweep, sampler: str) -> None:
    first = run_sweep("first", FormulaExecutor(), sampler=sampler)
    assert summary(first) == summary(run_sweep("other", FormulaExecutor(), sampler=sampler))
    best = first.best()
    assert best is not None
    assert best.score == max(item.score for item in first.trials() if item.score is not None)
    assert len({str(item.params) for item in first.trials()}) == 8


def test_a_grid_runs_every_combination_once(tmp_path: Path, database: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("trainer.batch_size: [8, 16]\nloss: [cross_entropy, {name: focal, gamma: {low: 1, high: 3}}]\n")
    space = read_space(path)
    study = Study(
        open_study(database, str(tmp_path), {}, PRUNERS["none"](1), resume=False),
        space,
        ComponentSpec.create("grid"),
        0,
        False,
    )
    for _ in range(space.cardinality() or 0):
        number = study.ask()
        study.draw(number)
        study.end(number, TrialOutcome("done", 0.5))
    drawn = [tuple(item.params.values()) for item in study.trials()]
    assert len(drawn) == len(set(drawn)) == 8


@pytest.mark.parametrize("kill", [0, 1, 5, 11, 16, 20])
def test_a_resumed_sweep_runs_the_trials_of_an_uninterrupted_one(run_sweep: RunSweep, kill: int) -> None:
    whole = run_sweep("whole", FormulaExecutor(), pruner="median")
    with pytest.raises(Killed):
        run_sweep("cut", FormulaExecutor(kill_after=kill), pruner="median")
    lines: list[str] = []
    cut = run_sweep("cut", FormulaExecutor(), pruner="median", resume=True, lines=lines)
    assert summary(cut) == summary(whole)
    assert any("was interrupted and starts over" in line for line in lines)


def test_a_resumed_sweep_can_have_more_trials(run_sweep: RunSweep) -> None:
    run_sweep("grown", FormulaExecutor(), 5)
    assert summary(run_sweep("grown", FormulaExecutor(), 8, resume=True)) == summary(
        run_sweep("whole", FormulaExecutor(), 8)
    )


def test_trials_with_low_scores_are_pruned(run_sweep: RunSweep) -> None:
    study = run_sweep("pruned", FormulaExecutor(), 12, pruner="median")
    pruned = [item for item in study.trials() if item.state == "pruned"]
    done = [item for item in study.trials() if item.state == "done"]
    assert pruned
    assert all(len(item.steps) < 3 for item in pruned)
    assert max(item.score or 0 for item in pruned) < max(item.score or 0 for item in done)


def test_a_failed_trial_is_retried_once_and_never_ends_the_sweep(run_sweep: RunSweep) -> None:
    lines: list[str] = []
    executor = FormulaExecutor(fail={(1, 0), (2, 0), (2, 1)})
    study = run_sweep("failing", executor, 4, lines=lines)
    assert [item.state for item in study.trials()] == ["done", "done", "failed", "done"]
    assert [job.number for job in executor.jobs] == [0, 1, 1, 2, 2, 3]
    assert study.trials()[2].metadata["reason"] == "non-finite logits in validation"
    assert study.trials()[1].metadata["attempts"] == 2
    assert any(line.startswith("trial 1 failed and is retried once: non-finite") for line in lines)
    assert any(line.startswith("trial 2 failed: non-finite") for line in lines)


def test_parallel_trials_are_all_recorded(run_sweep: RunSweep) -> None:
    executor = FormulaExecutor(max_parallel=3)
    study = run_sweep("wide", executor, 7)
    assert [item.state for item in study.trials()] == ["done"] * 7
    assert sorted(job.number for job in executor.jobs) == list(range(7))


def test_a_trial_with_the_values_of_a_done_one_is_found(run_sweep: RunSweep) -> None:
    executor = FormulaExecutor()
    study = run_sweep("duplicates", executor, 4)
    original = study.trials()[2]
    study.study.enqueue_trial(original.params)
    second = study.ask()
    study.draw(second)
    found = study.find_duplicate(second)
    assert found is not None
    assert (found.number, found.score) == (2, original.score)


def test_each_trial_has_its_own_run_folder_and_values(run_sweep: RunSweep) -> None:
    executor = FormulaExecutor()
    study = run_sweep("own", executor, 3)
    recipes = [Recipe.model_validate(job.recipe) for job in executor.jobs]
    assert [Path(str(recipe.output_dir)).name for recipe in recipes] == ["0000", "0001", "0002"]
    for recipe, item in zip(recipes, study.trials(), strict=True):
        assert recipe.optimizer.options["lr"] == item.params["optimizer.lr"]
        assert recipe.trainer.batch_size == item.params["trainer.batch_size"]
        assert recipe.loss.name == item.params["loss"]
        # Keys outside the space keep the base recipe's values.
        assert recipe.optimizer.options["weight_decay"] == 0.02


def test_only_the_best_trials_keep_their_models(tmp_path: Path, run_sweep: RunSweep) -> None:
    folder = SweepDir(tmp_path / "kept")

    class Writing(FormulaExecutor):
        def start(self, job):  # type: ignore[no-untyped-def]
            super().start(job)
            fold = folder.trial(job.number).fold(0)
            fold.path.mkdir(parents=True)
            for path in (fold.model, fold.checkpoint, fold.scores):
                path.write_text("x")

    study = run_sweep("kept", Writing(), 6)
    ranked = sorted(study.trials(), key=lambda item: -(item.score or 0))
    kept = {number for number in range(6) if folder.trial(number).fold(0).model.exists()}
    assert kept == {item.number for item in ranked[:2]}
    assert all(folder.trial(number).fold(0).scores.exists() for number in range(6))


def test_a_study_is_not_resumed_with_another_recipe_or_space(database: str) -> None:
    address, pruner = database, PRUNERS["none"](1)
    open_study(address, "x", {"space": "a", "recipe": 1}, pruner, resume=False)
    open_study(address, "x", {"space": "a", "recipe": 1}, pruner, resume=True)
    with pytest.raises(RunError, match="what differs: space"):
        open_study(address, "x", {"space": "b", "recipe": 1}, pruner, resume=True)
    with pytest.raises(RunError, match="the study 'x' already exists"):
        open_study(address, "x", {"space": "a", "recipe": 1}, pruner, resume=False)


@pytest.mark.parametrize("address", ["nonsense", "sqlite:////absent/folder/a.db", "postgresql://nobody@localhost:1/x"])
def test_a_storage_that_cannot_be_opened_raises(address: str) -> None:
    with pytest.raises(DataError, match="the storage cannot be opened"):
        open_study(address, "x", {}, PRUNERS["none"](1), resume=False)

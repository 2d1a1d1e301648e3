"""The loop: what is tried, given up, tried again, and gone on with after a kill."""

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
from maskfit.sweep.trial_worker import Outcome

from .conftest import Formula, Killed

Sweeping = Callable[..., Study]


def told(study: Study) -> list[tuple[object, ...]]:
    return [(item.number, item.state, item.score, item.params, item.steps) for item in study.tried()]


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_a_sweep_is_a_function_of_its_seed(sweeping: Sweeping, sampler: str) -> None:
    first = sweeping("first", Formula(), sampler=sampler)
    assert told(first) == told(sweeping("other", Formula(), sampler=sampler))
    best = first.best()
    assert best is not None
    assert best.score == max(item.score for item in first.tried() if item.score is not None)
    assert len({str(item.params) for item in first.tried()}) == 8


def test_a_grid_tries_every_point_once(tmp_path: Path, database: str) -> None:
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
    for _ in range(space.points() or 0):
        number = study.ask()
        study.draw(number)
        study.end(number, Outcome("done", 0.5))
    drawn = [tuple(item.params.values()) for item in study.tried()]
    assert len(drawn) == len(set(drawn)) == 8


@pytest.mark.parametrize("kill", [0, 1, 5, 11, 16, 20])
def test_killed_and_resumed_it_tries_what_it_would_have_tried(sweeping: Sweeping, kill: int) -> None:
    whole = sweeping("whole", Formula(), pruner="median")
    with pytest.raises(Killed):
        sweeping("cut", Formula(kill=kill), pruner="median")
    lines: list[str] = []
    cut = sweeping("cut", Formula(), pruner="median", resume=True, lines=lines)
    assert told(cut) == told(whole)
    assert any("was cut off and begins anew" in line for line in lines)


def test_more_trials_can_be_asked_for_later(sweeping: Sweeping) -> None:
    sweeping("grown", Formula(), 5)
    assert told(sweeping("grown", Formula(), 8, resume=True)) == told(sweeping("whole", Formula(), 8))


def test_what_falls_behind_is_given_up(sweeping: Sweeping) -> None:
    study = sweeping("pruned", Formula(), 12, pruner="median")
    pruned = [item for item in study.tried() if item.state == "pruned"]
    done = [item for item in study.tried() if item.state == "done"]
    assert pruned
    assert all(len(item.steps) < 3 for item in pruned)
    assert max(item.score or 0 for item in pruned) < max(item.score or 0 for item in done)


def test_a_failed_trial_is_tried_once_more_and_never_ends_the_sweep(sweeping: Sweeping) -> None:
    lines: list[str] = []
    formula = Formula(fail={(1, 0), (2, 0), (2, 1)})
    study = sweeping("failing", formula, 4, lines=lines)
    assert [item.state for item in study.tried()] == ["done", "done", "failed", "done"]
    assert [job.number for job in formula.jobs] == [0, 1, 1, 2, 2, 3]
    assert study.tried()[2].facts["reason"] == "the network answers with no numbers"
    assert study.tried()[1].facts["attempts"] == 2
    assert any(line.startswith("trial 1 failed and is tried once more: the network") for line in lines)
    assert any(line.startswith("trial 2 failed: the network") for line in lines)


def test_side_by_side_nothing_is_lost(sweeping: Sweeping) -> None:
    formula = Formula(room=3)
    study = sweeping("wide", formula, 7)
    assert [item.state for item in study.tried()] == ["done"] * 7
    assert sorted(job.number for job in formula.jobs) == list(range(7))


def test_values_that_were_tried_are_not_tried_again(sweeping: Sweeping) -> None:
    formula = Formula()
    study = sweeping("twins", formula, 4)
    twin = study.tried()[2]
    study.study.enqueue_trial(twin.params)
    second = study.ask()
    study.draw(second)
    found = study.find_duplicate(second)
    assert found is not None
    assert (found.number, found.score) == (2, twin.score)


def test_each_trial_has_its_own_run_and_its_own_values(sweeping: Sweeping) -> None:
    formula = Formula()
    study = sweeping("own", formula, 3)
    recipes = [Recipe.model_validate(job.recipe) for job in formula.jobs]
    assert [Path(str(recipe.output_dir)).name for recipe in recipes] == ["0000", "0001", "0002"]
    for recipe, item in zip(recipes, study.tried(), strict=True):
        assert recipe.optimizer.options["lr"] == item.params["optimizer.lr"]
        assert recipe.trainer.batch_size == item.params["trainer.batch_size"]
        assert recipe.loss.name == item.params["loss"]
        # What is not varied is the recipe's.
        assert recipe.optimizer.options["weight_decay"] == 0.02


def test_models_are_kept_of_the_best_alone(tmp_path: Path, sweeping: Sweeping) -> None:
    folder = SweepDir(tmp_path / "kept")

    class Writing(Formula):
        def start(self, job):  # type: ignore[no-untyped-def]
            super().start(job)
            fold = folder.trial(job.number).fold(0)
            fold.path.mkdir(parents=True)
            for path in (fold.model, fold.checkpoint, fold.scores):
                path.write_text("x")

    study = sweeping("kept", Writing(), 6)
    ranked = sorted(study.tried(), key=lambda item: -(item.score or 0))
    kept = {number for number in range(6) if folder.trial(number).fold(0).model.exists()}
    assert kept == {item.number for item in ranked[:2]}
    assert all(folder.trial(number).fold(0).scores.exists() for number in range(6))


def test_a_study_is_never_gone_on_with_about_something_else(database: str) -> None:
    address, pruner = database, PRUNERS["none"](1)
    open_study(address, "x", {"space": "a", "recipe": 1}, pruner, resume=False)
    open_study(address, "x", {"space": "a", "recipe": 1}, pruner, resume=True)
    with pytest.raises(RunError, match="what differs: space"):
        open_study(address, "x", {"space": "b", "recipe": 1}, pruner, resume=True)
    with pytest.raises(RunError, match="there is a study 'x' already"):
        open_study(address, "x", {"space": "a", "recipe": 1}, pruner, resume=False)


@pytest.mark.parametrize("address", ["nonsense", "sqlite:////absent/folder/a.db", "postgresql://nobody@localhost:1/x"])
def test_a_storage_that_cannot_be_opened_is_told(address: str) -> None:
    with pytest.raises(DataError, match="the storage cannot be opened"):
        open_study(address, "x", {}, PRUNERS["none"](1), resume=False)

"""What a space says, and every mistake in one."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
import yaml

from maskfit.config.loader import read_recipe
from maskfit.errors import RecipeError
from maskfit.sweep.search_space import Choice, Range, Space, read_space, to_overrides
from maskfit.sweep.validate_space import FIXED, max_epochs, validate_space
from maskfit.training.recipe_registry import RECIPE_REGISTRY


def space_of(path: Path, text: str) -> Space:
    file = path / "space.yaml"
    file.write_text(text)
    return read_space(file)


def mistakes(path: Path, text: str, *words: str) -> str:
    with pytest.raises(RecipeError) as caught:
        validate_space(space_of(path, text), "fast", words, RECIPE_REGISTRY)
    return caught.value.message


def test_whole_numbers_stay_whole_and_all_of_it_can_be_drawn(tmp_path: Path, space: Space) -> None:
    assert space.dimensions["trainer.batch_size"] == Range(8, 32, 8)
    assert isinstance(space.dimensions["loss"], Choice)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        values = space.draw(study.ask())
        assert values["trainer.batch_size"] in (8, 16, 24, 32)
        assert isinstance(values["trainer.batch_size"], int)
        assert 1e-4 <= values["optimizer.lr"] <= 3e-2
        recipe = read_recipe("fast", to_overrides(values), registries=RECIPE_REGISTRY)
        assert recipe.optimizer.options["lr"] == values["optimizer.lr"]
        if recipe.loss.name == "focal":
            assert 0.5 <= recipe.loss.options["gamma"] <= 4.0
        else:
            assert recipe.loss.options == {}
    assert set(space.names()) == {"optimizer.lr", "trainer.batch_size", "loss", "loss.focal.gamma"}


def test_a_part_is_laid_down_before_its_options(tmp_path: Path) -> None:
    space = space_of(tmp_path, "optimizer.lr: {low: 0.001, high: 0.1}\noptimiser: [adamw, {name: sgd, momentum: 0.5}]")
    assert list(space.dimensions) == ["optimiser", "optimizer.lr"]
    recipe = read_recipe("fast", to_overrides({"optimiser": {"name": "sgd", "momentum": 0.5}, "optimizer.lr": 0.02}))
    assert recipe.optimizer.options == {"momentum": 0.5, "lr": 0.02}
    validate_space(space, "fast", (), RECIPE_REGISTRY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "a space is a mapping"),
        ("", "a space is a mapping"),
        ("a: [", "no YAML"),
        ("a: 3", "a: a list of choices, or a range"),
        ("a: {low: 1}", "a: the range has no 'high'"),
        ("a: {low: 2, high: 1}", "low=2 must lie below high=1"),
        ("a: {low: 0, high: 1, log: true}", "begins above 0"),
        ("a: {low: 1, high: 2, log: 3}", "log should be true or false"),
        ("a: {low: x, high: 2}", "low should be a number"),
        ("a: {low: .nan, high: 2}", "low should be a number"),
        ("a: {low: 0, high: 1, step: 0.3}", "no whole number of steps"),
        ("a: {low: 0, high: 1, step: -1}", "step=-1 must be above 0"),
        ("a: {low: 1, high: 3, step: 1, log: true}", "a step or log"),
        ("a: {low: 1, high: 3, stop: 1}", "no 'stop'"),
        ("a: [1]", "one choice is no choice"),
        ("a: [x, x]", '"x" stands twice'),
        ("a: [x, {name: y, z: {low: 3, high: 1}}]", "a.y.z: low=3 must lie below"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        space_of(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        space_of(tmp_path, "a: 3\nb: [1]\nc: {low: 2, high: 1}")
    assert len(caught.value.message.splitlines()) == 3
    text = """
    optimizer.lrr: {low: 0.1, high: 0.2}
    trainer.batch_size: {low: 0, high: 64}
    trainer.epochs: [1, 2.5]
    loss: [cross_entropy, {name: focal, gama: {low: 1, high: 2}}, focl]
    trainer.seed: [0, 1]
    data.path: [a, b]
    """
    told = mistakes(tmp_path, text)
    for said in (
        "no option 'lrr'; did you mean 'lr'?",
        "trainer.batch_size: should be 1 or more, not 0",
        "trainer.epochs: should be a whole number, not 2.5",
        "'focal' has no option 'gama'",
        "'focl' is unknown",
        "no space may hold 'trainer.seed'",
        "no space may hold 'data.path'",
    ):
        assert said in told


def test_an_option_must_fit_every_part_that_may_be_chosen_below_it(tmp_path: Path) -> None:
    told = mistakes(tmp_path, "optimiser: [adamw, sgd]\noptimiser.momentum: {low: 0.1, high: 0.9}")
    assert "'adamw' has no option 'momentum'" in told
    validate_space(space_of(tmp_path, "optimizer.momentum: [0.1, 0.9]"), "fast", ["optimizer=sgd"], RECIPE_REGISTRY)


def test_what_may_not_be_varied_are_keys_of_the_recipe() -> None:
    recipe = yaml.safe_load(yaml.safe_dump(read_recipe("fast").model_dump(mode="json")))
    for key in FIXED:
        at = recipe
        for word in key.split("."):
            assert word in at, key
            at = at[word]


def test_the_points_of_a_space_are_counted(tmp_path: Path, space: Space) -> None:
    assert space.points() is None
    text = (
        "a: {low: 8, high: 32, step: 8}\nb: [x, {name: y, c: {low: 0.0, high: 1.0, step: 0.25}}]\nd: {low: 1, high: 3}"
    )
    assert space_of(tmp_path, text).points() == 4 * (1 + 5) * 3


def test_the_longest_trial_is_known(tmp_path: Path) -> None:
    recipe = read_recipe("fast", ["trainer.epochs=4"])
    assert max_epochs(space_of(tmp_path, "trainer.epochs: {low: 3, high: 9}"), recipe) == 9
    assert max_epochs(space_of(tmp_path, "trainer.gradient_clip_val: [1.0, 2.0]"), recipe) == 4

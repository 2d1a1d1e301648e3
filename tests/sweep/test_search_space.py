"""Search spaces and every error in one."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
import yaml

from maskfit.config.loader import read_recipe
from maskfit.errors import RecipeError
from maskfit.sweep.search_space import Choice, Range, Space, read_space, to_overrides
from maskfit.sweep.validate_space import FIXED_KEYS, max_epochs, validate_space
from maskfit.training.recipe_registry import RECIPE_REGISTRY


def space_of(path: Path, text: str) -> Space:
    file = path / "space.yaml"
    file.write_text(text)
    return read_space(file)


def validation_errors(path: Path, text: str, *words: str) -> str:
    with pytest.raises(RecipeError) as caught:
        validate_space(space_of(path, text), "fast", words, RECIPE_REGISTRY)
    return caught.value.message


def test_drawn_values_are_in_range_and_integers_stay_integers(tmp_path: Path, space: Space) -> None:
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
    assert set(space.parameters()) == {"optimizer.lr", "trainer.batch_size", "loss", "loss.focal.gamma"}


def test_a_component_comes_before_its_options(tmp_path: Path) -> None:
    space = space_of(tmp_path, "optimizer.lr: {low: 0.001, high: 0.1}\noptimizer: [adamw, {name: sgd, momentum: 0.5}]")
    assert list(space.dimensions) == ["optimizer", "optimizer.lr"]
    recipe = read_recipe("fast", to_overrides({"optimizer": {"name": "sgd", "momentum": 0.5}, "optimizer.lr": 0.02}))
    assert recipe.optimizer.options == {"momentum": 0.5, "lr": 0.02}
    validate_space(space, "fast", (), RECIPE_REGISTRY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "a search space must be a mapping"),
        ("", "a search space must be a mapping"),
        ("a: [", "invalid YAML"),
        ("a: 3", "a: must be a list of choices or a range"),
        ("a: {low: 1}", "a: the range has no 'high'"),
        ("a: {low: 2, high: 1}", "low must be < high, got low=2, high=1"),
        ("a: {low: 0, high: 1, log: true}", "low must be > 0 with log: true"),
        ("a: {low: 1, high: 2, log: 3}", "log must be true or false, got 3"),
        ("a: {low: x, high: 2}", "low must be a number"),
        ("a: {low: .nan, high: 2}", "low must be a number"),
        ("a: {low: 0, high: 1, step: 0.3}", "must be a multiple of step"),
        ("a: {low: 0, high: 1, step: -1}", "step must be > 0, got step=-1"),
        ("a: {low: 1, high: 3, step: 1, log: true}", "step and log: true exclude each other"),
        ("a: {low: 1, high: 3, stop: 1}", "unknown 'stop'"),
        ("a: [1]", "needs at least two choices"),
        ("a: [x, x]", 'duplicate choice "x"'),
        ("a: [x, {name: y, z: {low: 3, high: 1}}]", "a.y.z: low must be < high"),
    ],
)
def test_errors_in_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        space_of(tmp_path, text)


def test_all_errors_are_reported_together(tmp_path: Path) -> None:
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
    message = validation_errors(tmp_path, text)
    for part in (
        "no option 'lrr'; did you mean 'lr'?",
        "trainer.batch_size: must be >= 1, got 0",
        "trainer.epochs: must be an integer, got 2.5",
        "'focal' has no option 'gama'",
        "'focl' is unknown",
        "a space must not contain 'trainer.seed'",
        "a space must not contain 'data.path'",
    ):
        assert part in message


def test_an_option_must_be_valid_for_every_choice_of_its_component(tmp_path: Path) -> None:
    message = validation_errors(tmp_path, "optimizer: [adamw, sgd]\noptimizer.momentum: {low: 0.1, high: 0.9}")
    assert "'adamw' has no option 'momentum'" in message
    validate_space(space_of(tmp_path, "optimizer.momentum: [0.1, 0.9]"), "fast", ["optimizer=sgd"], RECIPE_REGISTRY)


def test_fixed_keys_are_recipe_keys() -> None:
    recipe = yaml.safe_load(yaml.safe_dump(read_recipe("fast").model_dump(mode="json")))
    for key in FIXED_KEYS:
        at = recipe
        for word in key.split("."):
            assert word in at, key
            at = at[word]


def test_the_combinations_of_a_space_are_counted(tmp_path: Path, space: Space) -> None:
    assert space.cardinality() is None
    text = (
        "a: {low: 8, high: 32, step: 8}\nb: [x, {name: y, c: {low: 0.0, high: 1.0, step: 0.25}}]\nd: {low: 1, high: 3}"
    )
    assert space_of(tmp_path, text).cardinality() == 4 * (1 + 5) * 3


def test_max_epochs_is_that_of_the_space_or_the_recipe(tmp_path: Path) -> None:
    recipe = read_recipe("fast", ["trainer.epochs=4"])
    assert max_epochs(space_of(tmp_path, "trainer.epochs: {low: 3, high: 9}"), recipe) == 9
    assert max_epochs(space_of(tmp_path, "trainer.gradient_clip_val: [1.0, 2.0]"), recipe) == 4


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_recipe_keys_are_upgraded(tmp_path: Path) -> None:
    text = "optimiser: [adamw, sgd]\noptimiser.momentum: [0.1, 0.9]\ntrainer.clip: [1.0, 2.0]"
    assert list(space_of(tmp_path, text).dimensions) == [
        "optimizer",
        "optimizer.momentum",
        "trainer.gradient_clip_val",
    ]
    assert "a space must not contain 'data.path'" in validation_errors(tmp_path, "data.root: [a, b]")
    assert "a space must not contain 'cv'" in validation_errors(tmp_path, "folds: [2, 3]")


@pytest.mark.parametrize(
    "text",
    [
        "1: [a, b]",
        "optimizer.lr: {1: 2}",
        'optimizer.lr: {low: !!int "", high: 1}',
        "trainer.epochs: {low: 1, high: " + "9" * 400 + "}",
        "trainer.epochs: {low: 1, high: 1e308, step: 1e-308}",
        "optimizer.lr: &a [*a]",
        "loss: " + "[" * 300 + "]" * 300,
        "optimizer.lr: {low: !!timestamp x, high: 2020-01-01}",
        "optimizer.lr: {low: .nan, high: .inf}",
        "loss: [{name: [focal]}, !!set {a}]",
        "- optimizer.lr",
    ],
)
def test_odd_yaml_is_one_clean_error(tmp_path: Path, text: str) -> None:
    assert len(validation_errors(tmp_path, text)) < 2000

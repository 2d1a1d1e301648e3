"""`maskfit recipes` and `maskfit check` as a user types them."""

from __future__ import annotations

import importlib.util

import pytest

from maskfit.config.loader import read_recipe, read_recipe_text, recipe_names


def test_recipes_are_listed(command):
    result = command("recipes")
    assert result.code == 0
    for name in recipe_names():
        assert f"\n{name} " in result.out
        assert read_recipe(name).description.split()[0] in result.out


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_is_printed_as_its_file(command, tmp_path, name):
    result = command("recipes", name)
    assert result.code == 0
    assert result.out == read_recipe_text(name)
    (tmp_path / "mine.yaml").write_text(result.out)
    assert read_recipe(tmp_path / "mine.yaml") == read_recipe(name)


def test_an_unknown_recipe_is_an_error(command):
    result = command("recipes", "[basline]")
    assert result.code == 2
    assert "there is no recipe '[basline]'; did you mean 'baseline'?" in result.err


def test_valid_recipe_is_printed_with_defaults(command, tmp_path):
    result = command("check", "baseline", "trainer.epochs=12", "loss.smoothing=0.1", "name=a")
    assert result.code == 0
    assert result.err == "recipe 'a' is valid\n"
    (tmp_path / "whole.yaml").write_text(result.out)
    assert read_recipe(tmp_path / "whole.yaml") == read_recipe(
        "baseline", ["trainer.epochs=12", "loss.smoothing=0.1", "name=a"]
    )


def test_all_errors_of_a_recipe_are_listed(command):
    result = command(
        "check", "baseline", "trainer.epoch=12", "loss=focl", "optimizer.lrr=1", "data.image_size=[a]", "[x]=1"
    )
    assert result.code == 2
    assert result.out == ""
    for line in (
        "trainer.epoch",
        "'epochs'",
        "loss: 'focl' is unknown",
        "optimizer",
        "'lrr'",
        "data.image_size",
        "[x]",
    ):
        assert line in result.err


@pytest.mark.parametrize("args", [("fast", "epochs"), ("absent.yaml",), ("fast", "a: [b=1")])
def test_other_errors_exit_with_2(command, args):
    result = command("check", *args)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert "next: " in result.err


def test_without_torch_only_keys_are_checked(command, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "timm" else real(name, *rest))
    result = command("check", "fast", "loss=focl")
    assert result.code == 0
    assert "to check component names and options: pip install 'maskfit[train]'" in result.err
    assert command("check", "fast", "los=focl").code == 2

"""`maskfit recipes` and `maskfit check` as a user types them."""

from __future__ import annotations

import importlib.util

import pytest

from maskfit.config.loader import read_recipe, read_recipe_text, recipe_names


def test_recipes_are_listed(command):
    said = command("recipes")
    assert said.code == 0
    for name in recipe_names():
        assert f"\n{name} " in said.out
        assert read_recipe(name).description.split()[0] in said.out


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_shown_as_its_file(command, tmp_path, name):
    said = command("recipes", name)
    assert said.code == 0
    assert said.out == read_recipe_text(name)
    (tmp_path / "mine.yaml").write_text(said.out)
    assert read_recipe(tmp_path / "mine.yaml") == read_recipe(name)


def test_an_unknown_recipe_is_an_error(command):
    said = command("recipes", "[basline]")
    assert said.code == 2
    assert "there is no recipe '[basline]'; did you mean 'baseline'?" in said.err


def test_a_right_recipe_is_written_out_whole(command, tmp_path):
    said = command("check", "baseline", "trainer.epochs=12", "loss.smoothing=0.1", "name=a")
    assert said.code == 0
    assert said.err == "recipe 'a' is valid\n"
    (tmp_path / "whole.yaml").write_text(said.out)
    assert read_recipe(tmp_path / "whole.yaml") == read_recipe(
        "baseline", ["trainer.epochs=12", "loss.smoothing=0.1", "name=a"]
    )


def test_all_mistakes_of_a_recipe_are_told_at_once(command):
    said = command(
        "check", "baseline", "trainer.epoch=12", "loss=focl", "optimizer.lrr=1", "data.image_size=[a]", "[x]=1"
    )
    assert said.code == 2
    assert said.out == ""
    for line in (
        "trainer.epoch",
        "'epochs'",
        "loss: 'focl' is unknown",
        "optimizer",
        "'lrr'",
        "data.image_size",
        "[x]",
    ):
        assert line in said.err


@pytest.mark.parametrize("words", [("fast", "epochs"), ("absent.yaml",), ("fast", "a: [b=1")])
def test_other_mistakes_end_with_2(command, words):
    said = command("check", *words)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert "next: " in said.err


def test_without_torch_keys_are_checked_and_that_is_said(command, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "timm" else real(name, *rest))
    said = command("check", "fast", "loss=focl")
    assert said.code == 0
    assert "to check component names and options: pip install 'maskfit[train]'" in said.err
    assert command("check", "fast", "los=focl").code == 2

"""The catalog of components: complete, true to signatures, and copied lines that are valid recipes."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from maskfit.component_catalog import (
    POINTERS,
    component_kinds,
    find_kind,
    get_component,
    list_components,
    search_components,
)
from maskfit.component_page import to_markdown
from maskfit.config.loader import read_recipe
from maskfit.errors import RecipeError
from maskfit.inference.ensemble.comparison import parse_votes
from maskfit.inference.tta import build_tta
from maskfit.training.recipe_registry import RECIPE_REGISTRY

KINDS = component_kinds()
EVERYTHING = [(kind, name) for kind in KINDS.values() for name in kind.entry.table]


def test_every_registry_of_a_recipe_is_a_kind() -> None:
    settings = {kind.setting for kind in KINDS.values()}
    assert {key for key in RECIPE_REGISTRY if key != "heads.*.loss"} <= settings
    assert {"data.crop.detector", "--tta", "--combine", "--engine"} <= settings


@pytest.mark.parametrize(("kind", "name"), EVERYTHING, ids=lambda item: getattr(item, "name", item))
def test_a_component_is_described_as_its_signature_has_it(kind, name) -> None:
    found = get_component(kind, name)
    parameters = inspect.signature(kind.entry.table[name]).parameters
    expected = [
        item.name
        for item in parameters.values()
        if item.name not in kind.entry.injected_arguments and item.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    assert [option.name for option in found.options] == expected
    assert found.summary
    for option in found.options:
        assert option.text, f"{name}.{option.name} says nothing"
        assert not option.text.startswith("As for"), f"{name}.{option.name} refers to another docstring"


@pytest.mark.parametrize(("kind", "name"), EVERYTHING, ids=lambda item: getattr(item, "name", item))
def test_the_line_to_copy_is_accepted(kind, name) -> None:
    words = shlex.split(get_component(kind, name).line)
    if kind.setting == "--tta":
        assert len(build_tta(words[1])) >= 1
    elif kind.setting == "--combine":
        assert list(parse_votes([words[1]])[0]) == [name]
    elif not kind.is_option:
        recipe = read_recipe("fast", words, registries=RECIPE_REGISTRY)
        value = recipe
        for key in kind.setting.removesuffix(".detector").split("."):
            value = getattr(value, key)
        detector = value.options.get("detector")
        names = [value.name, *(detector.values() if isinstance(detector, dict) else [detector])]
        assert name in names


def test_a_default_that_a_recipe_does_not_name_is_the_components() -> None:
    """The line with every default written out is the component without options."""
    component = get_component(KINDS["loss"], "ldam")
    assert component.line == (
        "loss=ldam loss.margin=0.5 loss.scale=1 loss.class_weights=none loss.deferred=0 loss.normalize=true"
    )


def test_ranges_papers_projects_and_other_names() -> None:
    focal = get_component(KINDS["loss"], "FocalLoss")
    assert focal.name == "focal"
    assert focal.papers == ("Lin et al. 2017, arXiv:1708.02002",)
    assert focal.projects == ("iloveslowfood", "nlp09", "cv-08")
    assert {option.name: option.range for option in focal.options}["gamma"] == ">= 0"
    ldam = get_component(KINDS["loss"], "ldam")
    assert ldam.papers == ("Cao et al. 2019, arXiv:1906.07413",)
    assert {option.name: option.range for option in ldam.options}["deferred"] == "in [0, 1)"
    sgd = get_component(KINDS["optimizer"], "nesterov")
    assert sgd.name == "sgd"
    assert sgd.other_names["nesterov"] == {"momentum": 0.9, "nesterov": True}
    weights = next(option for option in focal.options if option.name == "class_weights")
    assert "effective number" in weights.text
    init = next(option for option in get_component(KINDS["head"], "mlp").options if option.name == "init")
    assert "xavier" in init.text


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("loss", "loss"),
        ("losses", "loss"),
        ("Optimizers", "optimizer"),
        ("schedule", "lr_scheduler"),
        ("LR-Scheduler", "lr_scheduler"),
        ("view", "tta"),
        ("votes", "vote"),
        ("data.crop", "crop"),
        ("samplers", "sampler"),
    ],
)
def test_a_kind_is_found_by_other_words(word: str, name: str) -> None:
    found = find_kind(word)
    assert found is not None
    assert found.name == name


def test_a_word_of_unknown_kind_is_looked_up() -> None:
    found, lines = search_components("momentum")
    assert {(item.kind, item.name) for item in found} == {("optimizer", "sgd"), ("optimizer", "madgrad")}
    assert lines == [f"momentum: {POINTERS['momentum']}"]
    found, _ = search_components("mse")
    assert {(item.kind, item.name) for item in found} == {("loss", "brier"), ("age_regression", "mse")}
    assert search_components("quarks") == ([], [])
    with pytest.raises(RecipeError, match="there is no loss 'fokal'; did you mean 'focal'"):
        get_component(KINDS["loss"], "fokal")


@pytest.mark.parametrize("name", POINTERS)
def test_a_pointer_leads_to_a_valid_recipe(name: str) -> None:
    words = re.findall(r"[a-z_]+(?:\.[a-z_]+)*=[\w.-]+", POINTERS[name])
    assert words
    read_recipe("baseline", words, registries=RECIPE_REGISTRY)


def test_the_page_in_the_docs_is_the_generated_one() -> None:
    page = Path(__file__).parents[1] / "docs" / "components.md"
    assert page.read_text(encoding="utf-8") == to_markdown(), "maskfit components --markdown > docs/components.md"


def test_the_page_names_every_component_option_and_pointer() -> None:
    text = to_markdown()
    for kind in KINDS.values():
        for component in list_components(kind):
            entry = text.split(f"### {kind.name}: {component.name}\n")[1].split("\n###")[0]
            assert component.line in entry
            assert all(f"| `{option.name}` |" in entry for option in component.options)
    assert all(f"| {name} |" in text for name in POINTERS)


def test_the_catalog_imports_no_torch() -> None:
    code = (
        "import json, sys\nfrom maskfit.component_catalog import *\n"
        "names = [item.name for kind in component_kinds().values() for item in list_components(kind)]\n"
        "print(json.dumps([len(names), sorted({'torch', 'timm', 'lightning', 'sklearn'} & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, imported = json.loads(done.stdout)
    assert count == len(EVERYTHING)
    assert imported == []

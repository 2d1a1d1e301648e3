"""`maskfit components`."""

from __future__ import annotations

import json

from maskfit.config.recipe import SECTIONS, TrainerConfig
from maskfit.recipe_keys import list_recipe_keys, read_attributes


def test_kinds_and_components_are_listed(command) -> None:
    done = command("components")
    assert done.code == 0
    assert "lr_scheduler" in done.out
    done = command("components", "loss")
    assert done.code == 0
    assert "ldam" in done.out
    assert "default cross_entropy" in done.out


def test_one_component(command) -> None:
    done = command("components", "losses", "LDAM")
    assert done.code == 0
    assert "paper: Cao et al. 2019, arXiv:1906.07413" in done.out
    assert "copy: loss=ldam loss.margin=0.5" in done.out


def test_json_of_everything_of_a_kind_and_of_one(command) -> None:
    everything = json.loads(command("components", "--json").out)
    assert {"loss", "tta", "vote", "detector"} <= set(everything)
    kind = json.loads(command("components", "loss", "--json").out)
    assert everything["loss"] == kind
    one = json.loads(command("components", "loss", "focal", "--json").out)
    assert one in kind
    assert one["options"][0] == {
        "name": "gamma",
        "type": "float",
        "default": "2",
        "range": ">= 0",
        "text": "Focusing exponent, >= 0; 0 is cross-entropy.",
    }


def test_a_word_is_looked_up(command) -> None:
    done = command("components", "nesterov")
    assert done.code == 0
    assert "optimizer=nesterov is read as sgd (momentum=0.9, nesterov=true)" in done.out
    assert "optimizer sgd has the option nesterov" in done.out
    assert "trainer.gradient_clip_val" in command("components", "clipping").out
    assert json.loads(command("components", "amsgrad", "--json").out)["components"][0]["name"] == "adam"


def test_plain_recipe_keys_are_looked_up(command) -> None:
    done = command("components", "trainer.epochs", "--json")
    assert done.code == 0, done.err
    (key,) = json.loads(done.out)["keys"]
    assert (key["key"], key["value"], key["range"]) == ("trainer.epochs", "integer", ">= 1")
    assert key["default"] == str(TrainerConfig().epochs)
    assert key["text"] == read_attributes(TrainerConfig)["epochs"]
    for word in ("trainer.epochs", "epochs"):
        assert "trainer.epochs" in command("components", word).out
    keys = json.loads(command("components", "cv", "--json").out)["keys"]
    assert {key["key"] for key in keys} == {f"cv.{name}" for name in SECTIONS["cv"].model_fields}
    assert "heads.*.loss_weight" in command("components", "heads.mask.loss_weight").out
    # A key of components stays the list of these.
    assert "focal" in command("components", "loss").out
    refused = command("components", "trainer.epoch")
    assert refused.code == 2
    assert "did you mean 'trainer.epochs'" in refused.err


def test_every_recipe_key_is_described() -> None:
    keys = list_recipe_keys()
    assert len({item.key for item in keys}) == len(keys) == sum(len(model.model_fields) for model in SECTIONS.values())
    assert all(item.text and item.value for item in keys)


def test_what_is_unknown_is_refused(command) -> None:
    done = command("components", "quarks")
    assert done.code == 2
    assert "is no kind, component, option or recipe key" in done.err
    done = command("components", "loss", "fokal")
    assert done.code == 2
    assert "did you mean 'focal'" in done.err
    assert command("components", "quarks", "focal").code == 2


def test_the_page(command) -> None:
    assert command("components", "--markdown").out.startswith("# Components\n")

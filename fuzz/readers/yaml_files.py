"""Recipes, search spaces and configs of other programs, in YAML and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzz.engine import Sample
from fuzz.mutations import mutate_text, mutate_value
from maskfit.config.loader import read_recipe, recipe_to_yaml
from maskfit.config.pytorch_template import import_config
from maskfit.errors import MaskfitError
from maskfit.safe_yaml import parse_yaml
from maskfit.sweep.search_space import read_space
from maskfit.training.recipe_registry import available_registries

TEXT_SHARE = 0.2
"""Share of inputs that are mutated as text."""

MARKS = (
    "!!int ''",
    "!!timestamp x",
    "!!binary ''",
    "!!set {a}",
    "&a",
    "*a",
    "&a [*a]",
    "<<: *a",
    "? ",
    "- - - ",
    "{",
    "[",
    "|",
    ">",
    "%YAML 9.9",
    "---",
    "...",
    "!!python/none",
    "!x",
    "'",
    "\t",
    "#",
    "0x_",
    "1:30",
    "0o9",
    ".inf",
    "1e400",
    "~",
    "\x85",
)
"""Pieces of YAML's syntax that are put anywhere."""

RECIPES: tuple[dict[str, Any], ...] = (
    {
        "name": "a",
        "data": {"path": "x", "image_size": [64, 48], "crop": {"name": "face", "top": 0.2}},
        "model": {"backbone": {"name": "small", "width": 4}, "head": {"name": "multi_head", "dropout": 0.1}},
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.1},
        "lr_scheduler": "cosine",
        "trainer": {"epochs": 3, "batch_size": 16, "device": "cpu"},
        "cv": {"num_folds": 5},
    },
    {"extends": "fast", "augmentation": "light", "loss": {"name": "focal", "gamma": 2}, "cv": {"num_folds": 3}},
)
SPACE = {
    "optimizer.lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "optimizer": ["adamw", {"name": "sgd", "momentum": 0.9}],
    "trainer.epochs": {"low": 2, "high": 10, "step": 2},
    "loss": ["cross_entropy", "focal"],
}
TEMPLATE = {
    "name": "Mnist_LeNet",
    "n_gpu": 1,
    "arch": {"type": "ResNet34", "args": {"num_classes": 18}},
    "data_loader": {
        "type": "D",
        "args": {"data_dir": "data/", "batch_size": 128, "shuffle": True, "validation_split": 0.1},
    },
    "optimizer": {"type": "Adam", "args": {"lr": 0.001, "weight_decay": 0, "amsgrad": True}},
    "loss": "nll_loss",
    "metrics": ["accuracy"],
    "lr_scheduler": {"type": "StepLR", "args": {"step_size": 50, "gamma": 0.1}},
    "trainer": {"epochs": 100, "save_dir": "saved/", "monitor": "min val_loss", "early_stop": 10},
}


class YamlReader:
    """Readers of recipes, search spaces and pytorch-template configs."""

    name = "yaml"
    refusals = (MaskfitError,)
    checks = ("maskfit.safe_yaml:parse_yaml()|maskfit.file_io:parse_json()",)

    def samples(self, folder: Path) -> Sequence[Sample]:
        """Makes recipes, a search space and a config."""
        self.folder = folder
        self.registries = available_registries()
        whole = parse_yaml(recipe_to_yaml(read_recipe("fast")))
        recipes = [Sample("recipe.yaml", value) for value in (*RECIPES, whole)]
        return [*recipes, Sample("recipe.json", whole), Sample("space.yaml", SPACE), Sample("config.json", TEMPLATE)]

    def mutate(self, rng: Random, sample: Sample) -> bytes:
        """Mutates values and keys; sometimes the text."""
        if rng.random() < TEXT_SHARE:
            text = self.write(sample).decode()
            place = rng.randrange(len(text))
            text = text[:place] + rng.choice(MARKS) + text[place:] if rng.random() < 0.6 else mutate_text(rng, text)
            return text.encode("utf-8", "surrogatepass")
        return self.write(sample._replace(data=mutate_value(rng, sample.data)))

    def write(self, sample: Sample) -> bytes:
        """Writes a value as YAML or JSON."""
        if sample.kind.endswith(".json"):
            return json.dumps(sample.data).encode()
        # In C where PyYAML has it, which is ten times as fast.
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return yaml.dump(sample.data, Dumper=dumper, sort_keys=False).encode("utf-8", "surrogatepass")

    def read(self, kind: str, data: bytes) -> None:
        """Reads it as what it is."""
        path = self.folder / kind
        path.write_bytes(data)
        if kind == "space.yaml":
            read_space(path)
        elif kind == "config.json":
            import_config(path, self.registries)
        else:
            read_recipe(path, registries=self.registries)

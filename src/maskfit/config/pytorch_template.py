"""Reads seed s4's `config.json`, a project of the pytorch-template kind, as a recipe.

Each of its keys becomes a key of a recipe, or a line that says why there is none: nothing that a file says is passed
over in silence, as the seed itself did with options that were never read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from maskfit.config.recipe import Recipe
from maskfit.errors import RecipeError, format_list

LOSS_HEADS = ("mask", "gender", "age")
"""What the entries of `loss_name` are about, in the seed's order."""

NUM_AGE_BANDS = 6
"""How many ages the seed tells apart: below 20, four decades, 60 and over."""

LOSSES = {
    "focal": "focal",
    "cross_entropy": "cross_entropy",
    "ce": "cross_entropy",
    "crossentropyloss": "cross_entropy",
}
"""The seed's losses, in lower case, by their names here."""

OPTIMIZERS = {"Adam": "adam", "AdamW": "adamw", "SGD": "sgd", "RAdam": "radam"}
"""torch's optimisers by their names here."""

OPTIMIZER_OPTIONS = {
    "adam": ("lr", "weight_decay", "amsgrad"),
    "adamw": ("lr", "weight_decay", "betas"),
    "sgd": ("lr", "momentum", "nesterov", "weight_decay"),
    "radam": ("lr", "weight_decay"),
}
"""Their options, which have torch's names here too."""

LR_SCHEDULERS = {
    "StepLR": ("step", {"step_size": "every", "gamma": "factor"}),
    "ExponentialLR": ("exponential", {"gamma": "factor"}),
    "CosineAnnealingLR": ("cosine", {}),
}
"""torch's schedules by their names here, and their options likewise."""

LOGGERS = {"trainer.tensorboard": "tensorboard", "wandb": "wandb"}
"""Switches for logging."""

NO_COUNTERPART = {
    "n_gpu": "a run trains on one device, see trainer.device",
    "data_loader.type": "there is one way to load photos, and data.path says which",
    "data_loader.args.stage": "training and prediction are two commands, train and predict",
    "data_loader.args.num_workers": "photos are decoded once, by as many threads as there are cores",
    "data_loader.args.shuffle": "training photos are always shuffled, see sampler; held-out ones never are",
    "data_loader.args.validation_split": "write it as cv.val_fraction=0.1, a share of the persons",
    "loss": "each head has its own loss, from loss_name",
    "trainer.monitor": "the best epoch is always that of the best macro F1 on the held-out persons",
    "lr_scheduler.args.T_max": "the cosine ends with the last epoch",
    "lr_scheduler.args.eta_min": "the cosine has a floor, a factor on the rate: lr_scheduler.floor",
    "metrics": "every run tells accuracy, macro F1 and more, over the whole set",
    "trainer.save_dir": "a run is one folder: output_dir=DIR",
    "trainer.save_period": "every epoch can be resumed from; trainer.save_top_k says how many models are kept",
    "trainer.verbosity": "progress is shown on a terminal and nowhere else",
    "visualize": "the report has its pictures",
    "submit_dir": "maskfit predict writes where --out says",
    "info_dir": "maskfit predict --image-list FILE --images DIR",
}
"""Keys without a counterpart, and why."""


Config = dict[str, Any]
"""A config with dots in its keys, of which each reader takes what it understands."""


@dataclass
class ImportedConfig:
    """What a config says as a recipe.

    Attributes:
        values: The recipe's keys that the config sets.
        remarks: A line for each key that has no counterpart, or not quite.
    """

    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def set(self, key: str, value: Any) -> None:
        """Sets a key with dots."""
        place = self.values
        *above, last = key.split(".")
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value

    def add_warning(self, key: str, why: str) -> None:
        """Says why a key of the config has no counterpart."""
        self.warnings.append(f"{key}: {why}")

    def to_yaml(self, source: str) -> str:
        """The recipe as YAML, with a head that says where it came from."""
        body: str = yaml.safe_dump(self.values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
        return f"# Read from {source} by maskfit recipes --import; 'maskfit check' shows it with every default.\n{body}"


def import_config(path: str | Path) -> ImportedConfig:
    """Reads a config; `//` comments are allowed, as in the seed's read-me.

    Raises:
        RecipeError: The file cannot be read, is no such JSON, or says what no recipe can.
    """
    path = Path(path)
    config = _flat(_read(path))
    made = ImportedConfig()
    try:
        for reader in READERS:
            reader(config, made)
        Recipe.model_validate(made.values)
    except ValidationError as error:
        found = [(".".join(map(str, item["loc"])), item) for item in error.errors()]
        lines = [f"{key}: {item['msg']}, not {item['input']!r:.60}" for key, item in found]
        raise RecipeError(format_list(lines), location=path, hint="mend these values") from None
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"a value is of another kind than the seed's: {error}", location=path, hint="mend it"
        ) from None
    # What no reader took has no counterpart.
    for key in config:
        made.add_warning(key, NO_COUNTERPART.get(key, "no key of a recipe means this"))
    return made


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the config cannot be read: {error}", location=path, hint="check the path") from None
    # A text is matched first, so that the // of an address in it is no comment.
    bare = re.sub(r'("(?:\\.|[^"\\\n])*")|//[^\n]*', lambda match: match[1] or "", text)
    try:
        config = json.loads(bare)
    except ValueError as error:
        raise RecipeError(f"this is no JSON: {error}", location=path, hint="mend the line it names") from None
    if not isinstance(config, dict) or not config:
        raise RecipeError("a config is a mapping of keys to values", location=path, hint="name seed s4's config.json")
    return config


def _flat(config: Mapping[str, Any], lead: str = "") -> Config:
    """Mappings in mappings as one, keys joined by dots."""
    flat: Config = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{lead}{key}.") if inner else {f"{lead}{key}": value}
    return flat


def _read_name(config: Config, made: ImportedConfig) -> None:
    name = str(config.pop("name", "imported"))
    made.set("name", (re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "imported")[:64])
    made.set("description", "Read from a config.json of the pytorch-template kind.")
    if made.values["name"] != name:
        made.add_warning(
            "name", f"a recipe's name has letters, digits, dots, dashes and underscores: {made.values['name']}"
        )


def _read_network(config: Config, made: ImportedConfig) -> None:
    kind = config.pop("arch.type", None)
    backbone = config.pop("arch.args.model_name", None)
    if backbone is not None:
        made.set("model.backbone", str(backbone))
    if "arch.args.pretrained" in config:
        made.set("model.pretrained", "timm" if config.pop("arch.args.pretrained") else "none")
    if kind is not None:
        made.set("model.head", "multi_head")
    if kind not in (None, "TimmModelMulti"):
        made.add_warning(
            "arch.type", f"'{kind}' is not known here; a head for each attribute is taken, look at model.head"
        )


def _read_data(config: Config, made: ImportedConfig) -> None:
    for key, ours in (("input_size", "data.image_size"), ("batch_size", "trainer.batch_size")):
        if f"data_loader.args.{key}" in config:
            made.set(ours, config.pop(f"data_loader.args.{key}"))


def _read_losses(config: Config, made: ImportedConfig) -> None:
    """`loss_name` holds (loss, class weights, share) for mask, gender and age."""
    entries = config.pop("loss_name", None)
    if entries is None:
        if (name := _known_loss(config.get("loss"))) is not None:
            made.set("loss", name)
            del config["loss"]
        return
    if not isinstance(entries, list) or len(entries) != len(LOSS_HEADS):
        raise ValueError(f"loss_name has an entry for each of {', '.join(LOSS_HEADS)}, not {entries!r:.60}")
    for head, (loss, weights, share) in zip(LOSS_HEADS, entries, strict=True):
        made.set(f"heads.{head}.loss_weight", share)
        name = _known_loss(loss)
        if name is None:
            made.add_warning(f"loss_name of {head}", f"there is no loss '{loss}' here; cross_entropy is taken")
        made.set(f"heads.{head}.loss", {"name": name or "cross_entropy", "class_weights": [float(w) for w in weights]})
        if head == "age" and len(weights) == NUM_AGE_BANDS:
            made.set("data.age_labels.by_decade", True)


def _known_loss(name: Any) -> str | None:
    return LOSSES.get(str(name).lower())


def _read_optimiser(config: Config, made: ImportedConfig) -> None:
    kind = config.pop("optimizer.type", None)
    if kind is None:
        return
    if kind not in OPTIMIZERS:
        made.add_warning("optimizer.type", f"'{kind}' is not known here; known: {', '.join(OPTIMIZERS)}")
        return
    part = {"name": OPTIMIZERS[kind]}
    made.set("optimizer", part | _options(config, "optimizer.args.", OPTIMIZER_OPTIONS[OPTIMIZERS[kind]]))


def _options(config: Config, lead: str, names: Sequence[str]) -> dict[str, Any]:
    return {name: config.pop(lead + name) for name in names if lead + name in config}


def _read_schedule(config: Config, made: ImportedConfig) -> None:
    kind = config.pop("lr_scheduler.type", None)
    if kind is None:
        return
    if kind not in LR_SCHEDULERS:
        made.add_warning("lr_scheduler.type", f"'{kind}' is not known here; known: {', '.join(LR_SCHEDULERS)}")
        return
    name, names = LR_SCHEDULERS[kind]
    found = _options(config, "lr_scheduler.args.", tuple(names))
    # torch's cosine falls from the first step on; the one here would rise for an epoch.
    options = {names[key]: value for key, value in found.items()} | ({"warmup": 0} if name == "cosine" else {})
    made.set("lr_scheduler", {"name": name, **options})


def _read_loop(config: Config, made: ImportedConfig) -> None:
    if "trainer.epochs" in config:
        made.set("trainer.epochs", config.pop("trainer.epochs"))
    if patience := config.pop("trainer.early_stop", 0):
        made.set("trainer.early_stopping_patience", patience)
    if config.get("n_gpu") in (0, 1) and config.pop("n_gpu") == 0:
        made.set("trainer.device", "cpu")
    loggers = [name for key, name in LOGGERS.items() if config.pop(key, False)]
    if loggers:
        made.set("trainer.loggers", loggers)


READERS = (_read_name, _read_network, _read_data, _read_losses, _read_optimiser, _read_schedule, _read_loop)
"""What takes the config's keys, in the order of the recipe's."""

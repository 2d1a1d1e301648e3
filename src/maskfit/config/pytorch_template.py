"""Converts a `config.json` of pytorch-template, as cv-08 (s4) uses it, to a recipe.

Every key of the config becomes a recipe key or a warning that says why it has no counterpart; no key is ignored
silently, as the source project did with options that it never read.
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
"""Heads of the entries of `loss_name`, in the source project's order."""

NUM_AGE_BANDS = 6
"""Number of age classes in the source project: below 20, four decades, 60 and over."""

LOSSES = {
    "focal": "focal",
    "cross_entropy": "cross_entropy",
    "ce": "cross_entropy",
    "crossentropyloss": "cross_entropy",
}
"""Loss of the source project, in lower case -> loss in maskfit."""

OPTIMIZERS = {"Adam": "adam", "AdamW": "adamw", "SGD": "sgd", "RAdam": "radam"}
"""torch optimizer -> optimizer in maskfit."""

OPTIMIZER_OPTIONS = {
    "adam": ("lr", "weight_decay", "amsgrad"),
    "adamw": ("lr", "weight_decay", "betas"),
    "sgd": ("lr", "momentum", "nesterov", "weight_decay"),
    "radam": ("lr", "weight_decay"),
}
"""Optimizer in maskfit -> its options, which have torch's names."""

LR_SCHEDULERS = {
    "StepLR": ("step", {"step_size": "every", "gamma": "factor"}),
    "ExponentialLR": ("exponential", {"gamma": "factor"}),
    "CosineAnnealingLR": ("cosine", {}),
}
"""torch scheduler -> (schedule in maskfit, torch option -> option in maskfit)."""

LOGGERS = {"trainer.tensorboard": "tensorboard", "wandb": "wandb"}
"""Switch in the config -> logger in maskfit."""

NO_COUNTERPART = {
    "n_gpu": "a run uses one device by default; see trainer.device and trainer.devices",
    "data_loader.type": "there is one data loader; data.path names the dataset",
    "data_loader.args.stage": "training and prediction are separate commands, train and predict",
    "data_loader.args.num_workers": "photos are decoded once, with one thread per core",
    "data_loader.args.shuffle": "training photos are always shuffled, see sampler; validation photos never are",
    "data_loader.args.validation_split": "write it as cv.val_fraction=0.1, a fraction of the persons",
    "loss": "each head has its own loss, from loss_name",
    "trainer.monitor": "the best epoch is always the one with the best validation macro F1",
    "lr_scheduler.args.T_max": "the cosine schedule ends with the last epoch",
    "lr_scheduler.args.eta_min": "the cosine schedule has a minimum as a factor of the rate: lr_scheduler.floor",
    "metrics": "every run reports accuracy, macro F1 and more, over the whole set",
    "trainer.save_dir": "a run is one folder: output_dir=DIR",
    "trainer.save_period": "training can be resumed from every epoch; trainer.save_top_k is the number of models kept",
    "trainer.verbosity": "progress is shown on a terminal only",
    "visualize": "the report contains the figures",
    "submit_dir": "maskfit predict writes to --out",
    "info_dir": "maskfit predict --image-list FILE --images DIR",
}
"""Config key without a counterpart -> reason."""


Config = dict[str, Any]
"""A config with dotted keys; each reader removes the keys that it converts."""


@dataclass
class ImportedConfig:
    """A config converted to a recipe.

    Attributes:
        values: Recipe keys that the config sets, as a nested mapping.
        warnings: One line for each key without an exact counterpart.
    """

    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def set(self, key: str, value: Any) -> None:
        """Sets a recipe key.

        Args:
            key: Dotted recipe key.
            value: Its value.
        """
        section = self.values
        *sections, last = key.split(".")
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value

    def add_warning(self, key: str, reason: str) -> None:
        """Adds a warning about a config key without a counterpart.

        Args:
            key: Dotted config key.
            reason: Why it has none, or what replaces it.
        """
        self.warnings.append(f"{key}: {reason}")

    def to_yaml(self, source: str) -> str:
        """Formats the recipe as YAML, with a comment that names its source.

        Args:
            source: Name of the config.

        Returns:
            YAML text.
        """
        body: str = yaml.safe_dump(self.values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
        return f"# Read from {source} by maskfit recipes --import; 'maskfit check' shows it with every default.\n{body}"


def import_config(path: str | Path) -> ImportedConfig:
    """Converts a config file.

    Args:
        path: The `config.json`; `//` comments are allowed, as in the source project's README.

    Returns:
        The recipe and the warnings.

    Raises:
        RecipeError: The file cannot be read, is not such JSON, or has values that no recipe can have.
    """
    path = Path(path)
    config = _flatten(_read(path))
    imported = ImportedConfig()
    try:
        for reader in READERS:
            reader(config, imported)
        Recipe.model_validate(imported.values)
    except ValidationError as error:
        items = [(".".join(map(str, item["loc"])), item) for item in error.errors()]
        lines = [f"{key}: {item['msg']}, got {item['input']!r:.60}" for key, item in items]
        raise RecipeError(format_list(lines), location=path, hint="correct these values") from None
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"a value does not have the type that cv-08 uses: {error}", location=path, hint="correct the value"
        ) from None
    # Keys that no reader has removed have no counterpart.
    for key in config:
        imported.add_warning(key, NO_COUNTERPART.get(key, "no recipe key corresponds to it"))
    return imported


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the config cannot be read: {error}", location=path, hint="check the path") from None
    # Strings are matched first, so that the // of a URL in one is not taken for a comment.
    without_comments = re.sub(r'("(?:\\.|[^"\\\n])*")|//[^\n]*', lambda match: match[1] or "", text)
    try:
        config = json.loads(without_comments)
    except ValueError as error:
        raise RecipeError(f"invalid JSON: {error}", location=path, hint="correct the line that is named") from None
    if not isinstance(config, dict) or not config:
        raise RecipeError(
            "a config must be a mapping of keys to values", location=path, hint="name the config.json of cv-08"
        )
    return config


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Config:
    """Returns nested mappings as one, with dotted keys."""
    flat: Config = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping) and value
        flat |= _flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def _read_name(config: Config, imported: ImportedConfig) -> None:
    name = str(config.pop("name", "imported"))
    imported.set("name", (re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "imported")[:64])
    imported.set("description", "Read from a config.json of pytorch-template.")
    if imported.values["name"] != name:
        imported.add_warning(
            "name", f"a recipe's name has letters, digits, dots, dashes and underscores: {imported.values['name']}"
        )


def _read_network(config: Config, imported: ImportedConfig) -> None:
    kind = config.pop("arch.type", None)
    backbone = config.pop("arch.args.model_name", None)
    if backbone is not None:
        imported.set("model.backbone", str(backbone))
    if "arch.args.pretrained" in config:
        imported.set("model.pretrained", "timm" if config.pop("arch.args.pretrained") else "none")
    if kind is not None:
        imported.set("model.head", "multi_head")
    if kind not in (None, "TimmModelMulti"):
        imported.add_warning("arch.type", f"'{kind}' is unknown; one head per attribute is used, check model.head")


def _read_data(config: Config, imported: ImportedConfig) -> None:
    for key, recipe_key in (("input_size", "data.image_size"), ("batch_size", "trainer.batch_size")):
        if f"data_loader.args.{key}" in config:
            imported.set(recipe_key, config.pop(f"data_loader.args.{key}"))


def _read_losses(config: Config, imported: ImportedConfig) -> None:
    """Converts `loss_name`: (loss, class weights, loss weight) of mask, gender and age."""
    entries = config.pop("loss_name", None)
    if entries is None:
        if (name := _find_loss(config.get("loss"))) is not None:
            imported.set("loss", name)
            del config["loss"]
        return
    if not isinstance(entries, list) or len(entries) != len(LOSS_HEADS):
        raise ValueError(f"loss_name must have one entry for each of {', '.join(LOSS_HEADS)}, got {entries!r:.60}")
    for head, (loss, class_weights, loss_weight) in zip(LOSS_HEADS, entries, strict=True):
        imported.set(f"heads.{head}.loss_weight", loss_weight)
        name = _find_loss(loss)
        if name is None:
            imported.add_warning(f"loss_name of {head}", f"the loss '{loss}' is unknown; cross_entropy is used")
        weights = [float(weight) for weight in class_weights]
        imported.set(f"heads.{head}.loss", {"name": name or "cross_entropy", "class_weights": weights})
        if head == "age" and len(weights) == NUM_AGE_BANDS:
            imported.set("data.age_labels.by_decade", True)


def _find_loss(name: Any) -> str | None:
    return LOSSES.get(str(name).lower())


def _read_optimizer(config: Config, imported: ImportedConfig) -> None:
    kind = config.pop("optimizer.type", None)
    if kind is None:
        return
    if kind not in OPTIMIZERS:
        imported.add_warning("optimizer.type", f"'{kind}' is unknown; known: {', '.join(OPTIMIZERS)}")
        return
    name = OPTIMIZERS[kind]
    imported.set("optimizer", {"name": name, **_pop_options(config, "optimizer.args.", OPTIMIZER_OPTIONS[name])})


def _pop_options(config: Config, prefix: str, names: Sequence[str]) -> dict[str, Any]:
    return {name: config.pop(prefix + name) for name in names if prefix + name in config}


def _read_lr_scheduler(config: Config, imported: ImportedConfig) -> None:
    kind = config.pop("lr_scheduler.type", None)
    if kind is None:
        return
    if kind not in LR_SCHEDULERS:
        imported.add_warning("lr_scheduler.type", f"'{kind}' is unknown; known: {', '.join(LR_SCHEDULERS)}")
        return
    name, names = LR_SCHEDULERS[kind]
    values = _pop_options(config, "lr_scheduler.args.", tuple(names))
    # torch's cosine has no warmup; maskfit's has one epoch by default.
    options = {names[key]: value for key, value in values.items()} | ({"warmup": 0} if name == "cosine" else {})
    imported.set("lr_scheduler", {"name": name, **options})


def _read_trainer(config: Config, imported: ImportedConfig) -> None:
    if "trainer.epochs" in config:
        imported.set("trainer.epochs", config.pop("trainer.epochs"))
    if patience := config.pop("trainer.early_stop", 0):
        imported.set("trainer.early_stopping_patience", patience)
    if config.get("n_gpu") in (0, 1) and config.pop("n_gpu") == 0:
        imported.set("trainer.device", "cpu")
    loggers = [name for key, name in LOGGERS.items() if config.pop(key, False)]
    if loggers:
        imported.set("trainer.loggers", loggers)


READERS = (_read_name, _read_network, _read_data, _read_losses, _read_optimizer, _read_lr_scheduler, _read_trainer)
"""Readers in the order of the recipe's keys."""

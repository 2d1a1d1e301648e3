"""Converts a config of pytorch-template, or of a project that grew from it, to a recipe.

Every key of the config becomes a recipe key, or a warning that says why it has no counterpart, or is named as unknown;
none is ignored silently, as the source projects did with options that they never read. `template_keys` has the tables.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from maskfit.config.aliases import find_component
from maskfit.config.common_names import COMMON_OPTIONS
from maskfit.config.loader import parse_yaml_value, validate_values
from maskfit.config.recipe import Recipe
from maskfit.config.template_keys import (
    LOADER_SECTIONS,
    MONITOR_WORDS,
    NEUTRAL_SECTIONS,
    NO_COUNTERPART,
    OTHER_SECTIONS,
    SCHEDULER_REASONS,
    SECTIONS,
    SETTINGS,
    TORCH_DEFAULTS,
    TYPE_WORDS,
)
from maskfit.errors import RecipeError, did_you_mean
from maskfit.registry import RegistryEntry, find_name, fold_name
from maskfit.text import parse_json

LOSS_HEADS = ("mask", "gender", "age")
"""Heads of the entries of `loss_name`, in the order of cv-08."""

NUM_AGE_BANDS = 6
"""Number of age classes in cv-08: below 20, four decades, 60 and over."""

BASELINE_GAMMA = 0.5
"""Factor of the competition's baseline every `lr_decay_step` epochs, which is in its code only."""

Registries = Mapping[str, RegistryEntry]

Config = dict[str, Any]
"""A config with dotted keys; each step removes the keys that it converts."""


@dataclass
class ImportedConfig:
    """A config converted to a recipe.

    Attributes:
        values: Recipe keys that the config sets, as a nested mapping.
        warnings: One line for each key without an exact counterpart.
        unknown: Keys that mean nothing to this module, and were not read.
    """

    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

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


def import_config(path: str | Path, registries: Registries) -> ImportedConfig:
    """Converts a config file.

    Args:
        path: The `config.json`, in which `//` comments are allowed, or a YAML file with such keys.
        registries: Registry of the components at each recipe key (`training.recipe_registry`).

    Returns:
        A recipe that passes `maskfit check`, and what was not taken over.

    Raises:
        RecipeError: The file cannot be read, nothing of it is understood, or it has values that no recipe can have.
    """
    path = Path(path)
    config = _flatten(_read(path))
    keys = list(config)
    try:
        imported = _Reader(config, registries).read()
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"a value does not have the type that such configs use: {error}", location=path, hint="correct the value"
        ) from None
    if not set(imported.values) - {"name", "description"}:
        raise RecipeError(
            f"nothing of this config is understood; its keys are {', '.join(keys[:8])}{', ...' if keys[8:] else ''}",
            location=path,
            hint="name a config with keys such as epochs, batch_size and optimizer, or start with maskfit new DIR",
        )
    validate_values(imported.values, registries, location=path)
    return imported


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the config cannot be read: {error}", location=path, hint="check the path") from None
    kind = "YAML" if path.suffix.lower() in (".yaml", ".yml") else "JSON"
    # Strings are matched first, so that the // of a URL in one is not taken for a comment.
    without_comments = re.sub(r'("(?:\\.|[^"\\\n])*")|//[^\n]*', lambda match: match[1] or "", text)
    try:
        config = parse_yaml_value(text) if kind == "YAML" else parse_json(without_comments)
    except ValueError as error:
        raise RecipeError(f"invalid {kind}: {error}", location=path, hint="correct the line that is named") from None
    if not isinstance(config, dict) or not config:
        raise RecipeError(
            "a config must be a mapping of keys to values", location=path, hint="name the config.json of a project"
        )
    return config


def _flatten(config: Mapping[Any, Any], prefix: str = "") -> Config:
    """Returns nested mappings as one, with dotted keys."""
    flat: Config = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping) and value
        flat |= _flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


_SECTION_WORDS = frozenset().union(*SECTIONS.values())


def _split(key: str) -> tuple[str, str]:
    """The section that gives a key its meaning, as `SECTIONS` calls it, and the key's last word.

    The section is "" for keys in sections that only group, and the section itself where it is another one.
    """
    *sections, last = map(fold_name, key.split("."))
    telling = [section for section in sections if section not in NEUTRAL_SECTIONS]
    if last in TYPE_WORDS and not telling and sections and sections[-1] in LOADER_SECTIONS:
        return "", f"{sections[-1]}type"
    if len(telling) > 1:
        return ".".join(telling), last
    section = telling[0] if telling else ""
    return next((name for name, words in SECTIONS.items() if section in words), section), last


def _setting(key: str) -> str | None:
    """The key of `SETTINGS` that a config's key holds; None where it holds none."""
    section, last = _split(key)
    if section in SECTIONS:
        if last in TYPE_WORDS or last in SETTINGS[section]:
            return section
        return "pretrained" if section == "backbone" and last in SETTINGS["pretrained"] else None
    found = next((setting for setting, words in SETTINGS.items() if last in words), None)
    return found if section == "" or (section == "validation" and found == "cv.val_fraction") else None


class _Reader:
    """Reads one config; each step removes the keys that it converts."""

    def __init__(self, config: Config, registries: Registries) -> None:
        self.rest = config
        self.registries = registries
        self.imported = ImportedConfig()

    def read(self) -> ImportedConfig:
        """Converts the keys, in the order of a recipe."""
        self._read_name()
        self._read_network()
        self._read_data()
        self._read_losses()
        rate = self._read_optimizer()
        self._read_trainer()
        self._read_lr_scheduler(rate)
        for key in list(self.rest):
            self._report(key)
        return self.imported

    def _report(self, key: str) -> None:
        """Says why a key that no step has removed is not in the recipe."""
        section, last = _split(key)
        outer = section.split(".")[0]
        if self.rest[key] == {} and (last in NEUTRAL_SECTIONS or last in _SECTION_WORDS):
            return  # A section without settings, such as the arguments of a class that takes none.
        if section == "lr_scheduler":
            reason: str | None = SCHEDULER_REASONS.get(last, "the schedule has no such option")
        elif section == "optimizer":
            reason = "the optimizer has no such option"
        elif outer in OTHER_SECTIONS:
            reason = OTHER_SECTIONS[outer]
        else:
            reason = NO_COUNTERPART.get(last)
        if reason is None:
            self.imported.unknown.append(key)
        else:
            self.imported.add_warning(key, reason)

    def _take(self, setting: str) -> tuple[str, Any] | None:
        """Removes every key of a setting, and returns the one that counts with its value.

        The deepest one counts, since `train_loader.args.batch_size` is what such programs read; others that have
        another value are reported.
        """
        found = self._keys_of(setting)
        if not found:
            return None
        values = {key: self.rest.pop(key) for key in found}
        chosen = max(found, key=lambda key: key.count("."))
        for key in found:
            if values[key] != values[chosen]:
                self.imported.add_warning(key, f"{values[key]!r} is not used, since {chosen} is {values[chosen]!r}")
        return chosen, values[chosen]

    def _keys_of(self, setting: str) -> list[str]:
        return [key for key in self.rest if _setting(key) == setting and self.rest[key] != {}]

    def _take_options(self, section: str) -> dict[str, tuple[str, Any]]:
        """Removes the options in a section: option to (key, value)."""
        keys = [key for key in self.rest if _split(key)[0] == section]
        return {key.rpartition(".")[2]: (key, self.rest.pop(key)) for key in keys}

    def _find(self, registry: str, name: Any) -> tuple[str | None, dict[str, Any]]:
        return find_component(self.registries[registry].table, registry, str(name))

    def _warn_unknown(self, key: str, registry: str, name: Any, instead: str) -> None:
        known = did_you_mean(str(name), self.registries[registry].table)
        self.imported.add_warning(key, f"'{name}' is unknown, {instead}; {known}")

    def _set_component(
        self, key: str, name: str, options: Mapping[str, Any], given: Mapping[str, tuple[str, Any]]
    ) -> dict[str, Any]:
        """Sets a component with those of the given options that it has; puts the others back, to be reported."""
        entry = self.registries[key]
        known = set(inspect.signature(entry.table[name]).parameters) - set(entry.injected_arguments)
        renamed = COMMON_OPTIONS.get(key, {}).get(name, {})
        values = dict(options)
        for option, (source, value) in given.items():
            new = renamed.get(option, option)
            if new in known:
                values[new] = value
            else:
                self.rest[source] = value
        self.imported.set(key, {"name": name, **values} if values else name)
        return values

    def _read_name(self) -> None:
        found = self._take("name")
        name = str(found[1]) if found else "imported"
        clean = (re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "imported")[:64]
        self.imported.set("name", clean)
        self.imported.set("description", "Read from a config of pytorch-template.")
        if clean != name:
            reason = f"a recipe's name has letters, digits, dots, dashes and underscores: {clean}"
            self.imported.add_warning("name", reason)

    def _read_network(self) -> None:
        found = {key: self.rest.pop(key) for key in self._keys_of("backbone")}
        # A network that a class of the project wraps stands deeper than the class: arch.type, arch.args.model_name.
        ordered = sorted(found, key=lambda key: key.count(".") + (_split(key)[1] not in TYPE_WORDS), reverse=True)
        named = {key: name for key in ordered if (name := self._find_backbone(key, str(found[key]))) is not None}
        chosen = next(iter(named), None)
        if chosen is not None:
            self.imported.set("model.backbone", named[chosen])
        for key in ordered:
            if key == chosen or found[key] == "TimmModelMulti":
                continue
            kept = "check model.head" if chosen else "set model.backbone to a timm model"
            self.imported.add_warning(key, f"'{found[key]}' is a class of that project or unknown; {kept}")
        if (pretrained := self._take("pretrained")) is not None:
            self.imported.set("model.pretrained", "timm" if pretrained[1] else "none")
        if found:
            self.imported.set("model.head", "multi_head")
        else:
            default = Recipe().model.backbone.name
            reason = f"the config names none; {default} with random weights is used, see model.backbone"
            self.imported.add_warning("model", reason)

    def _find_backbone(self, key: str, name: str) -> str | None:
        if "model.backbone" not in self.registries:
            # Without timm, the names of its models are told from classes by their case alone.
            return name if re.fullmatch(r"[a-z0-9_]+", name) else None
        table = self.registries["model.backbone"].table
        plain = name.partition(".")[0]
        while (known := find_name(table, plain)) is None and "_" in plain:
            # Weights were part of names before: tf_efficientnet_b3_ns is tf_efficientnet_b3 with other weights.
            plain = plain.rpartition("_")[0]
        if known is not None and fold_name(known) != fold_name(name):
            self.imported.add_warning(key, f"'{name}' is read as {known}, with timm's own choice of weights")
        return known

    def _read_data(self) -> None:
        for setting in ("data.path", "data.image_size", "cv.num_folds"):
            if (found := self._take(setting)) is not None and found[1] not in (None, 0):
                self.imported.set(setting, str(found[1]) if setting == "data.path" else found[1])
        if (found := self._take("cv.val_fraction")) is None:
            return
        key, value = found
        if isinstance(value, float) and 0 < value <= 0.5:
            self.imported.set("cv.val_fraction", value)
        else:
            self.imported.add_warning(key, f"{value!r} is no fraction of the persons in (0, 0.5]; see cv.val_fraction")

    def _read_losses(self) -> None:
        """Converts `loss_name`, (loss, class weights, loss weight) of mask, gender and age; or a single loss."""
        entries = self.rest.pop("loss_name", None)
        if entries is None or isinstance(entries, str):
            self._read_loss(entries)
            return
        if not isinstance(entries, list) or len(entries) != len(LOSS_HEADS):
            raise ValueError(f"loss_name must have one entry for each of {', '.join(LOSS_HEADS)}, got {entries!r:.60}")
        for head, (loss, class_weights, loss_weight) in zip(LOSS_HEADS, entries, strict=True):
            self.imported.set(f"heads.{head}.loss_weight", loss_weight)
            name, _ = self._find("loss", loss)
            if name is None:
                self._warn_unknown(f"loss_name of {head}", "loss", loss, "cross_entropy is used")
            weights = [float(weight) for weight in class_weights]
            self.imported.set(f"heads.{head}.loss", {"name": name or "cross_entropy", "class_weights": weights})
            if head == "age" and len(weights) == NUM_AGE_BANDS:
                self.imported.set("data.age_labels.by_decade", True)
        for key in self._keys_of("loss"):
            self.imported.add_warning(key, "each head has its own loss, from loss_name")
            del self.rest[key]

    def _read_loss(self, named: str | None) -> None:
        found = ("loss_name", named) if named is not None else self._take("loss")
        given = self._take_options("loss")
        if (smoothing := self._take("smoothing")) is not None:
            given.setdefault("smoothing", smoothing)
        name, options = (None, dict[str, Any]()) if found is None else self._find("loss", found[1])
        if found is not None and name is None and fold_name(str(found[1])).startswith("labelsmoothing"):
            name = "cross_entropy"
            if "smoothing" not in given:
                options = {"smoothing": 0.1}
                self.imported.add_warning(found[0], "loss.smoothing=0.1 is used, since the config does not give it")
        elif found is not None and name is None:
            self._warn_unknown(found[0], "loss", found[1], "cross_entropy is used")
        if found is not None or given:
            self._set_component("loss", name or "cross_entropy", options, given)

    def _read_optimizer(self) -> Any:
        """Converts the optimizer and returns its rate; None where the config gives none."""
        found = self._take("optimizer")
        given = self._take_options("optimizer")
        for option in ("lr", "weight_decay", "momentum"):
            synonym = next((name for name in given if fold_name(name) in SETTINGS[option]), None)
            general = self._take(option)
            if synonym is not None:
                given[option] = given.pop(synonym)
                if general is not None and general[1] != given[option][1]:
                    key, value = given[option]
                    self.imported.add_warning(general[0], f"{general[1]!r} is not used, since {key} is {value!r}")
            elif general is not None:
                given[option] = general
        if found is None and not given:
            return None
        name, options = (None, dict[str, Any]()) if found is None else self._find("optimizer", found[1])
        if name is None and found is not None:
            self._warn_unknown(found[0], "optimizer", found[1], "adamw is used")
        elif name is None:
            self.imported.add_warning("optimizer", "the config names none; adamw is used")
        return self._set_component("optimizer", name or "adamw", options, given).get("lr")

    def _read_lr_scheduler(self, rate: Any) -> None:
        found = self._take("lr_scheduler")
        given = self._take_options("lr_scheduler")
        every, gamma = self._take("lr_decay_step"), self._take("lr_gamma")
        if found is None and every is not None:
            found = (every[0], "StepLR")
            if gamma is None:
                gamma = (every[0], BASELINE_GAMMA)
                reason = f"lr_scheduler.factor={BASELINE_GAMMA} is used, as in the competition's baseline"
                self.imported.add_warning(every[0], reason)
        if found is None or found[1] in (None, False, ""):
            return
        name, options = self._find("lr_scheduler", found[1])
        if name is None:
            self._warn_unknown(found[0], "lr_scheduler", found[1], "cosine is used")
            self.imported.warnings += [f"{key}: an option of {found[1]}" for key, _ in given.values()]
            return
        if name == "step" and every is not None:
            given.setdefault("step_size", every)
        if name in ("step", "exponential") and gamma is not None:
            given.setdefault("gamma", gamma)
        self._read_cosine(name, options, given, rate)
        self._set_component("lr_scheduler", name, {**TORCH_DEFAULTS.get(name, {}), **options}, given)

    def _read_cosine(self, name: str, options: dict[str, Any], given: dict[str, tuple[str, Any]], rate: Any) -> None:
        """Converts the options of torch's cosines that maskfit's have in another unit."""
        if "T_max" in given and name == "cosine":
            key, value = given.pop("T_max")
            if value != self.imported.values.get("trainer", {}).get("epochs"):
                self.imported.add_warning(key, "the cosine schedule ends with the last epoch")
        if "eta_min" in given and name in ("cosine", "cosine_restarts"):
            key, value = given.pop("eta_min")
            if isinstance(rate, float) and rate > 0 and isinstance(value, int | float):
                options["floor"] = round(value / rate, 6)
            else:
                self.imported.add_warning(key, "the lowest rate is a factor of the rate: lr_scheduler.floor")

    def _read_trainer(self) -> None:
        for setting in ("epochs", "batch_size", "seed", "gradient_clip_val", "accumulate_grad_batches"):
            if (found := self._take(f"trainer.{setting}")) is not None and found[1] is not None:
                self.imported.set(f"trainer.{setting}", found[1])
        if (found := self._take("trainer.early_stopping_patience")) is not None and found[1]:
            if isinstance(found[1], bool):
                self.imported.add_warning(found[0], "set trainer.early_stopping_patience to a number of epochs")
            else:
                self.imported.set("trainer.early_stopping_patience", found[1])
        self._read_monitor()
        self._read_devices()
        loggers = [name for name in ("tensorboard", "wandb") if (item := self._take(name)) is not None and item[1]]
        if loggers:
            self.imported.set("trainer.loggers", loggers)

    def _read_monitor(self) -> None:
        """Reads "min val_loss", "max val_f1" or "off"; without it the best epoch is that of the best macro F1."""
        if (found := self._take("trainer.monitor")) is None or found[1] in (None, True):
            return
        key, value = found
        words = fold_name(str(value)).removeprefix("min").removeprefix("max")
        metric = next((name for name, parts in MONITOR_WORDS.items() if any(part in words for part in parts)), None)
        if value is False or words == "off":
            metric = "off"
        if metric is None:
            self.imported.add_warning(
                key, f"{value!r} is no metric here; the best epoch is that of the best macro F1, see trainer.monitor"
            )
            return
        self.imported.set("trainer.monitor", metric)
        if metric == "off" and self.imported.values["trainer"].pop("early_stopping_patience", None) is not None:
            self.imported.add_warning(key, "without a metric no training stops early, as in pytorch-template")

    def _read_devices(self) -> None:
        if (found := self._take("device")) is not None:
            device = str(found[1]).partition(":")[0].lower()
            if device in ("cpu", "cuda", "mps"):
                self.imported.set("trainer.device", device)
            elif found[1] is not True:
                self.imported.add_warning(found[0], "trainer.device is auto, cpu, cuda or mps")
        if (found := self._take("n_gpu")) is None:
            return
        key, count = found
        if not isinstance(count, int) or isinstance(count, bool):
            self.imported.add_warning(key, f"{count!r} is no number; set trainer.devices")
        elif count == 0:
            self.imported.set("trainer.device", "cpu")
        elif count > 0:
            self.imported.set("trainer.devices", count)
        if isinstance(count, int) and count > 1:
            self.imported.add_warning(key, f"trainer.devices={count}; without a GPU that is {count} processes")

"""Names by which other programs call components and their options, read as maskfit's own with one note each.

Case and separators do not matter for any name (`registry.find_name`): `AdamW` needs no row here. A name has a row only
if it means one component everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskfit.config.aliases import RECIPE_COMPONENTS, Warn
from maskfit.registry import Registry, RegistryEntry, find_name, fold_name

COMMON_NAMES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "loss": {
        "bceloss": ("bce", {}),
        "bcewithlogits": ("bce", {}),
        "bcewithlogitsloss": ("bce", {}),
        "brierscore": ("brier", {}),
        "ce": ("cross_entropy", {}),
        "celoss": ("cross_entropy", {}),
        "crossentropyloss": ("cross_entropy", {}),
        "f1": ("soft_macro_f1", {}),
        "f1loss": ("soft_macro_f1", {}),
        "focalloss": ("focal", {}),
        "ldamloss": ("ldam", {}),
        "mse": ("brier", {}),
        "mseloss": ("brier", {}),
        "nll": ("cross_entropy", {}),
        "nllloss": ("cross_entropy", {}),
        "sce": ("symmetric_cross_entropy", {}),
        "smoothl1loss": ("smooth_l1", {}),
    },
    "age_regression": {"l2": ("mse", {}), "mseloss": ("mse", {}), "smoothl1loss": ("smooth_l1", {})},
    "metric_loss": {
        "arcfaceloss": ("arcface", {}),
        "multisimilarityloss": ("multi_similarity", {}),
        "supconloss": ("supcon", {}),
        "supervisedcontrastive": ("supcon", {}),
        "tripletloss": ("triplet", {}),
        "tripletmarginloss": ("triplet", {}),
    },
    "optimizer": {
        "momentum": ("sgd", {"momentum": 0.9}),
        "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
        "sharpnessawareminimization": ("sam", {}),
    },
    "lr_scheduler": {
        "cosineannealing": ("cosine", {"warmup": 0}),
        "cosineannealinglr": ("cosine", {"warmup": 0}),
        "cosineannealingwarmrestarts": ("cosine_restarts", {}),
        "exponentiallr": ("exponential", {}),
        "none": ("constant", {}),
        "onecyclelr": ("one_cycle", {}),
        "reducelronplateau": ("reduce_on_plateau", {}),
        "sgdr": ("cosine_restarts", {}),
        "steplr": ("step", {}),
    },
    "weight_averaging": {
        "exponentialmovingaverage": ("ema", {}),
        "modelema": ("ema", {}),
        "stochasticweightaveraging": ("swa", {}),
    },
    "sampler": {
        "randomsampler": ("random", {}),
        "weightedrandomsampler": ("weighted", {}),
    },
    "data.crop": {"centercrop": ("center", {})},
}
"""Registry -> name without case and separators -> name in maskfit and the options that it implies."""

COMMON_OPTIONS: dict[str, dict[str, dict[str, str]]] = {
    "lr_scheduler": {
        "cosine_restarts": {"T_0": "period", "T_mult": "stretch"},
        "exponential": {"gamma": "factor"},
        "step": {"gamma": "factor", "step_size": "every"},
    },
    "loss": {name: {"label_smoothing": "smoothing", "weight": "class_weights"} for name in ("cross_entropy", "focal")},
    "optimizer": {name: {"learning_rate": "lr"} for name in ("adam", "adamp", "adamw", "lion", "radam", "sgd")},
}
"""Registry -> component -> option as torch calls it -> option in maskfit; values mean the same."""


def normalize_components(
    values: Mapping[str, Any], registries: Mapping[str, RegistryEntry], warn: Warn
) -> dict[str, Any]:
    """Writes the names and options of a recipe's components as the registries have them.

    Args:
        values: Nested mapping of a whole recipe; is not modified.
        registries: Registry of each recipe key of components, with `*` for a head's name.
        warn: Called with one line for each name that is more than another case.

    Returns:
        A new mapping. Unknown names are left for validation to report.
    """
    normalized: Any = values
    for key, entry in registries.items():
        normalized = _normalize_at(normalized, key.split("."), (), key, entry, warn)
    return dict(normalized)


def _normalize_at(
    values: Any, keys: list[str], path: tuple[str, ...], key: str, entry: RegistryEntry, warn: Warn
) -> Any:
    if not keys:
        return _normalize(values, ".".join(path), RECIPE_COMPONENTS.get(key, key), entry, warn)
    if not isinstance(values, Mapping):
        return values
    names = list(values) if keys[0] == "*" else [keys[0]] if keys[0] in values else []
    inner = {name: _normalize_at(values[name], keys[1:], (*path, str(name)), key, entry, warn) for name in names}
    return {**values, **inner}


def _normalize(value: Any, key: str, registry: str, entry: RegistryEntry, warn: Warn) -> Any:
    """One component, written as a name or as a mapping with a name."""
    name = value.get("name") if isinstance(value, Mapping) else value
    if not isinstance(name, str):
        return value
    known, implied = find_component(entry.table, registry, name)
    if known is None:
        return value
    if fold_name(known) != fold_name(name):
        shown = ", ".join(f"{option}={item}".lower() for option, item in implied.items())
        warn(f"{key}={name} is read as {known}{f' with {shown}' if shown else ''}")
    if not isinstance(value, Mapping):
        return {"name": known, **implied} if implied else known
    written = _rename_options(value, key, COMMON_OPTIONS.get(registry, {}).get(known, {}), warn)
    for option, nested in entry.nested.items():
        if option in written:
            written[option] = _normalize(written[option], f"{key}.{option}", f"{registry}.{option}", nested, warn)
    if isinstance(value.get("options"), Mapping):  # The long form: {name: ..., options: {...}}.
        return {**written, "name": known, "options": {**implied, **value["options"]}}
    return {"name": known, **implied, **written}


def _rename_options(value: Mapping[str, Any], key: str, renamed: Mapping[str, str], warn: Warn) -> dict[str, Any]:
    """The options of a component under maskfit's names, without its own name."""
    written = {}
    for option, item in value.items():
        new = renamed.get(option, option)
        if new != option and new in value:
            new = option  # Both are given: validation reports the unknown one.
        if new != option:
            warn(f"{key}.{option} is read as {key}.{new}")
        written[new] = item
    del written["name"]
    return written


def find_component(table: Registry, registry: str, name: str) -> tuple[str | None, dict[str, Any]]:
    """Finds a component by the name that a user or another program gives it.

    Args:
        table: The registry.
        registry: Its key in `COMMON_NAMES`.
        name: The name, in any case.

    Returns:
        The name in the registry and the options that the given name implies; None and no options where it is unknown.
    """
    if (known := find_name(table, name)) is not None:
        return known, {}
    return COMMON_NAMES.get(registry, {}).get(fold_name(name), (None, {}))

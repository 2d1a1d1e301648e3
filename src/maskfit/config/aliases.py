"""Earlier names of recipe keys, components, model-file fields and weights, so that old files still open.

One table for each kind of name. A reader upgrades what it read with `upgrade_recipe` or `upgrade_model_metadata` and
prints one warning line for each old name that it met; nothing else in maskfit knows the old names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

RECIPE_KEYS: dict[str, str] = {
    "about": "description",
    "average": "weight_averaging",
    "base": "extends",
    "embedding": "metric_loss",
    "fold": "cv.train_folds",
    "folds": "cv.num_folds",
    "holdout": "cv.val_fraction",
    "mixing": "batch_mixing",
    "optimiser": "optimizer",
    "run": "output_dir",
    "sampling": "sampler",
    "schedule": "lr_scheduler",
    "years": "age_regression",
    "card.licence": "card.license",
    "card.material": "card.training_data",
    "card.use": "card.intended_use",
    "data.age": "data.age_labels",
    "data.age_labels.decades": "data.age_labels.by_decade",
    "data.age_labels.drop": "data.age_labels.exclude",
    "data.age_labels.old_from": "data.age_labels.old_from_age",
    "data.age_labels.step": "data.age_labels.bin_width",
    "data.background": "data.background_removal",
    "data.corrections": "data.label_corrections",
    "data.extra": "data.extra_train",
    "data.known_errors": "data.known_label_errors",
    "data.normalise": "data.normalization",
    "data.root": "data.path",
    "data.scheme": "data.label_schema",
    "data.label_schema.attributes.*.edges": "data.label_schema.attributes.*.bin_edges",
    "data.label_schema.attributes.*.span": "data.label_schema.attributes.*.valid_range",
    "data.label_schema.attributes.*.coarse": "data.label_schema.attributes.*.parent_of",
    "data.sharpen": "data.unsharp_mask",
    "data.size": "data.image_size",
    "data.store": "data.cache_dir",
    "data.train_scale": "data.train_resize_scale",
    "heads.*.share": "heads.*.loss_weight",
    "model.start": "model.init_from",
    "model.weights": "model.pretrained",
    "trainer.accumulate": "trainer.accumulate_grad_batches",
    "trainer.checkpoint_steps": "trainer.save_every_n_steps",
    "trainer.checkpointing": "trainer.gradient_checkpointing",
    "trainer.clip": "trainer.gradient_clip_val",
    "trainer.finish": "trainer.full_data_epochs",
    "trainer.finish_lr": "trainer.full_data_lr_factor",
    "trainer.folds_at_once": "trainer.parallel_folds",
    "trainer.nodes": "trainer.num_nodes",
    "trainer.patience": "trainer.early_stopping_patience",
    "trainer.top": "trainer.save_top_k",
}
"""Old key -> new key, dotted, `*` for any head or list position. Sections come before the keys inside them."""

RECIPE_VALUES: dict[str, dict[Any, Any]] = {
    "data.normalization": {"dataset": "pretrained", "photo": "per_image"},
    "model.pretrained": {"hub": "timm"},
    "trainer.precision": {32: "32-true", "32": "32-true", "bf16": "bf16-mixed", 16: "16-mixed", "16": "16-mixed"},
}
"""New key -> old value -> new value."""

COMPONENTS: dict[str, dict[str, str]] = {
    "augmentation": {
        "base": "random_resized_crop",
        "complex": "crop_color_blur",
        "facecrop": "rand_augment",
        "jitter": "color_jitter",
        "one_of": "one_of_color",
        "random": "rand_augment",
        "shift_scale": "shift_scale_rotate",
        "tta": "rand_augment",
        "wild": "unconstrained",
    },
    "batch_mixing": {"strip": "vertical_cutmix"},
    "class_weights": {"complement": "one_minus_frequency"},
    "data.crop": {"centre": "center", "pixels": "variance", "salient": "saliency", "whole": "resize"},
    "loss": {
        "binary": "bce",
        "macro_f1": "soft_macro_f1",
        "neighbours": "ordinal_smoothing",
        "symmetric": "symmetric_cross_entropy",
    },
    "lr_scheduler": {"plateau": "reduce_on_plateau"},
    "model.freeze": {"gradual": "gradual_unfreeze", "trunk": "backbone"},
    "model.head": {
        "attributes": "multi_head",
        "hidden": "mlp_1",
        "joint": "single_head",
        "vanilla": "bn_dropout_linear",
    },
    "sampler": {"balanced": "class_balanced", "over": "oversample", "shuffle": "random", "under": "undersample"},
    "tta": {"five": "five_crop"},
    "vote": {"hard": "majority", "hard_attribute": "majority_per_attribute"},
}
"""Registry -> old component name -> new one. `heads.*.loss` uses the names of `loss`."""

OPTIONS: dict[str, dict[str, dict[str, str]]] = {
    "data.crop": {"face": {"choose": "face_selection", "of": "scale_relative_to", "squeeze": "ignore_aspect"}},
    "ensemble": {"greedy": {"bags": "num_bags", "part": "bag_fraction"}, "stack": {"strength": "C"}},
}
"""Registry -> component -> old option -> new one."""

MODEL_METADATA: dict[str, str] = {
    "about": "description",
    "scheme": "label_schema",
    "years": "age_regression",
    "label_schema.attributes.*.edges": "label_schema.attributes.*.bin_edges",
    "label_schema.attributes.*.span": "label_schema.attributes.*.valid_range",
    "label_schema.attributes.*.coarse": "label_schema.attributes.*.parent_of",
    "preprocessing.framing": "preprocessing.crop_resize",
    "preprocessing.normalising": "preprocessing.normalization",
    "preprocessing.crop_resize.background": "preprocessing.crop_resize.background_removal",
    "preprocessing.crop_resize.sharpen": "preprocessing.crop_resize.unsharp_mask",
    "calibration.unsure_below": "calibration.abstain_below",
    "card.judged_persons": "card.n_eval_persons",
    "card.judged_photos": "card.n_eval_photos",
    "card.licence": "card.license",
    "card.material": "card.training_data",
    "card.use": "card.intended_use",
    "card.weakest": "card.worst_groups",
}
"""Old key -> new key in the metadata of a model file."""

MODEL_METADATA_VALUES: dict[str, dict[Any, Any]] = {
    "preprocessing.normalization.mode": {"dataset": "pretrained", "photo": "per_image"},
}

MODEL_METADATA_COMPONENTS: dict[str, str] = {
    "head": "model.head",
    "preprocessing.crop_resize.crop": "data.crop",
}
"""Key of a component in a model file -> its registry in `COMPONENTS`."""

WEIGHT_PREFIXES: dict[str, str] = {"trunk.": "backbone."}
"""Old prefix -> new prefix of the names of a model file's tensors."""

Warn = Callable[[str], None]


def upgrade_recipe(values: Mapping[str, Any], warn: Warn) -> dict[str, Any]:
    """Returns a recipe's mapping with old keys, values and component names replaced by today's.

    Args:
        values: What YAML, JSON or `key=value` words gave; is not changed.
        warn: Called with one line for each old name.

    Returns:
        A new mapping.
    """
    upgraded = _rename_keys(values, RECIPE_KEYS, warn)
    cv = upgraded.get("cv")
    if isinstance(cv, dict) and isinstance(cv.get("num_folds"), str):
        # `folds` was either a count or the path of a split file.
        warn(f"cv.num_folds={cv['num_folds']} names a split file: write cv.split_file={cv['num_folds']}")
        cv["split_file"] = cv.pop("num_folds")
    _replace_values(upgraded, RECIPE_VALUES, warn)
    for registry, names in COMPONENTS.items():
        if registry not in ("class_weights", "tta", "vote"):
            _rename_components(upgraded, registry, names, warn)
    _rename_components(upgraded, "heads.*.loss", COMPONENTS["loss"], warn)
    _rename_option_keys(upgraded, "data.crop", OPTIONS["data.crop"], warn)
    for key in ("loss", "heads.*.loss"):
        _rename_option(upgraded, key, "class_weights", COMPONENTS["class_weights"], warn)
    return upgraded


def upgrade_model_metadata(values: Mapping[str, Any], warn: Warn) -> dict[str, Any]:
    """Returns a model file's metadata with old keys and component names replaced by today's.

    Args:
        values: The decoded JSON; is not changed.
        warn: Called with one line for each old name.

    Returns:
        A new mapping. The recipe inside is upgraded too.
    """
    upgraded = _rename_keys(values, MODEL_METADATA, warn)
    _replace_values(upgraded, MODEL_METADATA_VALUES, warn)
    for key, registry in MODEL_METADATA_COMPONENTS.items():
        _rename_components(upgraded, key, COMPONENTS[registry], warn)
        _rename_option_keys(upgraded, key, OPTIONS.get(registry, {}), warn)
    if isinstance(upgraded.get("recipe"), Mapping):
        upgraded["recipe"] = upgrade_recipe(upgraded["recipe"], warn)
    return upgraded


def upgrade_weight_names(names: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a model file's tensors under today's names.

    Args:
        names: Tensors by name.

    Returns:
        The same tensors; those with an old prefix under the new one.
    """
    return {_with_new_prefix(name): value for name, value in names.items()}


def current_name(registry: str, name: str, warn: Warn) -> str:
    """Returns today's name of a component.

    Args:
        registry: A key of `COMPONENTS`.
        name: A name, old or not.
        warn: Called with one line where the name is old.

    Returns:
        The new name, or `name` itself.
    """
    new = COMPONENTS.get(registry, {}).get(name)
    if new is None:
        return name
    warn(f"{registry}: '{name}' is now '{new}'")
    return new


def _with_new_prefix(name: str) -> str:
    for old, new in WEIGHT_PREFIXES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _places(values: Any, keys: list[str]) -> list[Any]:
    """Every container that the pattern `keys` leads to."""
    places = [values]
    for key in keys:
        inner: list[Any] = []
        for place in places:
            if key == "*" and isinstance(place, dict):
                inner += list(place.values())
            elif key == "*" and isinstance(place, list):
                inner += place
            elif isinstance(place, dict) and key in place:
                inner.append(place[key])
        places = inner
    return places


def _rename_keys(values: Mapping[str, Any], table: Mapping[str, str], warn: Warn) -> dict[str, Any]:
    upgraded: dict[str, Any] = _copy(values)
    # A section is renamed before the keys inside it, which stand in the table under its new name.
    for old, new in sorted(table.items(), key=lambda item: item[0].count(".")):
        *above, last = old.split(".")
        for place in _places(upgraded, above):
            if not isinstance(place, dict) or last not in place:
                continue
            *section, name = new.split(".")
            target = place if section == above else upgraded.setdefault(section[0], {})
            if not isinstance(target, dict) or name in target:
                # Both names given: the old one stays, to be refused as unknown.
                continue
            if target is place:
                renamed = {name if key == last else key: item for key, item in place.items()}
                place.clear()
                place.update(renamed)
            else:
                target[name] = place.pop(last)
            warn(f"{old} is now {new}")
    return upgraded


def _replace_values(values: dict[str, Any], table: Mapping[str, Mapping[Any, Any]], warn: Warn) -> None:
    for key, known in table.items():
        *above, last = key.split(".")
        for place in _places(values, above):
            value = place.get(last) if isinstance(place, dict) else None
            if isinstance(value, str | int) and not isinstance(value, bool) and value in known:
                place[last] = known[value]
                warn(f"{key}={value} is now {key}={known[value]}")


def _rename_components(values: dict[str, Any], key: str, names: Mapping[str, str], warn: Warn) -> None:
    *above, last = key.split(".")
    for place in _places(values, above):
        if not isinstance(place, dict):
            continue
        value = place.get(last)
        if isinstance(value, str) and value in names:
            place[last] = names[value]
            warn(f"{key}={value} is now {key}={names[value]}")
        elif isinstance(value, dict) and value.get("name") in names:
            warn(f"{key}={value['name']} is now {key}={names[value['name']]}")
            value["name"] = names[value["name"]]


def _rename_option_keys(
    values: dict[str, Any], key: str, components: Mapping[str, Mapping[str, str]], warn: Warn
) -> None:
    for place in _places(values, key.split(".")):
        if not isinstance(place, dict):
            continue
        names = components.get(str(place.get("name")), {})
        # Components are written flat, `{name: face, of: eyes}`, or with their options apart.
        for options in (place, place.get("options")):
            for old in [name for name in names if isinstance(options, dict) and name in options]:
                options[names[old]] = options.pop(old)
                warn(f"{key}.{old} is now {key}.{names[old]}")


def _rename_option(values: dict[str, Any], key: str, option: str, names: Mapping[str, str], warn: Warn) -> None:
    for place in _places(values, key.split(".")):
        value = place.get(option) if isinstance(place, dict) else None
        if isinstance(value, str) and value in names:
            place[option] = names[value]
            warn(f"{key}.{option}={value} is now {key}.{option}={names[value]}")

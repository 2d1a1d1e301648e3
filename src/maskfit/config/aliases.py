"""Old names of recipe keys, components, options, model metadata keys and weights, so that old files still open.

One table for each kind of name; nothing else in maskfit knows the old names. A reader converts what it read with
`upgrade_recipe`, `upgrade_component`, `upgrade_model_metadata` or `upgrade_gan_metadata`, and reports each old name
once with `warn_once`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from maskfit.errors import OldNameWarning, RecipeError
from maskfit.registry import ComponentSpec

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
    "data.label_schema.attributes.*.words": "data.label_schema.attributes.*.display_names",
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
"""Old key -> new key, dotted; `*` is any head or list index. Keys inside a renamed section use its new name."""

SPLIT_FILE_KEYS = {"folds": "cv.split_file"}
"""Old key -> new key where the value is a path: `folds` was a number of folds or a split file."""

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
    "data.crop": {"centre": "center", "pixels": "variance", "salient": "saliency", "whole": "resize"},
    "ensemble": {"hard": "majority", "hard_attribute": "majority_per_attribute"},
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
}
"""Registry -> old component name -> new component name. Registries are recipe keys, `engine`, `ensemble` and `tta`."""

OPTIONS: dict[str, dict[str, dict[str, str]]] = {
    "age_regression": {"mse": {"share": "weight"}, "smooth_l1": {"share": "weight"}},
    "augmentation": {
        "crop_color_blur": {"blurred": "blur_prob", "turn": "degrees"},
        "light": {"turn": "degrees"},
        "shift_scale_rotate": {"turn": "degrees"},
        "strong": {
            "damage": "degrade",
            "grey": "gray",
            "light": "jitter",
            "turn": "degrees",
        },
        "unconstrained": {
            "coarse": "downscale",
            "damage": "degrade",
            "grey": "gray",
            "light": "jitter",
            "turn": "degrees",
        },
    },
    "batch_mixing": {
        name: {"chance": "prob"}
        for name in ("cutmix", "half_face", "half_face_old", "half_face_same", "mixup", "vertical_cutmix")
    },
    "data.background_removal": {"grabcut": {"colour": "color"}, "saliency": {"colour": "color"}},
    "data.crop": {"face": {"choose": "face_selection", "of": "scale_relative_to", "squeeze": "ignore_aspect"}},
    "data.crop.detector": {"mtcnn": {"least": "min_face_size"}},
    "engine": {name: {"at_once": "infer_batch_size"} for name in ("onnx", "openvino")},
    "loss": {"ce_f1": {"share": "f1_weight"}, "symmetric_cross_entropy": {"floor": "log_zero"}},
    "metric_loss": {name: {"share": "weight"} for name in ("arcface", "multi_similarity", "supcon", "triplet")},
    "model.head": {
        name: {"start": "init"}
        for name in ("bn_dropout_linear", "mlp", "mlp_1", "multi_head", "multi_sample", "ordinal", "single_head")
    },
    "ensemble": {"greedy": {"bags": "num_bags", "part": "bag_fraction"}, "stack": {"strength": "l2"}},
}
"""Registry -> component -> old option -> new option."""

OPTION_VALUES: dict[str, dict[str, dict[str, str]]] = {
    "loss": {"class_weights": {"complement": "one_minus_frequency"}},
}
"""Registry -> option of any component -> old value -> new value."""

RECIPE_COMPONENTS: dict[str, str] = {
    **{key: key for key in (*COMPONENTS, *OPTIONS) if key not in ("engine", "ensemble", "tta")},
    "heads.*.loss": "loss",
}
"""Recipe key of a component -> its registry in the tables above."""

MODEL_METADATA: dict[str, str] = {
    "about": "description",
    "scheme": "label_schema",
    "years": "age_regression",
    "label_schema.attributes.*.edges": "label_schema.attributes.*.bin_edges",
    "label_schema.attributes.*.span": "label_schema.attributes.*.valid_range",
    "label_schema.attributes.*.coarse": "label_schema.attributes.*.parent_of",
    "label_schema.attributes.*.words": "label_schema.attributes.*.display_names",
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
"""New key -> old value -> new value in the metadata of a model file."""

MODEL_METADATA_COMPONENTS: dict[str, str] = {
    "head": "model.head",
    "preprocessing.crop_resize.background_removal": "data.background_removal",
    "preprocessing.crop_resize.crop": "data.crop",
    "preprocessing.crop_resize.crop.detector": "data.crop.detector",
}
"""Metadata key of a component -> its registry in the tables above."""

GAN_METADATA: dict[str, str] = {
    "batch": "batch_size",
    "framing": "crop_resize",
    "latent": "latent_dim",
    "scheme": "label_schema",
    **{old: new for old, new in MODEL_METADATA.items() if old.startswith("label_schema.")},
    "crop_resize.background": "crop_resize.background_removal",
    "crop_resize.sharpen": "crop_resize.unsharp_mask",
}
"""Old key -> new key in the metadata of a GAN generator's file."""

GAN_METADATA_COMPONENTS: dict[str, str] = {
    key.removeprefix("preprocessing."): registry
    for key, registry in MODEL_METADATA_COMPONENTS.items()
    if key.startswith("preprocessing.")
}
"""Metadata key of a component in a GAN generator's file -> its registry in the tables above."""

WEIGHT_PREFIXES: dict[str, str] = {"trunk.": "backbone.", "years.": "age_regressor."}
"""Old prefix -> new prefix of the names of a model file's tensors."""

Warn = Callable[[str], None]
"""Receives one line for each old name."""

_warned: set[str] = set()


def warn_once(message: str) -> None:
    """Issues an `OldNameWarning`, once for each message in this process.

    Args:
        message: One line that names the old and the new name.
    """
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, OldNameWarning, stacklevel=2)


def upgrade_recipe(values: Mapping[str, Any], warn: Warn) -> dict[str, Any]:
    """Replaces old keys, values, component names and options of a recipe by the new ones.

    Args:
        values: Nested mapping as read from YAML, JSON or a `key=value` override; is not modified.
        warn: Called with one line for each old name.

    Returns:
        A new mapping.

    Raises:
        RecipeError: A key or option is given under its old and its new name.
    """
    upgraded: dict[str, Any] = _copy(values)
    files = {key: new for key, new in SPLIT_FILE_KEYS.items() if isinstance(values.get(key), str)}
    _rename_keys(upgraded, {**RECIPE_KEYS, **files}, warn)
    _replace_values(upgraded, RECIPE_VALUES, warn)
    for key, registry in RECIPE_COMPONENTS.items():
        _upgrade_components(upgraded, key, registry, warn)
    return upgraded


def upgrade_component(registry: str, component: ComponentSpec, warn: Warn) -> ComponentSpec:
    """Replaces the old name and old options of a component by the new ones.

    Args:
        registry: Key of `COMPONENTS`.
        component: A component, such as one parsed from a command-line argument.
        warn: Called with one line for each old name.

    Returns:
        The component under its new names; the same object where nothing is old.

    Raises:
        RecipeError: An option is given under its old and its new name.
    """
    found: list[str] = []
    values = {"name": component.name, "options": dict(component.options)}
    upgraded = _upgrade_component(values, registry, registry, found.append)
    for line in found:
        warn(line)
    return ComponentSpec.model_validate(upgraded) if found else component


def upgrade_options(key: str, name: Any, options: Mapping[str, Any], warn: Warn) -> dict[str, Any]:
    """Replaces old options that are merged into a component of another file, as in the override `data.crop.of=photo`.

    Args:
        key: Recipe key of the component, with `*` for a head's name.
        name: New name of the component that the options are merged into.
        options: The options; are not modified.
        warn: Called with one line for each old option.

    Returns:
        The options under their new names.

    Raises:
        RecipeError: An option is given under its old and its new name.
    """
    upgraded = dict(options)
    known = OPTIONS.get(RECIPE_COMPONENTS.get(key, ""), {})
    for old, new in (known.get(name, {}) if isinstance(name, str) else {}).items():
        if old in upgraded:
            _rename(upgraded, old, new, f"{key}.{old}", f"{key}.{new}")
            warn(f"{key}.{old} is now {key}.{new}")
    return upgraded


def upgrade_model_metadata(values: Mapping[str, Any], warn: Warn) -> dict[str, Any]:
    """Replaces old keys, values and component names of a model file's metadata by the new ones.

    Args:
        values: The decoded JSON; is not modified.
        warn: Called with one line for each old name.

    Returns:
        A new mapping, in which the recipe is upgraded too.

    Raises:
        RecipeError: A key or option is given under its old and its new name.
    """
    upgraded: dict[str, Any] = _copy(values)
    _rename_keys(upgraded, MODEL_METADATA, warn)
    _replace_values(upgraded, MODEL_METADATA_VALUES, warn)
    for key, registry in MODEL_METADATA_COMPONENTS.items():
        _upgrade_components(upgraded, key, registry, warn)
    if isinstance(upgraded.get("recipe"), Mapping):
        upgraded["recipe"] = upgrade_recipe(upgraded["recipe"], warn)
    return upgraded


def upgrade_gan_metadata(values: Mapping[str, Any], warn: Warn) -> dict[str, Any]:
    """Replaces old keys and component names of a GAN generator's metadata by the new ones.

    Args:
        values: The decoded JSON; is not modified.
        warn: Called with one line for each old name.

    Returns:
        A new mapping.

    Raises:
        RecipeError: A key or option is given under its old and its new name.
    """
    upgraded: dict[str, Any] = _copy(values)
    _rename_keys(upgraded, GAN_METADATA, warn)
    for key, registry in GAN_METADATA_COMPONENTS.items():
        _upgrade_components(upgraded, key, registry, warn)
    return upgraded


def upgrade_weight_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces old prefixes in the names of a model file's tensors by the new ones.

    Args:
        weights: Tensors by name.

    Returns:
        The same tensors by their new names; a tensor whose new name is taken keeps the old one.
    """
    upgraded = {}
    for name, tensor in weights.items():
        for old, new in WEIGHT_PREFIXES.items():
            renamed = new + name.removeprefix(old)
            if name.startswith(old) and renamed not in weights:
                name = renamed
        upgraded[name] = tensor
    return upgraded


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _find_mappings(values: Any, keys: list[str]) -> Iterator[dict[str, Any]]:
    """Yields every mapping that the dotted pattern leads to."""
    if not keys:
        if isinstance(values, dict):
            yield values
        return
    first, *rest = keys
    if first == "*":
        children = list(values.values()) if isinstance(values, dict) else values if isinstance(values, list) else []
    else:
        children = [values[first]] if isinstance(values, dict) and first in values else []
    for child in children:
        yield from _find_mappings(child, rest)


def _rename_keys(values: dict[str, Any], table: Mapping[str, str], warn: Warn) -> None:
    # A section is renamed before the keys inside it, which the table lists under the section's new name.
    for old, new in sorted(table.items(), key=lambda item: item[0].count(".")):
        *section, last = old.split(".")
        *new_section, name = new.split(".")
        for mapping in list(_find_mappings(values, section)):
            if last not in mapping:
                continue
            if new_section == section:
                _rename(mapping, last, name, old, new)
            else:
                target = values.setdefault(new_section[0], {})
                if not isinstance(target, dict):
                    continue  # the section is malformed, and validation reports it
                if name in target:
                    raise _both_given(old, new)
                target[name] = mapping.pop(last)
            warn(f"{old} is now {new}")


def _rename(mapping: dict[str, Any], old: str, new: str, old_key: str, new_key: str) -> None:
    """Renames one key of a mapping in place; the order of its keys stays."""
    if new in mapping:
        raise _both_given(old_key, new_key)
    renamed = {new if key == old else key: item for key, item in mapping.items()}
    mapping.clear()
    mapping.update(renamed)


def _both_given(old: str, new: str) -> RecipeError:
    return RecipeError(f"{old} and {new} are both given, and {old} is the old name of {new}", hint=f"remove {old}")


def _replace_values(values: dict[str, Any], table: Mapping[str, Mapping[Any, Any]], warn: Warn) -> None:
    for key, renamed in table.items():
        *section, last = key.split(".")
        for mapping in _find_mappings(values, section):
            value = mapping.get(last)
            # True equals 1 and would be found in a table with numbers.
            if isinstance(value, str | int) and not isinstance(value, bool) and value in renamed:
                mapping[last] = renamed[value]
                warn(f"{key}={value} is now {key}={renamed[value]}")


def _upgrade_components(values: dict[str, Any], key: str, registry: str, warn: Warn) -> None:
    *section, last = key.split(".")
    for mapping in _find_mappings(values, section):
        if last in mapping:
            mapping[last] = _upgrade_component(mapping[last], key, registry, warn)


def _upgrade_component(value: Any, key: str, registry: str, warn: Warn) -> Any:
    """Returns a component, written as a name or a mapping, under its new names; a mapping is modified in place."""
    names = COMPONENTS.get(registry, {})
    if isinstance(value, str):
        if value not in names:
            return value
        warn(f"{key}={value} is now {key}={names[value]}")
        return names[value]
    if not isinstance(value, dict):
        return value
    name = value.get("name")
    if isinstance(name, str) and name in names:
        warn(f"{key}={name} is now {key}={names[name]}")
        name = value["name"] = names[name]
    renamed = OPTIONS.get(registry, {}).get(name, {}) if isinstance(name, str) else {}
    # Components are written flat, `{name: face, align: true}`, or with their options apart.
    for options in (value, value.get("options")):
        if not isinstance(options, dict):
            continue
        for old, new in renamed.items():
            if old in options:
                _rename(options, old, new, f"{key}.{old}", f"{key}.{new}")
                warn(f"{key}.{old} is now {key}.{new}")
        _replace_values(options, OPTION_VALUES.get(registry, {}), lambda line: warn(f"{key}.{line}"))
    return value

"""Replaces old names (`old_names.py`) and those of other programs (`common_names.py`) by those of today.

A reader converts what it read with `upgrade_recipe`, `upgrade_component`, `upgrade_model_metadata` or
`upgrade_gan_metadata`, and reports each old name once with `warn_once`; `normalize_components` accepts the names that
other programs use.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from maskfit.config.common_names import COMMON_NAMES, COMMON_OPTIONS
from maskfit.config.old_names import (
    COMPLETE_RECIPE,
    COMPONENTS,
    GAN_METADATA,
    GAN_METADATA_COMPONENTS,
    MODEL_METADATA,
    MODEL_METADATA_COMPONENTS,
    MODEL_METADATA_VALUES,
    OLD_DEFAULTS,
    OPTION_VALUES,
    OPTIONS,
    RECIPE_COMPONENTS,
    RECIPE_KEYS,
    RECIPE_VALUES,
    SPLIT_FILE_KEYS,
    WEIGHT_PREFIXES,
)
from maskfit.errors import OldNameWarning, RecipeError
from maskfit.registry import ComponentSpec, Registry, RegistryEntry, find_name, fold_name

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
    if upgraded.keys() >= COMPLETE_RECIPE:
        fill_old_defaults(upgraded, RECIPE_COMPONENTS)
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
    fill_old_defaults(upgraded, MODEL_METADATA_COMPONENTS)
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
    fill_old_defaults(upgraded, GAN_METADATA_COMPONENTS)
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


def fill_old_defaults(values: dict[str, Any], keys: Mapping[str, str]) -> None:
    """Writes the defaults of earlier versions into what those wrote; a later version names these options itself.

    Args:
        values: Nested mapping with new names; is modified.
        keys: Dotted key of a component -> its registry.
    """
    for key, registry in keys.items():
        *section, last = key.split(".")
        defaults = OLD_DEFAULTS.get(registry, {})
        for mapping in _find_mappings(values, section) if defaults else ():
            value = mapping.get(last)
            name = value.get("name") if isinstance(value, dict) else value
            if not isinstance(name, str) or name not in defaults:
                continue
            written: dict[str, Any] = value if isinstance(value, dict) else {"name": name}
            options = written["options"] if isinstance(written.get("options"), dict) else written
            options.update({option: item for option, item in defaults[name].items() if option not in options})
            mapping[last] = written


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
    found, options = COMMON_NAMES.get(registry, {}).get(fold_name(name), (None, {}))
    # A copy: callers add the options of one recipe.
    return found, dict(options)

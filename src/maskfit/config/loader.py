"""Reads recipes from YAML or JSON, merges overrides into them, and writes them as YAML.

Mappings are merged in this order, later over earlier: the defaults of `config/recipe.py`, the recipe that `extends:`
names (and the one that this extends), the file, the `key=value` overrides. A component is replaced as a whole by a
mapping with a name, while bare options are merged into it: `loss=focal` is another loss, `loss.smoothing=0.1` the same
loss with another option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from maskfit.config.aliases import normalize_components, upgrade_component, upgrade_options, upgrade_recipe, warn_once
from maskfit.config.monitor import OFF, parse_monitor
from maskfit.config.presets import JITTER_SIZES, expand_presets, find_preset
from maskfit.config.recipe import COMPONENT_KEYS, SECTIONS, DataConfig, Recipe, key_pattern
from maskfit.config.recipe_files import RECIPE_SUFFIXES, read_recipe_text
from maskfit.errors import RecipeError, did_you_mean, format_list, is_model_name
from maskfit.registry import ComponentSpec, RegistryEntry, validate_spec
from maskfit.safe_yaml import FLOAT_RESOLVER, parse_yaml
from maskfit.text import format_count, format_validation_error, parse_json

MAX_WARNINGS = 5
"""A recipe with more old names, such as the complete one of an old run folder, gets one warning for all of them."""

PLACES_OF_COMMON_KEYS = {
    "batch": ["trainer.batch_size"],
    "img_size": ["data.image_size"],
    "imgsz": ["data.image_size"],
    "learning_rate": ["optimizer.lr"],
    "lr": ["optimizer.lr"],
    "momentum": ["optimizer.momentum"],
    "weight_decay": ["optimizer.weight_decay"],
}
"""Keys that other programs have at the top, whose place here no section of the recipe tells."""


def read_recipe(
    source: str | Path, overrides: Sequence[str] = (), *, registries: Mapping[str, RegistryEntry] | None = None
) -> Recipe:
    """Reads and validates a recipe.

    Args:
        source: A YAML or JSON file, or the name of a bundled recipe.
        overrides: `key=value` arguments with dotted keys and YAML values: `trainer.epochs=3`.
        registries: Registry of the components at each of `COMPONENT_KEYS`; where given, names of components are read
            whatever their case, and names, options and values are validated too.

    Returns:
        The recipe with every default filled in.

    Raises:
        RecipeError: Lists every error, one line each, with the closest known names.
    """
    values = _merge(_defaults(), _read_with_bases(source))
    for override in overrides:
        values = _merge(values, _upgrade(_parse_override(override), override))
    if registries is not None:
        values = normalize_components(values, registries, _warn)
    return _validate(values, registries, location=source)


def validate_values(
    values: Mapping[str, Any], registries: Mapping[str, RegistryEntry], *, location: str | Path
) -> Recipe:
    """Validates recipe keys that are not in a file yet.

    Args:
        values: Nested mapping; every other key has its default.
        registries: As for `read_recipe`.
        location: Where the values come from, for the error.

    Returns:
        The recipe.

    Raises:
        RecipeError: Lists every error, one line each.
    """
    return _validate(_merge(_defaults(), values), registries, location=location)


def _upgrade(values: Mapping[str, Any], location: str | Path) -> dict[str, Any]:
    """Replaces old names in one file or override, and warns about them."""
    lines: list[str] = []
    try:
        upgraded = upgrade_recipe(values, lines.append)
    except RecipeError as error:
        raise RecipeError(error.message, location=location, hint=error.hint) from None
    lines = list(dict.fromkeys(lines))
    if len(lines) > MAX_WARNINGS:
        example = f"such as: {lines[0]}; 'maskfit check' shows the new ones"
        warn_once(f"recipe: {location} has {format_count(len(lines), 'old name')}, {example}")
    else:
        for line in lines:
            _warn(line)
    return expand_presets(upgraded, _warn) if find_preset(upgraded.get("augmentation")) else upgraded


def _warn(line: str) -> None:
    warn_once(f"recipe: {line}")


def _defaults() -> dict[str, Any]:
    return Recipe().model_dump(mode="json")


def _validate(
    values: Mapping[str, Any], registries: Mapping[str, RegistryEntry] | None, *, location: str | Path
) -> Recipe:
    problems: list[str] = []
    recipe = None
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        errors = error.errors()
        problems = [_format_error(item) for item in errors if not _is_consequence(item, errors)]
    problems += [line for key, entry in (registries or {}).items() for line in _component_problems(values, key, entry)]
    if recipe is not None:
        names = recipe.data.label_schema.names
        problems += [
            f"heads.{name}: there is no such head; {did_you_mean(name, names)}"
            for name in recipe.heads
            if name not in (*names, "joint")
        ]
        try:
            parse_monitor(recipe.trainer.monitor, names)
        except ValueError as error:
            problems.append(f"trainer.monitor: {error}")
        if recipe.trainer.monitor == OFF:
            needing = {
                "trainer.early_stopping_patience": recipe.trainer.early_stopping_patience is not None,
                "lr_scheduler=reduce_on_plateau": recipe.lr_scheduler.name == "reduce_on_plateau",
            }
            problems += [f"{key} needs a metric, but trainer.monitor=off" for key, used in needing.items() if used]
        problems += _cached_features_problems(recipe)
        default_weight = DataConfig.model_fields["soft_label_weight"].default
        if recipe.data.soft_labels is None and recipe.data.soft_label_weight != default_weight:
            problems.append("data.soft_label_weight: has no effect without data.soft_labels")
        if recipe.trainer.compile and recipe.progressive_resizing.name != "none":
            problems.append(
                "trainer.compile: does not go together with progressive_resizing: each size would be compiled for "
                "itself, up to a minute each; leave out one of them"
            )
        problems += _boolean_problems(values, recipe.model_dump(), _defaults())
    if problems or recipe is None:
        raise RecipeError(
            format_list(list(dict.fromkeys(problems))),
            location=location,
            hint="correct the lines above, then run 'maskfit check'",
        )
    return recipe


def _boolean_problems(value: Any, validated: Any, default: Any, key: str = "") -> list[str]:
    """Returns the numbers that were given as true or false, which pydantic reads as 1 and 0."""
    if isinstance(value, Mapping) and isinstance(validated, Mapping):
        defaults = default if isinstance(default, Mapping) else {}
        return [
            line
            for name, item in value.items()
            for line in _boolean_problems(item, validated.get(name), defaults.get(name), f"{key}.{name}".lstrip("."))
        ]
    numbers = validated if isinstance(validated, list | tuple) else [validated]
    if isinstance(value, list | tuple):
        lines = [_boolean_problems(*pair, (), key) for pair in zip(value, numbers, strict=False)]
        return [line for item in lines for line in item]
    number = numbers[0] if numbers else None  # One number stands for a list of one.
    if not isinstance(value, bool) or isinstance(number, bool) or not isinstance(number, int | float):
        return []
    unset = "; null switches it off" if default is None else ""
    return [f"{key}: must be {'an integer' if isinstance(number, int) else 'a number'}, got {value}{unset}"]


def _cached_features_problems(recipe: Recipe) -> list[str]:
    """Returns the keys that need pixels, or train the backbone, where heads are trained on cached features."""
    if recipe.trainer.cached_features is None:
        return []
    used = {
        "batch_mixing": recipe.batch_mixing.name != "none",
        "progressive_resizing": recipe.progressive_resizing.name != "none",
        "model.freeze": recipe.model.freeze.name != "none",
        "trainer.full_data_epochs": recipe.trainer.full_data_epochs > 0,
        "trainer.devices": recipe.trainer.devices > 1,
        "trainer.num_nodes": recipe.trainer.num_nodes > 1,
    }
    if recipe.model.pretrained == "none" and recipe.model.init_from is None:
        return [
            "trainer.cached_features trains heads on the features of a fixed backbone, which needs weights: set "
            "model.init_from or model.pretrained"
        ]
    return [
        f"{key}: does not go together with trainer.cached_features, which trains heads on fixed features; leave it at "
        "its default, or set trainer.cached_features=null to train the whole network"
        for key, is_used in used.items()
        if is_used
    ]


def _format_error(error: Any) -> str:
    """Formats a pydantic error as "key: problem", with the closest known key where the key is unknown."""
    path = [str(item) for item in error["loc"] if not str(item).startswith(("function-", "tuple[", "constrained-"))]
    if error["type"] == "extra_forbidden":
        section = SECTIONS.get(key_pattern(".".join(path[:-1])))
        known = section.model_fields if section else ()
        elsewhere = " or ".join(f"'{key}'" for key in _find_in_sections(path[-1]))
        near = f"did you mean {elsewhere}?" if elsewhere else did_you_mean(path[-1], known)
        return f"{'.'.join(path)}: there is no such key; {near}"
    if error["type"] == "missing":
        return f"{'.'.join(path)}: this key is missing"
    # The index in a short list is left out: the message shows the value, and both sides of a size become one line.
    while path[-1].isdigit() or path[-1] == "[key]":
        path.pop()
    if error["type"] == "value_error":
        return f"{'.'.join(path)}: {error['ctx']['error']}"
    message = _MESSAGES.get(error["type"], str(error["msg"]).removeprefix("Input "))
    bounds = {key: f"{value:g}" if isinstance(value, float) else value for key, value in error.get("ctx", {}).items()}
    message = message.format(**bounds)
    shown = "nothing" if error["input"] is None else f"{error['input']!r:.60}"
    # Whoever writes null, false or off for such a key means its word for nothing.
    off = " (none for nothing)" if error["input"] in (None, False) and _default_of(path) == "none" else ""
    return f"{'.'.join(path)}: {message[:1].lower()}{message[1:]}{off}, got {shown}"


def _default_of(path: Sequence[str]) -> object:
    section = SECTIONS.get(key_pattern(".".join(path[:-1])))
    field = section.model_fields.get(path[-1]) if section else None
    return field.default if field else None


def _find_in_sections(name: str) -> list[str]:
    """The keys of sections that have a name: where `epochs` or `lr` belongs that was written without its section."""
    # Keys of deeper sections, such as the `name` of an attribute, mean something only there.
    sections = {section: model for section, model in SECTIONS.items() if section and "." not in section}
    found = [f"{section}.{name}" for section, model in sections.items() if name in model.model_fields]
    return found + PLACES_OF_COMMON_KEYS.get(name, [])


def _is_consequence(error: Any, errors: Sequence[Any]) -> bool:
    """Whether a list is too short only because its items have errors, which are listed anyway."""
    place = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors
    )


_MESSAGES = {
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "string_type": "must be a string",
    "string_pattern_mismatch": "must be 1 to 64 letters, digits, dots, dashes or underscores, no dot or dash first",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
}
"""Messages for pydantic's error types that do not require knowing Python's types."""


def _component_problems(values: Mapping[str, Any], key: str, entry: RegistryEntry, prefix: str = "") -> Iterator[str]:
    """Yields the errors in the components at a key; a value that is no component is reported by pydantic."""
    for place, value in _find_values(values, key.split(".")):
        location = f"{prefix}{place}"
        try:
            spec = ComponentSpec.model_validate(value)
        except ValidationError:
            continue
        yield from validate_spec(
            entry.table,
            spec,
            injected=entry.injected_arguments,
            location=location,
            check_values=True,
            further_names=JITTER_SIZES if key == "augmentation" else (),
        )
        if entry.find_problem is not None and (problem := entry.find_problem(spec.options)):
            yield f"{location}: {problem}"
        for option, nested in entry.nested.items():
            yield from _component_problems({option: spec.options.get(option)}, option, nested, f"{location}.")


def _find_values(values: Any, keys: Sequence[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) for every value that the key pattern matches."""
    if not keys:
        if values is not None:
            yield prefix, values
    elif isinstance(values, Mapping):
        for key in list(values) if keys[0] == "*" else [keys[0]]:
            yield from _find_values(values.get(key), keys[1:], f"{prefix}.{key}" if prefix else str(key))


def _merge(base: Any, override: Any, key: str = "") -> Any:
    """Merges `override` into `base`: mappings by key, options into their component; anything else is replaced."""
    if not isinstance(override, Mapping):
        return override
    if key_pattern(key) in COMPONENT_KEYS:
        if "name" in override or base is None:
            return dict(override)
        base = {"name": base} if isinstance(base, str) else base
        if isinstance(base, Mapping):
            override = upgrade_options(key_pattern(key), base.get("name"), override, _warn)
    elif isinstance(base, str) and "name" not in override and key_pattern(key.rpartition(".")[0]) in COMPONENT_KEYS:
        base = {"name": base}  # An option that is a component itself: data.crop.detector.side=640.
    if not isinstance(base, Mapping):
        return dict(override)
    merged = dict(base)
    for name, value in override.items():
        merged[name] = _merge(merged.get(name), value, f"{key}.{name}" if key else str(name))
    if key == "trainer" and "epochs" in override:
        # Whoever says how many epochs means so many; the least number of steps belongs to the other number.
        merged["min_steps"] = override.get("min_steps", 0)
    return merged


def _read_with_bases(source: str | Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Reads a recipe file and merges it into the recipe that it extends."""
    # Resolved paths: a cycle over several folders would name the same file by ever longer relative paths.
    name = str(Path(source).resolve()) if Path(source).suffix in RECIPE_SUFFIXES else str(source)
    if name in seen:
        raise RecipeError(f"recipes extend each other: {' -> '.join((*seen, name))}", hint="remove one extends line")
    values = _upgrade(_parse(read_recipe_text(source), location=str(source)), source)
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise RecipeError(f"extends must name a recipe or a file, got {base!r:.60}", location=str(source))
    # A path is relative to the recipe that names it, not to the working directory.
    path = Path(source).parent / base if Path(base).suffix in RECIPE_SUFFIXES else base
    # What the base says of itself is not true of this recipe.
    own = {"name": values.get("name", Path(source).stem), "description": f"As {base}, with changes."}
    return dict(_merge(_merge(_read_with_bases(path, (*seen, name)), own), values))


class _Dumper(yaml.SafeDumper):
    """Safe YAML dumper that quotes strings which the loader would read as numbers."""


_Dumper.add_implicit_resolver(*FLOAT_RESOLVER)


def parse_yaml_value(text: str) -> Any:
    """Parses one YAML value: `1e-4` is a number, `[1, 2]` a list.

    Args:
        text: YAML.

    Returns:
        The value as plain Python objects.

    Raises:
        ValueError: The text is not valid YAML or exceeds a limit of `safe_yaml`, or a date does not exist.
    """
    return parse_yaml(text)


def parse_component(text: str, registry: str | None = None) -> ComponentSpec:
    """Parses a component given on the command line.

    Args:
        text: `flip`, `crops:n=4,seed=1`, or YAML as in `{name: crops, n: 4}`.
        registry: Key of `aliases.COMPONENTS`; where given, old names are replaced, with one warning for each.

    Returns:
        The component.

    Raises:
        RecipeError: The text is none of these.
    """
    name, colon, rest = text.partition(":")
    # A comma between brackets belongs to a list.
    words = re.split(r",(?![^\[\]]*\])", rest) if rest else []
    try:
        if text.lstrip().startswith("{"):
            spec = ComponentSpec.model_validate(parse_yaml_value(text))
        else:
            options = [word.partition("=") for word in words]
            if not name.strip() or (colon and not rest) or any(not key.strip() or not eq for key, eq, _ in options):
                raise ValueError("an option has no value")
            pairs = [(key.strip(), parse_yaml_value(value)) for key, _, value in options]
            spec = ComponentSpec(name=name.strip(), options=_reject_duplicates(pairs))
    except ValueError as error:  # pydantic's ValidationError is one too
        reason = format_validation_error(error, 1) if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise RecipeError(
            f"'{text}' is not a name with options: {reason}",
            hint="write it like flip, crops:n=4,seed=1 or {name: crops, n: 4}",
        ) from None
    return spec if registry is None else upgrade_component(registry, spec, warn_once)


def _reject_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"duplicate key {', '.join(key for key in values if keys.count(key) > 1)}")
    return values


def _parse(text: str, *, location: str) -> dict[str, Any]:
    # JSON has its own parser: YAML accepts nearly all of it, but not tabs.
    kind = "JSON" if location.endswith(".json") else "YAML"
    try:
        if kind == "JSON":
            values = parse_json(text.lstrip("\ufeff"), object_pairs_hook=_reject_duplicates)
        else:
            values = parse_yaml_value(text)
    except ValueError as error:
        raise RecipeError(
            f"invalid {kind}: {error}", location=location, hint="correct the line that is named"
        ) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise RecipeError(
            "a recipe must be a mapping of keys to values",
            location=location,
            hint="see 'maskfit recipes baseline' for an example",
        )
    return values


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key or any(not part for part in key.split(".")):
        hint = "write it like trainer.epochs=3, without spaces"
        if not equals and is_model_name(override):
            hint = f"training starts from a model with model.init_from={override}"
        raise RecipeError(f"'{override}' is not key=value", hint=hint)
    try:
        value = parse_yaml_value(text)
    except ValueError as error:
        raise RecipeError(f"the value of '{override}' is not valid YAML: {error}", hint="put it in quotes") from None
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def recipe_to_yaml(recipe: Recipe) -> str:
    """Formats a whole recipe as YAML, with every default written out.

    Args:
        recipe: Any recipe.

    Returns:
        YAML text from which `read_recipe` reads an equal recipe.
    """
    values = recipe.model_dump(mode="json")
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text

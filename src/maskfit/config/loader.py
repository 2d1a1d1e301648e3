"""The cookbook: finds recipes, reads them from YAML or JSON, lays overrides over them, and writes them out.

Reading lays mappings over each other, later over earlier: the defaults of `config/recipe.py`, the recipe that `extends:` names
(and its base), the file, the `key=value` words. Where a part stands, a name replaces the whole part, a bare option is
laid over the part that stands there: `loss=focal` is another loss, `loss.smoothing=0.1` the same with another option.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from maskfit.config.aliases import upgrade_recipe
from maskfit.config.recipe import COMPONENT_KEYS, SECTIONS, Recipe, key_pattern
from maskfit.errors import RecipeError, did_you_mean, format_list
from maskfit.registry import ComponentSpec, RegistryEntry, validate_spec

RECIPE_SUFFIXES = (".yaml", ".yml", ".json")
"""How the name of a recipe file ends; anything else is the name of a recipe that ships."""


def recipe_names() -> list[str]:
    """The recipes that ship with maskfit."""
    folder = resources.files("maskfit") / "recipes"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def read_recipe_text(source: str | Path) -> str:
    """The text of a recipe file, or of a recipe that ships.

    Raises:
        RecipeError: There is neither such a file nor such a name.
    """
    path = Path(source)
    try:
        if path.suffix in RECIPE_SUFFIXES:
            return path.read_text(encoding="utf-8")
        if path.name != str(source):
            raise FileNotFoundError("recipes that ship stand in no folder")
        return (resources.files("maskfit") / "recipes" / f"{path.name}.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if path.suffix and path.exists():
            raise RecipeError(f"the recipe cannot be read: {error}", location=path) from None
        raise RecipeError(
            f"there is no recipe '{source}'; {did_you_mean(str(source), recipe_names())}",
            hint="maskfit recipes lists them; a file ends in .yaml or .json",
        ) from None


def read_recipe(
    source: str | Path, overrides: Sequence[str] = (), *, slots: Mapping[str, RegistryEntry] | None = None
) -> Recipe:
    """Reads a recipe.

    Args:
        source: A YAML or JSON file, or the name of a recipe that ships.
        overrides: Words `key=value`, keys with dots, values in YAML: `trainer.epochs=3`.
        slots: For each of `PART_KEYS` the table of its parts; with it, names and options of parts are checked too.

    Raises:
        RecipeError: Every mistake at once, one line each, with the nearest known names.
    """
    values = _laid_over(_defaults(), _with_bases(source))
    for word in overrides:
        values = _laid_over(values, upgrade_recipe(_read_override(word), _warn_old_name))
    return _validated(values, slots, where=source)


def _warn_old_name(line: str) -> None:
    warnings.warn(f"recipe: {line}", FutureWarning, stacklevel=3)


def _defaults() -> dict[str, Any]:
    return Recipe().model_dump(mode="json")


def _validated(values: Mapping[str, Any], slots: Mapping[str, RegistryEntry] | None, *, where: str | Path) -> Recipe:
    problems: list[str] = []
    recipe = None
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        errors = error.errors()
        problems = [_one_line(item) for item in errors if not _follows(item, errors)]
    problems += [line for key, slot in (slots or {}).items() for line in _part_problems(values, key, slot)]
    if recipe is not None:
        strange = [name for name in recipe.heads if name not in (*recipe.data.label_schema.names, "joint")]
        problems += [
            f"heads.{name}: there is no such head; {did_you_mean(name, recipe.data.label_schema.names)}"
            for name in strange
        ]
    if problems or recipe is None:
        raise RecipeError(
            format_list(list(dict.fromkeys(problems))),
            location=where,
            hint="mend the lines above; 'maskfit check' tells when all is well",
        )
    return recipe


def _one_line(error: Any) -> str:
    """A pydantic error as "key: what", with the nearest known key where the key is unknown."""
    path = [str(item) for item in error["loc"] if not str(item).startswith(("function-", "tuple[", "constrained-"))]
    if error["type"] == "extra_forbidden":
        section = SECTIONS.get(key_pattern(".".join(path[:-1])))
        known = section.model_fields if section else ()
        return f"{'.'.join(path)}: there is no such key; {did_you_mean(path[-1], known)}"
    if error["type"] == "missing":
        return f"{'.'.join(path)}: this key is missing"
    # Which item of a short list is wrong, the value that is shown tells; so both sides of a size are one line.
    while path[-1].isdigit() or path[-1] == "[key]":
        path.pop()
    if error["type"] == "value_error":
        return f"{'.'.join(path)}: {error['ctx']['error']}"
    message = _WORDS.get(error["type"], str(error["msg"]).removeprefix("Input "))
    bounds = {key: f"{value:g}" if isinstance(value, float) else value for key, value in error.get("ctx", {}).items()}
    message = message.format(**bounds)
    shown = "nothing" if error["input"] is None else f"{error['input']!r:.60}"
    return f"{'.'.join(path)}: {message[:1].lower()}{message[1:]}, not {shown}"


def _follows(error: Any, errors: Sequence[Any]) -> bool:
    """Whether a list is only called too short because its items have mistakes, which are said already."""
    place = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors
    )


_WORDS = {
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "string_type": "should be text",
    "string_pattern_mismatch": "should be 1 to 64 letters, digits, dots, dashes or underscores, no dot or dash first",
    "tuple_type": "should be a list",
    "dict_type": "should be a mapping of keys to values",
    "model_type": "should be a mapping of keys to values",
    "model_attributes_type": "should be a mapping of keys to values",
    "too_short": "should have {min_length} or more in it",
    "too_long": "should have {max_length} or fewer in it",
    "greater_than": "should be above {gt}",
    "greater_than_equal": "should be {ge} or more",
    "less_than": "should be below {lt}",
    "less_than_equal": "should be {le} or less",
}
"""pydantic's kinds of error in words for people who do not know Python's types."""


def _part_problems(values: Mapping[str, Any], key: str, slot: RegistryEntry) -> Iterator[str]:
    """What is wrong with the parts at a key; one that is no part at all is left to the types."""
    for where, value in _found_at(values, key.split(".")):
        try:
            part = ComponentSpec.model_validate(value)
        except ValidationError:
            continue
        yield from validate_spec(slot.table, part, given=slot.injected_arguments, where=where)


def _found_at(values: Any, keys: Sequence[str], lead: str = "") -> Iterator[tuple[str, Any]]:
    if not keys:
        if values is not None:
            yield lead, values
    elif isinstance(values, Mapping):
        for key in list(values) if keys[0] == "*" else [keys[0]]:
            yield from _found_at(values.get(key), keys[1:], f"{lead}.{key}" if lead else str(key))


def _laid_over(below: Any, above: Any, key: str = "") -> Any:
    """`above` over `below`: mappings key by key, a part's options over the part, all else replaced."""
    if not isinstance(above, Mapping):
        return above
    if key_pattern(key) in COMPONENT_KEYS:
        if "name" in above or below is None:
            return dict(above)
        below = {"name": below} if isinstance(below, str) else below
    if not isinstance(below, Mapping):
        return dict(above)
    merged = dict(below)
    for name, value in above.items():
        inner = f"{key}.{name}" if key else str(name)
        merged[name] = _laid_over(merged.get(name), value, inner)
    return merged


def _with_bases(source: str | Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """A recipe file over its base, over that one's base."""
    # The whole path, since a circle over several folders names each file in ever new ways.
    name = str(Path(source).resolve()) if Path(source).suffix in RECIPE_SUFFIXES else str(source)
    if name in seen:
        raise RecipeError(f"recipes extend each other: {' -> '.join((*seen, name))}", hint="remove one extends line")
    values = upgrade_recipe(_parse(read_recipe_text(source), where=str(source)), _warn_old_name)
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise RecipeError(f"extends: name a recipe or a file, not {base!r:.60}", location=str(source))
    # A file is looked for beside the recipe that names it, wherever the command is run.
    below = _with_bases(Path(source).parent / base if Path(base).suffix in RECIPE_SUFFIXES else base, (*seen, name))
    return dict(_laid_over(below, values))


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats: PyYAML alone reads `1e-4` as text. A key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key {', '.join(twice)} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts text that `_Loader` would read as a number into quotes."""


_MERGE = "tag:yaml.org,2002:merge"
"""`<<`, which lays one mapping under another."""

for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
    )


def parse_value(text: str) -> Any:
    """One YAML value: `1e-4` is a number, `[1, 2]` a list.

    Raises:
        ValueError: This is no YAML, or a date that does not exist.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def parse_component(text: str) -> ComponentSpec:
    """A part as a word of the command line: `flip`, `crops:n=4,seed=1`, or YAML's `{name: crops, n: 4}`.

    Raises:
        RecipeError: The word is none of these.
    """
    name, colon, rest = text.partition(":")
    # A comma between brackets belongs to a list.
    words = re.split(r",(?![^\[\]]*\])", rest) if rest else []
    try:
        if text.lstrip().startswith("{"):
            return ComponentSpec.model_validate(parse_value(text))
        options = [word.partition("=") for word in words]
        if not name.strip() or (colon and not rest) or any(not key.strip() or not equals for key, equals, _ in options):
            raise ValueError("it has an option without a value")
        pairs = [(key.strip(), parse_value(value)) for key, _, value in options]
        return ComponentSpec(name=name.strip(), options=_once(pairs))
    except ValueError as error:  # pydantic's is one too
        raise RecipeError(
            f"'{text}' is no name with options: {str(error).splitlines()[0]}",
            hint="write it like flip, crops:n=4,seed=1 or {name: crops, n: 4}",
        ) from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {', '.join(key for key in values if keys.count(key) > 1)} stands twice")
    return values


def _parse(text: str, *, where: str) -> dict[str, Any]:
    # YAML holds nearly all of JSON, but no tabs.
    kind = "JSON" if where.endswith(".json") else "YAML"
    try:
        values = json.loads(text.lstrip("\ufeff"), object_pairs_hook=_once) if kind == "JSON" else parse_value(text)
    except ValueError as error:
        raise RecipeError(f"this is no {kind}: {error}", location=where, hint="mend the line it names") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise RecipeError(
            "a recipe is a mapping of keys to values", location=where, hint="maskfit recipes baseline shows one"
        )
    return values


def _read_override(word: str) -> dict[str, Any]:
    key, equals, text = word.partition("=")
    if not equals or not key or any(not part for part in key.split(".")):
        raise RecipeError(f"'{word}' is no key=value", hint="write it like trainer.epochs=3, without blanks")
    try:
        value = parse_value(text)
    except ValueError as error:
        raise RecipeError(f"the value of '{word}' is no YAML: {error}", hint="put it in quotes") from None
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def recipe_to_yaml(recipe: Recipe) -> str:
    """The whole recipe as YAML, every default written out; `read_recipe` gives the same recipe again."""
    values = recipe.model_dump(mode="json")
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text

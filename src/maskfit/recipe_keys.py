"""Every recipe key with its kind of value, default and meaning, read from the typed sections and their docstrings."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from maskfit.config.recipe import COMPONENT_KEYS, SECTIONS, key_pattern
from maskfit.registry import ComponentSpec, describe_range, fold_name


@dataclass(frozen=True)
class RecipeKey:
    """A key of a recipe.

    Attributes:
        key: Dotted, with `*` for the name of a head or an index, such as `trainer.epochs`.
        section: The key's section; empty at the top level.
        value: The kind of value: integer, number, text, component, section, words to choose from.
        default: Default as in YAML; empty where there is none or nothing is set, "required" where it must be given.
        range: Allowed values where the docstring gives a range, such as ">= 1"; otherwise empty.
        text: What it means.
    """

    key: str
    section: str
    value: str
    default: str
    range: str
    text: str


def list_recipe_keys() -> list[RecipeKey]:
    """Lists all keys of recipes.

    Returns:
        The keys, by section, in the order of the sections' definitions.

    Raises:
        ValueError: A key is not described in its section's docstring.
    """
    return [key for section, model in SECTIONS.items() for key in _keys_of_section(section, model)]


def find_recipe_keys(word: str) -> list[RecipeKey]:
    """Finds the keys that a word may mean.

    Args:
        word: A dotted key, a section, or the last word of a key: `trainer.epochs`, `trainer`, `epochs`.

    Returns:
        The key; the keys of the section; or all keys that end in the word.
    """
    keys = list_recipe_keys()
    pattern = key_pattern(word)
    found = [item for item in keys if item.section and item.section == pattern]
    found = found or [item for item in keys if item.key == pattern]
    return found or [item for item in keys if fold_name(item.key.rpartition(".")[2]) == fold_name(word)]


def _keys_of_section(section: str, model: type[BaseModel]) -> Iterator[RecipeKey]:
    meanings = read_attributes(model)
    for name, field in model.model_fields.items():
        if name not in meanings:
            raise ValueError(f"{model.__name__} does not describe {name}")
        key = f"{section}.{name}" if section else name
        value = "component" if key in COMPONENT_KEYS else describe_type(field.annotation)
        bounds = " and ".join(_bounds(field.metadata)) or describe_range(meanings[name])
        yield RecipeKey(key, section, value, _default(field), bounds, meanings[name])


def read_attributes(model: type[BaseModel]) -> dict[str, str]:
    """Reads what a class docstring says of each attribute.

    Args:
        model: Class with a Google docstring.

    Returns:
        Text by attribute; names that share an entry share the text.
    """
    block = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in block.splitlines():
        entry = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.startswith("        "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def describe_type(annotation: Any) -> str:
    """Names a type as somebody who writes YAML thinks of it.

    Args:
        annotation: The type of a field.

    Returns:
        Such as "integer", "list of text", "`none`, `certain`".
    """
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(item) for item in get_args(annotation) if item is not type(None))
    if origin is tuple:
        kinds = [item for item in get_args(annotation) if item is not Ellipsis]
        return f"list of {describe_type(kinds[0])}" if Ellipsis in get_args(annotation) else f"{len(kinds)} numbers"
    if hasattr(annotation, "__metadata__"):
        return describe_type(get_args(annotation)[0])
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "component" if annotation is ComponentSpec else "section"
    return {str: "text", int: "integer", float: "number", bool: "true or false"}.get(annotation, "value")


def _bounds(metadata: list[Any]) -> Iterator[str]:
    signs = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
    for item in metadata:
        for name, sign in signs:
            if (bound := getattr(item, name, None)) is not None:
                yield f"{sign} {bound:g}"


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, ComponentSpec):
        return value.name
    if isinstance(value, BaseModel) or value in (None, "", (), {}):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value) if isinstance(value, tuple) else value)

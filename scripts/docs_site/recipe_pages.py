"""The page of recipe keys, made from the typed sections of a recipe and their docstrings."""

from __future__ import annotations

import inspect
import re
import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from maskfit.config.recipe import COMPONENT_KEYS, SECTIONS
from maskfit.registry import ComponentSpec

TITLES = {"": "Top level", "heads.*": "heads.NAME"}
"""Headings of sections whose key is not one."""


def make_recipe_page() -> str:
    """Makes the page of all recipe keys.

    Returns:
        Markdown.

    Raises:
        ValueError: A key is not described in its section's docstring.
    """
    lines = [
        "# Recipe keys",
        "",
        "Every key of a [recipe](../recipes.md), with its default. A key is set in the YAML file or on the command "
        "line, as in `maskfit train baseline data.image_size=128`. Keys of the kind *component* take a name and "
        "options: `loss=focal` or `{name: focal, gamma: 2}` ([the components](../recipes.md)).",
    ]
    for section, model in SECTIONS.items():
        title = TITLES.get(section, f"`{section}`")
        lines += ["", f"## {title}", "", inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].replace("\n", " "), ""]
        lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        meanings = read_attributes(model)
        for name, field in model.model_fields.items():
            if name not in meanings:
                raise ValueError(f"{model.__name__} does not describe {name}")
            key = f"{section}.{name}" if section else name
            kind = "component" if key in COMPONENT_KEYS else _describe(field.annotation)
            meaning = meanings[name].replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| `{key}` | {kind} | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


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


def _describe(annotation: Any) -> str:
    """Names a type as somebody who writes YAML thinks of it."""
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(item) for item in get_args(annotation) if item is not type(None))
    if origin is tuple:
        kinds = [item for item in get_args(annotation) if item is not Ellipsis]
        return f"list of {_describe(kinds[0])}" if Ellipsis in get_args(annotation) else f"{len(kinds)} numbers"
    if hasattr(annotation, "__metadata__"):
        return _describe(get_args(annotation)[0])
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "component" if annotation is ComponentSpec else "section"
    return {str: "text", int: "integer", float: "number", bool: "true or false"}.get(annotation, "value")


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, ComponentSpec):
        return f"`{value.name}`"
    if isinstance(value, BaseModel) or value in (None, "", (), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"

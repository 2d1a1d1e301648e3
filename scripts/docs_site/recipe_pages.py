"""The page of recipe keys, made from the typed sections of a recipe and their docstrings."""

from __future__ import annotations

import inspect

from maskfit.config.recipe import SECTIONS
from maskfit.recipe_keys import list_recipe_keys

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
    keys = list_recipe_keys()
    for section, model in SECTIONS.items():
        title = TITLES.get(section, f"`{section}`")
        lines += ["", f"## {title}", "", inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].replace("\n", " "), ""]
        lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        for item in keys:
            if item.section != section:
                continue
            meaning = item.text.replace("|", "\\|").replace("<", "&lt;")
            default = f"`{item.default}`" if item.default not in ("", "required") else item.default
            lines.append(f"| `{item.key}` | {item.value} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"

"""What the Python reference shows instead of the source: values of defaults, and code that can be copied.

An extension of Griffe, which reads the source for mkdocstrings.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import griffe


class ReadableReference(griffe.Extension):
    """Writes values for the constants that defaults name, and plain Python for examples with prompts."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Changes everything in a package once it is read.

        Args:
            pkg: The package.
            kwargs: What else Griffe passes.
        """
        for item in _walk(pkg):
            if item.docstring is not None:
                item.docstring.value = remove_prompts(item.docstring.value)
            for parameter in getattr(item, "parameters", None) or ():
                parameter.default = read_default(parameter.default)


def read_default(default: Any) -> Any:
    """Looks up the constant that a default names.

    Args:
        default: The default as Griffe read it: an expression, text, or None.

    Returns:
        The constant's value as it is written in the source if it is a plain one, otherwise `default`.
    """
    if not isinstance(default, griffe.ExprName | griffe.ExprAttribute):
        return default
    try:
        constant = default.parent.modules_collection[default.canonical_path]  # type: ignore[union-attr]
        value = str(constant.value)
        ast.literal_eval(value)
    except (KeyError, AttributeError, ValueError, SyntaxError, griffe.AliasResolutionError):
        return default
    return value


def remove_prompts(docstring: str) -> str:
    """Makes Python blocks of examples with prompts; what they print becomes a comment.

    Args:
        docstring: A docstring.

    Returns:
        The docstring without `>>>`.
    """
    return re.sub(r"^([ ]*)>>> .*(?:\n\1\S.*)*", _to_block, docstring, flags=re.MULTILINE)


def _to_block(match: re.Match[str]) -> str:
    lines = []
    for line in textwrap.dedent(match[0]).splitlines():
        is_code = line.startswith((">>> ", "... "))
        lines.append(line[4:] if is_code else f"# {line}")
    return textwrap.indent("\n".join(["```python", *lines, "```"]), match[1])


def _walk(item: Any) -> Iterator[Any]:
    """An object and everything below it, without names that are only imported."""
    yield item
    for member in item.members.values():
        if not member.is_alias:
            yield from _walk(member)

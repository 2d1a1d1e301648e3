"""Checks of an option's value against the type and the range that its component documents, without building it."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"

_INTERVAL = re.compile(rf", (?:in )?([(\[])({_NUMBER}), ({_NUMBER})([)\]])")
"""As in "in [0, 1)"."""

_SPAN = re.compile(rf", (?:in )?({_NUMBER}) to ({_NUMBER})\b")
"""As in "0 to 1" or "in 32 to 1024", both included."""

_BOUND = re.compile(rf", (>=|<=|>|<) ({_NUMBER})\b")
"""As in "> 0"."""


def check_value(annotation: Any, documentation: str, value: Any) -> str | None:
    """Compares a value with the type and the range of an option.

    Args:
        annotation: The type, as text such as `float` or `Sequence[int]`; a type that this module does not know accepts
            everything.
        documentation: What the docstring says about the option; its first clause may end in a range such as
            "in [0, 1)", "0 to 1" or "> 0", which every number of a list must be in.
        value: The value as read from YAML.

    Returns:
        What the value must be, such as "must be a number"; None where nothing is wrong.
    """
    kinds = _kinds(annotation) if isinstance(annotation, str) else ()
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        return f"must be {' or '.join(dict.fromkeys(_WORDS[kind] for kind in kinds))}"
    if (found := _range(documentation)) is None:
        return None
    words, contains = found
    numbers = [item for item in (value if isinstance(value, list | tuple) else [value]) if _is_number(item)]
    return None if all(contains(number) for number in numbers) else f"must be {words}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


_TYPES: dict[str, Callable[[Any], bool]] = {
    "int": _is_integer,
    "float": lambda value: _is_number(value) and math.isfinite(value),
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "None": lambda value: value is None,
    "floats": _is_list_of(_is_number),
    "ints": _is_list_of(_is_integer),
    "strs": _is_list_of(lambda value: isinstance(value, str)),
}

_WORDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a word",
    "None": "empty",
    "floats": "a list of numbers",
    "ints": "a list of integers",
    "strs": "a list of words",
}


@lru_cache(maxsize=256)
def _kinds(annotation: str) -> tuple[str, ...]:
    """The keys of `_TYPES` that an annotation is a union of; empty where a part of it is none of them."""
    kinds: list[str] = []
    nodes = [ast.parse(annotation, mode="eval").body]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            nodes += [node.right, node.left]
            continue
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("list", "Sequence", "tuple"):
            items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            kind = {"float": "floats", "int": "ints", "str": "strs"}.get(ast.unparse(items[0]), "")
        else:
            kind = ast.unparse(node)
        if kind not in _TYPES:
            return ()
        kinds.append(kind)
    return tuple(kinds)


@lru_cache(maxsize=256)
def _range(documentation: str) -> tuple[str, Callable[[float], bool]] | None:
    """The range in the first clause of a text, in words and as a test."""
    clause = re.split(r"; |\. ", documentation)[0]
    if match := _INTERVAL.search(clause):
        opening, low, high, closing = match.groups()
        first, last = float(low), float(high)
        return (
            f"in {opening}{low}, {high}{closing}",
            lambda value: (
                (first <= value if opening == "[" else first < value)
                and (value <= last if closing == "]" else value < last)
            ),
        )
    if match := _SPAN.search(clause):
        first, last = float(match[1]), float(match[2])
        return f"in {match[1]} to {match[2]}", lambda value: first <= value <= last
    if match := _BOUND.search(clause):
        sign, bound = match[1], float(match[2])
        return f"{sign} {match[2]}", lambda value: {
            ">=": value >= bound,
            "<=": value <= bound,
            ">": value > bound,
            "<": value < bound,
        }[sign]
    return None

"""Reads YAML from people and from strangers: plain values only, within limits of size, depth and aliases.

Every text gives a value or a ValueError of one line. PyYAML's safe loader constructs no objects of a program, but it
follows nested aliases without end, recurses as deep as the text nests, and fails with errors of Python on values such
as `!!int ""`.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
"""Maximum length of a text; the longest recipe that ships has some thousand characters."""

MAX_DEPTH = 50
"""Maximum nesting of lists and mappings."""

MAX_VALUES = 100_000
"""Maximum number of values, each alias counted as all that it stands for."""

MAX_DIGITS = 18
"""Maximum digits of an integer, so that it fits into 64 bits."""

MERGE_TAG = "tag:yaml.org,2002:merge"
"""Tag of the merge key `<<`."""

FLOAT_RESOLVER = (
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)
"""Arguments of PyYAML's `add_implicit_resolver` that read `1e-4` as a float, as YAML 1.2 does."""


class SafeLoader(yaml.SafeLoader):
    """PyYAML's safe loader within limits: keys are strings, and no mapping has a key twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Composes a node, not too deep."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"more than {MAX_DEPTH} levels of nesting", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Constructs a value; whatever goes wrong is an error of YAML with its line."""
        kind = node.tag.rpartition(":")[2]
        if kind in ("set", "omap", "pairs", "binary"):
            raise yaml.constructor.ConstructorError(None, None, f"!!{kind} is no plain value", node.start_mark)
        try:
            value = super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            message = f"{str(getattr(node, 'value', ''))!r:.60} is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from error
        if isinstance(value, str) and not _is_writable(value):
            # Nearly every text of a recipe may become a path, and no file can have such a name.
            message = "a text with a null character or half of a surrogate pair"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
            message = f"a number of more than {MAX_DIGITS} digits"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Constructs a mapping whose keys are the words as they are written, also where YAML knows another type."""
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
            if key.tag != MERGE_TAG:
                key.tag = "tag:yaml.org,2002:str"
        words = [key.value for key, _ in node.value if key.tag != MERGE_TAG]
        if len(set(words)) < len(words):
            twice = ", ".join(sorted({word for word in words if words.count(word) > 1}))
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def _is_writable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


SafeLoader.add_implicit_resolver(*FLOAT_RESOLVER)


def parse_yaml(text: str) -> Any:
    """Parses one YAML document.

    Args:
        text: YAML.

    Returns:
        The value as plain Python objects.

    Raises:
        ValueError: The text is not valid YAML or exceeds a limit; one line that names line and column.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{len(text):,} characters of YAML, more than the maximum of {MAX_CHARACTERS:,}")
    try:
        loader = SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count_values(node, {}, set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(_to_line(error)) from error


def _count_values(node: yaml.Node, known: dict[int, int], parents: set[int]) -> int:
    """Counts the values of a node with every alias as what it stands for.

    Raises:
        yaml.YAMLError: A node is part of itself, or there are too many values.
    """
    if id(node) in known:
        return known[id(node)]
    if id(node) in parents:
        raise yaml.composer.ComposerError(None, None, "an alias to what it is part of", node.start_mark)
    count = 1
    if isinstance(node, yaml.CollectionNode):
        parents.add(id(node))
        for item in node.value:
            for child in item if isinstance(item, tuple) else (item,):
                count += _count_values(child, known, parents)
        parents.discard(id(node))
    if count > MAX_VALUES:
        message = f"more than {MAX_VALUES:,} values, aliases included"
        raise yaml.composer.ComposerError(None, None, message, node.start_mark)
    known[id(node)] = count
    return count


def _to_line(error: yaml.YAMLError) -> str:
    """The problem and its place in one line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    context = getattr(error, "context", None)
    text = " ".join(str(problem or error).split())
    if problem and context:
        text = f"{' '.join(str(context).split())}: {text}"
    return f"{text:.300} (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else f"{text:.300}"

"""Text for people, counts with their noun, and text of other programs: names of files, JSON."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def format_count(count: int, singular: str, plural: str | None = None) -> str:
    """Formats a count with its noun: "1 person", "1,200 persons", "0 photos".

    Args:
        count: The number, >= 0.
        singular: What is counted, for one; it may go on with a verb ("photo has").
        plural: The same for several ("photos have"); `singular` with an s by default.

    Returns:
        The text.
    """
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


def explain_number(cell: str) -> str:
    """Says what is wrong with a cell that is no number, where that is certain: its decimal comma.

    Args:
        cell: The cell.

    Returns:
        The end of a message: "; it has a decimal comma, write 0.7"; "" where nothing can be said.
    """
    if not re.fullmatch(r"[+-]?\d*,\d+", cell.strip()):
        return ""
    return f"; it has a decimal comma, write {cell.strip().replace(',', '.')}"


def fold_name(name: str) -> str:
    """Returns a file's name in one Unicode form, with the separators of POSIX.

    Args:
        name: The name or path.

    Returns:
        The name.
    """
    return name if name.isascii() and "\\" not in name else unicodedata.normalize("NFC", name).replace("\\", "/")


def parse_json(text: str | bytes, **options: Any) -> Any:
    """Parses JSON; whatever is wrong with it, also a nesting without end, is a ValueError.

    Args:
        text: JSON.
        **options: Options of `json.loads`.

    Returns:
        The decoded value.

    Raises:
        ValueError: It is not valid JSON.
    """
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("it nests too deep") from None


_MESSAGES = {
    "missing": "this key is missing",
    "extra_forbidden": "there is no such key",
    "too_short": "must have at least {min_length} of them",
    "too_long": "must have at most {max_length} of them",
}
"""Messages for pydantic's error types that name Python's."""


def format_validation_error(error: ValidationError, shown: int = 3) -> str:
    """Formats pydantic's errors as "key: problem", without its own words about them.

    Args:
        error: What pydantic raised.
        shown: Number of problems that are named.

    Returns:
        The problems in one line.
    """
    return format_validation_problems(error.errors(include_input=False, include_url=False), shown)


def format_validation_problems(
    items: Sequence[Any], shown: int = 3, messages: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Formats pydantic's list of errors as "key: problem", without its own words about them and without the input.

    Args:
        items: The errors, as pydantic or FastAPI lists them.
        shown: Number of problems that are named.
        messages: pydantic's type of an error -> what is said of it in place of the usual words.

    Returns:
        The problems in one line.
    """
    known = {**_MESSAGES, **messages}
    lines = []
    for item in items:
        place = item["loc"]
        # A list is too short for pydantic where one of its items is invalid.
        if item["type"] == "too_short" and any(len(other["loc"]) > len(place) for other in items):
            continue
        key = ".".join(map(str, place))
        if item["type"] in known:
            message = known[item["type"]].format(**item.get("ctx", {}))
        else:
            message = without_pydantic_prefix(str(item["msg"]))
        lines.append(f"{key}: {message}" if key else message)
    return "; ".join(lines[:shown])


def without_pydantic_prefix(message: str) -> str:
    """Takes pydantic's own words from the beginning of a message.

    Args:
        message: What pydantic says of a value.

    Returns:
        The message from "must be" or "should be" on.
    """
    return message.removeprefix("Value error, ").removeprefix("Input ")

"""Text for people, counts with their noun, and text of other programs: names of files, JSON."""

from __future__ import annotations

import json
import unicodedata
from typing import Any


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

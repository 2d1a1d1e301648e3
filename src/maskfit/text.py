"""Text for people: counts with their noun."""

from __future__ import annotations


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

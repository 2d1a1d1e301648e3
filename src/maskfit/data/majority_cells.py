"""The cell of a manifest for votes that count as one label, where annotators wrote it in several ways."""

from __future__ import annotations

from collections.abc import Mapping

from maskfit.labels.schema import Attribute, as_number


def write_majority_cell(attribute: Attribute, votes: Mapping[str, int]) -> str:
    """Writes what most annotators say about a photo as one cell.

    Args:
        attribute: The attribute.
        votes: Number of votes for each text; all texts allow the same values of the attribute.

    Returns:
        The median of years; the text where all say the same; otherwise the attribute's value, or where the texts allow
        several values the one of most votes.
    """
    years = {number: votes[text] for text in votes if (number := as_number(text)) is not None}
    if attribute.bin_edges and len(years) == len(votes):
        # The lower of two in the middle: one that somebody said, so that it stays in the band.
        middle, counted = (sum(years.values()) - 1) // 2, 0
        for number in sorted(years):
            counted += years[number]
            if counted > middle:
                return f"{number:g}"
    text = max(votes, key=lambda each: votes[each])
    allowed = attribute.allowed_mask(text)
    if len(votes) == 1 or allowed.sum() != 1:
        return text
    return attribute.values[int(allowed.argmax())]

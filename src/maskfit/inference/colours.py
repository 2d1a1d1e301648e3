"""Colours of answers: told apart by eyes of every kind, on light and dark ground, and never the only sign."""

from __future__ import annotations

from typing import NamedTuple

Rgb = tuple[int, int, int]


class LabelColor(NamedTuple):
    """A colour and what is written on it."""

    ground: Rgb
    ink: Rgb

    @property
    def css(self) -> str:
        return f"rgb{self.ground}"

    @property
    def css_ink(self) -> str:
        return f"rgb{self.ink}"


WHITE, BLACK = (255, 255, 255), (20, 20, 20)

VALUES = (
    LabelColor((0, 114, 178), WHITE),
    LabelColor((240, 180, 30), BLACK),
    LabelColor((190, 40, 70), WHITE),
    LabelColor((0, 158, 115), BLACK),
    LabelColor((204, 121, 167), BLACK),
    LabelColor((86, 180, 233), BLACK),
)
"""Of the first attribute's values, by code: worn is blue, worn wrongly yellow, not worn red. More values begin anew."""

UNSURE = LabelColor((110, 118, 128), WHITE)
"""Of an answer that is not sure enough to have a colour."""


def colour_of(code: int, sure: bool) -> LabelColor:
    """The colour of an answer."""
    return VALUES[code % len(VALUES)] if sure else UNSURE

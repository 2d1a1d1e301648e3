"""One thing to read from a photo: its values, how they may be written, and what a label leaves possible."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator

from maskfit.errors import LabelError, did_you_mean

UNKNOWN = -1
"""The code of a value that nobody wrote down."""

JOINT_HEAD = "joint"
"""The name of a head that answers with one class number for all attributes; no attribute may bear it."""

RESERVED = (JOINT_HEAD, "loss", "macro", "path", "person")
"""Names that no attribute may bear, since losses, scores or manifests have something else under them."""

Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


def as_number(value: str | float) -> float | None:
    """A finite number, or None where the value is no number at all."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class Attribute(BaseModel):
    """One thing to read from a photo, and the values it can have.

    Attributes:
        name: Its column in a manifest, and the name of its head.
        values: Names of the values in the order of their codes.
        words: The same for people; the names where left out.
        aliases: Other spellings, each with the value it stands for; upper and lower case are the same.
        edges: For a number in bands: value `i` holds numbers in [edges[i-1], edges[i]), the outer bands open.
        span: The least and greatest number that can be meant; anything outside is a mistake.
        coarse: For each value the name of the coarser value it is scored as; empty where it is scored as itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Short
    values: tuple[Short, ...] = Field(min_length=2, max_length=1000)
    words: tuple[Short, ...] = ()
    aliases: dict[Short, Short] = Field(default_factory=dict)
    bin_edges: tuple[FiniteFloat, ...] = ()
    valid_range: tuple[FiniteFloat, FiniteFloat] | None = None
    parent_of: tuple[Short, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name in RESERVED:
            raise ValueError(f"an attribute cannot be called '{self.name}': that means something else already")
        folded = [value.casefold() for value in self.values]
        if len(set(folded)) < len(folded):
            raise ValueError(f"attribute '{self.name}' names a value twice")
        for field in ("words", "parent_of"):
            if len(getattr(self, field)) not in (0, len(self.values)):
                raise ValueError(f"attribute '{self.name}' needs one entry in '{field}' for each value, or none")
        if self.bin_edges and (
            len(self.bin_edges) != len(self.values) - 1 or list(self.bin_edges) != sorted(set(self.bin_edges))
        ):
            raise ValueError(f"attribute '{self.name}' needs {len(self.values) - 1} rising edges for its values")
        if self.valid_range and self.valid_range[0] > self.valid_range[1]:
            raise ValueError(f"attribute '{self.name}' has a valid_range that ends before it begins")
        runs = [name for name, before in zip(self.parent_of, ("", *self.parent_of), strict=False) if name != before]
        if len(set(runs)) < len(runs):
            raise ValueError(f"attribute '{self.name}': values with the same coarse value must stand side by side")
        if len(runs) == 1:
            raise ValueError(f"attribute '{self.name}' needs two coarse values or more")
        for alias, value in self.aliases.items():
            if value not in self.values:
                raise ValueError(f"attribute '{self.name}' has an alias for '{value}', which is none of its values")
            if alias.casefold() in folded and alias.casefold() != value.casefold():
                raise ValueError(f"attribute '{self.name}' has a value '{alias}', which cannot stand for '{value}'")
        return self

    @cached_property
    def _spellings(self) -> dict[str, int]:
        """Every accepted spelling in lower case to its code; a value's name wins over an alias, that over a word."""
        # Codes come first, to be overruled: where "1" is an alias of the value 0, somebody counts from 1.
        spellings = {} if self.bin_edges else {str(code): code for code in range(len(self.values))}
        spellings |= {word.casefold(): code for code, word in enumerate(self.words)}
        spellings |= {alias.casefold(): self.values.index(value) for alias, value in self.aliases.items()}
        return spellings | {value.casefold(): code for code, value in enumerate(self.values)}

    def encode(self, value: str | float | None) -> int:
        """The code of a value: its place among the values, or `UNKNOWN` for None and "".

        Args:
            value: A value's name, alias or word; its code as text where the attribute has no bands; a number, or a
                number as text, where it has bands. A coarse value's name is unknown where several values share it.

        Raises:
            LabelError: The value is none of the attribute's, or a number outside of its span.
        """
        if value is None or value == "":
            return UNKNOWN
        number = as_number(value) if self.bin_edges else None
        if number is not None:
            return self._band(number)
        text = str(value).strip().casefold()
        if text in self._spellings:
            return self._spellings[text]
        fine = [code for code, name in enumerate(self.parent_of) if name.casefold() == text]
        if fine:
            return fine[0] if len(fine) == 1 else UNKNOWN
        hint = did_you_mean(str(value), self.values) + (" or a number" if self.bin_edges else "")
        raise LabelError(f"'{value}' is no value of {self.name}; {hint}")

    def allowed_mask(self, value: str | float | None) -> NDArray[np.bool_]:
        """Which values a label leaves possible, shape (values,): one; all for None and ""; for a coarse value its own.

        Raises:
            LabelError: As for `encode`.
        """
        code = self.encode(value)
        if code != UNKNOWN:
            return np.asarray(np.arange(len(self.values)) == code)
        text = "" if value is None else str(value).strip().casefold()
        return np.array([not text or name.casefold() == text for name in self.parent_of or self.values])

    def _band(self, number: float) -> int:
        low, high = self.valid_range or (-math.inf, math.inf)
        if not low <= number <= high:
            raise LabelError(f"{self.name} {number:g} is not in {low:g} to {high:g}")
        return int(np.searchsorted(self.bin_edges, number, side="right"))

    def display_name(self, code: int) -> str:
        """The value for people: "worn wrongly"; "unknown" for `UNKNOWN`."""
        if code == UNKNOWN:
            return "unknown"
        return (self.words or self.values)[code]

    def scored_attribute(self) -> Attribute:
        """The attribute that this one is scored as: itself, or its coarse values in order."""
        if not self.parent_of:
            return self
        values = tuple(dict.fromkeys(self.parent_of))
        edges = [
            edge
            for edge, before, after in zip(self.bin_edges, self.parent_of, self.parent_of[1:], strict=False)
            if before != after
        ]
        return Attribute(name=self.name, values=values, bin_edges=tuple(edges), valid_range=self.valid_range)

    def to_scored_index(self) -> NDArray[np.int64]:
        """For each value the code of the official value it counts as."""
        values = list(dict.fromkeys(self.parent_of or self.values))
        return np.array([values.index(name) for name in (self.parent_of or self.values)])

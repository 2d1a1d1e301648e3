"""One attribute of a label schema: its values, their accepted spellings, and which values a label allows."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError, model_validator

from maskfit.errors import LabelError, did_you_mean
from maskfit.labels.spellings import (
    SYNONYMS,
    as_integer,
    fold_spelling,
    is_spreadsheet_date,
    parse_range,
    remove_age_unit,
)
from maskfit.text import explain_number, format_validation_error

UNKNOWN = -1
"""Code of a value that is not labeled."""

JOINT_HEAD = "joint"
"""Name of a single head that predicts the class index over all attributes; no attribute may have this name."""

RESERVED_NAMES = (JOINT_HEAD, "loss", "macro", "path", "person")
"""Names that no attribute may have, because losses, scores or manifests use them."""

ShortText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
"""Names of attributes and values: 1 to 64 characters."""


def as_number(value: str | float) -> float | None:
    """Converts a value to a finite number.

    Args:
        value: A number or text, perhaps with a unit of age, as in `25 years` or `25세`.

    Returns:
        The number, or None where the value is not a finite number.
    """
    # float("3_9") is 39.
    if isinstance(value, str) and "_" in value:
        return None
    try:
        number = float(value if isinstance(value, float | int) else remove_age_unit(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class ReadableErrors(type(BaseModel)):  # type: ignore[misc]
    """Metaclass of models that users build in Python: what is wrong is a `LabelError`, as everywhere in maskfit.

    Within another model, such as a recipe, pydantic's error stays, and gets the recipe's place there.
    """

    def __call__(cls, *args: Any, **values: Any) -> Any:
        """Builds the model.

        Raises:
            LabelError: A value is invalid.
        """
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            raise LabelError(f"{cls.__name__}: {format_validation_error(error)}") from None


class Attribute(BaseModel, metaclass=ReadableErrors):
    """One attribute to predict, and its possible values.

    Attributes:
        name: Its column in a manifest, and the name of its head.
        values: Names of the values, in the order of their codes 0, 1, ...
        display_names: Names of the values for people; the same as `values` by default.
        aliases: Other accepted spellings -> value; case does not matter.
        bin_edges: For a numeric attribute: value `i` holds numbers in [bin_edges[i-1], bin_edges[i]), where the first
            and last band are open.
        valid_range: Smallest and largest valid number of a numeric attribute; others are label errors.
        parent_of: For each value, the name of the coarser value that it is scored as; empty where values are scored as
            themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ShortText
    values: tuple[ShortText, ...] = Field(min_length=2, max_length=1000)
    display_names: tuple[ShortText, ...] = ()
    aliases: dict[ShortText, ShortText] = Field(default_factory=dict)
    bin_edges: tuple[FiniteFloat, ...] = ()
    valid_range: tuple[FiniteFloat, FiniteFloat] | None = None
    parent_of: tuple[ShortText, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name in RESERVED_NAMES:
            raise ValueError(f"attribute name '{self.name}' is reserved")
        folded = [value.casefold() for value in self.values]
        if len(set(folded)) < len(folded):
            raise ValueError(f"attribute '{self.name}' has duplicate values")
        for field in ("display_names", "parent_of"):
            if len(getattr(self, field)) not in (0, len(self.values)):
                raise ValueError(f"attribute '{self.name}': {field} must have one entry per value, or none")
        if self.bin_edges and (
            len(self.bin_edges) != len(self.values) - 1 or list(self.bin_edges) != sorted(set(self.bin_edges))
        ):
            raise ValueError(f"attribute '{self.name}' needs {len(self.values) - 1} ascending bin_edges")
        if self.valid_range and self.valid_range[0] > self.valid_range[1]:
            raise ValueError(f"attribute '{self.name}': valid_range must be (low, high) with low <= high")
        self._check_parents()
        self._check_aliases(folded)
        return self

    def _check_parents(self) -> None:
        runs = [name for name, before in zip(self.parent_of, ("", *self.parent_of), strict=False) if name != before]
        if len(set(runs)) < len(runs):
            raise ValueError(f"attribute '{self.name}': values with the same parent must be adjacent")
        if len(runs) == 1:
            raise ValueError(f"attribute '{self.name}': parent_of must name at least two parents")

    def _check_aliases(self, folded: list[str]) -> None:
        for alias, value in self.aliases.items():
            if value not in self.values:
                raise ValueError(f"attribute '{self.name}': alias '{alias}' refers to '{value}', which is not a value")
            if alias.casefold() in folded and alias.casefold() != value.casefold():
                raise ValueError(f"attribute '{self.name}': alias '{alias}' of '{value}' is the name of another value")

    @cached_property
    def _spellings(self) -> dict[str, int]:
        """Every accepted spelling in lower case -> code; names win over aliases, and those over display names."""
        # Codes come first, to be overridden: where "1" is an alias of value 0, the labels count from 1.
        spellings = {word: code for code, name in enumerate(self.values) for word in SYNONYMS.get(name.casefold(), ())}
        spellings |= {} if self.bin_edges else {str(code): code for code in range(len(self.values))}
        spellings |= {name.casefold(): code for code, name in enumerate(self.display_names)}
        spellings |= {alias.casefold(): self.values.index(value) for alias, value in self.aliases.items()}
        return spellings | {value.casefold(): code for code, value in enumerate(self.values)}

    @cached_property
    def _folded_spellings(self) -> dict[str, int]:
        """Spellings with single or without spaces, hyphens and underscores; ambiguous ones are left out."""
        codes: dict[str, set[int]] = {}
        for spelling, code in self._spellings.items():
            # Codes are compared as numbers: "-1", which often stands for no label, is not the code 1.
            if as_integer(spelling) is not None:
                continue
            folded = fold_spelling(spelling)
            for form in {folded, folded.replace(" ", "")}:
                codes.setdefault(form, set()).add(code)
        return {spelling: min(found) for spelling, found in codes.items() if len(found) == 1}

    def encode(self, value: str | float | None) -> int:
        """Converts a label to its code.

        Args:
            value: A value's name, alias, synonym (`spellings.SYNONYMS`) or display name; its code, also as text or as
                `1.0`, where the attribute has no bands; a number, a number as text, or another band of numbers, where
                it has bands.

        Returns:
            The index into `values`; `UNKNOWN` for None and "", for the name of a parent with several values, and for a
            band of numbers that overlaps several values.

        Raises:
            LabelError: The label is not a value of the attribute, or a number outside `valid_range`.
        """
        if value is None or value == "":
            return UNKNOWN
        number = as_number(value) if self.bin_edges else None
        if number is not None:
            return self._bin(number)
        text = str(value).strip().casefold()
        if text in self._spellings:
            return self._spellings[text]
        children = [code for code, name in enumerate(self.parent_of) if name.casefold() == text]
        if children:
            return children[0] if len(children) == 1 else UNKNOWN
        if not self.bin_edges:
            code = as_integer(value)
            folded = self._spellings.get(str(code)) if code is not None else None
            form = fold_spelling(text)
            # `WithMask` has neither spaces nor underscores.
            for key in (form, form.replace(" ", "")):
                folded = self._folded_spellings.get(key) if folded is None else folded
            if folded is not None:
                return folded
        elif overlap := self._overlap(text):
            return overlap[0] if overlap[0] == overlap[1] else UNKNOWN
        elif is_spreadsheet_date(text):
            raise LabelError(
                f"'{value}' is not a value of {self.name}: it is a date, which spreadsheets make of a band such as "
                "3-9; take the column from the original file, or format it as text before opening it"
            )
        # The nearest spelling of a band is no help: a baby's 3/9 is not near 30-59.
        hint = did_you_mean("" if self.bin_edges else str(value), self.values)
        hint += f" or a number{explain_number(text)}" if self.bin_edges else ""
        raise LabelError(f"'{value}' is not a value of {self.name}; {hint}")

    def allowed_mask(self, value: str | float | None) -> NDArray[np.bool_]:
        """Computes which values a label allows.

        Args:
            value: As for `encode`.

        Returns:
            Mask of shape (values,): one value for a full label, all for None and "", its children for a parent's name,
            and every value that another band of numbers overlaps.

        Raises:
            LabelError: As for `encode`.
        """
        code = self.encode(value)
        if code != UNKNOWN:
            return np.asarray(np.arange(len(self.values)) == code)
        text = "" if value is None else str(value).strip().casefold()
        mask = np.array([not text or name.casefold() == text for name in self.parent_of or self.values])
        overlap = None if mask.any() else self._overlap(text)
        if overlap:
            mask[overlap[0] : overlap[1] + 1] = True
        return mask

    def _overlap(self, text: str) -> tuple[int, int] | None:
        """Returns the first and last value that a band of numbers overlaps; None where the text is no such band."""
        band = parse_range(text) if self.bin_edges else None
        if band is None:
            return None
        low, high = band
        first = self._bin(low) if math.isfinite(low) else 0
        return first, self._bin(high) if math.isfinite(high) else len(self.values) - 1

    def _bin(self, number: float) -> int:
        low, high = self.valid_range or (-math.inf, math.inf)
        if not low <= number <= high:
            raise LabelError(f"{self.name} must be in [{low:g}, {high:g}], got {number:g}")
        return int(np.searchsorted(self.bin_edges, number, side="right"))

    def display_name(self, code: int) -> str:
        """Returns the name of a value for people.

        Args:
            code: Index into `values`, or `UNKNOWN`.

        Returns:
            Such as "worn wrongly"; "unknown" for `UNKNOWN`.
        """
        if code == UNKNOWN:
            return "unknown"
        return (self.display_names or self.values)[code]

    def scored_attribute(self) -> Attribute:
        """Builds the attribute that this one is scored as.

        Returns:
            The attribute itself, or one with its parents as values.
        """
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
        """Returns for each value the code of the scored value that it counts as, shape (values,)."""
        parents = self.parent_of or self.values
        values = list(dict.fromkeys(parents))
        return np.array([values.index(name) for name in parents])

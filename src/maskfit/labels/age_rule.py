"""How ages in years become training labels, where that is not the official rule.

The competition's photos of the 58-year-old and of the 60-year-old look alike, so its teams moved the border, left ages
near it out, or trained on decades. Scores never see any of it: they stay on the official bands.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from maskfit.errors import LabelError
from maskfit.labels.schema import Attribute, LabelSchema, as_number


class AgeLabelRule(BaseModel):
    """How ages become training labels.

    Attributes:
        old_from: First year of the oldest band in training (official 60; seed s1 58, others 57 or 59); None leaves it.
        drop: Ranges of years, both ends included, that are left out of training (a best team: 27-29 and 57-59).
        decades: Train on bands of ten years and fold the answer back to the official ones (seed s4): a `step` of 10.
        step: Train on bands of so many years, from 20 to the oldest band, and fold the answer back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    old_from_age: Annotated[float, Field(gt=0, le=120)] | None = None
    exclude: tuple[tuple[float, float], ...] = ()
    by_decade: bool = False
    bin_width: Annotated[int, Field(ge=2, le=30)] | None = None

    @field_validator("exclude")
    @classmethod
    def _rising(cls, ranges: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for low, high in ranges:
            # A range that is turned round would drop nobody, and nobody would notice.
            if not low <= high:
                raise ValueError(f"a range goes from the younger to the older year, not from {low:g} to {high:g}")
        return ranges

    @model_validator(mode="after")
    def _one_width(self) -> Self:
        if self.by_decade and self.bin_width not in (None, 10):
            raise ValueError(f"decades are bands of 10 years, and step={self.bin_width} says otherwise")
        return self

    @property
    def width(self) -> int | None:
        """Years of a band that is trained on; None for the official bands."""
        return 10 if self.by_decade else self.bin_width

    def drops(self, years: str | float | None) -> bool:
        """Whether a photo of this age is left out of training; a band or an unknown age never is."""
        number = None if years is None else as_number(years)
        return number is not None and any(low <= number <= high for low, high in self.exclude)

    def scheme(self, official: LabelSchema) -> LabelSchema:
        """The scheme to train on in place of the official one.

        Raises:
            LabelError: The rule says something and no attribute has bands, or `old_from` lies below another edge.
        """
        if self.old_from_age is None and self.width is None:
            return official
        if not any(attribute.bin_edges for attribute in official.attributes):
            raise LabelError("an age rule needs an attribute with bands, and this scheme has none")
        return LabelSchema(
            attributes=tuple(self._band(item) if item.bin_edges else item for item in official.attributes)
        )

    def _band(self, attribute: Attribute) -> Attribute:
        """The attribute with its last edge moved, and cut into narrow bands.

        Raises:
            LabelError: `old_from` lies below the band before the oldest.
        """
        edges = list(attribute.bin_edges)
        if self.old_from_age is not None:
            if len(edges) > 1 and self.old_from_age <= edges[-2]:
                raise LabelError(f"old_from={self.old_from_age:g} must lie above {edges[-2]:g}, the edge before it")
            edges[-1] = self.old_from_age
        if self.width is None:
            return attribute.model_copy(update={"bin_edges": tuple(edges)})
        fine = sorted({*edges, *(float(year) for year in range(20, math.ceil(edges[-1]), self.width))})
        inner = [f"{low:g}-{high - 1:g}" for low, high in pairwise(fine)]
        starts = [-math.inf, *fine]
        return Attribute(
            name=attribute.name,
            values=(f"<{fine[0]:g}", *inner, f">={fine[-1]:g}"),
            bin_edges=tuple(fine),
            valid_range=attribute.valid_range,
            parent_of=tuple(attribute.values[int(np.searchsorted(edges, start, side="right"))] for start in starts),
        )

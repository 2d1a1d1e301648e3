"""Conversion of ages in years to training labels other than the scored age bands.

In the competition's photos, 58-year-olds and 60-year-olds look alike; its teams moved the boundary, left out ages near
it, or trained on decades. Scores are not affected: they always use the official bands.
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
        old_from_age: Lower edge of the oldest band in training, in (0, 120]; not moved by default. Official: 60;
            iloveslowfood: 58; other teams: 57 or 59.
        exclude: Age ranges [low, high], both ends included, that are left out of training (a winning team: 27-29 and
            57-59).
        by_decade: Train on bands of ten years (cv-08); the same as `bin_width: 10`.
        bin_width: Train on bands of this many years, 2 to 30, from age 20 to the oldest band. Predictions are summed
            over the official bands.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    old_from_age: Annotated[float, Field(gt=0, le=120)] | None = None
    exclude: tuple[tuple[float, float], ...] = ()
    by_decade: bool = False
    bin_width: Annotated[int, Field(ge=2, le=30)] | None = None

    @field_validator("exclude")
    @classmethod
    def _check_ranges(cls, ranges: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for low, high in ranges:
            # A reversed range would silently exclude nobody.
            if not low <= high:
                raise ValueError(f"an age range must be [low, high], got [{low:g}, {high:g}]")
        return ranges

    @model_validator(mode="after")
    def _check_bin_width(self) -> Self:
        if self.by_decade and self.bin_width not in (None, 10):
            raise ValueError(f"by_decade means bin_width=10, got bin_width={self.bin_width}")
        return self

    @property
    def band_width(self) -> int | None:
        """Width of the training bands in years; None for the official bands."""
        return 10 if self.by_decade else self.bin_width

    def excludes(self, years: str | float | None) -> bool:
        """Checks whether a photo is left out of training.

        Args:
            years: Age label: a number, a number as text, a band, or None.

        Returns:
            Whether the age is a number in one of the excluded ranges.
        """
        number = None if years is None else as_number(years)
        return number is not None and any(low <= number <= high for low, high in self.exclude)

    def training_schema(self, official: LabelSchema) -> LabelSchema:
        """Builds the label schema that is trained on.

        Args:
            official: The label schema that predictions are scored on.

        Returns:
            `official` itself, or a copy with the age bands of this rule.

        Raises:
            LabelError: The schema has no attribute with bands, or `old_from_age` is not above the edge before it.
        """
        if self.old_from_age is None and self.band_width is None:
            return official
        if not any(attribute.bin_edges for attribute in official.attributes):
            raise LabelError("age_labels needs an attribute with bin_edges, and the label schema has none")
        return LabelSchema(
            attributes=tuple(self._rebin(item) if item.bin_edges else item for item in official.attributes)
        )

    def _rebin(self, attribute: Attribute) -> Attribute:
        """Moves the last edge of an attribute and cuts its bands into narrow ones.

        Raises:
            LabelError: `old_from_age` is not above the edge before the last.
        """
        edges = list(attribute.bin_edges)
        if self.old_from_age is not None:
            if len(edges) > 1 and self.old_from_age <= edges[-2]:
                raise LabelError(
                    f"old_from_age must be above {edges[-2]:g}, the edge before it, got {self.old_from_age:g}"
                )
            edges[-1] = self.old_from_age
        if self.band_width is None:
            return attribute.model_copy(update={"bin_edges": tuple(edges)})
        fine = sorted({*edges, *(float(year) for year in range(20, math.ceil(edges[-1]), self.band_width))})
        inner = [f"{low:g}-{high - 1:g}" for low, high in pairwise(fine)]
        starts = [-math.inf, *fine]
        return Attribute(
            name=attribute.name,
            values=(f"<{fine[0]:g}", *inner, f">={fine[-1]:g}"),
            bin_edges=tuple(fine),
            valid_range=attribute.valid_range,
            parent_of=tuple(attribute.values[int(np.searchsorted(edges, start, side="right"))] for start in starts),
        )

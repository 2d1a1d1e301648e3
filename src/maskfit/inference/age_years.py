"""Ages in years of an ensemble: from the narrow bands of those members that have them, at any border."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError
from maskfit.labels.age_distribution import (
    DEFAULT_AGE_RANGE,
    AgeTable,
    find_age_attribute,
    has_narrow_bands,
    move_borders,
    narrow_age_bands,
    rebin_probabilities,
    sharpen,
    spread_bands,
)
from maskfit.labels.schema import FloatArray, LabelSchema
from maskfit.model_file import ModelMetadata

NO_AGES_HINT = (
    "train with data.age_labels.bin_width=5, or add a model that was; the bundled one has bands of five years"
)
"""How to get ages in years."""

MOVED_BORDERS_NOTE = (
    "note: the classes have moved age borders (--age-borders); files of other borders are not comparable"
)
"""What is said where class numbers of moved borders are written."""


def gives_ages(metadata: ModelMetadata) -> bool:
    """Checks whether a model was trained on age bands narrow enough for an age in years.

    Args:
        metadata: Metadata of the model file.

    Returns:
        Whether it was.
    """
    attribute = find_age_attribute(metadata.label_schema)
    return attribute is not None and has_narrow_bands(attribute)


def member_ages(metadata: ModelMetadata, views: Sequence[Mapping[str, NDArray[np.floating]]]) -> AgeTable | None:
    """Computes the ages of one member.

    Args:
        metadata: Metadata of its model file.
        views: Logits (images, outputs) by head, of each TTA view.

    Returns:
        The distributions, averaged over the views; None where the model gives none.
    """
    attribute = find_age_attribute(metadata.label_schema)
    rows = [own for own in (narrow_age_bands(metadata.label_schema, logits) for logits in views) if own is not None]
    if attribute is None or not rows:
        return None
    fitted = metadata.calibration.ages
    bands = sharpen(np.mean(rows, axis=0), fitted.temperature if fitted else 1.0)
    return spread_bands(attribute, bands, fitted.age_range if fitted else DEFAULT_AGE_RANGE)


@dataclass(frozen=True)
class AgePlan:
    """How the members' ages become those of the ensemble.

    Attributes:
        schema: The schema of the members' combined prediction.
        moved: The schema of the ensemble's predictions: with the chosen borders of the age bands.
    """

    schema: LabelSchema
    moved: LabelSchema

    @classmethod
    def build(
        cls, schema: LabelSchema, members: Sequence[ModelMetadata], borders: Sequence[float] | None = None
    ) -> AgePlan:
        """Plans the ages of an ensemble.

        Args:
            schema: The schema of the members' combined prediction.
            members: Metadata of each member.
            borders: Borders of the age bands in whole years; None keeps those of the models.

        Returns:
            The plan.

        Raises:
            DataError: A border is invalid, or is not one of the models' own and no member has narrow bands.
        """
        moved = schema if borders is None else move_borders(schema, borders)
        if moved != schema and not any(map(gives_ages, members)):
            raise DataError(
                "the borders of the age bands cannot be moved: no model was trained on narrow age bands",
                hint=NO_AGES_HINT,
            )
        return cls(schema, moved)

    def no_ages(self) -> AgeTable | None:
        """Makes the ages of no image.

        Returns:
            A table without rows; None where the schema has no ages.
        """
        attribute = find_age_attribute(self.schema)
        return None if attribute is None else spread_bands(attribute, np.empty((0, len(attribute.values))))

    def combine(self, members: Sequence[AgeTable | None], probabilities: FloatArray) -> AgeTable | None:
        """Averages the members' ages.

        Args:
            members: Those of each member; None where it has none.
            probabilities: The ensemble's probabilities (images, classes of `schema`).

        Returns:
            The distributions, whose sums over the age bands are those of `probabilities`; None without any.
        """
        attribute = find_age_attribute(self.schema)
        tables = [table for table in members if table is not None]
        if attribute is None or not tables:
            return None
        like = (tables[0].first, tables[0].shares.shape)
        same = [table.shares for table in tables if (table.first, table.shares.shape) == like]
        mean = AgeTable(tables[0].first, np.mean(same, axis=0))
        return mean.fit_bands(attribute.bin_edges, self.schema.marginals(probabilities)[attribute.name])

    def rebin(self, probabilities: FloatArray, ages: AgeTable | None) -> FloatArray:
        """Moves the borders of the age bands.

        Args:
            probabilities: Shape (images, classes of `schema`).
            ages: What `combine` returned.

        Returns:
            Shape (images, classes of `moved`).
        """
        if self.moved == self.schema or ages is None:
            return probabilities
        return rebin_probabilities(self.schema, probabilities, ages, self.moved)

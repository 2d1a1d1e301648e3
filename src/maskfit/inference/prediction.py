"""Predictions: of a batch of photos as it comes, and of all photos of a call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from maskfit.calibration import WeightMap, weighted_classes
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.inference.decisions import AttributePrediction, decide
from maskfit.labels.age_distribution import AgeEstimate, AgeTable, estimate_ages, find_age_attribute
from maskfit.labels.schema import FloatArray, IntArray, LabelSchema


@dataclass(frozen=True, eq=False)
class BatchPredictions:
    """Predictions of a batch of photos.

    Attributes:
        schema: The schema of the predictions.
        names: The photos that have a prediction, in the order in which they were given.
        probabilities: (photos, classes), combined over all members and TTA views.
        members: Each member's own probabilities, (photos, own classes), averaged over its TTA views.
        unreadable: Photos of the batch that cannot be read, by name, with the reason; they have no row.
        fallback_crops: Photos on which a crop found no face, so that its fallback was used.
        abstain_below: By attribute, the probability below which the model abstains.
        decision_weights: Decision weights by attribute; empty for the most probable class.
        ages: Distributions of the ages in years, before they are scaled to the age bands; None where the models give
            none.
    """

    schema: LabelSchema
    names: tuple[str, ...]
    probabilities: FloatArray
    members: dict[str, FloatArray]
    unreadable: dict[str, str] = field(default_factory=dict)
    fallback_crops: tuple[str, ...] = ()
    abstain_below: dict[str, float] = field(default_factory=dict)
    decision_weights: WeightMap = field(default_factory=dict)
    ages: AgeTable | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_processed(self) -> int:
        """Photos that were read or could not be read."""
        return len(self.names) + len(self.unreadable)

    @cached_property
    def classes(self) -> IntArray:
        """(photos,), the selected class: the most probable one where there are no decision weights."""
        return weighted_classes(self.schema, self.probabilities, self.decision_weights)

    @cached_property
    def confidence(self) -> FloatArray:
        """(photos,), the probability of that class."""
        return np.asarray(self.probabilities[np.arange(len(self)), self.classes])

    @cached_property
    def age_estimates(self) -> list[AgeEstimate] | None:
        """The age of each photo in years; None where the models give none."""
        return estimate_ages(self.schema, self.probabilities, self.ages)

    def decide(self) -> list[tuple[AttributePrediction, ...]]:
        """Predicts each attribute of each photo.

        Returns:
            For each photo the attributes in the schema's order, each of which may be "not sure".
        """
        return decide(self.schema, self.probabilities, self.abstain_below, self.decision_weights, self.age_estimates)

    def records(self) -> Iterator[dict[str, Any]]:
        """Converts to JSON types, photo by photo.

        Yields:
            A record with `photo`; `class`, its index; `answer`, its text; `probability`; `attributes`: for each its
            value, whether that is `sure`, the probability of every value, and `years` for an age in years; and
            `probabilities`, one per class.
        """
        marginals = self.schema.marginals(self.probabilities)
        indices = self.schema.to_attribute_indices(self.classes).tolist()
        rows = zip(self.names, self.classes.tolist(), indices, self.probabilities, strict=True)
        ages, of_years = self.age_estimates, find_age_attribute(self.schema)
        for row, (name, class_index, own, probabilities) in enumerate(rows):
            attributes = {}
            for attribute, index in zip(self.schema.attributes, own, strict=True):
                values = marginals[attribute.name][row].round(8).tolist()
                attributes[attribute.name] = {
                    "value": attribute.values[index],
                    "sure": values[index] >= self.abstain_below.get(attribute.name, 0.0),
                    "probabilities": dict(zip(attribute.values, values, strict=True)),
                }
                if ages is not None and attribute == of_years:
                    attributes[attribute.name]["years"] = ages[row].to_dict()
            yield {
                "photo": name,
                "class": class_index,
                "answer": self.schema.describe(class_index),
                "probability": round(float(probabilities[class_index]), 8),
                "attributes": attributes,
                "probabilities": probabilities.round(8).tolist(),
            }


@dataclass(frozen=True)
class Predictions:
    """Predictions of all photos of a call; iterating yields (name, class as text, its probability).

    Attributes:
        schema: The schema of the predictions.
        table: Probabilities combined over all members and TTA views, in the order of the photos.
        members: Each member's own probabilities, (photos, own classes), averaged over its TTA views.
        unreadable: Photos that were skipped, by name, with the reason.
        fallback_crops: Photos on which a crop found no face, so that its fallback was used.
        abstain_below: By attribute, the probability below which the model abstains.
        decision_weights: Decision weights by attribute; empty for the most probable class.
        ages: Distributions of the ages in years, before they are scaled to the age bands; None where the models give
            none.
    """

    schema: LabelSchema
    table: ProbabilityTable
    members: dict[str, FloatArray]
    unreadable: dict[str, str] = field(default_factory=dict)
    fallback_crops: tuple[str, ...] = ()
    abstain_below: dict[str, float] = field(default_factory=dict)
    decision_weights: WeightMap = field(default_factory=dict)
    ages: AgeTable | None = None

    def age_estimates(self) -> list[AgeEstimate] | None:
        """Estimates the age of each photo in years.

        Returns:
            The estimates in the order of the photos; None where the models give no age in years.
        """
        return estimate_ages(self.schema, self.table.probabilities, self.ages)

    def decide(self) -> list[tuple[AttributePrediction, ...]]:
        """Predicts each attribute of each photo.

        Returns:
            For each photo the attributes in the schema's order, each of which may be "not sure".
        """
        return decide(
            self.schema, self.table.probabilities, self.abstain_below, self.decision_weights, self.age_estimates()
        )

    @cached_property
    def classes(self) -> IntArray:
        """(photos,), the selected class: the most probable one where there are no decision weights."""
        return weighted_classes(self.schema, self.table.probabilities, self.decision_weights)

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        for name, class_index, row in zip(
            self.table.names, self.classes.tolist(), self.table.probabilities, strict=True
        ):
            yield name, self.schema.describe(class_index), float(row[class_index])

"""Answers: what is said of a batch of photos, before it is known what becomes of it; and of all of them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.inference.decisions import AttributePrediction, decide
from maskfit.labels.schema import FloatArray, IntArray, LabelSchema


@dataclass(frozen=True, eq=False)
class BatchPredictions:
    """What is answered for a batch of photos.

    Attributes:
        scheme: What the answers are about.
        names: The photos that were answered, in the order in which they were given.
        probabilities: (photos, classes), the vote of all members and views.
        members: Each member's own probabilities, (photos, classes of its own), its views averaged.
        unreadable: Photos of the batch that cannot be read, by name, and why; they have no row.
        guessed: Photos on which a crop found no face, so that its fallback was taken.
        unsure_below: By attribute, the probability below which an answer is "not sure".
    """

    schema: LabelSchema
    names: tuple[str, ...]
    probabilities: FloatArray
    members: dict[str, FloatArray]
    unreadable: dict[str, str] = field(default_factory=dict)
    fallback_crops: tuple[str, ...] = ()
    abstain_below: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_processed(self) -> int:
        """How many photos were looked at."""
        return len(self.names) + len(self.unreadable)

    @cached_property
    def classes(self) -> IntArray:
        """(photos,), the most probable class, of equal ones the lowest."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def confidence(self) -> FloatArray:
        """(photos,), the answers' probabilities."""
        return np.asarray(self.probabilities.max(axis=1))

    def decide(self) -> list[tuple[AttributePrediction, ...]]:
        """The answer for each attribute of each photo, which may be "not sure"."""
        return decide(self.schema, self.probabilities, self.abstain_below)

    def records(self) -> Iterator[dict[str, Any]]:
        """All that is said of each photo, for JSON and for tables of other programs.

        A record holds `photo`; `class`, its number; `answer`, the same in words; `probability`; for each attribute its
        value, whether that is `sure`, and the probability of every value; and `probabilities`, one for each class.
        """
        marginals = self.schema.marginals(self.probabilities)
        codes = self.schema.to_attribute_indices(self.classes).tolist()
        rows = zip(self.names, self.classes.tolist(), codes, self.probabilities, strict=True)
        for place, (name, number, own, shares) in enumerate(rows):
            attributes = {}
            for attribute, code in zip(self.schema.attributes, own, strict=True):
                each = marginals[attribute.name][place].round(8).tolist()
                attributes[attribute.name] = {
                    "value": attribute.values[code],
                    "sure": each[code] >= self.abstain_below.get(attribute.name, 0.0),
                    "probabilities": dict(zip(attribute.values, each, strict=True)),
                }
            yield {
                "photo": name,
                "class": number,
                "answer": self.schema.describe(number),
                "probability": round(float(shares[number]), 8),
                "attributes": attributes,
                "probabilities": shares.round(8).tolist(),
            }


@dataclass(frozen=True)
class Predictions:
    """What was answered.

    Attributes:
        scheme: What the answers are about.
        table: The vote of all members and views, in the order of the photos.
        members: Each member's own probabilities, (photos, classes), its views averaged. Where members answer for a part
            each, the classes are those of the part.
        unreadable: Photos that were set aside, by name, and why.
        guessed: Photos on which a crop found no face, so that its fallback was taken, by name.
        unsure_below: By attribute, the probability below which an answer is "not sure".
    """

    schema: LabelSchema
    table: ProbabilityTable
    members: dict[str, FloatArray]
    unreadable: dict[str, str] = field(default_factory=dict)
    fallback_crops: tuple[str, ...] = ()
    abstain_below: dict[str, float] = field(default_factory=dict)

    def decide(self) -> list[tuple[AttributePrediction, ...]]:
        """The answer for each attribute of each photo, which may be "not sure"."""
        return decide(self.schema, self.table.probabilities, self.abstain_below)

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        """Name, answer in words, and its probability, photo by photo."""
        for name, number, share in zip(self.table.names, self.table.predictions, self.table.confidence, strict=True):
            yield name, self.schema.describe(int(number)), float(share)

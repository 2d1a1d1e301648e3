"""Decisions: from probabilities to one value for each attribute, which may be "not sure".

Decision weights (`maskfit.calibration`) select the value; its probability stays the calibrated one. So a value
that is not the most probable may be predicted, with a low probability, and the abstention threshold applies to that
probability: such a value is more often "not sure" than the most probable one would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor

import numpy as np
from numpy.typing import NDArray

from maskfit.calibration import WeightMap
from maskfit.data.boxes import Box
from maskfit.labels.age_distribution import AgeEstimate, find_age_attribute
from maskfit.labels.schema import Attribute, LabelSchema

NOT_SURE = "not sure"
"""Text for an attribute on which the model abstains."""


@dataclass(frozen=True)
class AttributePrediction:
    """The prediction of one attribute of one face.

    Attributes:
        attribute: Name of the attribute.
        value: The selected value, as tables name it: the most probable one where there are no decision weights.
        display_name: The same for people.
        probability: Its probability, 0 to 1.
        is_confident: Whether that reaches the attribute's threshold; otherwise the model abstains. False for a whole
            photo on which a detector found no face, and for a face that is too small, whatever the probability.
        probabilities: The probability of every value, by name.
        age: The age in years, for an attribute of ages whose models give one.
        is_too_small: Whether the model abstains because the face has too few pixels.
    """

    attribute: str
    value: str
    display_name: str
    probability: float
    is_confident: bool
    probabilities: dict[str, float]
    age: AgeEstimate | None = None
    is_too_small: bool = False

    def __str__(self) -> str:
        # Rounded down where the model abstains: 94.7% beside a threshold of 95% would look like one that reaches it.
        percent = f"{self.probability:.0%}" if self.is_confident else f"{floor(100 * self.probability + 1e-9)}%"
        text = f"{self.display_name} {percent}"
        reason = ", face too small" if self.is_too_small else ""
        text = text if self.is_confident else f"{NOT_SURE} ({text}{reason})"
        return text if self.age is None else f"{text}: {self.age}"

    @property
    def full_text(self) -> str:
        """The prediction with the attribute's name: "mask worn 97%", "age not sure (30-59 51%)"."""
        return f"{self.attribute} {self}"

    def to_dict(self) -> dict[str, object]:
        """Converts to JSON types.

        Returns:
            `answer` is the value to act on, "not sure" where the model abstains; `value` is the selected one; `years`
            is there for an age in years, `too_small` where the model abstains because of the face's size.
        """
        years = {} if self.age is None else {"years": self.age.to_dict()}
        too_small = {"too_small": True} if self.is_too_small else {}
        return {
            "answer": self.value if self.is_confident else NOT_SURE,
            "value": self.value,
            "probability": self.probability,
            "sure": self.is_confident,
            "probabilities": self.probabilities,
            **too_small,
            **years,
        }


def decide(
    schema: LabelSchema,
    probabilities: NDArray[np.floating],
    abstain_below: Mapping[str, float] | None = None,
    weights: WeightMap | None = None,
    ages: Sequence[AgeEstimate | None] | None = None,
) -> list[tuple[AttributePrediction, ...]]:
    """Predicts each attribute from the probabilities of the classes.

    Args:
        schema: The schema of the classes.
        probabilities: (photos, classes), rows summing to 1.
        abstain_below: By attribute, the probability below which the model abstains; 0 where left out.
        weights: Decision weights by attribute; None selects the most probable values.
        ages: The age in years of each photo, for the attribute of ages; None without.

    Returns:
        For each row the attributes in the schema's order.
    """
    thresholds, weights = dict(abstain_below or {}), weights or {}
    marginals = schema.marginals(probabilities)
    of_years = find_age_attribute(schema)
    nothing = [None] * len(probabilities)
    columns = [
        _decide_attribute(
            attribute,
            marginals[attribute.name],
            thresholds.get(attribute.name, 0.0),
            np.asarray(weights.get(attribute.name, 1.0)),
            nothing if ages is None or attribute != of_years else ages,
        )
        for attribute in schema.attributes
    ]
    return list(zip(*columns, strict=True))


def _decide_attribute(
    attribute: Attribute,
    probabilities: NDArray[np.floating],
    threshold: float,
    weights: NDArray[np.floating],
    ages: Sequence[AgeEstimate | None],
) -> Iterator[AttributePrediction]:
    best = (probabilities * weights).argmax(axis=1)
    for row, index, age in zip(probabilities, best.tolist(), ages, strict=True):
        probability = float(row[index])
        yield AttributePrediction(
            attribute.name,
            attribute.values[index],
            attribute.display_name(index),
            probability,
            probability >= threshold,
            dict(zip(attribute.values, map(float, row), strict=True)),
            age,
        )


def abstain(attributes: Sequence[AttributePrediction]) -> tuple[AttributePrediction, ...]:
    """Makes a prediction "not sure" whatever its probabilities, which stay: nothing says that they are of a face.

    Args:
        attributes: The prediction of each attribute.

    Returns:
        The same with `is_confident` false.
    """
    return tuple(replace(item, is_confident=False) for item in attributes)


def abstain_on_small_face(
    attributes: Sequence[AttributePrediction], box: Box | None, min_face: Mapping[str, float]
) -> tuple[AttributePrediction, ...]:
    """Makes those attributes "not sure" for which a face has too few pixels, whatever their probabilities.

    Args:
        attributes: The prediction of each attribute.
        box: The face's box in pixels: left, upper, right, lower; None for a whole image, which stays as it is.
        min_face: By attribute, the shorter side in pixels that a box needs; 0 where left out.

    Returns:
        The predictions.
    """
    if box is None or not min_face:
        return tuple(attributes)
    side = min(box[2] - box[0], box[3] - box[1])
    return tuple(
        replace(item, is_confident=False, is_too_small=True) if side < min_face.get(item.attribute, 0.0) else item
        for item in attributes
    )


def format_prediction(attributes: Sequence[AttributePrediction]) -> str:
    """Formats a prediction in one line: "worn wrongly 97%, female 88%, not sure (30-59 51%)".

    An age in years follows its attribute: ": 52 (42 to 63), 12% aged 60 or more".

    Args:
        attributes: The prediction of each attribute.

    Returns:
        The line.
    """
    return ", ".join(map(str, attributes))

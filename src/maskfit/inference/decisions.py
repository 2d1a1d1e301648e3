"""Saying: probabilities as an answer for each attribute, which may be "not sure"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskfit.labels.schema import Attribute, LabelSchema

NOT_SURE = "not sure"


@dataclass(frozen=True)
class AttributePrediction:
    """What is answered for one attribute of one face.

    Attributes:
        attribute: Its name.
        value: The most probable value, as tables name it.
        word: The same for people.
        probability: Its probability, 0 to 1.
        sure: Whether that reaches the attribute's threshold.
        shares: The probability of every value, by name.
    """

    attribute: str
    value: str
    display_name: str
    probability: float
    is_confident: bool
    probabilities: dict[str, float]

    def __str__(self) -> str:
        return (
            f"{self.display_name} {self.probability:.0%}"
            if self.is_confident
            else f"{NOT_SURE} ({self.display_name} {self.probability:.0%})"
        )

    @property
    def full_text(self) -> str:
        """For people who do not know what was asked: "mask worn 97%", "age not sure (30-59 51%)"."""
        return f"{self.attribute} {self}"

    def to_dict(self) -> dict[str, object]:
        """For JSON: `answer` is what to act on, the word "not sure" where it is not; `value` the best guess."""
        return {
            "answer": self.value if self.is_confident else NOT_SURE,
            "value": self.value,
            "probability": self.probability,
            "sure": self.is_confident,
            "probabilities": self.probabilities,
        }


def decide(
    scheme: LabelSchema, probabilities: NDArray[np.floating], unsure_below: Mapping[str, float] | None = None
) -> list[tuple[AttributePrediction, ...]]:
    """The answers of each row, attribute by attribute in the scheme's order.

    Args:
        scheme: What the probabilities are about.
        probabilities: (photos, classes), rows summing to 1.
        unsure_below: By attribute, the probability below which the answer is "not sure"; 0 where left out.
    """
    least = dict(unsure_below or {})
    marginals = scheme.marginals(probabilities)
    columns = [
        _of_attribute(attribute, marginals[attribute.name], least.get(attribute.name, 0.0))
        for attribute in scheme.attributes
    ]
    return list(zip(*columns, strict=True))


def _of_attribute(attribute: Attribute, shares: NDArray[np.floating], least: float) -> Iterator[AttributePrediction]:
    best = shares.argmax(axis=1)
    for row, code in zip(shares, best.tolist(), strict=True):
        probability = float(row[code])
        yield AttributePrediction(
            attribute.name,
            attribute.values[code],
            attribute.display_name(code),
            probability,
            probability >= least,
            dict(zip(attribute.values, map(float, row), strict=True)),
        )


def format_prediction(said: Sequence[AttributePrediction]) -> str:
    """One line for people: "worn wrongly 97%, female 88%, not sure (30-59 51%)"."""
    return ", ".join(map(str, said))

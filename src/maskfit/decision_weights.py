"""Decision weights: which class to predict where the most probable one is not the best for a metric.

The most probable class is the best prediction for accuracy. Macro F1 counts every class alike, so rare values deserve
to be predicted more often than they are most probable. A plug-in rule multiplies calibrated probabilities by weights
before the argmax and leaves the probabilities as they are: Narasimhan et al. 2014, "On the Statistical Consistency of
Plug-in Classifiers for Non-decomposable Performance Measures"; for logarithms, Menon et al. 2021, "Long-tail learning
via logit adjustment", arXiv:2007.07314. Each value of an attribute has one weight and a class has the product of those
of its values, so that a few hundred persons are enough. `evaluation/fit_decisions.py` fits them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import FloatArray, IntArray, LabelSchema

Objective = Literal["macro-f1", "accuracy"]
"""Metric that decision weights are fitted for."""

DecideMode = Literal["argmax", "macro-f1", "accuracy"]
"""How a class is chosen: the most probable one, or with the weights of an objective where a model has them."""

ARGMAX: DecideMode = "argmax"
"""The mode of the most probable class."""

DEFAULT_DECIDE: DecideMode = "macro-f1"
"""Mode of prediction; it is argmax for a model that has no weights for macro F1."""

Weight = Annotated[float, Field(ge=0.01, le=100)]
WeightMap = Mapping[str, Sequence[float] | NDArray[np.floating]]
"""Attribute -> weight of each value; attributes without weights have 1 everywhere, and an empty map is argmax."""


class DecisionWeights(BaseModel):
    """Decision weights for one objective, with what they gained on persons that they were not fitted on.

    Attributes:
        weights: Attribute -> weight of each value, in the order of the scored schema.
        before: The objective's score of the most probable classes, in [0, 1].
        after: That of the weighted ones, each photo with weights that were fitted on other persons.
        gain_low: Lower bound of the 95% interval of `after` - `before`, over persons.
        gain_high: Upper bound of that interval.
        photos: Number of photos they were fitted on.
        persons: Number of persons on them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weights: dict[str, tuple[Weight, ...]] = Field(max_length=16)
    before: float
    after: float
    gain_low: float
    gain_high: float
    photos: Annotated[int, Field(ge=0)] = 0
    persons: Annotated[int, Field(ge=0)] = 0

    @property
    def gain(self) -> float:
        """`after` - `before`."""
        return self.after - self.before


def parse_decide_mode(text: str) -> DecideMode:
    """Checks the name of a mode.

    Args:
        text: A name of `DecideMode`.

    Returns:
        The mode.

    Raises:
        DataError: There is no such mode.
    """
    modes: dict[str, DecideMode] = {mode: mode for mode in get_args(DecideMode)}
    if text not in modes:
        raise DataError(f"there is no way '{text}' to decide; {did_you_mean(text, modes)}", hint="--decide argmax")
    return modes[text]


def class_weights(schema: LabelSchema, weights: WeightMap) -> FloatArray:
    """Computes the weight of each class: the product of the weights of its values.

    Args:
        schema: The scored schema.
        weights: Weights by attribute.

    Returns:
        Shape (classes,).
    """
    rows = {name: np.asarray([weights.get(name, (1.0,) * size)]) for name, size in schema.sizes.items()}
    return np.asarray(schema.joint_probabilities(rows)[0])


def weighted_classes(schema: LabelSchema, probabilities: NDArray[np.floating], weights: WeightMap) -> IntArray:
    """Chooses a class for each photo.

    Args:
        schema: The scored schema.
        probabilities: Shape (photos, classes).
        weights: Weights by attribute.

    Returns:
        Shape (photos,): the class with the highest weighted probability, the lowest index of equal ones.
    """
    scores = np.asarray(probabilities)
    return np.asarray((scores * class_weights(schema, weights) if weights else scores).argmax(axis=1))


def combine_weights(schema: LabelSchema, members: Sequence[tuple[LabelSchema, WeightMap]]) -> dict[str, FloatArray]:
    """Combines the weights of an ensemble's members: their geometric mean, by attribute.

    Args:
        schema: The scored schema of the ensemble.
        members: Scored schema and weights of each member; a member without weights counts as 1.

    Returns:
        Attribute -> weights (values,), of the attributes whose weights are not all 1.
    """
    combined = {}
    for name, size in schema.sizes.items():
        rows = [np.log(weights.get(name, (1.0,) * size)) for own, weights in members if name in own.names]
        if any(row.any() for row in rows):
            combined[name] = np.exp(np.mean(rows, axis=0))
    return combined


def describe_decision_weights(schema: LabelSchema, weights: WeightMap) -> str:
    """Describes weights in a line.

    Args:
        schema: The scored schema.
        weights: Weights by attribute.

    Returns:
        Such as "age <30 x1.31, 30-59 x0.62, >=60 x1.23"; empty without weights.
    """
    parts = []
    for name, values in weights.items():
        own = ", ".join(f"{schema[name].display_name(code)} x{value:.2f}" for code, value in enumerate(values))
        parts.append(f"{name} {own}")
    return "; ".join(parts)

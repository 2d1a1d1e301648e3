"""Applies temperature scaling, and holds the abstention thresholds and decision weights of a model.

A network that has memorized its training photos predicts 0.99 where it is right nine times out of ten. Dividing its
logits by one number, the temperature, corrects that without changing any prediction (Guo et al. 2017, "On Calibration
of Modern Neural Networks", arXiv:1706.04599). Here the logarithms of the scored probabilities are divided, which differ
from the logits only by a constant wherever no values are merged. `evaluation/calibration.py` fits the numbers.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from maskfit.decision_weights import DecideMode, DecisionWeights, Objective, WeightMap
from maskfit.labels.schema import JOINT_HEAD, FloatArray, LabelSchema, softmax
from maskfit.text import format_count

Temperature = Annotated[float, Field(ge=0.05, le=20)]
Fraction = Annotated[float, Field(ge=0, le=1)]

MIN_SAVED_TEMPERATURE, MAX_SAVED_TEMPERATURE = 0.5, 5.0
"""Range of fitted temperatures: on a small set that is predicted without an error, ever lower temperatures fit ever
better, and the first error on other photos would get a probability of about 0."""

MIN_RELIABLE_PERSONS = 20
"""Number of persons below which temperatures and thresholds are reported as unreliable."""

MIN_PROBABILITY = 1e-12
"""Lower bound of probabilities before the logarithm, so that it is finite."""


class Calibration(BaseModel):
    """Temperatures and abstention thresholds, fitted on photos of persons that the networks were not trained on.

    Attributes:
        temperatures: Head -> temperature in [0.05, 20]: each attribute, or `JOINT_HEAD` alone. Above 1 lowers the
            confidence.
        abstain_below: Attribute -> probability in [0, 1] below which its prediction becomes "not sure".
        decisions: Objective -> decision weights that gained on other persons; without them the most probable class is
            predicted.
        photos: Number of photos it was fitted on.
        persons: Number of persons on them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperatures: dict[str, Temperature] = Field(default_factory=dict, max_length=16)
    abstain_below: dict[str, Fraction] = Field(default_factory=dict, max_length=16)
    decisions: dict[Objective, DecisionWeights] = Field(default_factory=dict)
    photos: Annotated[int, Field(ge=0)] = 0
    persons: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check(self) -> Calibration:
        if JOINT_HEAD in self.temperatures and len(self.temperatures) > 1:
            raise ValueError(f"temperatures must be for '{JOINT_HEAD}' alone or for attributes, not for both")
        return self

    @property
    def warning(self) -> str | None:
        """One line on why temperatures and thresholds are not to be trusted; None where nothing speaks against them."""
        if not self.temperatures:
            return None
        fitted = (
            f"calibration: fitted on {format_count(self.photos, 'photo')} of {format_count(self.persons, 'person')}"
        )
        if self.persons < MIN_RELIABLE_PERSONS:
            return (
                f"{fitted}, too few (below {MIN_RELIABLE_PERSONS} persons): do not rely on temperatures and "
                '"not sure" thresholds'
            )
        limits = (MIN_SAVED_TEMPERATURE, MAX_SAVED_TEMPERATURE)
        clipped = [f"{name} {value:.2f}" for name, value in self.temperatures.items() if value in limits]
        if clipped:
            return (
                f"{fitted}, whose temperature is at the limit of the fit ({', '.join(clipped)}): probabilities and "
                '"not sure" thresholds may not hold on other photos'
            )
        return None

    def check_schema(self, schema: LabelSchema) -> None:
        """Checks that the decision weights are of a schema.

        Args:
            schema: The scored label schema.

        Raises:
            ValueError: An attribute is unknown, or has another number of weights than values.
        """
        for objective, decision in self.decisions.items():
            for name, weights in decision.weights.items():
                if schema.sizes.get(name) != len(weights):
                    raise ValueError(f"the {objective} weights of {name} do not match its values")

    def decision_weights(self, mode: DecideMode) -> WeightMap:
        """Returns the decision weights of a mode.

        Args:
            mode: `argmax`, or an objective.

        Returns:
            Weights by attribute; empty for `argmax` and where none were kept for the objective.
        """
        if mode == "argmax" or mode not in self.decisions:
            return {}
        return self.decisions[mode].weights

    def apply_temperature(self, schema: LabelSchema, probabilities: NDArray[np.floating]) -> FloatArray:
        """Calibrates probabilities; the most probable class of each row does not change.

        Args:
            schema: The scored label schema.
            probabilities: Uncalibrated probabilities of one network, shape (photos, classes).

        Returns:
            Calibrated probabilities of the same shape.
        """
        return apply_temperatures(schema, probabilities, self.temperatures)


def apply_temperatures(
    schema: LabelSchema, probabilities: NDArray[np.floating], temperatures: dict[str, float]
) -> FloatArray:
    """Scales the probabilities of each head by its temperature.

    Args:
        schema: The scored label schema.
        probabilities: Shape (photos, classes).
        temperatures: Head -> temperature; heads without one stay as they are.

    Returns:
        Probabilities of the same shape.
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    if JOINT_HEAD in temperatures:
        return softmax(_log(rows) / temperatures[JOINT_HEAD])
    if not temperatures:
        return rows
    # Separate heads are independent by construction, so their joint distribution is the product of the marginals.
    marginals = schema.marginals(rows)
    return schema.joint_probabilities(
        {name: softmax(_log(values) / temperatures.get(name, 1.0)) for name, values in marginals.items()}
    )


def _log(probabilities: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(probabilities, MIN_PROBABILITY)))

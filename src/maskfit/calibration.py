"""Calibration: probabilities that mean what they say, and from where on an answer is rather "not sure".

A network that was trained until it knows its photos by heart says 0.99 where it is right nine times of ten. Dividing
its logits by one number, the temperature, mends that and changes no answer (Guo et al. 2017, "On Calibration of Modern
Neural Networks"). What is divided here are the logarithms of the official probabilities, of which the logits are only
shifted copies wherever values are not folded. How the numbers are fitted stands in `evaluation/temperature_scaling.py`.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from maskfit.labels.schema import JOINT_HEAD, FloatArray, LabelSchema, softmax

Temperature = Annotated[float, Field(ge=0.05, le=20)]
Share = Annotated[float, Field(ge=0, le=1)]

MIN_PROBABILITY = 1e-12
"""A probability counts at least this much, so that its logarithm is a number."""


class Calibration(BaseModel):
    """What was fitted on photos of persons that the networks had not seen.

    Attributes:
        temperatures: By head: one for each attribute, or one for `labels.JOINT`. Above 1 makes less sure.
        unsure_below: By attribute: the probability below which an answer is "not sure".
        photos: How many it was fitted on.
        persons: Of how many persons those were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperatures: dict[str, Temperature] = Field(default_factory=dict, max_length=16)
    abstain_below: dict[str, Share] = Field(default_factory=dict, max_length=16)
    photos: Annotated[int, Field(ge=0)] = 0
    persons: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check(self) -> Calibration:
        if JOINT_HEAD in self.temperatures and len(self.temperatures) > 1:
            raise ValueError("temperatures are given for all attributes together or for each, not for both")
        return self

    def apply_temperature(self, scheme: LabelSchema, probabilities: NDArray[np.floating]) -> FloatArray:
        """Official probabilities (photos, classes) as they should have been said; no row's best class changes.

        Args:
            scheme: The official scheme.
            probabilities: What one network said.
        """
        return apply_temperatures(scheme, probabilities, self.temperatures)


def apply_temperatures(
    scheme: LabelSchema, probabilities: NDArray[np.floating], temperatures: dict[str, float]
) -> FloatArray:
    """Probabilities (photos, classes) at the temperatures of their heads; those without one stay as they are."""
    own = np.asarray(probabilities, dtype=np.float64)
    if JOINT_HEAD in temperatures:
        return softmax(_logarithms(own) / temperatures[JOINT_HEAD])
    if not temperatures:
        return own
    # What the heads say of each attribute is independent by construction, so that this takes nothing apart.
    marginals = scheme.marginals(own)
    return scheme.joint_probabilities(
        {name: softmax(_logarithms(shares) / temperatures.get(name, 1.0)) for name, shares in marginals.items()}
    )


def _logarithms(probabilities: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(probabilities, MIN_PROBABILITY)))

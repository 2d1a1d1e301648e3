"""Applies temperature scaling, and holds the abstention thresholds and decision weights of a model.

A network that has memorized its training photos predicts 0.99 where it is right nine times out of ten. Dividing its
logits by one number, the temperature, corrects that without changing any prediction (Guo et al. 2017, "On Calibration
of Modern Neural Networks", arXiv:1706.04599). Here the logarithms of the scored probabilities are divided, which differ
from the logits only by a constant wherever no values are merged. `evaluation/calibration.py` fits the numbers.

Decision weights say which class to predict where the most probable one is not the best for a metric.
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
from pydantic import BaseModel, ConfigDict, Field, model_validator

from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import JOINT_HEAD, FloatArray, IntArray, LabelSchema, softmax
from maskfit.text import format_count

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


Temperature = Annotated[float, Field(ge=0.05, le=20)]
Fraction = Annotated[float, Field(ge=0, le=1)]

MIN_SAVED_TEMPERATURE, MAX_SAVED_TEMPERATURE = 0.5, 5.0
"""Range of fitted temperatures: on a small set that is predicted without an error, ever lower temperatures fit ever
better, and the first error on other photos would get a probability of about 0."""

MIN_FACE_SIDE = 12.0
"""Shorter side in pixels below which a detected face shows too little to be predicted; the default of `--min-face`."""

MIN_RELIABLE_PERSONS = 20
"""Number of persons below which temperatures and thresholds are reported as unreliable."""

MIN_PROBABILITY = 1e-12
"""Lower bound of probabilities before the logarithm, so that it is finite."""


class AgeCalibration(BaseModel):
    """How narrow age bands become an age in years, and how good that is on persons that it was not fitted on.

    Attributes:
        temperature: Of the narrow bands' probabilities; the official bands have their own.
        age_range: Youngest and oldest age, up to which the open bands are spread.
        mean_absolute_error: Mean distance in years between the median and the true age; None where it is not known.
        coverage: Fraction of true ages within the interval.
        width: Mean width of the interval in years.
        photos: Number of photos with a known age that it was fitted on.
        persons: Number of persons on them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: Temperature = 1.0
    age_range: tuple[float, float]
    mean_absolute_error: float | None = None
    coverage: Fraction | None = None
    width: float | None = None
    photos: Annotated[int, Field(ge=0)] = 0
    persons: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check(self) -> AgeCalibration:
        if not self.age_range[0] < self.age_range[1]:
            raise ValueError(f"age_range must ascend, got {self.age_range}")
        return self


def describe_limits(temperatures: Mapping[str, float]) -> list[str]:
    """Says what to do about temperatures at a limit of the fit, for the console and the report alike.

    Args:
        temperatures: By attribute, or by any other name of what is predicted.

    Returns:
        A clause for each of the two limits that some temperature is at.
    """
    surer = ", ".join(name for name, value in temperatures.items() if value == MAX_SAVED_TEMPERATURE)
    less = ", ".join(name for name, value in temperatures.items() if value == MIN_SAVED_TEMPERATURE)
    steps = []
    if surer:
        steps.append(
            f"probabilities of {surer} are far too high: train with more photos, augmentation or "
            "loss.smoothing=0.1, or longer where predictions are hardly better than chance"
        )
    if less:
        steps.append(
            f"probabilities of {less} are far too low: train longer where the validation loss still falls, or with "
            "less label smoothing or mixing; where hardly any prediction is wrong, hold out more persons: all of them "
            "with cv.num_folds=5, or more photos"
        )
    return steps


class Calibration(BaseModel):
    """Temperatures and abstention thresholds, fitted on photos of persons that the networks were not trained on.

    Attributes:
        temperatures: Head -> temperature in [0.05, 20]: each attribute, or `JOINT_HEAD` alone. Above 1 lowers the
            confidence.
        abstain_below: Attribute -> probability in [0, 1] below which its prediction becomes "not sure".
        min_face: Attribute -> shorter side of a detected face's box, in pixels, below which its prediction becomes "not
            sure": of smaller faces the model was measured to be surer than it is right.
        decisions: Objective -> decision weights that gained on other persons; without them the most probable class is
            predicted.
        ages: The age in years; None for models without narrow age bands, and of photos without ages.
        photos: Number of photos it was fitted on.
        persons: Number of persons on them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperatures: dict[str, Temperature] = Field(default_factory=dict, max_length=16)
    abstain_below: dict[str, Fraction] = Field(default_factory=dict, max_length=16)
    min_face: dict[str, Annotated[float, Field(ge=0, le=10_000)]] = Field(default_factory=dict, max_length=16)
    decisions: dict[Objective, DecisionWeights] = Field(default_factory=dict)
    ages: AgeCalibration | None = None
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
                f"{fitted}, with a temperature at the limit of the fit ({', '.join(clipped)}): probabilities and "
                '"not sure" thresholds may not hold on other photos'
            )
        return None

    @property
    def next_step(self) -> str:
        """What to do about `warning`; empty without one."""
        if self.warning is None:
            return ""
        if self.persons < MIN_RELIABLE_PERSONS:
            return "hold out more persons: train with cv.num_folds=5 and without cv.train_folds, or on more persons"
        return "; ".join(describe_limits(self.temperatures))

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

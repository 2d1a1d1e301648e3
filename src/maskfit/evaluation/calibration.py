"""Fits temperatures and abstention thresholds on out-of-fold predictions, and measures what they are worth.

Neural networks are overconfident on data like their training set; dividing the logits by one number, the temperature,
corrects most of it (Guo et al. 2017, arXiv:1706.04599). Temperatures are fitted to each attribute's marginal of the
scored class probabilities. Reported metrics are cross-fitted: they are computed on persons that the temperature or
threshold was not fitted on. `maskfit.calibration` applies the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.calibration import (
    MAX_SAVED_TEMPERATURE,
    MIN_PROBABILITY,
    MIN_SAVED_TEMPERATURE,
    Calibration,
    apply_temperatures,
)
from maskfit.errors import DataError, did_you_mean
from maskfit.evaluation.bootstrap import Interval, fraction_interval, proportion_interval
from maskfit.evaluation.metrics import ReliabilityCurve
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.selective_prediction import equal_mass_bins, lowest_threshold
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, FloatArray, IntArray, LabelSchema, softmax
from maskfit.text import format_count

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Search range of `fit_temperature`."""

DEFAULT_ABSTAIN_BELOW = 0.6
"""Default abstention threshold on the calibrated probability of an attribute's prediction."""


def fit_temperature(probabilities: NDArray[np.floating], codes: IntArray) -> float:
    """Computes the temperature that minimizes the log loss of the labels.

    Labels are smoothed: each counts as wrong with probability 1 / (n + 2), n being the number of labels (Platt 1999).
    Without smoothing, a few hundred predictions without an error would drive the temperature to 0.

    Args:
        probabilities: Shape (photos, values).
        codes: True values, shape (photos,); photos with `UNKNOWN` are left out.

    Returns:
        A temperature in [`MIN_TEMPERATURE`, `MAX_TEMPERATURE`]; 1 where no label is known.
    """
    known = np.asarray(codes) != UNKNOWN
    if not known.any():
        return 1.0
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64)[known], MIN_PROBABILITY))
    true_logs = logs[np.arange(len(logs)), np.asarray(codes)[known]]
    smoothing = 1 / (len(logs) + 2)
    target = ((1 - smoothing) * true_logs + smoothing * (logs.sum(axis=1) - true_logs) / (logs.shape[1] - 1)).mean()
    low, high, inverse = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, 1.0
    # The loss is convex in 1/T: a Newton step where it stays inside the bracket, bisection otherwise.
    for _ in range(100):
        scaled = softmax(inverse * logs)
        mean = (scaled * logs).sum(axis=1)
        gradient, curvature = mean.mean() - target, ((scaled * logs**2).sum(axis=1) - mean**2).mean()
        low, high = (low, inverse) if gradient > 0 else (inverse, high)
        newton = inverse - gradient / curvature if curvature > 0 else high
        updated = newton if low < newton < high else (low + high) / 2
        if abs(updated - inverse) <= 1e-9 * inverse:
            break
        inverse = updated
    return float(np.clip(1 / inverse, MIN_TEMPERATURE, MAX_TEMPERATURE))


def fit_temperatures(
    table: ProbabilityTable, schema: LabelSchema, truth: IntArray | None = None, *, heads: Sequence[str] | None = None
) -> dict[str, float]:
    """Fits one temperature per attribute, by the log loss of its marginal over all photos whose value is known.

    Args:
        table: Out-of-fold probabilities of the scored classes: by models that were not trained on the photos' persons.
        schema: The scored label schema.
        truth: Attribute codes, shape (photos, attributes), `UNKNOWN` where not labeled; the table's truth by default.
        heads: Attributes to fit, or `JOINT_HEAD` for the classes as a whole; every attribute by default.

    Returns:
        Head name to temperature in [`MIN_SAVED_TEMPERATURE`, `MAX_SAVED_TEMPERATURE`], as model files have it; 1 for an
            attribute without a known label.

    Raises:
        DataError: No truth is given, or shapes do not match.
        LabelError: A head is not an attribute of the schema.
    """
    codes = _true_codes(table, schema, truth)
    names = schema.names if heads is None else heads
    return {name: _fit_in_range(*_select_head(schema, table.probabilities, codes, name)) for name in names}


@dataclass(frozen=True)
class CalibrationMetrics:
    """How well the probabilities of predictions match their accuracy.

    Attributes:
        log_loss: Mean of -ln of the probability of the true value, with its interval over persons.
        error: Expected calibration error in bins of equal mass.
        bins: The reliability curve.
    """

    log_loss: Interval
    error: float
    bins: ReliabilityCurve

    def to_dict(self) -> dict[str, Any]:
        """Returns the metrics as JSON values."""
        bins = [
            {"photos": int(photos), "confidence": float(confidence), "accuracy": float(accuracy)}
            for photos, confidence, accuracy in zip(*self.bins, strict=True)
        ]
        return {"log_loss": self.log_loss.to_dict(), "calibration_error": self.error, "bins": bins}


@dataclass(frozen=True)
class TemperatureFit:
    """One attribute, or the class, before and after temperature scaling.

    Attributes:
        temperature: Fitted on all photos, as the model files have it where the network has this head.
        photos: Number of photos whose value is known.
        before: Metrics of the uncalibrated probabilities.
        after: Metrics of the calibrated ones, each photo with a temperature fitted on other persons.
        gain: Reduction of the log loss, with its interval over persons; negative where scaling made it worse.
    """

    temperature: float
    photos: int
    before: CalibrationMetrics
    after: CalibrationMetrics
    gain: Interval

    def to_dict(self) -> dict[str, Any]:
        """Returns the fit as JSON values."""
        return {
            "temperature": self.temperature,
            "photos": self.photos,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "gain": self.gain.to_dict(),
        }


def evaluate_calibration(
    table: ProbabilityTable,
    schema: LabelSchema,
    persons: ArrayLike,
    truth: IntArray | None = None,
    *,
    parts: int = 5,
    seed: int = 0,
    draws: int = 1000,
) -> dict[str, TemperatureFit]:
    """Computes calibration metrics of the class and of each attribute before and after temperature scaling.

    "After" is cross-fitted: persons are split into parts, and each part is scaled by a temperature that was fitted on
    the others.

    Args:
        table: Out-of-fold probabilities.
        schema: The scored label schema.
        persons: Person on each photo, shape (photos,).
        truth: As for `fit_temperatures`.
        parts: Number of parts for cross-fitting, >= 2; with fewer persons, each person is a part.
        seed: Seed of the split and of the bootstrap.
        draws: Number of bootstrap samples of persons for the intervals.

    Returns:
        Head name (`JOINT_HEAD` first) to its fit; heads with known labels of fewer than two persons are left out.

    Raises:
        DataError: No truth is given, or shapes do not match.
    """
    codes, persons = _true_codes(table, schema, truth), _check_persons(table, persons)
    fits = {}
    for name in (JOINT_HEAD, *schema.names):
        rows, labels = _select_head(schema, table.probabilities, codes, name)
        known = labels != UNKNOWN
        rows, labels, groups = rows[known], labels[known], persons[known]
        if len(np.unique(groups)) < 2:
            continue
        after = np.empty_like(rows)
        for train, test in grouped_splits(groups, parts, seed):
            after[test] = _scale(rows[test], _fit_in_range(rows[train], labels[train]))
        reduction = _log_losses(rows, labels) - _log_losses(after, labels)
        fits[name] = TemperatureFit(
            temperature=_fit_in_range(rows, labels),
            photos=len(labels),
            before=_calibration_metrics(rows, labels, groups, draws, seed),
            after=_calibration_metrics(after, labels, groups, draws, seed),
            gain=proportion_interval(reduction, np.ones(len(labels)), groups, draws, seed),
        )
    return fits


@dataclass(frozen=True)
class AbstentionThreshold:
    """Probability below which an attribute's prediction becomes "not sure".

    Attributes:
        probability: Threshold on the calibrated marginal; 1 where no threshold reaches the target.
        coverage: Fraction of photos that keep their prediction, on persons the threshold was not fitted on.
        accuracy: Accuracy of those predictions, on the same persons; None where none is left.
        overall_accuracy: Accuracy without abstention.
    """

    probability: float
    coverage: Interval
    accuracy: Interval | None
    overall_accuracy: Interval

    def to_dict(self) -> dict[str, Any]:
        """Returns the threshold as JSON values; `overall_accuracy` is stored as `whole`."""
        return {
            "probability": self.probability,
            "coverage": self.coverage.to_dict(),
            "accuracy": None if self.accuracy is None else self.accuracy.to_dict(),
            "whole": self.overall_accuracy.to_dict(),
        }


def fit_thresholds(
    table: ProbabilityTable,
    schema: LabelSchema,
    persons: ArrayLike,
    truth: IntArray | None = None,
    *,
    temperatures: Mapping[str, float] | None = None,
    accuracy: float = 0.95,
    coverage: float | None = None,
    parts: int = 5,
    seed: int = 0,
    draws: int = 1000,
) -> dict[str, AbstentionThreshold]:
    """Fits for each attribute the lowest threshold that reaches a target accuracy, or a target coverage.

    Coverage and accuracy of the result are cross-fitted as in `evaluate_calibration`.

    Args:
        table: Out-of-fold probabilities.
        schema: The scored label schema.
        persons: Person on each photo, shape (photos,).
        truth: As for `fit_temperatures`.
        temperatures: Temperatures that inference will apply, by attribute or one for `JOINT_HEAD`; by default those of
            `fit_temperatures`. An empty mapping leaves probabilities unscaled.
        accuracy: Target accuracy of the predictions that are kept, in (0, 1].
        coverage: Target fraction of photos that keep their prediction, in (0, 1]; replaces `accuracy`.
        parts: Number of parts for cross-fitting, >= 2; with fewer persons, each person is a part.
        seed: Seed of the split and of the bootstrap.
        draws: Number of bootstrap samples of persons for the intervals.

    Returns:
        Attribute to threshold; attributes with known labels of fewer than two persons are left out.

    Raises:
        DataError: A target is out of range, no truth is given, or shapes do not match.
    """
    for name, target in (("accuracy", accuracy), ("coverage", coverage)):
        if target is not None and not 0 < target <= 1:
            raise DataError(f"{name} must be in (0, 1], got {target}", hint="write 0.95 for 95 percent")
    codes, persons = _true_codes(table, schema, truth), _check_persons(table, persons)
    heads = schema.names if temperatures is None else tuple(temperatures)
    applied = fit_temperatures(table, schema, codes, heads=heads) if temperatures is None else dict(temperatures)
    # For each part of the persons: all photos at the temperatures fitted on the other parts.
    splits = [
        (train, test, _refit_marginals(schema, table.probabilities, codes, heads, train))
        for train, test in grouped_splits(persons, parts, seed)
    ]
    calibrated = schema.marginals(apply_temperatures(schema, table.probabilities, applied))
    thresholds = {}
    for column, name in enumerate(schema.names):
        labels = codes[:, column]
        known = labels != UNKNOWN
        if len(np.unique(persons[known])) < 2:
            continue
        kept, correct = np.zeros(len(labels), dtype=bool), calibrated[name].argmax(axis=1) == labels
        for train, test, marginals in splits:
            confidence, fitted = marginals[name].max(axis=1), train & known
            if fitted.any():
                kept[test] = confidence[test] >= lowest_threshold(
                    confidence[fitted], correct[fitted], accuracy=accuracy, coverage=coverage
                )
        threshold = lowest_threshold(
            calibrated[name].max(axis=1)[known], correct[known], accuracy=accuracy, coverage=coverage
        )
        thresholds[name] = _evaluate_threshold(threshold, kept[known], correct[known], persons[known], draws, seed)
    return thresholds


def grouped_splits(
    persons: NDArray[Any], parts: int, seed: int = 0
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Splits photos into parts by person, for cross-fitting.

    Args:
        persons: Person on each photo, shape (photos,).
        parts: Number of parts, >= 2; with fewer persons, each person is a part.
        seed: Seed of the random assignment of persons to parts.

    Yields:
        For each part the masks (train, test), each of shape (photos,); no person is in both.
    """
    unique, inverse = np.unique(persons, return_inverse=True)
    count = min(parts, len(unique))
    part_of_photo = (np.random.default_rng(seed).permutation(len(unique)) % count)[inverse]
    for part in range(count):
        yield part_of_photo != part, part_of_photo == part


def fit_calibration(
    table: ProbabilityTable,
    schema: LabelSchema,
    persons: ArrayLike,
    truth: IntArray | None = None,
    *,
    joint: bool = False,
    accuracy: Mapping[str, float] | None = None,
    coverage: Mapping[str, float] | None = None,
    below: Mapping[str, float] | None = None,
) -> tuple[Calibration, dict[str, AbstentionThreshold]]:
    """Fits the calibration that is stored in a model file.

    Args:
        table: Out-of-fold probabilities of the scored classes, uncalibrated.
        schema: The scored label schema.
        persons: Person on each photo, shape (photos,).
        truth: Attribute codes, shape (photos, attributes), `UNKNOWN` where not labeled; the table's truth by default.
        joint: Whether the network has a single head over all classes, which gets one temperature.
        accuracy: Attribute to the target accuracy of the predictions that are kept, in (0, 1].
        coverage: Attribute to the target fraction of photos that keep their prediction, in (0, 1].
        below: Attribute to the threshold itself, in [0, 1]; `DEFAULT_ABSTAIN_BELOW` for attributes named nowhere.

    Returns:
        The calibration, and the cross-fitted thresholds of the attributes in `accuracy` and `coverage`.

    Raises:
        DataError: A target is out of range, an attribute is unknown or named twice, or one that is named has known
            labels of fewer than two persons.
    """
    targets = {"accuracy": dict(accuracy or {}), "coverage": dict(coverage or {}), "below": dict(below or {})}
    _check_targets(targets, schema)
    codes = schema.to_attribute_indices(table.truth) if truth is None and table.truth is not None else truth
    if codes is None:
        raise DataError("the true labels of these photos are unknown", hint="take the table of a run")
    temperatures = fit_temperatures(table, schema, codes, heads=(JOINT_HEAD,) if joint else None)
    thresholds = _fit_targets(table, schema, persons, codes, temperatures, targets)
    abstain_below = {name: targets["below"].get(name, DEFAULT_ABSTAIN_BELOW) for name in schema.names}
    abstain_below |= {name: threshold.probability for name, threshold in thresholds.items()}
    known = np.asarray(codes != UNKNOWN).any(axis=1)
    return Calibration(
        temperatures=temperatures,
        abstain_below=abstain_below,
        photos=int(known.sum()),
        persons=len(np.unique(np.asarray(persons)[known])),
    ), thresholds


def _fit_targets(
    table: ProbabilityTable,
    schema: LabelSchema,
    persons: ArrayLike,
    codes: IntArray,
    temperatures: Mapping[str, float],
    targets: Mapping[str, Mapping[str, float]],
) -> dict[str, AbstentionThreshold]:
    """Returns the thresholds of the attributes with a target accuracy or coverage."""
    thresholds = {}
    for kind in ("accuracy", "coverage"):
        for name, target in targets[kind].items():
            # One attribute at a time: labels of the others need not be known.
            labels = np.where(np.arange(len(schema.names)) == schema.names.index(name), codes, UNKNOWN)
            if kind == "accuracy":
                fitted = fit_thresholds(table, schema, persons, labels, temperatures=temperatures, accuracy=target)
            else:
                fitted = fit_thresholds(table, schema, persons, labels, temperatures=temperatures, coverage=target)
            if name not in fitted:
                raise DataError(f"'{name}' is labeled for fewer than two persons", hint=f"leave {name} out")
            thresholds[name] = fitted[name]
    return thresholds


def _check_targets(targets: Mapping[str, Mapping[str, float]], schema: LabelSchema) -> None:
    names = [name for values in targets.values() for name in values]
    for name in names:
        if name not in schema.names:
            raise DataError(f"there is no attribute '{name}'; {did_you_mean(name, schema.names)}")
        if names.count(name) > 1:
            raise DataError(
                f"'{name}' is named twice", hint="give one of accuracy, coverage and threshold for each attribute"
            )
    for kind, values in targets.items():
        for name, value in values.items():
            if not 0 <= value <= 1:
                raise DataError(f"{kind} of {name} must be in [0, 1], got {value}", hint="write 0.95 for 95 percent")


def _evaluate_threshold(
    threshold: float,
    kept: NDArray[np.bool_],
    correct: NDArray[np.bool_],
    persons: NDArray[Any],
    draws: int,
    seed: int,
) -> AbstentionThreshold:
    ones = np.ones(len(kept))
    return AbstentionThreshold(
        probability=threshold,
        coverage=fraction_interval(kept, ones, persons, draws, seed),
        accuracy=fraction_interval(correct & kept, kept, persons, draws, seed) if kept.any() else None,
        overall_accuracy=fraction_interval(correct, ones, persons, draws, seed),
    )


def _refit_marginals(
    schema: LabelSchema, probabilities: FloatArray, codes: IntArray, heads: Sequence[str], train: NDArray[np.bool_]
) -> dict[str, FloatArray]:
    """Returns the marginals of all photos at temperatures fitted on the photos in `train`."""
    temperatures = {
        name: _fit_in_range(*_select_head(schema, probabilities[train], codes[train], name)) for name in heads
    }
    return schema.marginals(apply_temperatures(schema, probabilities, temperatures))


def _fit_in_range(probabilities: FloatArray, codes: IntArray) -> float:
    """The temperature in the range of model files, so that figures are of what predictions use."""
    return float(np.clip(fit_temperature(probabilities, codes), MIN_SAVED_TEMPERATURE, MAX_SAVED_TEMPERATURE))


def _scale(rows: FloatArray, temperature: float) -> FloatArray:
    return softmax(np.log(np.maximum(rows, MIN_PROBABILITY)) / temperature)


def _calibration_metrics(
    rows: FloatArray, labels: IntArray, persons: NDArray[Any], draws: int, seed: int
) -> CalibrationMetrics:
    bins = equal_mass_bins(rows.max(axis=1), rows.argmax(axis=1) == labels)
    log_loss = proportion_interval(_log_losses(rows, labels), np.ones(len(labels)), persons, draws, seed)
    return CalibrationMetrics(log_loss, bins.error(), bins)


def _log_losses(rows: FloatArray, labels: IntArray) -> FloatArray:
    return np.asarray(-np.log(np.maximum(rows[np.arange(len(labels)), labels], MIN_PROBABILITY)))


def _select_head(
    schema: LabelSchema, probabilities: FloatArray, codes: IntArray, name: str
) -> tuple[FloatArray, IntArray]:
    """Returns probabilities (photos, values) and true values (photos,) of one attribute, or of the class."""
    if name == JOINT_HEAD:
        return probabilities, schema.to_class_index(codes)
    column = schema.names.index(schema[name].name)
    return schema.marginals(probabilities)[name], codes[:, column]


def _true_codes(table: ProbabilityTable, schema: LabelSchema, truth: IntArray | None) -> IntArray:
    """Returns the attribute codes (photos, attributes) of `truth`, by default those of the table."""
    if table.probabilities.shape[1] != schema.num_classes:
        raise DataError(f"the table has {table.probabilities.shape[1]} classes, the label schema {schema.num_classes}")
    if truth is None:
        if table.truth is None:
            raise DataError("no photo has a known label, so nothing can be fitted", hint="give the true labels")
        return schema.to_attribute_indices(table.truth)
    codes = np.asarray(truth, dtype=np.int64)
    expected = (len(table), len(schema.names))
    if codes.shape != expected:
        raise DataError(f"truth has shape {codes.shape}, expected (photos, attributes) = {expected}")
    return codes


def _check_persons(table: ProbabilityTable, persons: ArrayLike) -> NDArray[Any]:
    groups = np.asarray(persons)
    if groups.shape != (len(table),):
        raise DataError(
            f"{format_count(len(table), 'photo')}, but {format_count(len(groups), 'person')}",
            hint="give the person on each photo",
        )
    return groups

"""Fits decision weights on out-of-fold predictions, and measures their gain on other persons.

The score is a step function of the weights. It is maximized one weight at a time on a grid: a photo is predicted as a
value from a certain weight of it on, so that the class counts of every grid point come from one histogram.

Weights that maximize macro F1 on the labels alone fit the chance of a few rare photos: on 120 persons they lost 3
points on other persons. So a photo counts as its label by one quarter, and by the rest as its calibrated probabilities
say: the expected counts of a plug-in rule, which vary much less. `maskfit.calibration` applies the weights and
names the sources.

The gain is nested: persons are split into parts, and each part is predicted with weights (and temperatures) fitted on
the other parts. Weights that gain nothing there are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.calibration import (
    DecisionWeights,
    Objective,
    WeightMap,
    apply_temperatures,
    class_weights,
    describe_decision_weights,
    weighted_classes,
)
from maskfit.errors import DataError
from maskfit.evaluation.bootstrap import Interval, bootstrap_counts
from maskfit.evaluation.calibration import fit_temperatures, grouped_splits
from maskfit.evaluation.metrics import METRICS, ClassCounts, count_by_class
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, FloatArray, IntArray, LabelSchema

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
"""Objectives that weights can be fitted for."""

METRIC_OF: dict[Objective, str] = {"macro-f1": "macro_f1", "accuracy": "accuracy"}
"""Name in `METRICS` of each objective."""

MIN_PERSONS = 50
"""With fewer labeled persons, argmax is kept: parts of fewer than ten persons say nothing about rare classes."""

LOG_GRID = np.linspace(-1.6, 1.6, 33)
"""Logarithms of the weights that are tried: 0.2 to 5, in steps of 10%; the middle one is 0."""

MAX_ROUNDS = 6
"""Rounds over all weights; they end where a round changes nothing."""

LABEL_SHARE = 0.25
"""How much of a photo's count is its label; the rest is its calibrated probabilities."""

PENALTY = 1e-4
"""Loss of score per squared logarithm of a weight: of equally good weights those nearest to 1 are taken."""

REPEATS = 3
"""Random splits of persons that the nested score is averaged over; one from `MANY_PHOTOS` on, where it varies less."""

MANY_PHOTOS = 20_000

MIN_PROBABILITY = 1e-12
"""Lower bound of probabilities before the logarithm."""

Calibrate = Callable[[NDArray[np.bool_]], FloatArray]
"""Returns the probabilities of all photos, calibrated on the masked ones."""


@dataclass(frozen=True)
class DecisionFit:
    """Result of fitting decision weights for one objective.

    Attributes:
        objective: What they were fitted for.
        fitted: The weights with their nested scores; None where nothing could be fitted.
        reason: Why argmax is kept; empty where the weights are.
    """

    objective: Objective
    fitted: DecisionWeights | None
    reason: str = ""

    @property
    def kept(self) -> DecisionWeights | None:
        """The weights, or None where argmax is kept."""
        return None if self.reason else self.fitted

    def to_dict(self) -> dict[str, Any]:
        """Returns the fit as JSON values."""
        fitted = self.fitted
        content = None if fitted is None else {**fitted.model_dump(mode="json"), "gain": fitted.gain}
        return {"kept": not self.reason, "reason": self.reason, "fitted": content}


def fit_decisions(
    schema: LabelSchema,
    probabilities: FloatArray,
    truth: IntArray,
    persons: ArrayLike,
    objective: Objective = "macro-f1",
    *,
    calibrate: Calibrate | None = None,
    parts: int = 5,
    draws: int = 1000,
    seed: int = 0,
) -> DecisionFit:
    """Fits decision weights, and keeps them where they gain on persons that they were not fitted on.

    Args:
        schema: The scored schema.
        probabilities: Calibrated out-of-fold probabilities, shape (photos, classes).
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        persons: Person on each photo, shape (photos,).
        objective: What to maximize.
        calibrate: Repeats the calibration on a part of the photos, for the nested score; None uses `probabilities`.
        parts: Number of parts of persons for the nested score, >= 2.
        draws: Number of bootstrap samples of persons for the interval of the gain.
        seed: Seed of the splits and the samples.

    Returns:
        The fit.

    Raises:
        DataError: Lengths differ.
    """
    groups, truth = np.asarray(persons), np.asarray(truth, dtype=np.int64)
    if not len(probabilities) == len(truth) == len(groups):
        raise DataError(f"{len(probabilities):,} photos, but {len(truth):,} labels and {len(groups):,} persons")
    known = truth != UNKNOWN
    num_persons = len(np.unique(groups[known]))
    if num_persons < MIN_PERSONS:
        reason = f"{num_persons:,} persons with a label of every attribute, fewer than {MIN_PERSONS}"
        return DecisionFit(objective, None, reason)
    nested = [
        _nested_classes(schema, probabilities, truth, groups, objective, calibrate, parts, seed + number)
        for number in range(REPEATS if known.sum() < MANY_PHOTOS else 1)
    ]
    reference = probabilities.argmax(axis=1)
    metric = METRICS[METRIC_OF[objective]]

    def scores(predictions: IntArray) -> tuple[float, FloatArray]:
        options = {"num_classes": schema.num_classes}
        drawn = bootstrap_counts(truth[known], predictions[known], groups[known], draws=draws, seed=seed, **options)
        return float(metric(count_by_class(truth, predictions, schema.num_classes))), metric(drawn)

    before, before_drawn = scores(reference)
    after = [scores(predictions) for predictions in nested]
    gain = Interval.from_draws(
        float(np.mean([value for value, _ in after])) - before,
        np.mean([drawn for _, drawn in after], axis=0) - before_drawn,
    ).with_change_width(num_persons)
    weights = fit_weights(schema, probabilities[known], truth[known], objective)
    fitted = DecisionWeights(
        weights={name: tuple(values.tolist()) for name, values in weights.items()},
        before=before,
        after=before + gain.value,
        gain_low=gain.low,
        gain_high=gain.high,
        photos=int(known.sum()),
        persons=num_persons,
    )
    reason = ""
    if not weights:
        reason = "no weights are better than argmax on the photos that they were fitted on"
    elif gain.value <= 0:
        reason = f"the weights do not gain on other persons ({gain.value:+.4f})"
    return DecisionFit(objective, fitted, reason)


def fit_run_decisions(
    table: ProbabilityTable, schema: LabelSchema, persons: ArrayLike, codes: IntArray, *, joint: bool = False
) -> dict[Objective, DecisionFit]:
    """Fits the decision weights of a run for each objective.

    Args:
        table: Out-of-fold probabilities of the scored classes, uncalibrated; temperatures are fitted as for the run's
            models, and for the nested scores again on each part of the persons.
        schema: The scored schema.
        persons: Person on each photo, shape (photos,).
        codes: Attribute codes, shape (photos, attributes), `UNKNOWN` where not labeled.
        joint: Whether the network has a single head over all classes.

    Returns:
        Objective -> fit.
    """

    def calibrate(train: NDArray[np.bool_]) -> FloatArray:
        names = tuple(name for name, inside in zip(table.names, train.tolist(), strict=True) if inside)
        part = ProbabilityTable(names, table.probabilities[train])
        temperatures = fit_temperatures(part, schema, codes[train], heads=(JOINT_HEAD,) if joint else None)
        return apply_temperatures(schema, table.probabilities, temperatures)

    probabilities = calibrate(np.ones(len(table), dtype=bool))
    truth = schema.to_class_index(codes)
    return {
        objective: fit_decisions(schema, probabilities, truth, persons, objective, calibrate=calibrate)
        for objective in OBJECTIVES
    }


def kept_decisions(fits: Mapping[Objective, DecisionFit]) -> dict[Objective, DecisionWeights]:
    """Selects the weights that a model file stores.

    Args:
        fits: From `fit_run_decisions`.

    Returns:
        Objective -> weights that gain on other persons.
    """
    return {objective: fit.kept for objective, fit in fits.items() if fit.kept is not None}


def _nested_classes(
    schema: LabelSchema,
    probabilities: FloatArray,
    truth: IntArray,
    persons: NDArray[Any],
    objective: Objective,
    calibrate: Calibrate | None,
    parts: int,
    seed: int,
) -> IntArray:
    """Predicts each photo with weights that were fitted on other persons."""
    classes = probabilities.argmax(axis=1)
    for train, test in grouped_splits(persons, parts, seed):
        fitted_on = train & (truth != UNKNOWN)
        rows = probabilities if calibrate is None else calibrate(train)
        weights = fit_weights(schema, rows[fitted_on], truth[fitted_on], objective)
        classes[test] = weighted_classes(schema, rows[test], weights)
    return np.asarray(classes)


def fit_weights(
    schema: LabelSchema,
    probabilities: FloatArray,
    truth: IntArray,
    objective: Objective = "macro-f1",
    *,
    label_share: float = LABEL_SHARE,
) -> dict[str, FloatArray]:
    """Fits decision weights by coordinate ascent.

    Args:
        schema: The scored schema.
        probabilities: Calibrated probabilities, shape (photos, classes).
        truth: True classes, shape (photos,), all known.
        objective: What to maximize.
        label_share: How much of a photo's count is its label, in [0, 1]; the rest is its probabilities.

    Returns:
        Attribute -> weights (values,) with a geometric mean of 1; attributes whose weights are all 1 are left out.
    """
    counts = _GridCounts(schema, np.asarray(probabilities, dtype=np.float64), truth, label_share)
    metric = METRICS[METRIC_OF[objective]]
    logs = {name: np.zeros(size) for name, size in schema.sizes.items()}
    for _ in range(MAX_ROUNDS if len(truth) else 0):
        changed = False
        for name in schema.names:
            for value in range(len(logs[name])):
                scores = metric(counts(logs, name, value)) - PENALTY * _squares(logs[name], value)
                current = int(np.abs(LOG_GRID - logs[name][value]).argmin())
                best = int(scores.argmax())
                if scores[best] > scores[current] + 1e-12:
                    logs[name][value] = LOG_GRID[best]
                    changed = True
        if not changed:
            break
    centered = {name: values - values.mean() for name, values in logs.items()}
    return {name: np.exp(values) for name, values in centered.items() if np.abs(values).max() > 1e-9}


def _squares(logs: FloatArray, value: int) -> FloatArray:
    """Sum of squared centered logarithms where one of them takes each point of the grid, shape (grid points,)."""
    rows = np.tile(logs, (len(LOG_GRID), 1))
    rows[:, value] = LOG_GRID
    return np.asarray(((rows - rows.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))


class _GridCounts:
    """Class counts of the weighted predictions where the weight of one value takes each point of the grid."""

    def __init__(self, schema: LabelSchema, probabilities: FloatArray, truth: IntArray, label_share: float) -> None:
        self.schema = schema
        self.probabilities = probabilities
        self.truth = truth
        self.label_share = label_share
        self.logs = np.log(np.maximum(probabilities, MIN_PROBABILITY))
        self.codes = schema.to_attribute_indices(np.arange(schema.num_classes))
        labels = np.bincount(truth, minlength=schema.num_classes)
        self.support = label_share * labels + (1 - label_share) * probabilities.sum(axis=0)

    def __call__(self, logs: WeightMap, name: str, value: int) -> ClassCounts:
        inside = self.codes[:, self.schema.names.index(name)] == value
        if inside.all():
            inside = np.zeros_like(inside)  # a single value: its weight changes nothing
        weights = class_weights(self.schema, {own: np.exp(values) for own, values in logs.items()})
        scores = self.logs + np.log(weights) - inside * logs[name][value]
        rows = np.arange(len(scores))
        outside = np.flatnonzero(~inside)[scores[:, ~inside].argmax(axis=1)]
        if not inside.any():
            return self._sum(outside, outside, np.zeros(len(rows), dtype=np.int64))
        own = np.flatnonzero(inside)[scores[:, inside].argmax(axis=1)]
        # The value is predicted at all grid points above the lead of the best class without it.
        first = np.searchsorted(LOG_GRID, scores[rows, outside] - scores[rows, own], side="right")
        return self._sum(own, outside, first)

    def _sum(self, own: IntArray, outside: IntArray, first: IntArray) -> ClassCounts:
        """Counts by grid point and class; photo i is `own[i]` from grid point `first[i]` on, before it `outside[i]`."""
        num_classes, size = self.schema.num_classes, len(LOG_GRID) + 1

        def count(classes: IntArray, weights: FloatArray | None) -> FloatArray:
            cells = first * num_classes + classes
            return np.bincount(cells, weights, size * num_classes).reshape(size, num_classes).cumsum(axis=0)

        def switch(weigh: Callable[[IntArray], FloatArray | None]) -> FloatArray:
            before = count(outside, weigh(outside))
            return np.asarray(count(own, weigh(own))[:-1] + before[-1] - before[:-1], dtype=np.float64)

        hits = switch(self._hit_weights)
        return ClassCounts(hits, np.broadcast_to(self.support, hits.shape), switch(lambda classes: None))

    def _hit_weights(self, classes: IntArray) -> FloatArray:
        """How much each prediction counts as correct."""
        expected = self.probabilities[np.arange(len(classes)), classes]
        return np.asarray(self.label_share * (classes == self.truth) + (1 - self.label_share) * expected)


def describe_fit(fit: DecisionFit, schema: LabelSchema) -> str:
    """Describes a fit in a sentence.

    Args:
        fit: The fit.
        schema: The scored schema.

    Returns:
        A line for logs, the report and the card.
    """
    title = "macro F1" if fit.objective == "macro-f1" else fit.objective
    if fit.kept is None:
        return f"decisions for {title}: the most probable class; {fit.reason}"
    kept = fit.kept
    weights = describe_decision_weights(schema, kept.weights)
    return (
        f"decisions for {title}: {weights}; on other persons {kept.before:.4f} -> {kept.after:.4f}, "
        f"gain {kept.gain:+.4f} ({kept.gain_low:+.4f} to {kept.gain_high:+.4f})"
    )

"""How low precision, bf16 or int8, changes a network's probabilities, and which predictions it may change.

Estimated on images that are computed both ways: on the first ones of a stream (`precision_cascade`), or once, when an
int8 conversion is calibrated, whose file then holds the estimate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskfit.calibration import WeightMap, class_weights
from maskfit.labels.schema import FloatArray, LabelSchema

MARGIN_STDS = 3.0
"""Standard deviations of the error that a margin must have to be trusted. A normal error would change next to nothing
at so many, but the real one has longer tails: see docs/performance.md."""

MAX_RECOMPUTED = 0.4
"""Fraction of recomputed images from which on f32 for all is cheaper: with bf16 at half of f32's time, as measured
(docs/performance.md), that is nearly one half."""

MIN_PROBABILITY = 1e-300
"""Lower bound of a probability, so that its logarithm is finite; a larger bound would hide changes."""

MAD_TO_STD = 1.4826
"""Standard deviation of a normal error whose median absolute deviation is 1."""

QUANTILE_TO_STD = 1 / 1.96
"""Standard deviation of a normal error whose 95th percentile of absolute values is 1."""


@dataclass(frozen=True)
class PrecisionErrorEstimate:
    """How low precision changes probabilities.

    Attributes:
        schema: The schema of the probabilities.
        log_bias: By attribute, what must be added to the logarithm of each value's probability, (values,).
        log_ratio_std: By attribute, the standard deviation of the log-ratio of the two most probable values after that.
        decision_weights: Decision weights by attribute.
        margin_stds: Standard deviations that a margin must have.
        abstain_below: By attribute, the probability below which an answer is "not sure", where that must be f32's too.
        covers_approximate_pixels: Whether it was estimated with approximate pixels in low precision.
    """

    schema: LabelSchema
    log_bias: Mapping[str, FloatArray]
    log_ratio_std: Mapping[str, float]
    decision_weights: WeightMap = field(default_factory=dict)
    margin_stds: float = MARGIN_STDS
    covers_approximate_pixels: bool = False
    abstain_below: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Converts to JSON, without decision weights: a model file may be run with several.

        Returns:
            An object with the numbers of each attribute.
        """
        return json.dumps(
            {
                "log_bias": {name: [round(float(value), 6) for value in own] for name, own in self.log_bias.items()},
                "log_ratio_std": {name: round(value, 6) for name, value in self.log_ratio_std.items()},
                "margin_stds": self.margin_stds,
                "covers_approximate_pixels": self.covers_approximate_pixels,
            }
        )

    @classmethod
    def from_json(cls, text: str, schema: LabelSchema) -> Self:
        """Reads what `to_json` wrote.

        Args:
            text: The JSON.
            schema: The schema of the probabilities.

        Returns:
            The error.

        Raises:
            ValueError: It is no such JSON, has a number that is no error, or is of another schema.
        """
        try:
            data = json.loads(text)
            log_bias = {name: np.asarray(own, dtype=np.float64) for name, own in data["log_bias"].items()}
            log_ratio_std = {name: float(value) for name, value in data["log_ratio_std"].items()}
            margin_stds = float(data["margin_stds"])
            covers_approximate_pixels = data["covers_approximate_pixels"] is True
        except (TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"no error of low precision: {error}") from None
        shapes = {name: (size,) for name, size in schema.sizes.items()}
        if {name: own.shape for name, own in log_bias.items()} != shapes or log_ratio_std.keys() != shapes.keys():
            raise ValueError("an error of low precision for another schema")
        numbers = np.concatenate([*log_bias.values(), [*log_ratio_std.values(), margin_stds]])
        if not np.isfinite(numbers).all() or min(log_ratio_std.values()) < 0 or margin_stds <= 0:
            raise ValueError("an error of low precision with impossible numbers")
        return cls(schema, log_bias, log_ratio_std, {}, margin_stds, covers_approximate_pixels)

    def with_decisions(self, decision_weights: WeightMap, abstain_below: Mapping[str, float]) -> Self:
        """Returns the same error for other decisions.

        Args:
            decision_weights: Decision weights by attribute.
            abstain_below: Thresholds by attribute.

        Returns:
            A copy.
        """
        return replace(self, decision_weights=decision_weights, abstain_below=abstain_below)

    def debias(self, fast: FloatArray) -> FloatArray:
        """Removes the mean shift of low precision.

        Args:
            fast: Probabilities (inputs, classes) in low precision.

        Returns:
            Probabilities (inputs, classes), rows summing to 1.
        """
        logs = _logs(fast).reshape(-1, *self.schema.shape)
        for axis, name in enumerate(self.schema.names, start=1):
            logs = logs + np.expand_dims(self.log_bias[name], [own for own in range(logs.ndim) if own != axis])
        table = np.exp(logs - logs.max(axis=tuple(range(1, logs.ndim)), keepdims=True)).reshape(fast.shape)
        return np.asarray(table / table.sum(axis=1, keepdims=True))

    def needs_f32(self, debiased: FloatArray) -> NDArray[np.bool_]:
        """Finds the inputs whose prediction f32 may change: the class, an attribute, or where that is "not sure".

        Args:
            debiased: Probabilities (inputs, classes), as `debias` returns them.

        Returns:
            (inputs,), True where the margin is too small.
        """
        close = np.zeros(len(debiased), dtype=bool)
        for name, values in self.schema.marginals(debiased).items():
            if values.shape[1] > 1:
                least = self.margin_stds * self.log_ratio_std[name]
                weighted = values * np.asarray(self.decision_weights.get(name, 1.0))
                best, second = _best_two(weighted)
                close |= _log_ratio(weighted, best, second) < least
                if name in self.abstain_below:
                    # Where two values share all, the error of the log odds is that of their log-ratio; else less.
                    odds = _log_odds(values[np.arange(len(values)), best])
                    close |= np.abs(odds - _log_odds(np.array(self.abstain_below[name]))) < least
        if self.schema.num_classes > 1:
            # The errors of the attributes in which the two best classes differ add up in quadrature.
            if self.decision_weights:
                debiased = debiased * class_weights(self.schema, self.decision_weights)
            best, second = _best_two(debiased)
            differ = self.schema.to_attribute_indices(best) != self.schema.to_attribute_indices(second)
            stds = np.array([self.log_ratio_std[name] for name in self.schema.names])
            close |= _log_ratio(debiased, best, second) < self.margin_stds * np.sqrt(differ @ stds**2)
        return close


def estimate_precision_error(
    schema: LabelSchema,
    fast: FloatArray,
    exact: FloatArray,
    decision_weights: WeightMap | None = None,
    margin_stds: float = MARGIN_STDS,
    *,
    covers_tails: bool = False,
    approximate_pixels: bool = False,
) -> PrecisionErrorEstimate | None:
    """Estimates the error of low precision from inputs that were computed both ways.

    Args:
        schema: The schema of the probabilities.
        fast: Probabilities (inputs, classes) in low precision.
        exact: The same inputs' in f32.
        decision_weights: Decision weights by attribute.
        margin_stds: Standard deviations of the error that a margin must have.
        covers_tails: Whether the deviation is also that of the largest twentieth of the errors; for hundreds of inputs.
        approximate_pixels: Whether `fast` was computed from approximate pixels.

    Returns:
        The error; None without inputs, or where so many would be recomputed that f32 for all is cheaper.
    """
    if not len(exact):
        return None
    log_bias: dict[str, FloatArray] = {}
    log_ratio_std: dict[str, float] = {}
    fast_marginals = schema.marginals(fast)
    for name, values in schema.marginals(exact).items():
        before, after = (
            logs - logs.mean(axis=1, keepdims=True) for logs in (_logs(fast_marginals[name]), _logs(values))
        )
        log_bias[name] = np.median(after - before, axis=0)
        moved = before + log_bias[name] - after
        rows = np.arange(len(values))
        first, second = _best_two(values) if values.shape[1] > 1 else (0, 0)
        sizes = np.abs(moved[rows, first] - moved[rows, second])
        # The median absolute deviation, scaled to the standard deviation of a normal error: for a few inputs that the
        # network is sure of, the logarithms move ten times as far, and their predictions do not depend on it.
        log_ratio_std[name] = MAD_TO_STD * float(np.median(sizes))
        if covers_tails:
            log_ratio_std[name] = max(log_ratio_std[name], QUANTILE_TO_STD * float(np.quantile(sizes, 0.95)))
    error = PrecisionErrorEstimate(
        schema, log_bias, log_ratio_std, decision_weights or {}, margin_stds, approximate_pixels
    )
    return error if error.needs_f32(error.debias(fast)).mean() <= MAX_RECOMPUTED else None


def _logs(table: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(table, MIN_PROBABILITY)))


def _best_two(table: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argpartition(-table, 1, axis=1)
    return order[:, 0], order[:, 1]


def _log_ratio(table: FloatArray, first: NDArray[np.int64], second: NDArray[np.int64]) -> FloatArray:
    """The log-ratio of two columns of each row, (rows,); 0 where they are the same."""
    rows = np.arange(len(table))
    logs = _logs(table)
    return np.asarray(logs[rows, first] - logs[rows, second])


def _log_odds(probabilities: NDArray[np.float64]) -> FloatArray:
    return np.asarray(_logs(probabilities) - _logs(1 - probabilities))

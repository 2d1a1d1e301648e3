"""Precision cascade: bf16 or int8 where that cannot change a prediction, f32 where the margin is too small to tell.

In bf16, or int8, a network is about twice as fast as in f32 and predicts nearly the same. Where the two most probable
classes are far apart, rounding cannot exchange them; where they are close, the image is recomputed in f32. With
decision weights the weighted probabilities are compared, since they select the class. How close is too close is
estimated from the first images, which are computed both ways, for each attribute by itself: a network's ages may move
ten times as far as its genders. The mean shift that low precision adds to each value is estimated too, and removed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from maskfit.calibration import WeightMap, class_weights
from maskfit.inference.ensemble_runner import EnsembleOutput, EnsembleRunner
from maskfit.inference.image_loading import batched, run_batches_in_parallel
from maskfit.inference.tta import ModelInput
from maskfit.labels.schema import FloatArray, LabelSchema

NUM_PROBE_IMAGES, NUM_APPROXIMATE_PROBES = 16, 32
"""Images that are computed both ways to estimate the error of low precision; with approximate pixels more are."""

MARGIN_STDS, APPROXIMATE_MARGIN_STDS = 3.0, 3.5
"""Standard deviations of that error that a margin must have to be trusted; with approximate pixels more. A normal error
would change next to nothing at so many, but the real one has longer tails: see docs/performance.md."""

MAX_RECOMPUTED = 0.4
"""Fraction of recomputed images from which on f32 for all is cheaper: with bf16 at half of f32's time, as measured
(docs/performance.md), that is nearly one half."""

MIN_PROBABILITY = 1e-300
"""Lower bound of a probability, so that its logarithm is finite; a larger bound would hide changes."""

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class PendingBatch:
    """A batch that the networks have seen.

    Attributes:
        output: Final, or in low precision where `unresolved` holds its inputs.
        unresolved: The inputs, where it is not known yet which of them must be recomputed.
    """

    output: EnsembleOutput
    unresolved: Sequence[ModelInput] = ()


@dataclass(eq=False)
class PrecisionCascade:
    """Takes batches of inputs and returns their final probabilities, in bf16 wherever f32 would predict the same.

    The first `num_probes` inputs are computed both ways. Later batches run in bf16 without waiting for the
    estimate; they are resolved once it exists. With the same inputs in the same batches, the same ones are recomputed
    every time, however threads are scheduled; so an instance is made for each stream.

    Args:
        ensemble: Runs the networks. Where it has no low precision, everything is computed in f32.
        decision_weights: Decision weights by attribute, which select the prediction.
    """

    ensemble: EnsembleRunner
    decision_weights: WeightMap = field(default_factory=dict)
    _probes: list[tuple[FloatArray, FloatArray]] = field(default_factory=list, init=False)
    _error: PrecisionErrorEstimate | None = field(default=None, init=False)
    _is_estimated: bool = field(default=False, init=False)
    _estimating: Lock = field(default_factory=Lock, init=False)
    _probing: Lock = field(default_factory=Lock, init=False)

    @property
    def num_probes(self) -> int:
        """Inputs that are computed both ways."""
        return NUM_APPROXIMATE_PROBES if self.ensemble.allows_approximate_pixels else NUM_PROBE_IMAGES

    @property
    def takes_approximate_pixels(self) -> bool:
        """Whether inputs may be approximate; once all are computed in f32 they would only have to be made again."""
        return self.ensemble.allows_approximate_pixels and not (self._is_estimated and self._error is None)

    def predict(self, inputs: Sequence[ModelInput]) -> EnsembleOutput:
        """Predicts a batch of a stream of unknown length. May be called from several threads at once.

        The calls with the first `num_probes` inputs run one after the other.

        Args:
            inputs: The batch, which may be empty.

        Returns:
            Final probabilities.
        """
        with self._probing:
            if self.ensemble.has_low_precision and not self._is_estimated:
                return self.submit(inputs, probe=True).output
        return self.resolve(self.submit(inputs, probe=False))

    def predict_stream(
        self,
        items: Iterable[Item],
        load: Callable[[Item], Loaded],
        select_inputs: Callable[[list[Loaded]], list[ModelInput]],
        *,
        batch_size: int,
        num_workers: int,
    ) -> Generator[tuple[list[Loaded], EnsembleOutput]]:
        """Loads and predicts any number of items, batch by batch, in order, in constant memory.

        Close the generator or exhaust it: until then threads are running.

        Args:
            items: Taken as they are needed.
            load: Loads an item; called from many threads at once.
            select_inputs: Returns the inputs of a loaded batch, which may be fewer than its items.
            batch_size: Items in a batch, >= 1.
            num_workers: Batches that are in flight, >= 1.

        Yields:
            What was loaded of a batch, and the final probabilities of its inputs.
        """

        def load_item(item: tuple[bool, Item]) -> tuple[bool, Loaded]:
            return item[0], load(item[1])

        def submit(batch: Sequence[tuple[bool, Loaded]]) -> tuple[list[Loaded], PendingBatch]:
            loaded = [item for _, item in batch]
            return loaded, self.submit(select_inputs(loaded), probe=batch[0][0])

        batches = self.split(items, batch_size, num_workers)
        running = run_batches_in_parallel(batches, load_item, submit, num_workers=num_workers)
        with closing(running) as results:
            for loaded, pending in results:
                yield loaded, self.resolve(pending)

    def split(self, items: Iterable[Item], batch_size: int, num_workers: int) -> Iterator[list[tuple[bool, Item]]]:
        """Splits items into batches; those with probes are small enough that every worker gets a part of them.

        Args:
            items: Taken as they are needed.
            batch_size: Items in a batch, >= 1.
            num_workers: Batches that are in flight, >= 1.

        Yields:
            A batch, each item with whether its batch is a probe.
        """
        rest = iter(items)
        if self.ensemble.has_low_precision:
            probe_size = min(batch_size, -(-self.num_probes // num_workers))
            for batch in batched(islice(rest, self.num_probes), probe_size):
                yield [(True, item) for item in batch]
        for batch in batched(rest, batch_size):
            yield [(False, item) for item in batch]

    def submit(self, inputs: Sequence[ModelInput], *, probe: bool) -> PendingBatch:
        """Runs the networks on a batch. May be called from several threads at once, for batches in any order.

        Args:
            inputs: The batch, which may be empty.
            probe: Whether it is among the first, as `split` yields them.

        Returns:
            The batch for `resolve`.
        """
        if not inputs or not self.ensemble.has_low_precision:
            return PendingBatch(self.ensemble.forward(inputs))
        if probe:
            output = self.ensemble.forward(inputs)
            fast = self.ensemble.forward(inputs, low_precision=True)
            with self._estimating:
                self._probes.append((fast.combined, output.combined))
                if sum(len(exact) for _, exact in self._probes) >= self.num_probes:
                    self._estimate()
            return PendingBatch(output)
        if self._is_estimated and self._error is None:
            return PendingBatch(self.ensemble.forward(inputs))
        fast = self.ensemble.forward(inputs, low_precision=True)
        if self._is_estimated:
            return PendingBatch(self._recompute_close(inputs, fast))
        return PendingBatch(fast, inputs)

    def resolve(self, pending: PendingBatch) -> EnsembleOutput:
        """Returns the final probabilities of a batch. To be called in the order of the batches, none left out.

        Args:
            pending: What `submit` returned.

        Returns:
            Final probabilities.
        """
        if not len(pending.unresolved):
            return pending.output
        with self._estimating:
            # Some of the probes could not be read; all that could be have been computed by now.
            if not self._is_estimated:
                self._estimate()
        return self._recompute_close(pending.unresolved, pending.output)

    def _estimate(self) -> None:
        if self._probes:
            fast, exact = (np.concatenate(tables) for tables in zip(*self._probes, strict=True))
            margin_stds = APPROXIMATE_MARGIN_STDS if self.ensemble.allows_approximate_pixels else MARGIN_STDS
            self._error = estimate_precision_error(
                self.ensemble.schema, fast, exact, self.decision_weights, margin_stds
            )
        self._is_estimated = True

    def _recompute_close(self, inputs: Sequence[ModelInput], fast: EnsembleOutput) -> EnsembleOutput:
        """The low-precision output, recomputed in f32 where it is close; everywhere without a usable estimate."""
        if self._error is None:
            return self.ensemble.forward(inputs)
        combined = self._error.debias(fast.combined)
        close = np.flatnonzero(self._error.needs_f32(combined))
        if len(close):
            exact = self.ensemble.forward([inputs[index] for index in close.tolist()])
            combined[close] = exact.combined
            for name, probabilities in exact.members.items():
                fast.members[name][close] = probabilities
            if fast.ages is not None and exact.ages is not None:
                fast.ages.shares[close] = exact.ages.shares
        return EnsembleOutput(combined, fast.members, fast.ages)


@dataclass(frozen=True)
class PrecisionErrorEstimate:
    """How low precision changes probabilities.

    Attributes:
        schema: The schema of the probabilities.
        log_bias: By attribute, what must be added to the logarithm of each value's probability, (values,).
        log_ratio_std: By attribute, the standard deviation of the log-ratio of the two most probable values after that.
        decision_weights: Decision weights by attribute.
        margin_stds: Standard deviations that a margin must have.
    """

    schema: LabelSchema
    log_bias: Mapping[str, FloatArray]
    log_ratio_std: Mapping[str, float]
    decision_weights: WeightMap = field(default_factory=dict)
    margin_stds: float = MARGIN_STDS

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
        """Finds the inputs whose prediction f32 may change, of the class or of an attribute.

        Args:
            debiased: Probabilities (inputs, classes), as `debias` returns them.

        Returns:
            (inputs,), True where the margin is too small.
        """
        close = np.zeros(len(debiased), dtype=bool)
        for name, values in self.schema.marginals(debiased).items():
            if values.shape[1] > 1:
                values = values * np.asarray(self.decision_weights.get(name, 1.0))
                close |= _log_ratio(values, *_best_two(values)) < self.margin_stds * self.log_ratio_std[name]
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
) -> PrecisionErrorEstimate | None:
    """Estimates the error of low precision from inputs that were computed both ways.

    Args:
        schema: The schema of the probabilities.
        fast: Probabilities (inputs, classes) in low precision.
        exact: The same inputs' in f32.
        decision_weights: Decision weights by attribute.
        margin_stds: Standard deviations of the error that a margin must have.

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
        # The median absolute deviation, scaled to the standard deviation of a normal error: for a few inputs that the
        # network is sure of, the logarithms move ten times as far, and their predictions do not depend on it.
        rows = np.arange(len(values))
        first, second = _best_two(values) if values.shape[1] > 1 else (0, 0)
        log_ratio_std[name] = 1.4826 * float(np.median(np.abs(moved[rows, first] - moved[rows, second])))
    error = PrecisionErrorEstimate(schema, log_bias, log_ratio_std, decision_weights or {}, margin_stds)
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

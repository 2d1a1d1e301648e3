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

from maskfit.calibration import WeightMap
from maskfit.inference.ensemble_runner import EnsembleOutput, EnsembleRunner
from maskfit.inference.image_loading import batched, run_batches_in_parallel
from maskfit.inference.precision_error import MARGIN_STDS, PrecisionErrorEstimate, estimate_precision_error
from maskfit.inference.tta import ModelInput
from maskfit.labels.schema import FloatArray

NUM_PROBE_IMAGES, NUM_APPROXIMATE_PROBES = 16, 32
"""Images that are computed both ways to estimate the error of low precision; in int8 with approximate pixels more."""

APPROXIMATE_MARGIN_STDS = 3.5
"""As `MARGIN_STDS`, in int8 with approximate pixels."""

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
    every time, however threads are scheduled; so an instance is made for each stream. Where the error was
    measured before, one instance serves all streams.

    Args:
        ensemble: Runs the networks. Where it has no low precision, everything is computed in f32.
        decision_weights: Decision weights by attribute, which select the prediction.
        error: The error of low precision, where it was measured before: then nothing is computed both ways, and whether
            an input is recomputed depends on that input alone. None estimates it on the first inputs.
        abstain_below: As `PrecisionErrorEstimate.abstain_below`.
    """

    ensemble: EnsembleRunner
    decision_weights: WeightMap = field(default_factory=dict)
    error: PrecisionErrorEstimate | None = None
    abstain_below: Mapping[str, float] = field(default_factory=dict)
    _probes: list[tuple[FloatArray, FloatArray]] = field(default_factory=list, init=False)
    _has_probed: bool = field(default=False, init=False)
    _estimating: Lock = field(default_factory=Lock, init=False)
    _probing: Lock = field(default_factory=Lock, init=False)

    @property
    def _is_estimated(self) -> bool:
        return self._has_probed or self.error is not None

    @property
    def _has_wide_margins(self) -> bool:
        return self.ensemble.allows_approximate_pixels and self.ensemble.rounds_to_int8

    @property
    def num_probes(self) -> int:
        """Inputs that are computed both ways."""
        return NUM_APPROXIMATE_PROBES if self._has_wide_margins else NUM_PROBE_IMAGES

    @property
    def takes_approximate_pixels(self) -> bool:
        """Whether inputs may be approximate: not where all are computed in f32, nor where the error was measured so."""
        if not self.ensemble.allows_approximate_pixels or not self._is_estimated:
            return self.ensemble.allows_approximate_pixels
        return self.error is not None and self.error.covers_approximate_pixels

    def predict(self, inputs: Sequence[ModelInput]) -> EnsembleOutput:
        """Predicts a batch of a stream of unknown length. May be called from several threads at once.

        The calls with the first `num_probes` inputs run one after the other.

        Args:
            inputs: The batch, which may be empty.

        Returns:
            Final probabilities.
        """
        if not self._is_estimated:
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
        if self.ensemble.has_low_precision and not self._is_estimated:
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
        if self._is_estimated and self.error is None:
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
            self.error = estimate_precision_error(
                self.ensemble.schema,
                fast,
                exact,
                self.decision_weights,
                APPROXIMATE_MARGIN_STDS if self._has_wide_margins else MARGIN_STDS,
                approximate_pixels=self.ensemble.allows_approximate_pixels,
            )
        self._has_probed = True

    def _recompute_close(self, inputs: Sequence[ModelInput], fast: EnsembleOutput) -> EnsembleOutput:
        """The low-precision output, recomputed in f32 where it is close; everywhere without a usable estimate."""
        if self.error is None:
            return self.ensemble.forward(inputs)
        combined = self.error.debias(fast.combined)
        error = self.error.with_decisions(self.decision_weights, self.abstain_below)
        close = np.flatnonzero(error.needs_f32(combined))
        if len(close):
            exact = self.ensemble.forward([inputs[index] for index in close.tolist()])
            combined[close] = exact.combined
            for name, probabilities in exact.members.items():
                fast.members[name][close] = probabilities
            if fast.ages is not None and exact.ages is not None:
                fast.ages.shares[close] = exact.ages.shares
        return EnsembleOutput(combined, fast.members, fast.ages)


def measured_cascade(
    ensemble: EnsembleRunner, decision_weights: WeightMap, abstain_below: Mapping[str, float]
) -> PrecisionCascade:
    """Makes the cascade for single photos as they come, where the error of low precision was measured before.

    "Not sure" of the first attribute, such as the mask, is f32's too; that of all attributes would have half of the
    photos recomputed (docs/precision-cascade.md).

    Args:
        ensemble: Runs the networks; its `low_precision_error` is known.
        decision_weights: Decision weights by attribute.
        abstain_below: By attribute, the probability below which an answer is "not sure".

    Returns:
        The cascade.
    """
    first = ensemble.schema.names[0]
    limits = {first: abstain_below.get(first, 0.0)}
    return PrecisionCascade(ensemble, decision_weights, ensemble.low_precision_error, limits)

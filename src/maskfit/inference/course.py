"""The course of many photos: the first of them are asked both ways, and tell which answers of fewer bits are trusted.

Whoever comes after does not wait for that: it is asked in fewer bits meanwhile, and settled once it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import TypeVar

from maskfit.inference.engines import precision_check as doubt
from maskfit.inference.parallel_batches import batched
from maskfit.inference.ensemble_runner import EnsembleRunner, MemberAndVoteProbabilities, Noted
from maskfit.inference.model_inputs import ModelInput

Item = TypeVar("Item")


@dataclass(frozen=True)
class PendingBatch:
    """What the networks said of some photos.

    Attributes:
        shares: Exact, or in fewer bits where `unsettled` says so.
        unsettled: The photos, where it is yet to be found which of them are asked again.
    """

    shares: MemberAndVoteProbabilities
    unsettled: Sequence[ModelInput] = ()


class PrecisionCascade:
    """Asks the networks for many photos. What is trusted is told by the same photos every time, however threads run.

    Args:
        questions: Asks the networks.
    """

    def __init__(self, questions: EnsembleRunner) -> None:
        self._questions = questions
        self._noted: list[Noted] = []
        self._trust: doubt.LowPrecisionError | None = None
        self._known = False
        self._learning = Lock()
        self._beginning = Lock()

    def batches(self, items: Iterable[Item], size: int, lanes: int) -> Iterator[list[tuple[bool, Item]]]:
        """Items in batches of `size`, each item with whether it is one of the first, which `ask` must be told."""
        rest = iter(items)
        if self._questions.has_low_precision:
            # Every lane has a part of them.
            for batch in batched(islice(rest, doubt.NUM_PROBE_IMAGES), min(size, -(-doubt.NUM_PROBE_IMAGES // lanes))):
                yield [(True, item) for item in batch]
        for batch in batched(rest, size):
            yield [(False, item) for item in batch]

    def submit(self, sights: Sequence[ModelInput], *, first: bool) -> PendingBatch:
        """Asks for a batch; may be called from several threads at once, for batches in any order."""
        if not sights:
            return PendingBatch(self._questions.empty())
        if not self._questions.has_low_precision:
            return PendingBatch(self._questions.predict_f32(sights))
        if first:
            shares, noted = self._questions.predict_both(sights)
            with self._learning:
                self._noted.append(noted)
                if sum(len(exact) for _, exact in self._noted) >= doubt.NUM_PROBE_IMAGES:
                    self._learn()
            return PendingBatch(shares)
        if self._known and self._trust is None:
            return PendingBatch(self._questions.predict_f32(sights))
        shares = self._questions.predict_low_precision(sights)
        return (
            PendingBatch(self._questions.recompute_close(sights, shares, self._trust))
            if self._known
            else PendingBatch(shares, sights)
        )

    def resolve(self, said: PendingBatch) -> MemberAndVoteProbabilities:
        """What counts of what `ask` said; to be called in the order of the batches, none left out."""
        if not len(said.unsettled):
            return said.shares
        with self._learning:
            # Some of the first photos could not be read; by now all those that could have been asked both ways.
            if not self._known:
                self._learn()
        return self._questions.recompute_close(said.unsettled, said.shares, self._trust)

    def predict_now(self, sights: Sequence[ModelInput]) -> MemberAndVoteProbabilities:
        """What counts for photos of which nobody knows how many will come; may be called from several threads at once.

        The first `doubt.PROBE` that come are asked both ways, one call after the other.
        """
        with self._beginning:
            if self._questions.has_low_precision and not self._known:
                return self.submit(sights, first=True).shares
        return self.resolve(self.submit(sights, first=False))

    def _learn(self) -> None:
        self._trust = self._questions.estimate_error(self._noted)
        self._known = True

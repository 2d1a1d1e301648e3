"""Questions: what the members say of a batch of sights, in fewer bits where they can, and again exactly where close."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import TypeVar

import numpy as np

from maskfit.data.preprocessing import CropResize, ImageBatch
from maskfit.inference.engines import precision_check
from maskfit.inference.ensemble.member_composition import MemberComposition
from maskfit.inference.members import Member
from maskfit.inference.model_inputs import ModelInput
from maskfit.inference.parallel_batches import batched
from maskfit.labels.schema import FloatArray, logits_to_probabilities

MemberAndVoteProbabilities = tuple[dict[str, FloatArray], FloatArray]
"""Probabilities (photos, classes) of each member, by its name, and their vote."""
Noted = tuple[FloatArray, FloatArray]
"""Votes on the same photos, (photos, classes), in fewer bits and exact."""


class EnsembleRunner:
    """Asks members. Its methods may be called from several threads at once.

    Args:
        members: The models.
        joining: How they answer together.
        framings: What each of a sight's pictures was framed by.
        vote: A name of `voting.VOTES` that needs no weights.

    Attributes:
        checked: Whether members answer in fewer bits that are to be checked.
    """

    def __init__(
        self, members: Sequence[Member], joining: MemberComposition, framings: Sequence[CropResize], vote: str
    ) -> None:
        self.members = members
        self.joining = joining
        self.framings = framings
        self.vote = vote
        # Asked for now, and not by several lanes at once.
        twins = {member.name: member.engine.f32_twin for member in members}
        self._exact = {member.name: twins[member.name] or member.engine for member in members}
        # Of votes that jump, no gap tells how near they are to that.
        self.has_low_precision = vote in ("arithmetic", "geometric") and any(twins.values())

    @property
    def engines(self) -> tuple[str, ...]:
        """What runs the members, in words, each once."""
        said = [
            member.engine.description if self.has_low_precision else self._exact[member.name].description
            for member in self.members
        ]
        return tuple(dict.fromkeys(said))

    def empty(self) -> MemberAndVoteProbabilities:
        """What is said of no photos."""
        each = {member.name: np.empty((0, member.scored_schema.num_classes)) for member in self.members}
        return each, np.empty((0, self.joining.schema.num_classes))

    def predict_f32(self, sights: Sequence[ModelInput]) -> MemberAndVoteProbabilities:
        """What the exact networks say."""
        return self._ask(sights, exact=True)

    def predict_low_precision(self, sights: Sequence[ModelInput]) -> MemberAndVoteProbabilities:
        """What the networks say in fewer bits."""
        return self._ask(sights, exact=False)

    def predict_both(self, sights: Sequence[ModelInput]) -> tuple[MemberAndVoteProbabilities, Noted]:
        """What the exact networks say, and the votes to be noted."""
        shares = self.predict_f32(sights)
        return shares, (self.predict_low_precision(sights)[1], shares[1])

    def estimate_error(self, noted: Sequence[Noted]) -> precision_check.LowPrecisionError | None:
        """Which answers of fewer bits are trusted, as what was noted tells."""
        if not noted:
            return None
        fast, exact = (np.concatenate(tables) for tables in zip(*noted, strict=True))
        return precision_check.estimate_low_precision_error(self.joining.schema, fast, exact)

    def recompute_close(
        self,
        sights: Sequence[ModelInput],
        said: MemberAndVoteProbabilities,
        trust: precision_check.LowPrecisionError | None,
    ) -> MemberAndVoteProbabilities:
        """What `fast` said; where the vote is close, and for all without trust, what the exact networks say."""
        if trust is None:
            return self.predict_f32(sights)
        each, together = said
        together = trust.debias(together)
        close = np.flatnonzero(trust.needs_f32(together))
        if len(close):
            again, voted = self.predict_f32([sights[place] for place in close.tolist()])
            together[close] = voted
            for name, shares in again.items():
                each[name][close] = shares
        return each, together

    def _ask(self, sights: Sequence[ModelInput], exact: bool) -> MemberAndVoteProbabilities:
        """What every member says, and their vote."""
        stacks = [_stacked(views) for views in zip(*(sight.tta_views for sight in sights), strict=True)]
        each = {member.name: self._answer(member, stacks, exact) for member in self.members}
        return each, self.joining.vote(self.vote, list(each.values()))

    def _answer(self, member: Member, stacks: Sequence[Sequence[ImageBatch]], exact: bool) -> FloatArray:
        """One member's probabilities for a batch, given by framing and view: the mean over the views."""
        facts = member.engine.metadata
        engine = self._exact[member.name] if exact else member.engine
        views = stacks[self.framings.index(facts.preprocessing.crop_resize)]
        seen = [logits_to_probabilities(facts.label_schema, engine.logits(frames)) for frames in views]
        return facts.calibration.apply_temperature(member.scored_schema, np.mean(seen, axis=0))


def _stacked(photos: Sequence[Sequence[np.ndarray]]) -> list[ImageBatch]:
    """Frames of a batch for each view, from the views of each photo."""
    return [np.stack(view) for view in zip(*photos, strict=True)]


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
        self._trust: precision_check.LowPrecisionError | None = None
        self._known = False
        self._learning = Lock()
        self._beginning = Lock()

    def batches(self, items: Iterable[Item], size: int, lanes: int) -> Iterator[list[tuple[bool, Item]]]:
        """Items in batches of `size`, each item with whether it is one of the first, which `ask` must be told."""
        rest = iter(items)
        if self._questions.has_low_precision:
            # Every lane has a part of them.
            for batch in batched(
                islice(rest, precision_check.NUM_PROBE_IMAGES), min(size, -(-precision_check.NUM_PROBE_IMAGES // lanes))
            ):
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
                if sum(len(exact) for _, exact in self._noted) >= precision_check.NUM_PROBE_IMAGES:
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

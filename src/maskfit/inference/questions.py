"""Questions: what the members say of a batch of sights, in fewer bits where they can, and again exactly where close."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np

from maskfit.data.transforms import Frames, Framing
from maskfit.inference import doubt
from maskfit.inference.joining import Joining
from maskfit.inference.members import Member
from maskfit.inference.sights import Sight
from maskfit.labels import Floats, answer

Shares = tuple[dict[str, Floats], Floats]
"""Probabilities (photos, classes) of each member, by its name, and their vote."""
Noted = list[tuple[Floats, Floats]]
"""Votes on the same photos, (photos, classes), in fewer bits and exact, batch by batch."""


class Questions:
    """Asks members. Its methods may be called from several threads at once.

    Args:
        members: The models.
        joining: How they answer together.
        framings: What each of a sight's pictures was framed by.
        vote: A name of `voting.VOTES` that needs no weights.

    Attributes:
        checked: Whether members answer in fewer bits that are to be checked.
    """

    def __init__(self, members: Sequence[Member], joining: Joining, framings: Sequence[Framing], vote: str) -> None:
        self.members = members
        self.joining = joining
        self.framings = framings
        self.vote = vote
        # Asked for now, and not by several lanes at once.
        twins = {member.name: member.engine.exact for member in members}
        self._exact = {member.name: twins[member.name] or member.engine for member in members}
        # Of votes that jump, no gap tells how near they are to that.
        self.checked = vote in ("arithmetic", "geometric") and any(twins.values())
        self._noted: Noted = []
        self._trust: doubt.Trust | None = None
        self._measuring = Lock()

    @property
    def engines(self) -> tuple[str, ...]:
        """What runs the members, in words, each once."""
        said = [member.engine.says if self.checked else self._exact[member.name].says for member in self.members]
        return tuple(dict.fromkeys(said))

    def nothing(self) -> Shares:
        """What is said of no photos."""
        each = {member.name: np.empty((0, member.official.classes)) for member in self.members}
        return each, np.empty((0, self.joining.scheme.classes))

    def exactly(self, sights: Sequence[Sight]) -> Shares:
        """What the exact networks say."""
        return self._ask(sights, exact=True)

    def both_ways(self, sights: Sequence[Sight], noted: Noted) -> Shares:
        """What the exact networks say; it and the vote in fewer bits are noted."""
        shares = self._ask(sights, exact=True)
        noted.append((self._ask(sights, exact=False)[1], shares[1]))
        return shares

    def measured(self, noted: Noted) -> doubt.Trust | None:
        """Which answers of fewer bits are trusted, as what was noted tells."""
        if not noted:
            return None
        fast, exact = (np.concatenate(tables) for tables in zip(*noted, strict=True))
        return doubt.measure(self.joining.scheme, fast, exact)

    def twice(self, sights: Sequence[Sight], trust: doubt.Trust | None) -> Shares:
        """What the networks say; where their vote is close, and for all without trust, what the exact ones say."""
        if trust is None:
            return self._ask(sights, exact=True)
        each, together = self._ask(sights, exact=False)
        together = trust.corrected(together)
        close = np.flatnonzero(trust.close(together))
        if len(close):
            again, voted = self._ask([sights[place] for place in close.tolist()], exact=True)
            together[close] = voted
            for name, shares in again.items():
                each[name][close] = shares
        return each, together

    def as_they_come(self, sights: Sequence[Sight]) -> Shares:
        """As `twice`; the first `doubt.PROBE` sights that come this way are asked both ways, and tell."""
        if self.checked:
            with self._measuring:
                if sum(len(exact) for _, exact in self._noted) < doubt.PROBE:
                    shares = self.both_ways(sights, self._noted)
                    self._trust = self.measured(self._noted)
                    return shares
        return self.twice(sights, self._trust)

    def _ask(self, sights: Sequence[Sight], exact: bool) -> Shares:
        """What every member says, and their vote."""
        stacks = [_stacked(views) for views in zip(*(sight.seen for sight in sights), strict=True)]
        each = {member.name: self._answer(member, stacks, exact) for member in self.members}
        return each, self.joining.vote(self.vote, list(each.values()))

    def _answer(self, member: Member, stacks: Sequence[Sequence[Frames]], exact: bool) -> Floats:
        """One member's probabilities for a batch, given by framing and view: the mean over the views."""
        facts = member.engine.facts
        engine = self._exact[member.name] if exact else member.engine
        views = stacks[self.framings.index(facts.preprocessing.framing)]
        seen = [answer(facts.scheme, engine.logits(frames)) for frames in views]
        return facts.calibration.temper(member.official, np.mean(seen, axis=0))


def _stacked(photos: Sequence[Sequence[np.ndarray]]) -> list[Frames]:
    """Frames of a batch for each view, from the views of each photo."""
    return [np.stack(view) for view in zip(*photos, strict=True)]

"""Questions: what the members say of a batch of sights, in fewer bits where they can, and again exactly where close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskfit.data.transforms import Frames, Framing
from maskfit.inference import doubt
from maskfit.inference.joining import Joining
from maskfit.inference.members import Member
from maskfit.inference.sights import Sight
from maskfit.labels import Floats, answer

Shares = tuple[dict[str, Floats], Floats]
"""Probabilities (photos, classes) of each member, by its name, and their vote."""
Noted = tuple[Floats, Floats]
"""Votes on the same photos, (photos, classes), in fewer bits and exact."""


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

    def fast(self, sights: Sequence[Sight]) -> Shares:
        """What the networks say in fewer bits."""
        return self._ask(sights, exact=False)

    def both_ways(self, sights: Sequence[Sight]) -> tuple[Shares, Noted]:
        """What the exact networks say, and the votes to be noted."""
        shares = self.exactly(sights)
        return shares, (self.fast(sights)[1], shares[1])

    def measured(self, noted: Sequence[Noted]) -> doubt.Trust | None:
        """Which answers of fewer bits are trusted, as what was noted tells."""
        if not noted:
            return None
        fast, exact = (np.concatenate(tables) for tables in zip(*noted, strict=True))
        return doubt.measure(self.joining.scheme, fast, exact)

    def settled(self, sights: Sequence[Sight], said: Shares, trust: doubt.Trust | None) -> Shares:
        """What `fast` said; where the vote is close, and for all without trust, what the exact networks say."""
        if trust is None:
            return self.exactly(sights)
        each, together = said
        together = trust.corrected(together)
        close = np.flatnonzero(trust.close(together))
        if len(close):
            again, voted = self.exactly([sights[place] for place in close.tolist()])
            together[close] = voted
            for name, shares in again.items():
                each[name][close] = shares
        return each, together

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

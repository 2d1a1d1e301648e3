"""Joining: one answer from members that were asked the same, or each for a part of it.

Three models of one attribute each (seeds s0 and s3), or one of the mask beside one of gender and age, answer together
for all of it: those that were asked the same vote, and the votes are multiplied, as separate heads are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskfit.inference.ensemble.voting import MemberProbabilities, combine
from maskfit.labels.schema import LABEL_SCHEMAS, FloatArray, LabelSchema

SchemaSignature = tuple[tuple[str, tuple[str, ...]], ...]
"""Attributes with their values: what two schemes share that differ in words and bands alone."""


@dataclass(frozen=True)
class MemberComposition:
    """How members' answers become one.

    Attributes:
        scheme: What the one answer is about.
        parts: What each group of members answers for; their attributes are the scheme's, each once.
        groups: The places of each part's members.
    """

    schema: LabelSchema
    parts: tuple[LabelSchema, ...]
    groups: tuple[tuple[int, ...], ...]

    def vote(self, name: str, members: MemberProbabilities) -> FloatArray:
        """Probabilities (photos, classes) of the scheme from those of each member of its own.

        Args:
            name: A vote of `voting.VOTES` that needs no weights; each part's members vote by it.
            members: Probabilities (photos, own classes) of each member, the photos in the same order.

        Raises:
            DataError: As `voting.vote`.
        """
        votes = [
            combine(name, [members[place] for place in places], scheme=part)
            for part, places in zip(self.parts, self.groups, strict=True)
        ]
        joint = np.ones((len(votes[0]), *[1] * len(self.schema.names)))
        for part, probabilities in zip(self.parts, votes, strict=True):
            cube = probabilities.reshape(len(joint), *part.shape)
            # Its axes in the scheme's order, and one of length 1 for each attribute of which it says nothing.
            own = [name for name in self.schema.names if name in part.names]
            turned = cube.transpose(0, *(1 + part.names.index(name) for name in own))
            sides = [part.sizes.get(name, 1) for name in self.schema.names]
            joint = joint * turned.reshape(len(joint), *sides)
        return joint.reshape(len(joint), self.schema.num_classes)


def schema_signature(scheme: LabelSchema) -> SchemaSignature:
    """What a scheme asks."""
    return tuple((attribute.name, attribute.values) for attribute in scheme.attributes)


def compose_members(schemes: Sequence[LabelSchema]) -> MemberComposition | None:
    """How members of these schemes answer together; None where they cannot.

    They can where all ask the same; or where no attribute is asked for by two different ones, and all attributes are
    together those of one of `labels.SCHEMES`, whose order the answer then has.

    Args:
        schemes: What each member answers for, one at least.
    """
    asked: dict[SchemaSignature, list[int]] = {}
    for place, scheme in enumerate(schemes):
        asked.setdefault(schema_signature(scheme), []).append(place)
    groups = tuple(tuple(places) for places in asked.values())
    parts = tuple(schemes[places[0]] for places in groups)
    if len(parts) == 1:
        return MemberComposition(parts[0], parts, groups)
    attributes = [attribute for part in parts for attribute in part.attributes]
    wanted = sorted(item for part in parts for item in schema_signature(part))
    for scheme in LABEL_SCHEMAS.values():
        if sorted(schema_signature(scheme)) == wanted:
            ordered = sorted(attributes, key=lambda attribute: scheme.names.index(attribute.name))
            return MemberComposition(LabelSchema(attributes=tuple(ordered)), parts, groups)
    return None

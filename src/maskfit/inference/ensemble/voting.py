"""Votes: one table of probabilities from those of several members.

Members are TTA views, checkpoints, folds or architectures. All votes work on probabilities, since a mean of logits
is dominated by the member with the largest ones; rows that do not sum to 1 are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError, did_you_mean
from maskfit.evaluation.probability_table import check_probabilities
from maskfit.labels.schema import FloatArray, LabelSchema, softmax
from maskfit.text import format_count

MemberProbabilities = Sequence[NDArray[np.floating]]
"""Probabilities (photos, classes) of each member, the photos in the same order."""

Vote = Callable[[FloatArray, FloatArray, LabelSchema | None], FloatArray]
"""From probabilities (members, photos, classes) and weights (members,) that sum to 1 to (photos, classes)."""

MIN_PROBABILITY = 1e-12
"""Lower bound of a probability in a geometric mean: a 0 of one member counts against a class, but does not veto it."""


def arithmetic(members: FloatArray, weights: FloatArray, schema: LabelSchema | None = None) -> FloatArray:
    """Returns the weighted mean of the probabilities.

    Args:
        members: Probabilities (members, photos, classes).
        weights: (members,), summing to 1.
        schema: Not used.

    Returns:
        Probabilities (photos, classes).
    """
    return np.asarray(np.tensordot(weights, members, axes=1))


def geometric(members: FloatArray, weights: FloatArray, schema: LabelSchema | None = None) -> FloatArray:
    """Returns the weighted geometric mean, renormalized; a class needs some support of every member.

    Args:
        members: Probabilities (members, photos, classes).
        weights: (members,), summing to 1.
        schema: Not used.

    Returns:
        Probabilities (photos, classes).
    """
    return softmax(np.tensordot(weights, np.log(np.maximum(members, MIN_PROBABILITY)), axes=1))


def majority(members: FloatArray, weights: FloatArray, schema: LabelSchema | None = None) -> FloatArray:
    """Returns the weights of the members that vote for each class; ties are broken by the mean probability.

    A trace of the mean is mixed in, too little to change a winner, so that the most probable class is the winner and
    rows still sum to 1.

    Args:
        members: Probabilities (members, photos, classes).
        weights: (members,), summing to 1.
        schema: Not used.

    Returns:
        Probabilities (photos, classes).
    """
    ballots = np.zeros_like(members)
    np.put_along_axis(ballots, members.argmax(axis=2, keepdims=True), 1.0, axis=2)
    # With equal weights two classes differ by at least one vote of 1 / members, or not at all; half of that cannot
    # change the winner.
    trace = min(0.01, 0.5 / len(members))
    return (1 - trace) * arithmetic(ballots, weights) + trace * arithmetic(members, weights)


def majority_per_attribute(members: FloatArray, weights: FloatArray, schema: LabelSchema | None = None) -> FloatArray:
    """Takes the majority vote for each attribute by itself and joins the attributes.

    Args:
        members: Probabilities (members, photos, classes).
        weights: (members,), summing to 1.
        schema: The schema of the classes.

    Returns:
        Probabilities (photos, classes).

    Raises:
        DataError: `schema` is None, or does not fit the classes.
    """
    if schema is None or schema.num_classes != members.shape[2]:
        raise DataError("a vote per attribute needs the schema of these classes", hint="pass schema=")
    marginals = [schema.marginals(member) for member in members]
    heads = {name: majority(np.stack([own[name] for own in marginals]), weights) for name in schema.names}
    return schema.joint_probabilities(heads)


VOTES: dict[str, Vote] = {
    "arithmetic": arithmetic,
    "geometric": geometric,
    "weighted": arithmetic,
    "majority": majority,
    "majority_per_attribute": majority_per_attribute,
}
"""Votes by name. `weighted` is the arithmetic mean with weights, which are required; `arithmetic` takes none."""


def combine(
    name: str,
    members: MemberProbabilities,
    *,
    weights: Sequence[float] | None = None,
    schema: LabelSchema | None = None,
) -> FloatArray:
    """Combines the probabilities of members by a vote.

    Args:
        name: One of `VOTES`.
        members: Probabilities (photos, classes) of each member, the photos in the same order.
        weights: One for each member, such as validation F1; only their ratio counts. `weighted` requires them,
            `arithmetic` refuses them; without them the other votes weight every member equally.
        schema: The schema of the classes; required by `majority_per_attribute`.

    Returns:
        Probabilities (photos, classes), rows summing to 1.

    Raises:
        DataError: The vote is unknown, there is no member, shapes differ, a member's rows are no probabilities, or
            the weights do not fit.
    """
    if name not in VOTES:
        raise DataError(f"vote '{name}' is unknown; {did_you_mean(name, VOTES)}")
    if name == "arithmetic" and weights is not None:
        raise DataError("'arithmetic' weights every member equally", hint="use 'weighted', or give no weights")
    if name == "weighted" and weights is None:
        raise DataError("'weighted' needs a weight for each member", hint="give weights, or use 'arithmetic'")
    stacked = _stack(members)
    return VOTES[name](stacked, _normalize(weights, len(stacked)), schema)


def combine_all(
    members: MemberProbabilities, *, weights: Sequence[float] | None = None, schema: LabelSchema | None = None
) -> dict[str, FloatArray]:
    """Combines members by every vote that the arguments allow.

    Args:
        members: Probabilities (photos, classes) of each member.
        weights: For `weighted` alone, which is left out without them.
        schema: For `majority_per_attribute`, which is left out without it.

    Returns:
        Probabilities (photos, classes) by the name of the vote.

    Raises:
        DataError: As `combine`.
    """
    left_out = {"weighted"} if weights is None else set()
    if schema is None:
        left_out.add("majority_per_attribute")
    return {
        name: combine(name, members, weights=weights if name == "weighted" else None, schema=schema)
        for name in VOTES
        if name not in left_out
    }


def _stack(members: MemberProbabilities) -> FloatArray:
    """The members as (members, photos, classes), each checked to be probabilities."""
    if not len(members):
        raise DataError("there is no member to combine", hint="give at least one table of probabilities")
    tables = [check_probabilities(member, f"member {number}") for number, member in enumerate(members)]
    shapes = {table.shape for table in tables}
    if len(shapes) > 1:
        raise DataError(
            f"members of different shapes cannot be combined: {', '.join(map(str, sorted(shapes)))}",
            hint="align the tables to the same photos and the same classes",
        )
    return np.stack(tables)


def _normalize(weights: Sequence[float] | None, num_members: int) -> FloatArray:
    """The weights divided by their sum; equal ones where there are none."""
    values = np.ones(num_members) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (num_members,):
        raise DataError(
            f"{format_count(num_members, 'member')}, but weights of shape {values.shape}",
            hint="give one weight for each",
        )
    if not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
        raise DataError(f"weights must be >= 0 with a sum above 0, got {values.tolist()}")
    return np.asarray(values / values.sum())

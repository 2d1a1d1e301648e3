"""Votes: one table of probabilities from those of several members.

Members are views, checkpoints, folds or architectures. All votes are over probabilities: a mean of logits counts the
member that shouts loudest, so rows that do not sum to 1 are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError, did_you_mean
from maskfit.evaluation.probability_table import check_probabilities
from maskfit.labels.schema import FloatArray, LabelSchema, softmax

MemberProbabilities = Sequence[NDArray[np.floating]]
"""Probabilities (photos, classes) of each member, the photos in the same order."""

Vote = Callable[[FloatArray, FloatArray, LabelSchema | None], FloatArray]
"""From probabilities (members, photos, classes) and shares (members,) that sum to 1 to (photos, classes)."""

MIN_PROBABILITY = 1e-12
"""The least probability in a geometric mean: one member's 0 should count against a class, not forbid it."""


def arithmetic(members: FloatArray, shares: FloatArray, scheme: LabelSchema | None = None) -> FloatArray:
    """The mean of the probabilities."""
    return np.asarray(np.tensordot(shares, members, axes=1))


def geometric(members: FloatArray, shares: FloatArray, scheme: LabelSchema | None = None) -> FloatArray:
    """The mean of their logarithms, made to sum to 1 again; a class needs some support of every member."""
    return softmax(np.tensordot(shares, np.log(np.maximum(members, MIN_PROBABILITY)), axes=1))


def majority(members: FloatArray, shares: FloatArray, scheme: LabelSchema | None = None) -> FloatArray:
    """Each member gives its share to its most probable class; equal shares are told apart by the summed probability.

    The result is the shares of the votes with a trace of the mean mixed in, too little to turn a vote, so that the
    most probable class is the winner and rows still sum to 1.
    """
    ballots = np.zeros_like(members)
    np.put_along_axis(ballots, members.argmax(axis=2, keepdims=True), 1.0, axis=2)
    # With equal shares two classes differ by a vote of 1 / members or not at all; half of that can turn nothing.
    trace = min(0.01, 0.5 / len(members))
    return (1 - trace) * arithmetic(ballots, shares) + trace * arithmetic(members, shares)


def majority_per_attribute(members: FloatArray, shares: FloatArray, scheme: LabelSchema | None = None) -> FloatArray:
    """The hard vote for each attribute by itself, over what each member says of it; the attributes are then joined.

    Raises:
        DataError: No scheme is given, or it does not fit the classes.
    """
    if scheme is None or scheme.num_classes != members.shape[2]:
        raise DataError("a vote on each attribute needs the scheme of these classes", hint="give the scheme")
    each = [scheme.marginals(member) for member in members]
    heads = {name: majority(np.stack([member[name] for member in each]), shares) for name in scheme.names}
    return scheme.joint_probabilities(heads)


VOTES: dict[str, Vote] = {
    "arithmetic": arithmetic,
    "geometric": geometric,
    "weighted": arithmetic,
    "majority": majority,
    "majority_per_attribute": majority_per_attribute,
}
"""Votes by name. `weighted` is the arithmetic mean with weights, which it must be given; `arithmetic` takes none."""


def combine(
    name: str, members: MemberProbabilities, *, weights: Sequence[float] | None = None, scheme: LabelSchema | None = None
) -> FloatArray:
    """Combines members by the vote of this name.

    Args:
        name: One of `VOTES`.
        members: Probabilities (photos, classes) of each member, the photos in the same order.
        weights: One for each member, by validation F1 or as given; only their ratio counts. `weighted` needs them,
            `arithmetic` refuses them, the others count every member the same without them.
        scheme: Needed by `hard_attribute`.

    Returns:
        Probabilities (photos, classes), rows summing to 1.

    Raises:
        DataError: The vote is unknown, there is no member, shapes differ, a member's rows are no probabilities, or
            the weights do not fit.
    """
    if name not in VOTES:
        raise DataError(f"vote '{name}' is unknown; {did_you_mean(name, VOTES)}")
    if name == "arithmetic" and weights is not None:
        raise DataError("'arithmetic' counts every member the same", hint="use 'weighted', or give no weights")
    if name == "weighted" and weights is None:
        raise DataError("'weighted' needs a weight for each member", hint="give weights, or use 'arithmetic'")
    stacked = _stacked(members)
    return VOTES[name](stacked, _shares(weights, len(stacked)), scheme)


def combine_all(
    members: MemberProbabilities, *, weights: Sequence[float] | None = None, scheme: LabelSchema | None = None
) -> dict[str, FloatArray]:
    """Every vote that what is given allows, by name: `weighted` only with weights, `hard_attribute` with a scheme.

    The weights are for `weighted` alone; the other votes count every member the same.

    Raises:
        DataError: As `vote`.
    """
    left_out = {"weighted"} if weights is None else set()
    if scheme is None:
        left_out.add("hard_attribute")
    return {
        name: combine(name, members, weights=weights if name == "weighted" else None, scheme=scheme)
        for name in VOTES
        if name not in left_out
    }


def _stacked(members: MemberProbabilities) -> FloatArray:
    """The members as (members, photos, classes), each checked to hold probabilities."""
    if not len(members):
        raise DataError("there is no member to vote", hint="give at least one table of probabilities")
    tables = [check_probabilities(member, f"member {number}") for number, member in enumerate(members)]
    shapes = {table.shape for table in tables}
    if len(shapes) > 1:
        raise DataError(
            f"members of different shapes cannot vote together: {', '.join(map(str, sorted(shapes)))}",
            hint="align the tables to the same photos and fold them to the same classes",
        )
    return np.stack(tables)


def _shares(weights: Sequence[float] | None, members: int) -> FloatArray:
    """The weights divided by their sum; equal shares where there are none."""
    given = np.ones(members) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != (members,):
        raise DataError(f"{members} members, but weights of shape {given.shape}", hint="give one weight for each")
    if not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise DataError(f"weights {given.tolist()} are not all >= 0 with a sum above 0")
    return np.asarray(given / given.sum())

"""Votes over every member and view of runs: scored out of fold, and applied to the photos to predict.

On held-out photos each fold's models predict what that fold held out, so the members of a vote there are the slots of a
run: its models of one rank with one view, each photo by its own fold. On photos to predict all models of all folds
vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskfit.errors import DataError
from maskfit.evaluation.probability_table import ProbabilityTable, concat_tables
from maskfit.file_io import write_csv
from maskfit.inference.ensemble.comparison import FixedVote
from maskfit.inference.ensemble.drop_one import DropOneCurve, drop_one_curve
from maskfit.inference.ensemble.inputs import AlignedTables, EnsembleMember, align_members, read_member
from maskfit.inference.ensemble.learned_weights import (
    EnsembleFitter,
    ScoreWeighted,
    assign_nested_folds,
    fit_known,
    member_scores,
)
from maskfit.inference.ensemble.member_tables import HELD_OUT, PREDICTED, MemberTables, ViewMember
from maskfit.inference.ensemble.voting import combine
from maskfit.labels.schema import UNKNOWN, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Voters:
    """Everyone who votes on the photos to predict.

    Attributes:
        names: Names of the members, then of the further tables.
        tables: Probabilities (voters, photos, classes).
        weights: (voters,) macro F1 on held-out photos; for a further table, which has none, the members' mean.
        slots: By slot, the indices of its members.
        photos: Names of the photos.
    """

    names: tuple[str, ...]
    tables: FloatArray
    weights: FloatArray
    slots: Mapping[str, tuple[int, ...]]
    photos: tuple[str, ...]


def held_out_slots(tables: MemberTables) -> AlignedTables:
    """Joins the folds of each slot to a table of all held-out photos.

    Args:
        tables: The members' tables.

    Returns:
        The slots as members of an ensemble, with labels and persons.

    Raises:
        DataError: Two runs have other photos.
    """
    by_slot: dict[str, list[ViewMember]] = {}
    for member in tables.held_out:
        by_slot.setdefault(member.slot, []).append(member)
    members = [
        EnsembleMember(own[0].run, concat_tables([tables.held_out[item] for item in own]), tables.schema, slot)
        for slot, own in by_slot.items()
    ]
    return align_members(members, tables.schema)


def fold_scores(tables: MemberTables) -> dict[ViewMember, float]:
    """Scores every member on the photos that its fold held out.

    Args:
        tables: The members' tables.

    Returns:
        Macro F1 by member.

    Raises:
        DataError: A fold has no labels.
    """
    scores = {}
    for member, table in tables.held_out.items():
        if table.truth is None or (table.truth == UNKNOWN).all():
            raise DataError(f"no held-out photo of {member.run} fold{member.fold} has all labels")
        known = table.truth != UNKNOWN
        scores[member] = member_scores([table.probabilities[known]], table.truth[known])[0]
    return scores


def gather_voters(tables: MemberTables, scores: Mapping[ViewMember, float], further: Sequence[Path] = ()) -> Voters:
    """Gathers everyone who votes on the photos to predict.

    Args:
        tables: The members' tables.
        scores: From `fold_scores`.
        further: Tables of probabilities or submissions of the same photos, each one more voter.

    Returns:
        The voters.

    Raises:
        DataError: A further table cannot be read or has other photos.
    """
    photos = next(iter(tables.predicted.values())).names
    rows = [table.reindex(photos).probabilities for table in tables.predicted.values()]
    weights = [scores[member] for member in tables.predicted]
    names = [member.name for member in tables.predicted]
    slots: dict[str, tuple[int, ...]] = {}
    for index, member in enumerate(tables.predicted):
        slots[member.slot] = (*slots.get(member.slot, ()), index)
    mean = float(np.mean(weights))
    if further:
        first = EnsembleMember(Path(names[0]), next(iter(tables.predicted.values())), tables.schema)
        others = [read_member(path, tables.schema) for path in further]
        aligned = align_members([first, *others], tables.schema)
        rows += list(aligned.members[1:])
        weights += [mean] * len(others)
        names += [str(path) for path in further]
    return Voters(tuple(names), np.stack(rows), np.array(weights), slots, photos)


def vote_on_photos(
    voters: Voters, slots: AlignedTables, votes: Mapping[str, EnsembleFitter]
) -> dict[str, ProbabilityTable]:
    """Applies every vote to the photos to predict.

    Fixed votes take all voters; `weighted` weights them by macro F1 on the photos that each one's fold held out. Fitted
    votes were fitted to slots, so they take the mean of each slot's folds, and no further tables.

    Args:
        voters: From `gather_voters`.
        slots: From `held_out_slots`.
        votes: From `comparison.parse_votes`.

    Returns:
        A table for each vote.
    """
    truth = np.full(len(slots.photos), UNKNOWN) if slots.truth is None else slots.truth
    means = [voters.tables[list(voters.slots[name])].mean(axis=0) for name in slots.names]
    found = {}
    for name, fitter in votes.items():
        if isinstance(fitter, ScoreWeighted):
            weights = voters.weights if voters.weights.sum() > 0 else np.ones(len(voters.weights))
            probabilities = combine("weighted", list(voters.tables), weights=weights.tolist())
        elif isinstance(fitter, FixedVote):
            probabilities = combine(fitter.name, list(voters.tables), weights=fitter.weights, schema=slots.schema)
        else:
            probabilities = fit_known(fitter, slots.members, truth, slots.schema)(means)
        found[name] = ProbabilityTable(voters.photos, probabilities)
    return found


def member_curves(
    tables: MemberTables, slots: AlignedTables, voters: Voters | None, *, folds: int = 5, seed: int = 0
) -> dict[str, DropOneCurve]:
    """Computes the drop-one curves: macro F1 on held-out photos, and agreement on the photos to predict.

    Args:
        tables: The members' tables.
        slots: From `held_out_slots`, which has the labels and the persons.
        voters: From `gather_voters`; None without photos to predict.
        folds: Number of folds of persons for the order.
        seed: Seed of these folds.

    Returns:
        Curves by `HELD_OUT` and `PREDICTED`; those of a single member, and of unknown labels, are left out.
    """
    curves = {}
    if slots.truth is not None and slots.persons is not None and len(tables.held_out) > 1:
        members, available = _spread(tables.held_out, slots.photos, slots.schema.num_classes)
        nested = assign_nested_folds(slots.persons, slots.truth, slots.schema, count=folds, seed=seed)
        names = [member.name for member in tables.held_out]
        curves[HELD_OUT] = drop_one_curve(names, members, available, slots.truth, nested)
    if voters is not None and len(voters.names) > 1:
        everywhere = np.ones(voters.tables.shape[:2], dtype=bool)
        curves[PREDICTED] = drop_one_curve(voters.names, voters.tables, everywhere, None)
    return curves


def write_members(path: Path, tables: MemberTables, scores: Mapping[ViewMember, float]) -> Path:
    """Writes `member,run,fold,rank,view,model,macro_f1,held_out_photos,held_out_table,predicted_table`.

    Args:
        path: The file.
        tables: The members' tables.
        scores: From `fold_scores`.

    Returns:
        The path.
    """
    header = ("member", "run", "fold", "rank", "view", "model", "macro_f1", "held_out_photos")
    rows = []
    for member, table in tables.held_out.items():
        files = [tables.files.get((member, kind)) for kind in (HELD_OUT, PREDICTED)]
        facts = (member.name, member.run, member.fold, member.rank, member.view, member.model)
        rows.append((*facts, f"{scores[member]:.6f}", len(table), *(file.name if file else "" for file in files)))
    return write_csv(path, (*header, "held_out_table", "predicted_table"), rows)


def _spread(
    tables: Mapping[ViewMember, ProbabilityTable], photos: Sequence[str], num_classes: int
) -> tuple[FloatArray, np.ndarray]:
    """Tables of some photos each as (members, photos, classes), and which photos each has."""
    row_of: dict[str, int] = {name: row for row, name in enumerate(photos)}
    members = np.zeros((len(tables), len(photos), num_classes))
    available = np.zeros((len(tables), len(photos)), dtype=bool)
    for index, table in enumerate(tables.values()):
        rows: IntArray = np.array([row_of[name] for name in table.names])
        members[index, rows] = table.probabilities
        available[index, rows] = True
    return members, available

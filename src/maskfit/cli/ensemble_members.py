"""`maskfit ensemble --top-k K --tta VIEWS`: every member and view of runs, predicted once, and every vote over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskfit.calibration import DecideMode
from maskfit.cli.console import err, out, print_json, print_written, progress
from maskfit.cli.defaults import setup_allocator
from maskfit.errors import DataError
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.data.photo_dataset import Photo
    from maskfit.inference.ensemble.comparison import EvaluatedMember
    from maskfit.inference.ensemble.drop_one import DropOneCurve
    from maskfit.inference.ensemble.inputs import AlignedTables
    from maskfit.inference.ensemble.learned_weights import EnsembleFitter
    from maskfit.inference.ensemble.member_tables import MemberTables, ViewMember

TABLES_FOLDER = "members"
"""Folder of the members' tables, within that of the ensemble."""


@dataclass(frozen=True)
class MemberOptions:
    """Options of an ensemble of members and views.

    Attributes:
        top_k: Number of each fold's best models.
        tta: Test-time views.
        engine: Inference engine.
        folds: Number of folds of persons on which fitted votes are scored.
        seed: Seed of these folds and of the intervals.
        decide: How submissions choose a class.
    """

    top_k: int
    tta: str
    engine: str
    folds: int
    seed: int
    decide: DecideMode


@dataclass(frozen=True, eq=False)
class MemberEnsemble:
    """What an ensemble of members and views found.

    Attributes:
        tables: The members' tables.
        scores: Macro F1 of each member on its held-out photos.
        slots: The held-out tables by slot.
        results: Scores of slots and votes.
        curves: Drop-one curves by the photos that they are of.
        written: The files.
    """

    tables: MemberTables
    scores: Mapping[ViewMember, float]
    slots: AlignedTables
    results: Sequence[EvaluatedMember]
    curves: Mapping[str, DropOneCurve]
    written: Sequence[Path]

    def to_dict(self) -> dict[str, Any]:
        """Converts to JSON types.

        Returns:
            Members with their scores, the scores of slots and votes, and the curves.
        """
        return {
            "members": [{"name": member.name, "macro_f1": score} for member, score in self.scores.items()],
            "tables": {"count": len(self.tables.files), "reused": self.tables.num_reused},
            "judged": [item.to_dict() for item in self.results],
            "drop_one": {photos: curve.to_dict() for photos, curve in self.curves.items()},
        }


def split_sources(sources: Sequence[Path], has_photos: bool) -> tuple[list[Path], list[Path]]:
    """Splits members into runs, which are predicted with, and tables, which vote as they are.

    Args:
        sources: Run folders and CSVs.
        has_photos: Whether there are photos to predict, which tables are needed for.

    Returns:
        Runs and tables.

    Raises:
        DataError: There is no run, one is named twice, or there are tables and no photos to predict.
    """
    from maskfit.run_dir import is_run_dir

    runs = [path for path in sources if is_run_dir(path)]
    tables = [path for path in sources if path not in runs]
    if not runs:
        raise DataError(
            "--top-k, --tta and --images are for runs, whose models predict again",
            location=sources[0] if sources else None,
            hint="name run folders, or leave these options out to combine stored tables",
        )
    resolved = [path.resolve() for path in sources]
    if len(set(resolved)) < len(resolved):
        raise DataError("a member is named twice", hint="name each once")
    if tables and not has_photos:
        raise DataError(
            "a table of other photos than the held-out ones needs the photos to predict",
            location=tables[0],
            hint="add --images DIR --image-list info.csv",
        )
    return runs, tables


def output_names(votes: Sequence[str], predicted: bool) -> list[str]:
    """Returns the files that an ensemble of members writes besides the members' tables.

    Args:
        votes: The votes.
        predicted: Whether there are photos to predict.

    Returns:
        File names.
    """
    names = ["members.csv", "drop-one.csv", "comparison.csv", "comparison.json"]
    names += [f"out-of-fold-{vote}.csv" for vote in votes]
    if predicted:
        names += [f"{kind}-{vote}.csv" for vote in votes for kind in ("probabilities", "submission")]
    return names


def combine_members(
    runs: Sequence[Path],
    further: Sequence[Path],
    photos: Sequence[Photo],
    votes: Mapping[str, EnsembleFitter],
    folder: Path,
    options: MemberOptions,
) -> MemberEnsemble:
    """Predicts with every member and view, scores every vote, and applies it to the photos to predict.

    Args:
        runs: Run folders.
        further: Tables of the photos to predict, which vote too.
        photos: Photos to predict; may be empty.
        votes: From `comparison.parse_votes`.
        folder: Where everything is written.
        options: The options.

    Returns:
        The results; files are written.

    Raises:
        MaskfitError: Runs, photos or tables cannot be used.
    """
    from maskfit.inference.ensemble.comparison import (
        compare,
        describe_weights,
        fit_votes,
        select_weights,
        write_comparison,
        write_predictions,
    )
    from maskfit.inference.ensemble.drop_one import write_curves
    from maskfit.inference.ensemble.member_tables import load_member_tables
    from maskfit.inference.ensemble.member_votes import (
        fold_scores,
        gather_voters,
        held_out_slots,
        member_curves,
        vote_on_photos,
        write_members,
    )

    setup_allocator()
    with progress("predicting with every member") as advance:
        tables = load_member_tables(
            runs,
            folder / TABLES_FOLDER,
            top_k=options.top_k,
            tta=options.tta,
            photos=photos,
            engine=options.engine,
            log=err.print,
            progress=advance,
        )
    kept = f", {tables.num_reused} of them from before" if tables.num_reused else ""
    err.print(f"{format_count(len(tables.files), 'table')} of {format_count(len(tables.held_out), 'member')}{kept}")
    scores, slots = fold_scores(tables), held_out_slots(tables)
    voters = gather_voters(tables, scores, further) if photos else None
    settings = {"folds": options.folds, "seed": options.seed}
    with progress("evaluating", unit="methods") as advance:
        results = compare(slots, votes, **settings, progress=advance)
    curves = member_curves(tables, slots, voters, **settings)
    weights = describe_weights(fit_votes(slots, votes), slots.names)
    written = [
        write_members(folder / "members.csv", tables, scores),
        *write_comparison(folder, results, weights, {**settings, "top_k": options.top_k, "tta": options.tta}),
    ]
    if curves:
        written.append(write_curves(folder / "drop-one.csv", curves))
    if voters is not None:
        decisions = select_weights(results, options.decide)
        predicted = vote_on_photos(voters, slots, votes)
        written += write_predictions(folder, predicted, tables.schema, decisions)
    return MemberEnsemble(tables, scores, slots, results, curves, written)


def print_member_ensemble(found: MemberEnsemble, json: bool) -> None:
    """Prints the drop-one curves, or everything as JSON, and names the files.

    Args:
        found: The results.
        json: Whether to print JSON.
    """
    if json:
        print_json(found.to_dict())
    for photos, curve in found.curves.items():
        if not json:
            out.print(f"{photos} photos: {curve.describe()}", soft_wrap=True)
    for path in found.written:
        print_written(path)

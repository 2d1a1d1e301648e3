"""Ensembles of stored tables: which votes there are, what each is worth on held-out persons, and their answers.

Every vote is a learner: those of `voting` look at no truth, those of `learned` are fitted to out-of-fold tables. What
was fitted is scored nested, on persons that the fit never saw, and so is the best single member it is compared with.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskfit.config.loader import parse_component
from maskfit.errors import DataError, MaskfitError, MissingExtraError, RecipeError, did_you_mean
from maskfit.evaluation.bootstrap import Interval, bootstrap_counts
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.scores import Scores, score
from maskfit.file_io import write_csv, write_json
from maskfit.inference.ensemble.inputs import AlignedTables
from maskfit.inference.ensemble.learned_weights import (
    EnsembleFitter,
    FittedEnsemble,
    GreedySelection,
    ScoreWeighted,
    SingleBest,
    Weights,
    assign_nested_folds,
    fit_known,
    nested_cv_predict,
)
from maskfit.inference.ensemble.stacking import StackingFitter
from maskfit.inference.ensemble.voting import MemberProbabilities, combine
from maskfit.inference.submission import write_submission
from maskfit.labels.schema import UNKNOWN, FloatArray, IntArray, LabelSchema
from maskfit.registry import ComponentSpec, instantiate

BEST_SINGLE = "best single"
"""What the best member, chosen nested, is called in a comparison."""

ALL_VOTES = "all"
"""The word for every vote that is possible."""


@dataclass(frozen=True)
class FixedVote:
    """A vote of `voting.VOTES`, which looks at no truth.

    Args:
        name: Its name there.
        weights: One for each member, where the vote takes them.
    """

    uses_labels = False

    name: str
    weights: Sequence[float] | None = None

    def fit(self, members: FloatArray, truth: IntArray, scheme: LabelSchema) -> FittedEnsemble:
        """The vote itself."""

        def predict(members: MemberProbabilities) -> FloatArray:
            return combine(self.name, members, weights=self.weights, schema=scheme)

        return predict


def arithmetic() -> EnsembleFitter:
    """The mean of the probabilities."""
    return FixedVote("arithmetic")


def geometric(weights: Sequence[float] | None = None) -> EnsembleFitter:
    """The mean of their logarithms."""
    return FixedVote("geometric", weights)


def weighted(weights: Sequence[float] | None = None) -> EnsembleFitter:
    """The weighted mean; without weights, each member counts by its macro F1 on held-out photos."""
    return ScoreWeighted() if weights is None else FixedVote("weighted", weights)


def majority(weights: Sequence[float] | None = None) -> EnsembleFitter:
    """One voice for each member."""
    return FixedVote("majority", weights)


def majority_per_attribute(weights: Sequence[float] | None = None) -> EnsembleFitter:
    """One voice for each member on each attribute."""
    return FixedVote("majority_per_attribute", weights)


ENSEMBLES: dict[str, Callable[..., EnsembleFitter]] = {
    "arithmetic": arithmetic,
    "geometric": geometric,
    "weighted": weighted,
    "majority": majority,
    "majority_per_attribute": majority_per_attribute,
    "greedy": GreedySelection,
    "stack": StackingFitter,
}
"""What `maskfit ensemble --combine` can name, besides `all`."""


def parse_votes(
    words: Sequence[str | ComponentSpec], *, weights: Sequence[float] | None = None, truth: bool = True
) -> tuple[dict[str, EnsembleFitter], list[str]]:
    """The votes that words stand for, by name.

    Args:
        words: Names of `ENSEMBLES`, with options as in `greedy:num_bags=5`; `all` is every one that is possible.
        weights: For `weighted`.
        truth: Whether a truth is known, without which nothing can be learned.

    Returns:
        The votes, and a remark on each that `all` leaves out.

    Raises:
        DataError: A vote or an option is unknown or named twice, or a vote needs a truth and there is none.
        MissingExtraError: `stack` is named, and scikit-learn is not installed.
    """
    parts = [_part(word) for word in words]
    every = any(part.name == ALL_VOTES for part in parts)
    named = {part.name: part for part in parts if part.name != ALL_VOTES}
    if len(named) < sum(part.name != ALL_VOTES for part in parts):
        raise DataError("a vote is named twice", hint="name each once")
    if weights is not None:
        if not every and "weighted" not in named:
            raise DataError("--weights are for the vote 'weighted'", hint="add --combine weighted")
        named["weighted"] = ComponentSpec.create("weighted", weights=list(weights))
    votes: dict[str, EnsembleFitter] = {}
    remarks = []
    for name in ENSEMBLES:
        if name not in named and not every:
            continue
        learner = _learner(named.get(name, ComponentSpec.create(name)))
        try:
            _refuse_impossible(name, learner, truth)
            votes[name] = learner
        except MaskfitError as error:
            # What the user named is an error; what only `all` stands for is left out, and said.
            if name in named:
                raise
            remarks.append(f"left out: {error.message}")
    return votes, remarks


def _part(word: str | ComponentSpec) -> ComponentSpec:
    try:
        part = parse_component(word, "ensemble") if isinstance(word, str) else word
    except RecipeError as error:
        raise DataError(f"vote: {error.message}", hint=error.hint) from None
    name = part.name.replace("-", "_")
    if name not in (*ENSEMBLES, ALL_VOTES):
        raise DataError(f"there is no vote '{part.name}'; {did_you_mean(name, [*ENSEMBLES, ALL_VOTES])}")
    return ComponentSpec(name=name, options=part.options)


def _learner(part: ComponentSpec) -> EnsembleFitter:
    try:
        learner: EnsembleFitter = instantiate(ENSEMBLES, part)
    except RecipeError as error:
        raise DataError(f"vote: {error.message}", hint="maskfit ensemble --help") from None
    return learner


def _refuse_impossible(name: str, learner: EnsembleFitter, truth: bool) -> None:
    if learner.uses_labels and not truth:
        raise DataError(
            f"the vote '{name}' is fitted to a truth, and no source holds one",
            hint="name run folders, whose out-of-fold tables hold the truth",
        )
    if isinstance(learner, StackingFitter) and importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError(f"the vote '{name}'", "train")


@dataclass(frozen=True, eq=False)
class EvaluatedMember:
    """A member, the best of them, or a vote, judged on held-out persons.

    Attributes:
        name: What it is called.
        kind: `member`; `single`, the best member chosen nested; `vote`; or `learned`, judged nested.
        table: What it says of each photo.
        scores: What that scores, with intervals over persons.
        gain: Its macro F1 less that of the best single member, on the same drawn persons; None for members.
    """

    name: str
    kind: str
    table: ProbabilityTable
    scores: Scores
    gain: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        gain = None if self.gain is None else self.gain.to_dict()
        return {"name": self.name, "kind": self.kind, "gain": gain, **self.scores.to_dict()}


def compare(
    tables: AlignedTables,
    votes: Mapping[str, EnsembleFitter],
    *,
    folds: int = 5,
    draws: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[EvaluatedMember]:
    """Judges every member, the best of them, and every vote, in this order.

    Args:
        tables: Out-of-fold tables with truth.
        votes: From `choose_votes`.
        folds: Into how many folds the persons are dealt for what is learned.
        draws: How many sets of persons are drawn for the intervals.
        seed: Of the folds and the draws.
        progress: Called with (votes done, votes).

    Raises:
        DataError: No truth is known, or who is on the photos is not.
    """
    truth = _known_truth(tables)
    if tables.persons is None:
        raise DataError(
            "who is on each photo is not known, so nothing can be judged on other persons",
            location=tables.names[0],
            hint="add a column person to this table, or name a run folder besides",
        )
    nest = assign_nested_folds(tables.persons, truth, tables.schema, count=folds, seed=seed)
    rows = [(name, "member", table) for name, table in zip(tables.names, tables.members, strict=True)]
    rows.append((BEST_SINGLE, "single", nested_cv_predict(SingleBest(), tables.members, truth, tables.schema, nest)))
    for done, (name, learner) in enumerate(votes.items()):
        if progress:
            progress(done, len(votes))
        if learner.uses_labels:
            rows.append((name, "learned", nested_cv_predict(learner, tables.members, truth, tables.schema, nest)))
        else:
            rows.append((name, "vote", learner.fit(tables.members, truth, tables.schema)(list(tables.members))))
    reference = next(probabilities for _, kind, probabilities in rows if kind == "single")
    return [_judge(tables, truth, row, reference, draws, seed) for row in rows]


def _judge(
    tables: AlignedTables,
    truth: IntArray,
    row: tuple[str, str, FloatArray],
    reference: FloatArray,
    draws: int,
    seed: int,
) -> EvaluatedMember:
    name, kind, probabilities = row
    persons = np.array(tables.persons)
    codes = tables.schema.to_attribute_indices(truth)
    scores = score(tables.schema, codes, probabilities=probabilities, persons=persons, draws=draws, seed=seed)
    gain = None
    if kind in ("vote", "learned"):
        drawing = {"num_classes": tables.schema.num_classes, "draws": draws, "seed": seed}
        # The same seed draws the same persons for both, so what is luck for one is luck for the other.
        ours, theirs = (
            bootstrap_counts(truth, table.argmax(axis=1), persons, **drawing).macro_f1()
            for table in (probabilities, reference)
        )
        single = score(tables.schema, codes, probabilities=reference).macro_f1 or 0.0
        gain = Interval.from_draws((scores.macro_f1 or 0.0) - single, ours - theirs)
    return EvaluatedMember(name, kind, ProbabilityTable(tables.photos, probabilities, truth), scores, gain)


def fit_votes(tables: AlignedTables, votes: Mapping[str, EnsembleFitter]) -> dict[str, FittedEnsemble]:
    """Fits every vote on all photos with a truth, to answer for others."""
    if tables.truth is None:
        none = np.full(len(tables.photos), UNKNOWN)
        return {name: learner.fit(tables.members, none, tables.schema) for name, learner in votes.items()}
    return {name: fit_known(learner, tables.members, tables.truth, tables.schema) for name, learner in votes.items()}


def predict_with(fitted: Mapping[str, FittedEnsemble], tables: AlignedTables) -> dict[str, ProbabilityTable]:
    """What each vote says of other photos, given the same members in the same order.

    Raises:
        DataError: The members are not as many as were fitted.
    """
    members = list(tables.members)
    return {name: ProbabilityTable(tables.photos, combine(members)) for name, combine in fitted.items()}


def describe_weights(fitted: Mapping[str, FittedEnsemble], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """How much each member counts in each vote that was fitted to weights."""
    return {
        vote: dict(zip(names, combine.weights, strict=True))
        for vote, combine in fitted.items()
        if isinstance(combine, Weights)
    }


def write_comparison(
    folder: Path,
    judged: Sequence[EvaluatedMember],
    weights: Mapping[str, Mapping[str, float]],
    settings: Mapping[str, Any],
) -> list[Path]:
    """Writes comparison.csv and comparison.json, and each vote's held-out answers as out-of-fold-VOTE.csv."""
    header = ["name", "kind", "macro_f1", "low", "high", "accuracy", "log_loss", "gain", "gain_low", "gain_high"]
    rows = []
    for item in judged:
        around, gain = item.scores.intervals.get("macro_f1"), item.gain
        numbers = [
            item.scores.macro_f1,
            around and around.low,
            around and around.high,
            item.scores.accuracy,
            item.scores.log_loss,
            gain and gain.value,
            gain and gain.low,
            gain and gain.high,
        ]
        rows.append([item.name, item.kind, *("" if number is None else f"{number:.6f}" for number in numbers)])
    told = {"settings": dict(settings), "weights": weights, "judged": [item.to_dict() for item in judged]}
    return [
        write_csv(folder / "comparison.csv", header, rows),
        write_json(folder / "comparison.json", told),
        *(item.table.write(folder / f"out-of-fold-{item.name}.csv") for item in judged if item.gain is not None),
    ]


def write_predictions(folder: Path, answers: Mapping[str, ProbabilityTable]) -> list[Path]:
    """Writes probabilities-VOTE.csv and submission-VOTE.csv for each vote."""
    written = []
    for name, table in answers.items():
        written.append(table.write(folder / f"probabilities-{name}.csv"))
        written.append(write_submission(folder / f"submission-{name}.csv", table.names, table.predictions))
    return written


def _known_truth(tables: AlignedTables) -> IntArray:
    if tables.truth is None or (tables.truth == UNKNOWN).all():
        raise DataError("no source holds a truth to score against", hint="name run folders, or tables with a truth")
    return tables.truth

"""Ensembles of stored probability tables: the votes, their scores on held-out persons, and their predictions.

Every vote is fitted like a learned ensemble: those of `voting` use no labels, those of `learned_weights` and `stacking`
are fitted to out-of-fold tables. Learned votes, and the best single member that they are compared with, are scored by
nested cross-validation, on persons that their fit did not see.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskfit.calibration import DecideMode, Objective, WeightMap, weighted_classes
from maskfit.config.aliases import upgrade_component, warn_once
from maskfit.config.loader import parse_component
from maskfit.errors import DataError, MaskfitError, MissingExtraError, RecipeError, did_you_mean
from maskfit.evaluation.bootstrap import Interval, bootstrap_counts
from maskfit.evaluation.fit_decisions import OBJECTIVES, DecisionFit, fit_decisions
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
"""Name of the best member, selected by nested cross-validation, in a comparison."""

ALL_VOTES = "all"
"""Stands for every vote that is possible."""


@dataclass(frozen=True)
class FixedVote:
    """A vote of `voting.VOTES`, which uses no labels.

    Args:
        name: Its name there.
        weights: One for each member, where the vote takes them.
    """

    uses_labels = False

    name: str
    weights: Sequence[float] | None = None

    def fit(self, members: FloatArray, truth: IntArray, schema: LabelSchema) -> FittedEnsemble:
        """Returns the vote itself.

        Args:
            members: Not used.
            truth: Not used.
            schema: The schema of the classes.

        Returns:
            The vote.
        """

        def predict(members: MemberProbabilities) -> FloatArray:
            return combine(self.name, members, weights=self.weights, schema=schema)

        return predict


def arithmetic() -> EnsembleFitter:
    """Returns the mean of the probabilities."""
    return FixedVote("arithmetic")


def geometric(weights: Sequence[float] | None = None) -> EnsembleFitter:
    """Returns the geometric mean of the probabilities.

    Args:
        weights: One for each member; None weights them equally.

    Returns:
        The vote.
    """
    return FixedVote("geometric", weights)


def weighted(weights: Sequence[float] | None = None) -> EnsembleFitter:
    """Returns the weighted mean of the probabilities.

    Args:
        weights: One for each member; None takes each member's macro F1 on held-out photos.

    Returns:
        The vote.
    """
    return ScoreWeighted() if weights is None else FixedVote("weighted", weights)


def majority(weights: Sequence[float] | None = None) -> EnsembleFitter:
    """Returns the majority vote over the classes.

    Args:
        weights: One for each member; None weights them equally.

    Returns:
        The vote.
    """
    return FixedVote("majority", weights)


def majority_per_attribute(weights: Sequence[float] | None = None) -> EnsembleFitter:
    """Returns the majority vote over each attribute.

    Args:
        weights: One for each member; None weights them equally.

    Returns:
        The vote.
    """
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
"""Votes by name, as `maskfit ensemble --combine` takes them, besides `all`."""


def parse_votes(
    words: Sequence[str | ComponentSpec], *, weights: Sequence[float] | None = None, truth: bool = True
) -> tuple[dict[str, EnsembleFitter], list[str]]:
    """Parses votes as a user names them.

    Args:
        words: Names of `ENSEMBLES`, with options as in `greedy:num_bags=5`; `all` is every one that is possible.
        weights: For `weighted`.
        truth: Whether labels are known, without which nothing can be fitted.

    Returns:
        The votes by name, and a warning for each that `all` leaves out.

    Raises:
        DataError: A vote or an option is unknown or named twice, or a vote needs labels and there are none.
        MissingExtraError: `stack` is named, and scikit-learn is not installed.
    """
    specs = [_parse_vote(word) for word in words]
    use_all = any(spec.name == ALL_VOTES for spec in specs)
    named = {spec.name: spec for spec in specs if spec.name != ALL_VOTES}
    if len(named) < sum(spec.name != ALL_VOTES for spec in specs):
        raise DataError("a vote is named twice", hint="name each once")
    if weights is not None:
        if not use_all and "weighted" not in named:
            raise DataError("--weights are for the vote 'weighted'", hint="add --combine weighted")
        named["weighted"] = ComponentSpec.create("weighted", weights=list(weights))
    votes: dict[str, EnsembleFitter] = {}
    messages = []
    for name in ENSEMBLES:
        if name not in named and not use_all:
            continue
        fitter = _build_vote(named.get(name, ComponentSpec.create(name)))
        try:
            _check_possible(name, fitter, truth)
            votes[name] = fitter
        except MaskfitError as error:
            # What the user named is an error; what only `all` stands for is left out with a warning.
            if name in named:
                raise
            messages.append(f"left out: {error.message}")
    return votes, messages


def _parse_vote(word: str | ComponentSpec) -> ComponentSpec:
    try:
        spec = parse_component(word) if isinstance(word, str) else word
        spec = ComponentSpec(name=spec.name.replace("-", "_"), options=spec.options)
        spec = upgrade_component("ensemble", spec, warn_once)
    except RecipeError as error:
        raise DataError(f"vote: {error.message}", hint=error.hint) from None
    if spec.name not in (*ENSEMBLES, ALL_VOTES):
        raise DataError(f"there is no vote '{spec.name}'; {did_you_mean(spec.name, [*ENSEMBLES, ALL_VOTES])}")
    return spec


def _build_vote(spec: ComponentSpec) -> EnsembleFitter:
    try:
        fitter: EnsembleFitter = instantiate(ENSEMBLES, spec)
    except RecipeError as error:
        raise DataError(f"vote: {error.message}", hint="maskfit ensemble --help") from None
    return fitter


def _check_possible(name: str, fitter: EnsembleFitter, truth: bool) -> None:
    if fitter.uses_labels and not truth:
        raise DataError(
            f"the vote '{name}' is fitted to labels, and no member has them",
            hint="name run folders, whose out-of-fold tables have labels",
        )
    if isinstance(fitter, StackingFitter) and importlib.util.find_spec("sklearn") is None:
        raise MissingExtraError(f"the vote '{name}'", "train")


@dataclass(frozen=True, eq=False)
class EvaluatedMember:
    """A member, the best of them, or a vote, scored on held-out persons.

    Attributes:
        name: Its name.
        kind: `member`; `single`, the best member, selected by nested cross-validation; `vote`; or `learned`, scored by
            nested cross-validation.
        table: Its predictions for each photo.
        scores: Its scores, with intervals over persons.
        gain: Its macro F1 minus that of the best single member, on the same bootstrap samples; None for members.
        decisions: Decision weights by objective, fitted on its table and scored on other persons; empty for members.
    """

    name: str
    kind: str
    table: ProbabilityTable
    scores: Scores
    gain: Interval | None = None
    decisions: Mapping[Objective, DecisionFit] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Converts to JSON types.

        Returns:
            Name, kind, gain, decisions and scores.
        """
        gain = None if self.gain is None else self.gain.to_dict()
        decisions = {objective: fit.to_dict() for objective, fit in self.decisions.items()}
        return {"name": self.name, "kind": self.kind, "gain": gain, "decisions": decisions, **self.scores.to_dict()}


def compare(
    tables: AlignedTables,
    votes: Mapping[str, EnsembleFitter],
    *,
    folds: int = 5,
    draws: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[EvaluatedMember]:
    """Scores every member, the best of them, and every vote.

    Args:
        tables: Out-of-fold tables with labels.
        votes: From `parse_votes`.
        folds: Number of nested folds of persons for what is learned, >= 2.
        draws: Number of bootstrap samples of persons for the intervals.
        seed: Seed of the folds and the samples.
        progress: Called with (votes done, votes).

    Returns:
        The members, the best of them, and the votes, in this order.

    Raises:
        DataError: No label is known, or the persons are not.
    """
    truth = _known_truth(tables)
    if tables.persons is None:
        raise DataError(
            "the person on each photo is not known, so nothing can be scored on other persons",
            location=tables.names[0],
            hint="add a column person to this table, or name a run folder as well",
        )
    nested_folds = assign_nested_folds(tables.persons, truth, tables.schema, count=folds, seed=seed)

    def predict_nested(fitter: EnsembleFitter) -> FloatArray:
        return nested_cv_predict(fitter, tables.members, truth, tables.schema, nested_folds)

    rows = [(name, "member", table) for name, table in zip(tables.names, tables.members, strict=True)]
    reference = predict_nested(SingleBest())
    rows.append((BEST_SINGLE, "single", reference))
    for done, (name, fitter) in enumerate(votes.items()):
        if progress:
            progress(done, len(votes))
        if fitter.uses_labels:
            rows.append((name, "learned", predict_nested(fitter)))
        else:
            rows.append((name, "vote", fitter.fit(tables.members, truth, tables.schema)(list(tables.members))))
    return [_evaluate(tables, truth, row, reference, draws, seed) for row in rows]


def _evaluate(
    tables: AlignedTables,
    truth: IntArray,
    row: tuple[str, str, FloatArray],
    reference: FloatArray,
    draws: int,
    seed: int,
) -> EvaluatedMember:
    name, kind, probabilities = row
    persons = np.array(tables.persons)
    indices = tables.schema.to_attribute_indices(truth)
    scores = score(tables.schema, indices, probabilities=probabilities, persons=persons, draws=draws, seed=seed)
    gain: Interval | None = None
    decisions: dict[Objective, DecisionFit] = {}
    if kind in ("vote", "learned"):
        # The same seed draws the same persons for both, so that the difference is paired.
        ours, theirs = (
            bootstrap_counts(
                truth, table.argmax(axis=1), persons, num_classes=tables.schema.num_classes, draws=draws, seed=seed
            ).macro_f1()
            for table in (probabilities, reference)
        )
        single = score(tables.schema, indices, probabilities=reference).macro_f1 or 0.0
        gain = Interval.from_draws((scores.macro_f1 or 0.0) - single, ours - theirs)
        gain = gain.with_change_width(len(np.unique(persons[truth != UNKNOWN])))
        decisions = {
            objective: fit_decisions(tables.schema, probabilities, truth, persons, objective, draws=draws, seed=seed)
            for objective in OBJECTIVES
        }
    table = ProbabilityTable(tables.photos, probabilities, truth)
    return EvaluatedMember(name, kind, table, scores, gain, decisions)


def fit_votes(tables: AlignedTables, votes: Mapping[str, EnsembleFitter]) -> dict[str, FittedEnsemble]:
    """Fits every vote on all photos with a label, to predict others.

    Args:
        tables: Out-of-fold tables.
        votes: From `parse_votes`.

    Returns:
        The fitted votes by name.
    """
    if tables.truth is None:
        unknown = np.full(len(tables.photos), UNKNOWN)
        return {name: fitter.fit(tables.members, unknown, tables.schema) for name, fitter in votes.items()}
    return {name: fit_known(fitter, tables.members, tables.truth, tables.schema) for name, fitter in votes.items()}


def predict_with(fitted: Mapping[str, FittedEnsemble], tables: AlignedTables) -> dict[str, ProbabilityTable]:
    """Predicts other photos with every fitted vote.

    Args:
        fitted: From `fit_votes`.
        tables: Tables of the same members, in the same order.

    Returns:
        A table for each vote.

    Raises:
        DataError: The number of members differs from the fit.
    """
    members = list(tables.members)
    return {name: ProbabilityTable(tables.photos, predict(members)) for name, predict in fitted.items()}


def describe_weights(fitted: Mapping[str, FittedEnsemble], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Returns the weight of each member in each vote that was fitted to weights.

    Args:
        fitted: From `fit_votes`.
        names: The members' names, in their order.

    Returns:
        By vote, the weight by member.
    """
    return {
        vote: dict(zip(names, ensemble.weights, strict=True))
        for vote, ensemble in fitted.items()
        if isinstance(ensemble, Weights)
    }


def write_comparison(
    folder: Path,
    evaluated: Sequence[EvaluatedMember],
    weights: Mapping[str, Mapping[str, float]],
    settings: Mapping[str, Any],
) -> list[Path]:
    """Writes comparison.csv and comparison.json, and each vote's out-of-fold predictions as out-of-fold-VOTE.csv.

    Args:
        folder: Where they are written.
        evaluated: From `compare`.
        weights: From `describe_weights`.
        settings: What the comparison was made with, for comparison.json.

    Returns:
        The files.
    """
    header = ["name", "kind", "macro_f1", "low", "high", "accuracy", "log_loss", "gain", "gain_low", "gain_high"]
    rows = []
    for item in evaluated:
        interval, gain = item.scores.intervals.get("macro_f1"), item.gain
        numbers = [
            item.scores.macro_f1,
            interval and interval.low,
            interval and interval.high,
            item.scores.accuracy,
            item.scores.log_loss,
            gain and gain.value,
            gain and gain.low,
            gain and gain.high,
        ]
        rows.append([item.name, item.kind, *("" if number is None else f"{number:.6f}" for number in numbers)])
    content = {"settings": dict(settings), "weights": weights, "judged": [item.to_dict() for item in evaluated]}
    return [
        write_csv(folder / "comparison.csv", header, rows),
        write_json(folder / "comparison.json", content),
        *(item.table.write(folder / f"out-of-fold-{item.name}.csv") for item in evaluated if item.gain is not None),
    ]


def select_weights(evaluated: Sequence[EvaluatedMember], mode: DecideMode) -> dict[str, WeightMap]:
    """Returns the decision weights of each vote.

    Args:
        evaluated: From `compare`.
        mode: How a class is chosen.

    Returns:
        By vote, its weights; votes without weights for the mode are left out.
    """
    weights: dict[str, WeightMap] = {}
    for item in evaluated:
        kept = item.decisions[mode].kept if mode != "argmax" and mode in item.decisions else None
        if kept is not None:
            weights[item.name] = kept.weights
    return weights


def write_predictions(
    folder: Path, tables: Mapping[str, ProbabilityTable], schema: LabelSchema, weights: Mapping[str, WeightMap]
) -> list[Path]:
    """Writes probabilities-VOTE.csv and submission-VOTE.csv for each vote.

    Args:
        folder: Where they are written.
        tables: From `predict_with`.
        schema: The schema of the classes.
        weights: From `select_weights`; the submission of a vote without weights has the most probable classes.

    Returns:
        The files.
    """
    written = []
    for name, table in tables.items():
        written.append(table.write(folder / f"probabilities-{name}.csv"))
        classes = weighted_classes(schema, table.probabilities, weights.get(name, {}))
        written.append(write_submission(folder / f"submission-{name}.csv", table.names, classes))
    return written


def _known_truth(tables: AlignedTables) -> IntArray:
    if tables.truth is None or (tables.truth == UNKNOWN).all():
        raise DataError("no member has labels to score against", hint="name run folders, or tables with labels")
    return tables.truth

"""Learned ensembles: weights of the members that are fitted to out-of-fold predictions, scored on unseen persons.

A fit uses the labels, so its score on the rows that it was fitted on is too high. `nested_cv_predict` splits the
persons into folds of its own, fits on all folds but one and predicts that one; what is scored is a table in which every
row comes from a fit without its person. The best single member is selected the same way, so that a gain over it is
real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.splits import make_person_splits
from maskfit.errors import DataError
from maskfit.evaluation.metrics import ClassCounts
from maskfit.inference.ensemble.voting import MemberProbabilities, combine
from maskfit.labels.schema import UNKNOWN, FloatArray, IntArray, LabelSchema
from maskfit.text import format_count


class FittedEnsemble(Protocol):
    """Combines the same members, in the same order, on any photos."""

    def __call__(self, members: MemberProbabilities) -> FloatArray:
        """Combines probabilities.

        Args:
            members: Probabilities (photos, classes) of each member.

        Returns:
            Probabilities (photos, classes), rows summing to 1.
        """
        ...


class EnsembleFitter(Protocol):
    """Fits a combination of members to out-of-fold tables."""

    @property
    def uses_labels(self) -> bool:
        """Whether a fit uses the labels, and so must be scored on other persons."""
        ...

    def fit(self, members: FloatArray, truth: IntArray, schema: LabelSchema) -> FittedEnsemble:
        """Fits the combination.

        Args:
            members: Out-of-fold probabilities (members, photos, classes).
            truth: (photos,) class indices, all known.
            schema: The scored schema.

        Returns:
            The fitted ensemble.
        """
        ...


@dataclass(frozen=True)
class Weights:
    """The weighted mean of the members, which most fitters return.

    Attributes:
        weights: One for each member, summing to 1.
    """

    weights: tuple[float, ...]

    def __call__(self, members: MemberProbabilities) -> FloatArray:
        """Combines probabilities.

        Args:
            members: Probabilities (photos, classes) of each member.

        Returns:
            Probabilities (photos, classes), rows summing to 1.
        """
        return combine("weighted", members, weights=self.weights)


@dataclass(frozen=True)
class SingleBest:
    """Selects the single member with the best macro F1; of equal ones the first."""

    uses_labels = True

    def fit(self, members: FloatArray, truth: IntArray, schema: LabelSchema) -> Weights:
        """Gives all weight to one member.

        Args:
            members: Out-of-fold probabilities (members, photos, classes).
            truth: (photos,) class indices, all known.
            schema: Not used.

        Returns:
            The weights.
        """
        scores = member_scores(list(members), truth)
        return Weights(tuple(float(index == int(np.argmax(scores))) for index in range(len(members))))


@dataclass(frozen=True)
class ScoreWeighted:
    """Weights each member by its own macro F1 on held-out photos (the weighted mean of iloveslowfood)."""

    uses_labels = True

    def fit(self, members: FloatArray, truth: IntArray, schema: LabelSchema) -> Weights:
        """Sets weights in proportion to the scores; equal ones where no member is ever right.

        Args:
            members: Out-of-fold probabilities (members, photos, classes).
            truth: (photos,) class indices, all known.
            schema: Not used.

        Returns:
            The weights.
        """
        scores = np.array(member_scores(list(members), truth), dtype=np.float64)
        scores = scores if scores.sum() > 0 else np.ones(len(members))
        return Weights(tuple((scores / scores.sum()).tolist()))


@dataclass(frozen=True)
class GreedySelection:
    """Greedy forward selection with replacement (Caruana et al. 2004, "Ensemble selection from libraries of models").

    Starting from the best single member, each round adds the member that raises the macro F1 of the mean most, which
    may be one that was added before; the weights are how often each was added up to the best round.

    Args:
        rounds: Maximum rounds, >= 1.
        patience: Rounds without a better score after which to stop, >= 1.
        num_bags: Repetitions, >= 1, each among a random subset of the members; the weights are averaged.
        bag_fraction: Fraction of the members in a bag, in (0, 1], where there are several bags.
        seed: Seed of the subsets.
    """

    uses_labels = True

    rounds: int = 50
    patience: int = 5
    num_bags: int = 1
    bag_fraction: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.patience < 1 or self.num_bags < 1:
            raise ValueError(
                f"rounds, patience and num_bags must be >= 1, got {self.rounds}, {self.patience} and {self.num_bags}"
            )
        if not 0 < self.bag_fraction <= 1:
            raise ValueError(f"bag_fraction must be in (0, 1], got {self.bag_fraction}")

    def fit(self, members: FloatArray, truth: IntArray, schema: LabelSchema) -> Weights:
        """Counts how often each member is selected.

        Args:
            members: Out-of-fold probabilities (members, photos, classes).
            truth: (photos,) class indices, all known.
            schema: Not used.

        Returns:
            The weights.
        """
        count = len(members)
        if self.num_bags == 1:
            return Weights(tuple(self._select(members, truth, np.arange(count)).tolist()))
        generator = np.random.default_rng(self.seed)
        # One member alone leaves nothing to select, so a bag has two wherever there are two.
        size = min(count, max(2, round(self.bag_fraction * count)))
        bags = [np.sort(generator.permutation(count)[:size]) for _ in range(self.num_bags)]
        mean = np.mean([self._select(members, truth, bag) for bag in bags], axis=0)
        return Weights(tuple(mean.tolist()))

    def _select(self, members: FloatArray, truth: IntArray, allowed: IntArray) -> FloatArray:
        """The weights (members,) of one selection among the members at `allowed`."""
        macro_f1 = _MacroF1(truth, members.shape[2])
        singles = [macro_f1(members[index]) for index in allowed]
        selected = [int(allowed[int(np.argmax(singles))])]
        total = members[selected[0]].copy()
        best, length = max(singles), 1
        for _ in range(self.rounds):
            scores = [macro_f1(total + members[index]) for index in allowed]
            selected.append(int(allowed[int(np.argmax(scores))]))
            total += members[selected[-1]]
            if max(scores) > best:
                best, length = max(scores), len(selected)
            if len(selected) - length >= self.patience:
                break
        return np.bincount(selected[:length], minlength=len(members)) / length


def member_scores(members: MemberProbabilities, truth: IntArray) -> list[float]:
    """Computes each member's macro F1.

    Args:
        members: Probabilities (photos, classes) of each.
        truth: (photos,) class indices, all known.

    Returns:
        One score for each member.
    """
    return [_MacroF1(truth, member.shape[1])(member) for member in members]


def assign_nested_folds(
    persons: Sequence[str], truth: IntArray, schema: LabelSchema, *, count: int = 5, seed: int = 0
) -> IntArray:
    """Assigns photos to nested folds, all photos of a person to one, stratified by the persons' labels.

    Args:
        persons: (photos,) the person on each photo.
        truth: (photos,) class indices, `UNKNOWN` where there is no label.
        schema: The scored schema; its attributes are stratified.
        count: Number of folds, >= 2; fewer where there are fewer persons.
        seed: Selects one of the equally good splits.

    Returns:
        (photos,) the fold of each photo.

    Raises:
        DataError: There are fewer than two persons, or folds.
    """
    num_persons = len(set(persons))
    if count < 2 or num_persons < 2:
        raise DataError(
            f"a learned vote cannot be scored on {format_count(num_persons, 'person')} in "
            f"{format_count(count, 'fold')}",
            hint="score the photos of two persons or more, in two folds or more",
        )
    indices = schema.to_attribute_indices(truth)
    photos = tuple(
        Photo(Path(str(index)), str(index), person, _labels(schema, indices[index]))
        for index, person in enumerate(persons)
    )
    folds = make_person_splits(PhotoDataset(Path(), photos), schema, min(count, num_persons), seed=seed)
    return np.array([folds.fold_of_person[person] for person in persons], dtype=np.int64)


def nested_cv_predict(
    fitter: EnsembleFitter, members: FloatArray, truth: IntArray, schema: LabelSchema, folds: IntArray
) -> FloatArray:
    """Predicts each photo with a fit that did not see its person.

    Args:
        fitter: What to fit.
        members: Out-of-fold probabilities (members, photos, classes).
        truth: (photos,) class indices; photos with `UNKNOWN` are predicted and not fitted on.
        schema: The scored schema.
        folds: (photos,) from `assign_nested_folds`.

    Returns:
        Probabilities (photos, classes).

    Raises:
        DataError: Outside of a fold no photo has a label.
    """
    probabilities = np.empty(members.shape[1:])
    for fold in np.unique(folds):
        inside = folds == fold
        fitted = fit_known(fitter, members[:, ~inside], truth[~inside], schema)
        probabilities[inside] = fitted(list(members[:, inside]))
    return probabilities


def fit_known(fitter: EnsembleFitter, members: FloatArray, truth: IntArray, schema: LabelSchema) -> FittedEnsemble:
    """Fits on the photos that have a label.

    Args:
        fitter: What to fit.
        members: Out-of-fold probabilities (members, photos, classes).
        truth: (photos,) class indices, or `UNKNOWN`.
        schema: The scored schema.

    Returns:
        The fitted ensemble.

    Raises:
        DataError: There is none.
    """
    known = truth != UNKNOWN
    if not known.any():
        raise DataError("no photo has a label, so nothing can be fitted", hint="give tables with labels")
    return fitter.fit(members[:, known], truth[known], schema)


class _MacroF1:
    """Macro F1 of the most probable classes; faster than `metrics`, as a selection calls it often."""

    def __init__(self, truth: IntArray, num_classes: int) -> None:
        self.truth = truth
        self.num_classes = num_classes
        self.support = np.bincount(truth, minlength=num_classes).astype(np.float64)

    def __call__(self, scores: NDArray[np.floating]) -> float:
        predictions = scores.argmax(axis=1)
        hits = np.bincount(self.truth[predictions == self.truth], minlength=self.num_classes).astype(np.float64)
        predicted = np.bincount(predictions, minlength=self.num_classes).astype(np.float64)
        return float(ClassCounts(hits, self.support, predicted).macro_f1())


def _labels(schema: LabelSchema, indices: IntArray) -> dict[str, str | float]:
    pairs = zip(schema.attributes, indices, strict=True)
    return {attribute.name: attribute.values[code] for attribute, code in pairs if code != UNKNOWN}

"""Learned ensembles: how much each member counts is fitted on out-of-fold tables, and judged on persons it never saw.

A fit looks at the truth, so its score on the rows it was fitted on is flattery. `nested` deals the persons to folds
anew, fits on all folds but one and answers for that one; what is scored then is a table in which every row comes from a
fit without its person. The best single member is chosen the same way, so that a gain over it is a gain.
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


class FittedEnsemble(Protocol):
    """Combines the same members, in the same order, on any photos."""

    def __call__(self, members: MemberProbabilities) -> FloatArray:
        """Probabilities (photos, classes) of each member to those of all together, rows summing to 1."""
        ...


class EnsembleFitter(Protocol):
    """Fits a combination of members to out-of-fold tables."""

    @property
    def uses_labels(self) -> bool:
        """Whether a fit looks at the truth, and so must be judged on other persons."""
        ...

    def fit(self, members: FloatArray, truth: IntArray, scheme: LabelSchema) -> FittedEnsemble:
        """Fits.

        Args:
            members: Out-of-fold probabilities (members, photos, classes).
            truth: (photos,) class numbers, all known.
            scheme: The official scheme.
        """
        ...


@dataclass(frozen=True)
class Weights:
    """The mean of the members by weights; fitted by most learners.

    Attributes:
        shares: One for each member, summing to 1.
    """

    weights: tuple[float, ...]

    def __call__(self, members: MemberProbabilities) -> FloatArray:
        return combine("weighted", members, weights=self.weights)


@dataclass(frozen=True)
class SingleBest:
    """The single member with the best macro F1; of equal ones the first."""

    uses_labels = True

    def fit(self, members: FloatArray, truth: IntArray, scheme: LabelSchema) -> Weights:
        """All weight on one member."""
        scores = member_scores(list(members), truth)
        return Weights(tuple(float(place == int(np.argmax(scores))) for place in range(len(members))))


@dataclass(frozen=True)
class ScoreWeighted:
    """Each member by its own macro F1 on held-out photos (seed s1's weighted mean)."""

    uses_labels = True

    def fit(self, members: FloatArray, truth: IntArray, scheme: LabelSchema) -> Weights:
        """Weights in the ratio of the scores; equal ones where no member is ever right."""
        scores = np.array(member_scores(list(members), truth), dtype=np.float64)
        scores = scores if scores.sum() > 0 else np.ones(len(members))
        return Weights(tuple((scores / scores.sum()).tolist()))


@dataclass(frozen=True)
class GreedySelection:
    """Forward selection with replacement (Caruana et al. 2004, Ensemble selection from libraries of models).

    From the best single member on, each round adds the member whose probabilities lift macro F1 of the mean most, one
    already chosen included; the weights are how often each was chosen up to the best round.

    Args:
        rounds: How many members are added at most.
        patience: Rounds without a better score after which to stop.
        bags: How often the selection is made, each time among a random part of the members; the weights are the mean.
        part: The share of members in a bag, where there are several bags.
        seed: Says which parts.
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
                f"rounds={self.rounds}, patience={self.patience} and bags={self.num_bags} must be 1 or more"
            )
        if not 0 < self.bag_fraction <= 1:
            raise ValueError(f"part={self.bag_fraction} must lie in (0, 1]")

    def fit(self, members: FloatArray, truth: IntArray, scheme: LabelSchema) -> Weights:
        """How often each member was chosen, as shares."""
        count = len(members)
        if self.num_bags == 1:
            return Weights(tuple(self._select(members, truth, np.arange(count)).tolist()))
        generator = np.random.default_rng(self.seed)
        # One member alone is no choice; so a bag holds two wherever there are two.
        size = min(count, max(2, round(self.bag_fraction * count)))
        parts = [np.sort(generator.permutation(count)[:size]) for _ in range(self.num_bags)]
        mean = np.mean([self._select(members, truth, part) for part in parts], axis=0)
        return Weights(tuple(mean.tolist()))

    def _select(self, members: FloatArray, truth: IntArray, allowed: IntArray) -> FloatArray:
        """The shares (members,) of one selection among the members at `allowed`."""
        measure = _Measure(truth, members.shape[2])
        singles = [measure(members[place]) for place in allowed]
        chosen = [int(allowed[int(np.argmax(singles))])]
        total = members[chosen[0]].copy()
        best, length = max(singles), 1
        for _ in range(self.rounds):
            scores = [measure(total + members[place]) for place in allowed]
            chosen.append(int(allowed[int(np.argmax(scores))]))
            total += members[chosen[-1]]
            if max(scores) > best:
                best, length = max(scores), len(chosen)
            if len(chosen) - length >= self.patience:
                break
        return np.bincount(chosen[:length], minlength=len(members)) / length


def member_scores(members: MemberProbabilities, truth: IntArray) -> list[float]:
    """Each member's macro F1.

    Args:
        members: Probabilities (photos, classes) of each.
        truth: (photos,) class numbers, all known.
    """
    return [_Measure(truth, member.shape[1])(member) for member in members]


def assign_nested_folds(
    persons: Sequence[str], truth: IntArray, scheme: LabelSchema, *, count: int = 5, seed: int = 0
) -> IntArray:
    """The nested fold of each photo, shape (photos,): all photos of a person have one, each kind of person is in all.

    Args:
        persons: (photos,) who is on each photo.
        truth: (photos,) class numbers, `UNKNOWN` where nobody wrote them down.
        scheme: The official scheme; its attributes make the kinds.
        count: How many folds; fewer where there are fewer persons.
        seed: Says which of the equally good splits it is.

    Raises:
        DataError: There are fewer than two persons, or folds.
    """
    people = len(set(persons))
    if count < 2 or people < 2:
        raise DataError(
            f"{people} persons in {count} folds leave nobody to judge a learned vote on",
            hint="score the photos of two persons or more, in two folds or more",
        )
    codes = scheme.to_attribute_indices(truth)
    photos = tuple(
        Photo(Path(str(place)), str(place), person, _labels(scheme, codes[place]))
        for place, person in enumerate(persons)
    )
    folds = make_person_splits(PhotoDataset(Path(), photos), scheme, min(count, people), seed=seed)
    return np.array([folds.fold_of_person[person] for person in persons], dtype=np.int64)


def nested_cv_predict(
    learner: EnsembleFitter, members: FloatArray, truth: IntArray, scheme: LabelSchema, folds: IntArray
) -> FloatArray:
    """Probabilities (photos, classes), each row combined by a fit that never saw its person.

    Args:
        learner: What to fit.
        members: Out-of-fold probabilities (members, photos, classes).
        truth: (photos,) class numbers; photos with `UNKNOWN` are answered and not fitted on.
        scheme: The official scheme.
        folds: (photos,) from `deal_persons`.

    Raises:
        DataError: Outside of a fold no photo has a known truth.
    """
    answers = np.empty(members.shape[1:])
    for fold in np.unique(folds):
        inside = folds == fold
        fitted = fit_known(learner, members[:, ~inside], truth[~inside], scheme)
        answers[inside] = fitted(list(members[:, inside]))
    return answers


def fit_known(learner: EnsembleFitter, members: FloatArray, truth: IntArray, scheme: LabelSchema) -> FittedEnsemble:
    """Fits on the photos whose truth is known.

    Raises:
        DataError: There is none.
    """
    known = truth != UNKNOWN
    if not known.any():
        raise DataError("no photo has a known truth, so nothing can be fitted", hint="give tables with truth")
    return learner.fit(members[:, known], truth[known], scheme)


class _Measure:
    """Macro F1 of the most probable classes; `metrics` in short, since a selection asks thousands of times."""

    def __init__(self, truth: IntArray, classes: int) -> None:
        self.truth = truth
        self.classes = classes
        self.support = np.bincount(truth, minlength=classes).astype(np.float64)

    def __call__(self, scores: NDArray[np.floating]) -> float:
        answers = scores.argmax(axis=1)
        hits = np.bincount(self.truth[answers == self.truth], minlength=self.classes).astype(np.float64)
        answered = np.bincount(answers, minlength=self.classes).astype(np.float64)
        return float(ClassCounts(hits, self.support, answered).macro_f1())


def _labels(scheme: LabelSchema, codes: IntArray) -> dict[str, str | float]:
    pairs = zip(scheme.attributes, codes, strict=True)
    return {attribute.name: attribute.values[code] for attribute, code in pairs if code != UNKNOWN}

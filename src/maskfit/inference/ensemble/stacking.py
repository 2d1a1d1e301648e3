"""Stacking: a regression that reads the members' probabilities as its features, fitted to out-of-fold tables."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError, MissingExtraError
from maskfit.evaluation.probability_table import check_probabilities
from maskfit.inference.ensemble.voting import MemberProbabilities
from maskfit.labels.schema import FloatArray, IntArray, LabelSchema, softmax

MIN_PROBABILITY = 1e-6
"""The least probability that stacking sees; below it a logarithm says how sure a member is, and little else."""


@dataclass(frozen=True)
class StackingFitter:
    """Stacking: multinomial logistic regression on the members' log-probabilities (Wolpert 1992; seed s2 wanted it).

    Args:
        strength: Of the L2 penalty, against the mean loss of a photo; the larger, the closer to no opinion. It is
            1 / (C x photos) in scikit-learn's terms, so that it means the same for few photos and many.
        steps: How many steps the solver may make.
    """

    uses_labels = True

    C: float = 0.01
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.C <= 0 or self.steps < 1:
            raise ValueError(f"strength={self.C} must be above 0 and steps={self.steps} 1 or more")

    def fit(self, members: FloatArray, truth: IntArray, scheme: LabelSchema) -> StackedEnsemble:
        """The regression.

        Raises:
            DataError: All photos are of one class.
            MissingExtraError: scikit-learn is not installed.
        """
        try:
            from sklearn.exceptions import ConvergenceWarning
            from sklearn.linear_model import LogisticRegression
            from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
        except ImportError:
            raise MissingExtraError("the vote 'stack'", "train") from None
        if len(np.unique(truth)) < 2:
            raise DataError("all photos are of one class, so there is nothing to stack for", hint="use another vote")
        model = LogisticRegression(C=1 / (self.C * len(truth)), max_iter=self.steps, tol=1e-3)
        # Matrices this small gain nothing from a second thread; beside other work they wait for it ten times as long.
        with warnings.catch_warnings(), threadpool_limits(limits=1):
            # Stopped a little early, it is a fit all the same; how good it is, the nested score says.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(_features(members), truth)
        slopes, offsets = model.coef_, model.intercept_
        if len(slopes) == 1:
            # Of two classes scikit-learn fits the second against the first.
            slopes, offsets = np.vstack([0 * slopes, slopes]), np.append(0.0, offsets)
        # A class that was never seen gets no share, rather than the share of an opinion nobody has.
        every = np.full(members.shape[2], -np.inf)
        every[model.classes_] = offsets
        wide = np.zeros((members.shape[2], slopes.shape[1]))
        wide[model.classes_] = slopes
        return StackedEnsemble(wide, every)


@dataclass(frozen=True, eq=False)
class StackedEnsemble:
    """A fitted `Stack`.

    Attributes:
        slopes: (classes, members * classes).
        offsets: (classes,); minus infinity for a class that was never seen.
    """

    coefficients: FloatArray
    intercepts: FloatArray

    def __call__(self, members: MemberProbabilities) -> FloatArray:
        rows = [check_probabilities(member, f"member {number}") for number, member in enumerate(members)]
        features = _features(np.stack(rows))
        if features.shape[1] != self.coefficients.shape[1]:
            raise DataError(
                f"{features.shape[1]} probabilities for each photo, but the fit is on {self.coefficients.shape[1]}",
                hint="give the members that were fitted, in their order",
            )
        return softmax(features @ self.coefficients.T + self.intercepts)


def _features(members: NDArray[np.floating]) -> FloatArray:
    """The members' log-probabilities side by side, (photos, members * classes)."""
    logs = np.log(np.maximum(members, MIN_PROBABILITY))
    return np.asarray(logs.transpose(1, 0, 2).reshape(members.shape[1], -1))

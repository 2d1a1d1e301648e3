"""Stacking: a logistic regression on the members' log-probabilities, fitted to out-of-fold predictions."""

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
"""Lower bound of the probabilities; below it a logarithm mostly tells how overconfident a member is."""


@dataclass(frozen=True)
class StackingFitter:
    """Multinomial logistic regression on the members' log-probabilities (Wolpert 1992, as planned in nlp09).

    Args:
        l2: Strength of the L2 penalty relative to the mean loss of a photo, > 0. In scikit-learn's terms it is
            1 / (C * photos), so that it means the same for few photos and many.
        steps: Maximum iterations of the solver, >= 1.
    """

    uses_labels = True

    l2: float = 0.01
    steps: int = 1000

    def __post_init__(self) -> None:
        if self.l2 <= 0 or self.steps < 1:
            raise ValueError(f"l2 must be > 0 and steps >= 1, got {self.l2} and {self.steps}")

    def fit(self, members: FloatArray, truth: IntArray, schema: LabelSchema) -> StackedEnsemble:
        """Fits the regression.

        Args:
            members: Out-of-fold probabilities (members, photos, classes).
            truth: (photos,) class indices, all known.
            schema: Not used.

        Returns:
            The fitted ensemble.

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
            raise DataError("all photos are of one class, so stacking has nothing to fit", hint="use another vote")
        model = LogisticRegression(C=1 / (self.l2 * len(truth)), max_iter=self.steps, tol=1e-3)
        # Matrices this small gain nothing from a second thread; with other load they wait for it ten times as long.
        with warnings.catch_warnings(), threadpool_limits(limits=1):
            # Stopped a little early it is still a fit; the nested score tells how good.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(_features(members), truth)
        coefficients, intercepts = model.coef_, model.intercept_
        if len(coefficients) == 1:
            # For two classes scikit-learn fits the second against the first.
            coefficients = np.vstack([0 * coefficients, coefficients])
            intercepts = np.append(0.0, intercepts)
        # A class without photos gets the probability 0.
        all_intercepts = np.full(members.shape[2], -np.inf)
        all_intercepts[model.classes_] = intercepts
        all_coefficients = np.zeros((members.shape[2], coefficients.shape[1]))
        all_coefficients[model.classes_] = coefficients
        return StackedEnsemble(all_coefficients, all_intercepts)


@dataclass(frozen=True, eq=False)
class StackedEnsemble:
    """A fitted `StackingFitter`.

    Attributes:
        coefficients: (classes, members * classes).
        intercepts: (classes,); minus infinity for a class without photos.
    """

    coefficients: FloatArray
    intercepts: FloatArray

    def __call__(self, members: MemberProbabilities) -> FloatArray:
        """Combines probabilities.

        Args:
            members: Probabilities (photos, classes) of each member.

        Returns:
            Probabilities (photos, classes), rows summing to 1.

        Raises:
            DataError: The number of members differs from the fit.
        """
        rows = [check_probabilities(member, f"member {number}") for number, member in enumerate(members)]
        features = _features(np.stack(rows))
        if features.shape[1] != self.coefficients.shape[1]:
            raise DataError(
                f"{features.shape[1]} probabilities for each photo, but the fit is on {self.coefficients.shape[1]}",
                hint="give the members that were fitted, in their order",
            )
        return softmax(features @ self.coefficients.T + self.intercepts)


def _features(members: NDArray[np.floating]) -> FloatArray:
    """The members' log-probabilities, (photos, members * classes)."""
    logs = np.log(np.maximum(members, MIN_PROBABILITY))
    return np.asarray(logs.transpose(1, 0, 2).reshape(members.shape[1], -1))

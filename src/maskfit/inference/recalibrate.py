"""Recalibration of a run: other abstention thresholds, or a run from before there were thresholds or decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from maskfit.calibration import MIN_RELIABLE_PERSONS, Calibration, Objective
from maskfit.errors import RunError
from maskfit.evaluation.calibration import DEFAULT_ABSTAIN_BELOW, AbstentionThreshold, fit_calibration
from maskfit.evaluation.fit_decisions import DecisionFit, fit_run_decisions, kept_decisions
from maskfit.evaluation.probability_table import concat_tables, read_table
from maskfit.inference.ensemble.inputs import load_aligned_tables
from maskfit.labels.schema import JOINT_HEAD
from maskfit.model_file import read_model_metadata, update_model_metadata
from maskfit.run_dir import RunDir


@dataclass(frozen=True)
class KeptThreshold:
    """A threshold that was not lowered, because too few persons were predicted to say that it may be.

    Attributes:
        probability: The threshold that the model had, and keeps.
        fitted: The lower one that was fitted.
        persons: Number of persons that it was fitted on.
        persons_needed: Number of persons from which on it would have been lowered; None for an accuracy of 1, which no
            number shows.
    """

    probability: float
    fitted: float
    persons: int
    persons_needed: int | None

    def to_dict(self) -> dict[str, float | int | None]:
        """Returns the values for JSON."""
        return {
            "probability": self.probability,
            "fitted": self.fitted,
            "persons": self.persons,
            "persons_needed": self.persons_needed,
        }


@dataclass(frozen=True)
class RecalibrationResult:
    """The new calibration of a run.

    Attributes:
        calibration: The calibration, the same in every model.
        thresholds: By attribute, how the fitted thresholds hold on other persons.
        models: The files that were changed.
        decisions: Decision weights by objective, also those that are not kept.
        kept: By attribute, thresholds that were not lowered for lack of persons.
    """

    calibration: Calibration
    thresholds: dict[str, AbstentionThreshold]
    models: tuple[Path, ...]
    decisions: dict[Objective, DecisionFit] = field(default_factory=dict)
    kept: dict[str, KeptThreshold] = field(default_factory=dict)


def recalibrate(
    run: RunDir,
    *,
    accuracy: Mapping[str, float] | None = None,
    coverage: Mapping[str, float] | None = None,
    threshold: Mapping[str, float] | None = None,
) -> RecalibrationResult:
    """Fits temperatures, thresholds and decision weights of a run, and writes them into its models.

    The folds' own tables, which hold uncalibrated probabilities, stay as they are; the run's table is written again.
    Photos of which only some attributes are known are left out; training itself uses them. With too few persons a
    target does not lower a threshold; see `keep_thresholds`.

    Args:
        run: A run with a finished fold.
        accuracy: As for `fit_calibration`.
        coverage: As for `fit_calibration`.
        threshold: As for `fit_calibration`.

    Returns:
        The calibration and the changed files.

    Raises:
        RunError: No fold is finished, or the persons on the photos are not known.
        DataError: A fraction is out of range, or an attribute is unknown.
    """
    finished = [run.fold(number) for number in run.fold_numbers() if run.fold(number).done]
    metadata = read_model_metadata(run.models()[0])
    schema = metadata.label_schema.scored_schema()
    table = concat_tables([read_table(fold.probabilities, schema.num_classes) for fold in finished])
    if table.truth is None:
        raise RunError("this run's tables have no labels", location=run.path, hint="train it again")
    persons, joint = _find_persons(run, table.names), metadata.heads == (JOINT_HEAD,)
    calibration, thresholds = fit_calibration(
        table, schema, persons, joint=joint, accuracy=accuracy, coverage=coverage, below=threshold
    )
    former = metadata.calibration.abstain_below
    kept = keep_thresholds(former, thresholds, calibration.persons, accuracy or {})
    below = calibration.abstain_below | {name: item.probability for name, item in kept.items()}
    codes = schema.to_attribute_indices(table.truth)
    decisions = fit_run_decisions(table, schema, persons, codes, joint=joint)
    calibration = calibration.model_copy(
        update={
            "abstain_below": below,
            "decisions": kept_decisions(decisions),
            "ages": metadata.calibration.ages,
        }
    )
    models = tuple(path for fold in finished for path in sorted(fold.path.glob("*.safetensors")))
    for path in models:
        own = read_model_metadata(path)
        update_model_metadata(path, own.model_copy(update={"calibration": calibration}))
    replace(table, probabilities=calibration.apply_temperature(schema, table.probabilities)).write(
        run.oof_probabilities
    )
    return RecalibrationResult(calibration, thresholds, models, decisions, kept)


def keep_thresholds(
    former: Mapping[str, float], fitted: Mapping[str, AbstentionThreshold], persons: int, accuracy: Mapping[str, float]
) -> dict[str, KeptThreshold]:
    """Finds the thresholds that must not be lowered, because too few persons were predicted.

    A few persons who are all predicted correctly reach any accuracy without a threshold, and the model would never be
    "not sure" again. A target accuracy lowers a threshold only where at least one person in error is expected at that
    accuracy: from 1 / (1 - accuracy) persons on, 20 for 0.95, and never from fewer than `MIN_RELIABLE_PERSONS`. A
    threshold may always be raised.

    Args:
        former: Attribute to the threshold that the model has.
        fitted: Attribute to the fitted threshold.
        persons: Number of persons that these were fitted on.
        accuracy: Attribute to the target accuracy, of those that have one.

    Returns:
        The thresholds to keep, by attribute.
    """
    kept = {}
    for name, item in fitted.items():
        before, target = former.get(name, DEFAULT_ABSTAIN_BELOW), accuracy.get(name, 0.0)
        # 1e-9: 1 / (1 - 0.95) is a little more than 20 in floating point.
        needed = None if target >= 1 else max(MIN_RELIABLE_PERSONS, math.ceil(1 / (1 - target) - 1e-9))
        if item.probability < before and (needed is None or persons < needed):
            kept[name] = KeptThreshold(before, item.probability, persons, needed)
    return kept


def _find_persons(run: RunDir, photos: tuple[str, ...]) -> list[str]:
    """The person on each photo."""
    known = load_aligned_tables([run.path])
    if known.persons is None:
        raise RunError("the persons on this run's photos are not known", location=run.path, hint="train it again")
    person_of = dict(zip(known.photos, known.persons, strict=True))
    return [person_of[photo] for photo in photos]

"""Calibrates a run on its out-of-fold predictions and writes calibration and model card into its model files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from maskfit.calibration import AgeCalibration, Calibration, Objective
from maskfit.evaluation.ages import build_ages, fit_ages
from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.calibration import fit_calibration
from maskfit.evaluation.fit_decisions import DecisionFit, fit_run_decisions, kept_decisions
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.scores import Scores
from maskfit.labels.age_distribution import AgeTable, find_age_attribute
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, FloatArray
from maskfit.model_card import ModelCard, Score
from maskfit.model_file import read_model_metadata, update_model_metadata
from maskfit.run_dir import FoldDir
from maskfit.training.plan import TrainingPlan

NUM_WORST_CLASSES = 5
"""Number of classes with the lowest F1 that a model card names."""


@dataclass(frozen=True, eq=False)
class CalibratedRun:
    """The calibration of a run.

    Attributes:
        calibration: Temperatures, thresholds and the decision weights that are kept.
        table: Out-of-fold probabilities after temperature scaling; decision weights do not change them.
        decisions: Every fit of decision weights, also of those that are not kept.
        ages: Out-of-fold ages in years; None without narrow age bands or known ages.
    """

    calibration: Calibration
    table: ProbabilityTable
    decisions: dict[Objective, DecisionFit]
    ages: AgeTable | None = None


def calibrate_run(
    plan: TrainingPlan, table: ProbabilityTable, age_bands: ProbabilityTable | None = None
) -> CalibratedRun:
    """Fits the calibration of a run and applies it to the out-of-fold probabilities.

    The temperatures are fitted to the same photos that they are then applied to. They are one number per attribute, so
    that this does not bias comparisons between runs; the report measures the calibration on other persons.

    Args:
        plan: The recipe on its data.
        table: Out-of-fold probabilities, uncalibrated.
        age_bands: Out-of-fold probabilities of the narrow age bands, of the same photos; None without such bands.

    Returns:
        The calibration, the calibrated probabilities, the decisions and the ages.
    """
    indices = plan.indices_of(table.names)
    persons = [plan.photos[index].person for index in indices]
    joint = plan.heads == (JOINT_HEAD,)
    schema, codes = plan.scored_schema, plan.targets[indices]
    calibration, _ = fit_calibration(table, schema, persons, codes, joint=joint)
    decisions = fit_run_decisions(table, schema, persons, codes, joint=joint)
    calibrated = replace(table, probabilities=calibration.apply_temperature(schema, table.probabilities))
    fitted, ages = None, None
    if age_bands is not None:
        narrow = age_bands.reindex(table.names).probabilities
        fitted, ages = _fit_ages(plan, narrow, calibrated, plan.ages[indices], persons)
    return CalibratedRun(
        calibration.model_copy(update={"decisions": kept_decisions(decisions), "ages": fitted}),
        calibrated,
        decisions,
        ages,
    )


def _fit_ages(
    plan: TrainingPlan, narrow: FloatArray, calibrated: ProbabilityTable, years: FloatArray, persons: list[str]
) -> tuple[AgeCalibration | None, AgeTable | None]:
    """The calibration of ages and the photos' ages; None where there is no attribute of years or no known age."""
    trained, scored = find_age_attribute(plan.train_schema), find_age_attribute(plan.scored_schema)
    if trained is None or scored is None:
        return None, None
    bands = plan.scored_schema.marginals(calibrated.probabilities)[scored.name]
    fitted = fit_ages(trained, narrow, scored.bin_edges, bands, years, persons)
    if fitted is None:
        return None, None
    return fitted, build_ages(trained, narrow, scored.bin_edges, bands, fitted)


def write_model_cards(plan: TrainingPlan, folder: FoldDir, fold: int, scores: Scores, calibration: Calibration) -> None:
    """Writes model card and calibration into every model file of a fold.

    Args:
        plan: The recipe on its data.
        folder: The fold's folder.
        fold: The fold, from 0.
        scores: Scores of the run's out-of-fold predictions.
        calibration: The run's calibration.
    """
    card = _build_card(plan, fold, scores)
    for path in sorted(folder.path.glob("*.safetensors")):
        metadata = read_model_metadata(path)
        update_model_metadata(path, metadata.model_copy(update={"card": card, "calibration": calibration}))


def _build_card(plan: TrainingPlan, fold: int, scores: Scores) -> ModelCard:
    train, _ = plan.split(fold)
    # A photo with a repeat count is still one photo.
    indices = np.unique(train)
    codes = plan.targets[indices]
    counts = {}
    for attribute, column in zip(plan.scored_schema.attributes, codes.T, strict=True):
        counter = Counter(column[column != UNKNOWN].tolist())
        counts[attribute.name] = {value: counter[code] for code, value in enumerate(attribute.values)}
    texts = plan.recipe.card
    return ModelCard(
        photos=len(indices),
        persons=len({plan.photos[int(index)].person for index in indices}),
        counts=counts,
        n_eval_photos=scores.photos,
        n_eval_persons=_count_eval_persons(plan),
        scores=card_scores(scores),
        worst_groups=worst_classes(scores),
        training_data=texts.training_data,
        license=texts.license,
        intended_use=texts.intended_use,
    )


def _count_eval_persons(plan: TrainingPlan) -> int:
    held_out = [plan.split(fold)[1] for fold in plan.fold_numbers()]
    return len({plan.photos[int(index)].person for index in np.concatenate(held_out)})


def card_scores(scores: Scores) -> dict[str, Score]:
    """Returns the scores that a model card names.

    Args:
        scores: Scores of held-out predictions.

    Returns:
        Name to score.
    """
    values: dict[str, tuple[float | None, Interval | None]] = {
        "macro F1": (scores.macro_f1, scores.intervals.get("macro_f1")),
        "accuracy": (scores.accuracy, scores.intervals.get("accuracy")),
    }
    for name, item in scores.per_attribute.items():
        values[f"macro F1 of {name}"] = (item.macro_f1, item.interval)
        values[f"accuracy of {name}"] = (item.accuracy, item.accuracy_interval)
    return {name: _card_score(value, interval) for name, (value, interval) in values.items() if value is not None}


def worst_classes(scores: Scores) -> dict[str, Score]:
    """Returns the classes with the lowest F1, for a model card.

    Args:
        scores: Scores of held-out predictions.

    Returns:
        Class to F1, the lowest first.
    """
    present = [item for item in scores.per_class if item.support]
    worst = sorted(present, key=lambda item: item.f1)[:NUM_WORST_CLASSES]
    return {item.name: _card_score(item.f1, item.interval) for item in worst}


def _card_score(value: float, interval: Interval | None) -> Score:
    return Score(value=value) if interval is None else Score(value=value, low=interval.low, high=interval.high)

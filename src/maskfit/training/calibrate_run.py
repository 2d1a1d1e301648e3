"""What a run's models are told once all folds are judged: how sure they should be, and their card."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from maskfit.calibration import Calibration
from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.calibration import fit_calibration
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.scores import Scores
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN
from maskfit.model_card import ModelCard, Score
from maskfit.model_file import read_model_metadata, update_model_metadata
from maskfit.run_dir import FoldDir
from maskfit.training.plan import TrainingPlan

NUM_WORST_CLASSES = 5
"""Classes that a card names as the ones to trust least."""


def calibrate_run(plan: TrainingPlan, table: ProbabilityTable) -> tuple[Calibration, ProbabilityTable]:
    """The calibration of a run, and its held-out answers as calibrated models give them.

    The temperatures are fitted to the very photos they then temper. They are one number for each attribute, so that
    this flatters nothing that is compared between runs; the report says what they are worth on other persons.

    Args:
        plan: The recipe on its data.
        table: What the folds said of the persons they never saw.
    """
    rows = plan.indices_of(table.names)
    persons = [plan.photos[place].person for place in rows]
    joint = plan.heads == (JOINT_HEAD,)
    calibration, _ = fit_calibration(table, plan.scored_schema, persons, plan.targets()[rows], joint=joint)
    return calibration, replace(
        table, probabilities=calibration.apply_temperature(plan.scored_schema, table.probabilities)
    )


def write_model_cards(plan: TrainingPlan, folder: FoldDir, fold: int, scores: Scores, calibration: Calibration) -> None:
    """Writes card and calibration into every model of a fold.

    Args:
        plan: The recipe on its data.
        folder: The fold's.
        fold: Its number.
        scores: Of all held-out answers of the run.
        calibration: Of the run.
    """
    card = _card(plan, fold, scores)
    for path in sorted(folder.path.glob("*.safetensors")):
        facts = read_model_metadata(path)
        update_model_metadata(path, facts.model_copy(update={"card": card, "calibration": calibration}))


def _card(plan: TrainingPlan, fold: int, scores: Scores) -> ModelCard:
    train, _ = plan.split(fold)
    # One that counts several times is still one photo.
    learnt = [plan.photos[int(place)] for place in np.unique(train)]
    codes = plan.scored_schema.encode_batch([photo.labels for photo in learnt])
    counts = {}
    for attribute, column in zip(plan.scored_schema.attributes, codes.T, strict=True):
        number = Counter(column[column != UNKNOWN].tolist())
        counts[attribute.name] = {value: number[code] for code, value in enumerate(attribute.values)}
    own = plan.recipe.card
    return ModelCard(
        photos=len(learnt),
        persons=len({photo.person for photo in learnt}),
        counts=counts,
        n_eval_photos=scores.photos,
        n_eval_persons=_judged_persons(plan),
        scores=_scores(scores),
        worst_groups=_weakest(scores),
        training_data=own.training_data,
        license=own.license,
        intended_use=own.intended_use,
    )


def _judged_persons(plan: TrainingPlan) -> int:
    held = [plan.split(fold)[1] for fold in plan.fold_numbers()]
    return len({plan.photos[int(place)].person for place in np.concatenate(held)})


def _scores(scores: Scores) -> dict[str, Score]:
    said: dict[str, tuple[float | None, Interval | None]] = {
        "macro F1": (scores.macro_f1, scores.intervals.get("macro_f1")),
        "accuracy": (scores.accuracy, scores.intervals.get("accuracy")),
    }
    for name, own in scores.per_attribute.items():
        said[f"macro F1 of {name}"] = (own.macro_f1, own.interval)
        said[f"accuracy of {name}"] = (own.accuracy, None)
    return {name: _score(value, around) for name, (value, around) in said.items() if value is not None}


def _weakest(scores: Scores) -> dict[str, Score]:
    seen = [own for own in scores.per_class if own.support]
    return {own.name: _score(own.f1, own.interval) for own in sorted(seen, key=lambda own: own.f1)[:NUM_WORST_CLASSES]}


def _score(value: float, around: Interval | None) -> Score:
    return Score(value=value) if around is None else Score(value=value, low=around.low, high=around.high)

"""Calibrating a run anew: other thresholds, or a run from before there were any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from maskfit.calibration import Calibration
from maskfit.errors import RunError
from maskfit.evaluation.calibration import AbstentionThreshold, fit_calibration
from maskfit.evaluation.probability_table import concat_tables, read_table
from maskfit.inference.ensemble.inputs import load_aligned_tables
from maskfit.labels.schema import JOINT_HEAD
from maskfit.model_file import read_model_metadata, update_model_metadata
from maskfit.run_dir import RunDir


@dataclass(frozen=True)
class RecalibrationResult:
    """What a run's models now say.

    Attributes:
        calibration: The same in every model.
        thresholds: By attribute, how thresholds that were fitted hold on other persons.
        models: The files that were changed.
    """

    calibration: Calibration
    thresholds: dict[str, AbstentionThreshold]
    models: tuple[Path, ...]


def recalibrate(
    run: RunDir,
    *,
    accuracy: Mapping[str, float] | None = None,
    keep: Mapping[str, float] | None = None,
    below: Mapping[str, float] | None = None,
) -> RecalibrationResult:
    """Fits a run's calibration to what its folds said of the persons they never saw, and writes it into its models.

    The folds' own tables, which hold what the networks said, stay as they are; the run's table is written anew. Photos
    of which only some attributes are known are passed over; training itself uses them.

    Args:
        run: A run with a fold that is done.
        accuracy, keep, below: As for `fit_calibration`.

    Raises:
        RunError: No fold is done, or who is on the photos is not known.
        DataError: A share cannot be, or an attribute is unknown.
    """
    done = [run.fold(number) for number in run.fold_numbers() if run.fold(number).done]
    facts = read_model_metadata(run.models()[0])
    official = facts.label_schema.scored_schema()
    table = concat_tables([read_table(fold.probabilities, official.num_classes) for fold in done])
    if table.truth is None:
        raise RunError("this run's tables say nothing of the truth", location=run.path, hint="train it anew")
    calibration, thresholds = fit_calibration(
        table,
        official,
        _persons(run, table.names),
        joint=facts.heads == (JOINT_HEAD,),
        accuracy=accuracy,
        coverage=keep,
        below=below,
    )
    models = tuple(path for fold in done for path in sorted(fold.path.glob("*.safetensors")))
    for path in models:
        own = read_model_metadata(path)
        update_model_metadata(path, own.model_copy(update={"calibration": calibration}))
    replace(table, probabilities=calibration.apply_temperature(official, table.probabilities)).write(
        run.oof_probabilities
    )
    return RecalibrationResult(calibration, thresholds, models)


def _persons(run: RunDir, photos: tuple[str, ...]) -> list[str]:
    """Who is on each photo."""
    known = load_aligned_tables([run.path])
    if known.persons is None:
        raise RunError("nobody can tell who is on this run's photos", location=run.path, hint="train it anew")
    of = dict(zip(known.photos, known.persons, strict=True))
    return [of[photo] for photo in photos]

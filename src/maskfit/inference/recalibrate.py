"""Calibrating a run anew: other thresholds, or a run from before there were any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from maskfit.calibration import Calibration
from maskfit.errors import RunError
from maskfit.evaluation.calibrating import fit_calibration
from maskfit.evaluation.calibration import Threshold
from maskfit.evaluation.tables import read_table, stack
from maskfit.inference.sources import open_tables
from maskfit.labels import JOINT
from maskfit.modelfile import read_facts, rewrite_facts
from maskfit.runfolder import RunFolder


@dataclass(frozen=True)
class Recalibrated:
    """What a run's models now say.

    Attributes:
        calibration: The same in every model.
        thresholds: By attribute, how thresholds that were fitted hold on other persons.
        models: The files that were changed.
    """

    calibration: Calibration
    thresholds: dict[str, Threshold]
    models: tuple[Path, ...]


def recalibrate(
    run: RunFolder,
    *,
    accuracy: Mapping[str, float] | None = None,
    keep: Mapping[str, float] | None = None,
    below: Mapping[str, float] | None = None,
) -> Recalibrated:
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
    facts = read_facts(run.models()[0])
    official = facts.scheme.official()
    table = stack([read_table(fold.probabilities, official.classes) for fold in done])
    if table.truth is None:
        raise RunError("this run's tables say nothing of the truth", where=run.path, fix="train it anew")
    calibration, thresholds = fit_calibration(
        table, official, _persons(run, table.names), joint=facts.heads == (JOINT,), accuracy=accuracy, keep=keep,
        below=below,
    )  # fmt: skip
    models = tuple(path for fold in done for path in sorted(fold.path.glob("*.safetensors")))
    for path in models:
        own = read_facts(path)
        rewrite_facts(path, own.model_copy(update={"calibration": calibration}))
    replace(table, probabilities=calibration.temper(official, table.probabilities)).write(run.probabilities)
    return Recalibrated(calibration, thresholds, models)


def _persons(run: RunFolder, photos: tuple[str, ...]) -> list[str]:
    """Who is on each photo."""
    known = open_tables([run.path])
    if known.persons is None:
        raise RunError("nobody can tell who is on this run's photos", where=run.path, fix="train it anew")
    of = dict(zip(known.photos, known.persons, strict=True))
    return [of[photo] for photo in photos]

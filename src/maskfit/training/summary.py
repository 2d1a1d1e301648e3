"""The report that stands at the end of every run."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from maskfit.data.decoding import decode
from maskfit.errors import PhotoError
from maskfit.evaluation.metrics import reliability
from maskfit.evaluation.report import write_report
from maskfit.evaluation.scores import Scores, confusions, score
from maskfit.evaluation.tables import ProbabilityTable
from maskfit.files import read_json
from maskfit.labels import UNKNOWN, Codes, as_number
from maskfit.runfolder import RunFolder
from maskfit.training.plan import Plan

WORST = 24
"""How many of the surest mistakes a report shows."""

THUMBNAIL = (160, 214)
"""Width and height that a shown photo at most has, in pixels."""


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a fold's metrics.csv."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(stream)]


def write_summary(
    plan: Plan,
    folder: RunFolder,
    scores: Scores,
    table: ProbabilityTable,
    histories: Sequence[Sequence[Mapping[str, float]]],
) -> None:
    """Writes a run's report.html.

    Args:
        plan: The recipe on its data.
        folder: Where the report goes.
        scores: Of all held-out answers together.
        table: Those answers.
        histories: The epochs of each fold.
    """
    rows = plan.places(table.names)
    truth = plan.truth()[rows]
    classes = plan.official.to_class(truth)
    name = "out of fold" if plan.folds.count > 1 else "held out"
    write_report(
        folder.report,
        title=f"{plan.recipe.name}: {plan.recipe.about}" if plan.recipe.about else plan.recipe.name,
        scheme=plan.official,
        scores={name: scores, **_fold_scores(plan, table)},
        confusions=confusions(plan.official, truth, table.classes),
        curves=histories,
        facts=_facts(plan, folder),
        calibration=reliability(classes, table.probabilities) if (classes != UNKNOWN).any() else None,
        ages=_ages(plan, rows, truth, table),
        worst=_worst(plan, rows, table),
    )


def _fold_scores(plan: Plan, table: ProbabilityTable) -> dict[str, Scores]:
    """Each fold's own scores, where there are several."""
    if plan.folds.count == 1:
        return {}
    rows = np.array(plan.places(table.names))
    fold_of = np.array([plan.folds.of[plan.photos[int(place)].person] for place in rows])
    return {
        f"fold {number}": score(
            plan.official,
            plan.truth()[rows[fold_of == number]],
            probabilities=table.probabilities[fold_of == number],
        )
        for number in sorted(set(fold_of.tolist()))
    }


def _facts(plan: Plan, folder: RunFolder) -> dict[str, str]:
    recipe = plan.recipe
    environment = read_json(folder.environment)
    height, width = recipe.data.size
    return {
        "data": str(recipe.data.root),
        "photos": f"{len(plan.photos):,} of {len(plan.photos.persons):,} persons",
        "network": f"{recipe.model.backbone.name}, {recipe.model.head.name} head",
        "start weights": Path(recipe.model.weights).name,
        "photo size": f"{height} x {width}",
        "training": f"{recipe.trainer.epochs} epochs of batches of {recipe.trainer.batch_size}",
        "augmentation": recipe.augmentation.name,
        "device": str(environment["device"]),
        "maskfit": str(environment["maskfit"]),
        "began": str(environment["began"]),
        **({"corrections": "; ".join(plan.remarks)} if plan.remarks else {}),
    }


def _ages(plan: Plan, rows: Sequence[int], truth: Codes, table: ProbabilityTable) -> list[tuple[float, int, int]]:
    """(years, photos, photos whose band was answered wrong), for the attribute that is a number."""
    banded = [place for place, attribute in enumerate(plan.official.attributes) if attribute.edges]
    if not banded:
        return []
    name = plan.official.names[banded[0]]
    wrong = plan.official.to_codes(table.classes)[:, banded[0]] != truth[:, banded[0]]
    years = [as_number(plan.photos[place].labels.get(name, "")) for place in rows]
    photos = Counter(year for year in years if year is not None)
    mistakes = Counter(year for year, is_wrong in zip(years, wrong, strict=True) if year is not None and is_wrong)
    return [(year, photos[year], mistakes[year]) for year in sorted(photos)]


def _worst(plan: Plan, rows: Sequence[int], table: ProbabilityTable) -> list[tuple[bytes, str]]:
    """The surest wrong answers: a small picture and both labels. Often it is the label that is wrong."""
    truth = table.truth if table.truth is not None else np.full(len(table), UNKNOWN)
    wrong = np.flatnonzero((truth != UNKNOWN) & (truth != table.classes))
    order = wrong[np.argsort(-table.confidence[wrong], kind="stable")][:WORST]
    shown = []
    for place in order:
        photo = plan.photos[rows[place]]
        said = plan.official.describe(int(table.classes[place]))
        text = (
            f"{said} ({table.confidence[place]:.0%}); label: {plan.official.describe(int(truth[place]))}; {photo.name}"
        )
        picture = _thumbnail(photo.path)
        if picture:
            shown.append((picture, text))
    return shown


def _thumbnail(path: Path) -> bytes:
    """A small JPEG of a photo, nothing where it can no longer be read."""
    try:
        image = Image.fromarray(decode(path))
    except (PhotoError, OSError):
        return b""
    image.thumbnail(THUMBNAIL)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()

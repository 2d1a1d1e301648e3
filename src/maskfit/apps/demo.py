"""The demo: the main job from start to end, on faces that are drawn on the spot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from maskfit.config.loader import read_recipe
from maskfit.data.image_decoding import decode
from maskfit.data.image_lists import read_list
from maskfit.errors import DataError
from maskfit.evaluation.prediction_grid import PredictedPhoto, prediction_grid
from maskfit.evaluation.scores import Scores, score
from maskfit.file_io import atomic_write
from maskfit.inference.predictor import Predictions, Predictor
from maskfit.inference.submission import read_submission, write_submission
from maskfit.run_dir import RunDir
from maskfit.synthesis.drawn import write_eval_set, write_train_set
from maskfit.training.recipe_registry import RECIPE_REGISTRY
from maskfit.training.train import train

NUM_TRAIN_PERSONS = 240
"""Persons to train on: enough for every class, few enough for a minute of training."""
RECIPE_OVERRIDES = ("cv.val_fraction=0.2", "trainer.epochs=12", "data.crop={name: center, scale: 0.75, shift: -0.05}")
"""What of the recipe `fast` fits drawn portraits, in which the face is smaller than in the competition's photos."""
NUM_EVAL_PERSONS = 40
"""Other persons to predict."""
MAX_GRID_PHOTOS = 24
"""Faces on the sheet of answers."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo leaves behind.

    Attributes:
        run: The run folder, with its report.
        held_out: Scores on persons of the training set that were held out.
        strangers: Scores on the evaluation set, whose truth the drawing knows.
        submission: The answers for the evaluation list.
        sheet: A picture of some of them.
        seconds: How long all of it took.
    """

    run: RunDir
    held_out: Scores
    eval_images: Scores
    submission: Path
    prediction_grid: Path
    seconds: float


def run_demo(
    out: Path,
    console: Console,
    *,
    persons: int = NUM_TRAIN_PERSONS,
    strangers: int = NUM_EVAL_PERSONS,
    words: Sequence[str] = (),
) -> DemoResult:
    """Draws two sets of faces, trains, judges, predicts, and pictures the answers.

    Args:
        out: A new or empty folder; everything goes into it.
        console: Where the story is told.
        persons: How many to train on.
        strangers: How many others to predict.
        words: Keys of the recipe to set, as on the command line.

    Raises:
        DataError: `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("this folder is not empty", location=out, hint="name another with --out DIR, or remove it")
    began = time.perf_counter()
    console.print(f"1. drawing {persons} persons to learn from and {strangers} others to be tested on")
    photos = write_train_set(out / "train", persons, seed=0)
    listed = write_eval_set(out / "eval", strangers, seed=1)
    console.print("2. training a small net from nothing, a fifth of the persons held out")
    places = [f"data.path={photos}", f"output_dir={out / 'run'}", f"data.cache_dir={out / 'stores'}"]
    run, held_out = train(read_recipe("fast", [*places, *RECIPE_OVERRIDES, *words], slots=RECIPE_REGISTRY), console=console)
    console.print("3. predicting the evaluation list")
    prediction = Predictor.load(run.path, views="flip").predict(read_list(listed, listed.parent / "images"))
    submission = write_submission(out / "submission.csv", prediction.table.names, prediction.table.predictions)
    truth = read_submission(listed.parent / "truth.csv")
    codes = prediction.scheme.to_attribute_indices([truth[name] for name in prediction.table.names])
    scores = score(prediction.scheme, codes, probabilities=prediction.table.probabilities)
    sheet = _picture(out / "answers.png", prediction, truth, listed.parent / "images")
    return DemoResult(run, held_out, scores, submission, sheet, time.perf_counter() - began)


def _picture(path: Path, prediction: Predictions, truth: dict[str, int], images: Path) -> Path:
    """Faces with their answers, as many from the start of the list as the sheet holds."""
    shown = [
        PredictedPhoto(decode(images / name), words, prediction.scheme.describe(truth[name]), share)
        for name, words, share in list(prediction)[:MAX_GRID_PHOTOS]
    ]
    with atomic_write(path) as temporary:
        prediction_grid(shown, columns=6).save(temporary, "PNG", optimize=True)
    return path

"""End-to-end demo: generates synthetic faces, trains, evaluates, predicts and draws the predictions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from maskfit.config.loader import read_recipe
from maskfit.data.image_decoding import decode
from maskfit.data.image_lists import read_image_list
from maskfit.errors import DataError
from maskfit.evaluation.prediction_grid import PredictedPhoto, prediction_grid
from maskfit.evaluation.scores import Scores, score
from maskfit.file_io import atomic_write, save_image
from maskfit.file_locks import is_occupied
from maskfit.inference.predictor import Predictions, Predictor
from maskfit.inference.submission import read_submission, write_submission
from maskfit.progress_log import log_progress
from maskfit.run_dir import RunDir
from maskfit.synthesis.drawn import write_eval_set, write_train_set
from maskfit.text import format_count
from maskfit.training.recipe_registry import RECIPE_REGISTRY
from maskfit.training.train import train

NUM_TRAIN_PERSONS = 240
"""Persons in the training set: enough for every class, few enough for little more than a minute of training."""

PHOTO_SIZE = (144, 192)
"""Width and height of the drawn photos: what the network sees of a face is smaller still."""

RECIPE_OVERRIDES = (
    "cv.val_fraction=0.2",
    "data.image_size=64",
    "trainer.batch_size=32",
    "optimizer.lr=2e-3",
    "trainer.epochs=14",
    "data.crop={name: center, scale: 0.75, shift: -0.05}",
)
"""Overrides that adapt the recipe `fast` to synthetic portraits, whose faces are smaller than the competition's."""

NUM_EVAL_PERSONS = 40
"""Persons in the evaluation set; none of them is in the training set."""

MAX_GRID_PHOTOS = 24
"""Photos in the picture of the predictions."""


@dataclass(frozen=True)
class DemoResult:
    """Files and scores that the demo produced.

    Attributes:
        run: The run directory, which contains the report.
        held_out: Scores on the persons of the training set that were held out.
        eval_images: Scores on the evaluation set, whose ground truth is known because it is synthetic.
        submission: The CSV of predictions for the evaluation list.
        prediction_grid: A picture of the first photos with their predictions.
        seconds: Total wall-clock time.
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
    num_train_persons: int = NUM_TRAIN_PERSONS,
    num_eval_persons: int = NUM_EVAL_PERSONS,
    overrides: Sequence[str] = (),
) -> DemoResult:
    """Generates two sets of synthetic faces, trains on one, and evaluates and predicts the other.

    Args:
        out: A new or empty folder for everything that the demo writes.
        console: Where progress is printed.
        num_train_persons: Persons to train on.
        num_eval_persons: Other persons to predict.
        overrides: Further recipe keys, as `key=value` on the command line.

    Returns:
        The run directory, scores and files.

    Raises:
        DataError: `out` is not an empty folder.
    """
    if is_occupied(out):
        raise DataError("this folder is not empty", location=out, hint="name another with --out DIR, or remove it")
    began = time.perf_counter()
    console.print(
        f"1. drawing {format_count(num_train_persons, 'person')} for training and "
        f"{num_eval_persons} others for evaluation"
    )
    with log_progress(console, "drawing", "persons for training") as advance:
        photos = write_train_set(out / "train", num_train_persons, seed=0, size=PHOTO_SIZE, progress=advance)
    with log_progress(console, "drawing", "persons for evaluation") as advance:
        eval_list = write_eval_set(out / "eval", num_eval_persons, seed=1, size=PHOTO_SIZE, progress=advance)
    console.print("2. training a small network from scratch, with a fifth of the persons held out")
    paths = [f"data.path={photos}", f"output_dir={out / 'run'}", f"data.cache_dir={out / 'stores'}"]
    recipe = read_recipe("fast", [*paths, *RECIPE_OVERRIDES, *overrides], registries=RECIPE_REGISTRY)
    with _one_thread():
        run, held_out = train(recipe, console=console)
    console.print("3. predicting the evaluation list")
    images = eval_list.parent / "images"
    with log_progress(console, "predicting"):
        predictions = Predictor.load(run.path, tta="flip").predict(read_image_list(eval_list, images))
    table = predictions.table
    submission = write_submission(out / "submission.csv", table.names, table.predictions)
    truth = read_submission(eval_list.parent / "truth.csv")
    indices = predictions.schema.to_attribute_indices([truth[name] for name in table.names])
    scores = score(predictions.schema, indices, probabilities=table.probabilities)
    grid = _write_prediction_grid(out / "answers.png", predictions, truth, images)
    return DemoResult(run, held_out, scores, submission, grid, time.perf_counter() - began)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Computes on one thread.

    On a network and photos this small a second thread costs a third more CPU seconds, and saves less than a
    tenth of the time.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _write_prediction_grid(path: Path, predictions: Predictions, truth: dict[str, int], images: Path) -> Path:
    """Draws the first `MAX_GRID_PHOTOS` photos with their predictions."""
    photos = [
        PredictedPhoto(decode(images / name), text, predictions.schema.describe(truth[name]), probability)
        for name, text, probability in list(predictions)[:MAX_GRID_PHOTOS]
    ]
    with atomic_write(path) as temporary:
        save_image(prediction_grid(photos, columns=6), temporary, "PNG")
    return path

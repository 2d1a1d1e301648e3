"""Trains a whole run: every fold, then the scores and the report of the out-of-fold predictions."""

from __future__ import annotations

from rich.console import Console

from maskfit.config.recipe import Recipe
from maskfit.evaluation.scores import Scores
from maskfit.progress_log import log_progress
from maskfit.run_dir import RunDir
from maskfit.training.parallel.multi_device import train_multi_device
from maskfit.training.parallel.parallel_folds import train_folds_in_parallel
from maskfit.training.progress_reporting import ConsoleReporter
from maskfit.training.run_session import prepare_run


def train(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> tuple[RunDir, Scores]:
    """Trains a recipe.

    Args:
        recipe: The recipe; `output_dir` names the folder, otherwise a new one is created under `runs/`.
        resume: Whether to resume an interrupted run: finished folds are kept, the others continue from their last
            checkpoint and give the same result as an uninterrupted run.
        console: Shows the progress; None for no output.

    Returns:
        The run's folder, and the scores of the out-of-fold predictions.

    Raises:
        MaskfitError: Recipe, data or folder are invalid; nothing was written.
    """
    console = console or Console(quiet=True)
    if recipe.trainer.devices * recipe.trainer.num_nodes > 1:
        return train_multi_device(recipe, resume=resume, console=console)
    with log_progress(console, "reading the dataset"):
        run = prepare_run(recipe, resume=resume, console=console)
    reporter = ConsoleReporter(console)
    unfinished = run.unfinished_folds()
    max_parallel = min(recipe.trainer.parallel_folds, len(unfinished))
    with log_progress(console, "training and evaluating"):
        if max_parallel > 1:
            train_folds_in_parallel(run.folder.path, unfinished, max_parallel, reporter)
        for number in run.plan.fold_numbers():
            if max_parallel <= 1 or number not in unfinished:
                run.train_fold(number, reporter)
    with log_progress(console, "scoring, and writing the report"):
        return run.folder, run.finalize(console)

"""A whole run: every fold trained and judged, their held-out answers joined, scored, and reported."""

from __future__ import annotations

from rich.console import Console

from maskfit.config.recipe import Recipe
from maskfit.evaluation.scores import Scores
from maskfit.run_dir import RunDir
from maskfit.training.parallel.multi_device import train_multi_device
from maskfit.training.parallel.parallel_folds import train_folds_in_parallel
from maskfit.training.progress_reporting import ConsoleReporter
from maskfit.training.run_session import prepare_run


def train(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> tuple[RunDir, Scores]:
    """Trains a recipe.

    Args:
        recipe: The experiment; `run` says where, or a new folder under `runs/` is made.
        resume: Go on with a run that was cut off: folds that are done are left alone, those that were cut off go on
            from their last checkpoint, and give what they would have given uncut.
        console: Where progress is shown; nowhere where left out.

    Returns:
        The run's folder, and the scores of all held-out answers together.

    Raises:
        MaskfitError: Recipe, data or folder are not right; nothing is written then.
    """
    console = console or Console(quiet=True)
    if recipe.trainer.devices * recipe.trainer.num_nodes > 1:
        return train_multi_device(recipe, resume=resume, console=console)
    begun = prepare_run(recipe, resume=resume, console=console)
    screen = ConsoleReporter(console)
    at_once = min(recipe.trainer.parallel_folds, len(begun.unfinished_folds()))
    if at_once > 1:
        train_folds_in_parallel(begun.folder.path, begun.unfinished_folds(), at_once, screen)
    for number in begun.plan.fold_numbers():
        begun.train_fold(number, screen)
    return begun.folder, begun.finalize()

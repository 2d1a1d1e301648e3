"""Writes what came of a sweep: `trials.csv`, `best.yaml`, and the page."""

from __future__ import annotations

from maskfit.config.loader import recipe_to_yaml
from maskfit.config.recipe import Recipe
from maskfit.errors import RunError, format_list
from maskfit.file_io import write_csv, write_text
from maskfit.sweep.page import render_page
from maskfit.sweep.results import SweepResults
from maskfit.sweep.scheduler import trial_recipe
from maskfit.sweep.study import Study, TrialRecord
from maskfit.sweep.sweep_dir import SweepDir


def write_results(folder: SweepDir, study: Study, recipe: Recipe, *, photos: int, persons: int) -> SweepResults:
    """Writes the table, the page and the best recipe.

    Raises:
        RunError: No trial came to its end.
    """
    trials, best = tuple(study.tried()), study.best()
    names = study.space.names()
    _write_table(folder, trials, tuple(names))
    if best is None:
        reasons = [f"trial {item.number}: {item.facts.get('reason', 'given up')}" for item in trials]
        raise RunError(
            f"no trial came to its end:\n{format_list(reasons)}",
            location=folder.path,
            hint="mend what they say, and sweep anew",
        )
    results = SweepResults(recipe.name, folder, trials, best, study.importances(), names, photos, persons)
    write_text(folder.best, _best_text(folder, study, results))
    write_text(folder.report, render_page(results))
    return results


def _write_table(folder: SweepDir, trials: tuple[TrialRecord, ...], names: tuple[str, ...]) -> None:
    header = ["trial", "state", "macro_f1", "low", "high", "epochs", "seconds", *names, "same_as", "reason"]
    rows = []
    for item in trials:
        facts = item.facts
        numbers = [item.score, facts.get("low"), facts.get("high")]
        cells = ["" if value is None else f"{value:.6f}" for value in numbers]
        values = [item.params.get(name, "") for name in names]
        seconds = f"{facts.get('seconds', 0.0):.1f}"
        rest = [facts.get("same_as", ""), facts.get("reason", "")]
        rows.append([item.number, item.state, *cells, len(item.steps), seconds, *values, *rest])
    write_csv(folder.trials, header, rows)


def _best_text(folder: SweepDir, study: Study, results: SweepResults) -> str:
    """The best trial's recipe, and where it is from, as a recipe file."""
    number = int(results.best.facts.get("same_as", results.best.number))
    values = study.values(number)
    recipe = trial_recipe(folder, values, number).model_copy(update={"output_dir": None})
    lines = [
        f"# The best of {results.count('done')} trials: trial {results.best.number}, "
        f"macro F1 {results.best.score or 0.0:.4f} on the held-out persons.",
        f"# {results.reliability_note}",
    ]
    return "\n".join([*lines, recipe_to_yaml(recipe)])

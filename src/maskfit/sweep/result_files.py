"""Writes the results of a sweep: `trials.csv`, `best.yaml` and the report page."""

from __future__ import annotations

from maskfit.config.loader import recipe_to_yaml
from maskfit.config.recipe import Recipe
from maskfit.errors import RunError, format_list
from maskfit.file_io import write_csv, write_text
from maskfit.sweep.results import SweepResults
from maskfit.sweep.scheduler import trial_recipe
from maskfit.sweep.study import Study, TrialRecord
from maskfit.sweep.sweep_dir import SweepDir
from maskfit.sweep.sweep_page import render_sweep_page


def write_results(folder: SweepDir, study: Study, recipe: Recipe, *, photos: int, persons: int) -> SweepResults:
    """Writes the table of trials, the page and the best recipe.

    Args:
        folder: The sweep's folder.
        study: The study, all of whose trials have ended.
        recipe: The base recipe.
        photos: Number of held-out photos.
        persons: Number of held-out persons.

    Returns:
        The results.

    Raises:
        RunError: No trial is done; only the table is written.
    """
    trials, best = tuple(study.trials()), study.best()
    parameters = study.space.parameters()
    _write_table(folder, trials, tuple(parameters))
    if best is None:
        reasons = [f"trial {item.number}: {item.metadata.get('reason', 'pruned')}" for item in trials]
        raise RunError(
            f"no trial was trained to the end:\n{format_list(reasons)}",
            location=folder.path,
            hint="correct the reasons above and start a new sweep",
        )
    results = SweepResults(recipe.name, folder, trials, best, study.importances(), parameters, photos, persons)
    write_text(folder.best, _best_recipe_text(folder, study, results))
    write_text(folder.report, render_sweep_page(results))
    return results


def _write_table(folder: SweepDir, trials: tuple[TrialRecord, ...], names: tuple[str, ...]) -> None:
    header = ["trial", "state", "macro_f1", "low", "high", "epochs", "seconds", *names, "same_as", "reason"]
    rows = []
    for item in trials:
        metadata = item.metadata
        scores = [item.score, metadata.get("low"), metadata.get("high")]
        cells = ["" if value is None else f"{value:.6f}" for value in scores]
        params = [item.params.get(name, "") for name in names]
        seconds = f"{metadata.get('seconds', 0.0):.1f}"
        notes = [metadata.get("same_as", ""), metadata.get("reason", "")]
        rows.append([item.number, item.state, *cells, len(item.steps), seconds, *params, *notes])
    write_csv(folder.trials, header, rows)


def _best_recipe_text(folder: SweepDir, study: Study, results: SweepResults) -> str:
    """The best trial's recipe as YAML, with its score and origin as comments."""
    number = int(results.best.metadata.get("same_as", results.best.number))
    recipe = trial_recipe(folder, study.values(number), number).model_copy(update={"output_dir": None})
    lines = [
        f"# The best of {results.count('done')} trials: trial {results.best.number}, "
        f"macro F1 {results.best.score or 0.0:.4f} on the held-out persons.",
        f"# {results.reliability_note}",
    ]
    return "\n".join([*lines, recipe_to_yaml(recipe)])

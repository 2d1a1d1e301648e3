"""From runs to a page: the one way in for the command and for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskfit.report.comparison_page import write_comparison_page
from maskfit.report.run_comparison import Comparison, compare
from maskfit.report.run_data import load_run_data
from maskfit.report.run_page import write_page
from maskfit.report.run_statistics import RunStatistics, describe


def compute_statistics(
    runs: Sequence[str | Path], *, data: str | Path | None = None, by: Sequence[str] = (), draws: int = 1000
) -> RunStatistics | Comparison:
    """The figures of one run, or of several beside the first.

    Args:
        runs: Folders of runs.
        data: The labelled photos, where they are not what the runs were trained on or lie elsewhere now.
        by: Columns to slice by; left out, the scheme's own attributes.
        draws: How many sets of persons are drawn for each interval.

    Raises:
        RunError: One is no run, or did not come to its end.
        DataError: Photos, columns or runs do not fit.
    """
    materials = [load_run_data(run, data=data, by=by) for run in runs]
    return describe(materials[0], draws=draws) if len(materials) == 1 else compare(materials, draws=draws)


def write_report(path: Path, figures: RunStatistics | Comparison) -> Path:
    """Writes the page of what `judge` found; one that is there is replaced."""
    return write_comparison_page(path, figures) if isinstance(figures, Comparison) else write_page(path, figures)

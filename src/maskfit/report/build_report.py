"""Computes the statistics of runs and writes their report; the entry point for the command line and for training."""

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
    """Computes the statistics of one run, or compares several with the first.

    Args:
        runs: Run directories, one or more.
        data: Labeled photos, where they differ from the training data of the runs or have moved.
        by: Columns that define slices; default: the attributes of the label schema.
        draws: Number of bootstrap samples of persons for each confidence interval.

    Returns:
        Statistics of the run, or for several runs their comparison.

    Raises:
        RunError: A directory is not a run, or the run is not complete.
        DataError: Photos, columns or runs do not match.
    """
    loaded = [load_run_data(run, data=data, by=by) for run in runs]
    return describe(loaded[0], draws=draws) if len(loaded) == 1 else compare(loaded, draws=draws)


def write_report(path: Path, statistics: RunStatistics | Comparison) -> Path:
    """Writes the HTML page of what `compute_statistics` returned.

    Args:
        path: Where to write; an existing file is replaced.
        statistics: Statistics of one run, or a comparison.

    Returns:
        `path`.
    """
    if isinstance(statistics, Comparison):
        return write_comparison_page(path, statistics)
    return write_page(path, statistics)

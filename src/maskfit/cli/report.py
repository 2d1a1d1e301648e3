"""`maskfit report`: the report page of one or several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.compare import print_comparison
from maskfit.cli.console import check_overwrite, err, out, print_json, print_table, print_written
from maskfit.labels.schema import JOINT_HEAD
from maskfit.run_dir import RunDir
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.evaluation.bootstrap import Interval
    from maskfit.report.run_statistics import RunStatistics


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders; several are compared on the photos that all of them predicted.",
            show_default=False,
        ),
    ],
    target: Annotated[Path | None, typer.Option("--out", metavar="PAGE", help="The HTML page to write.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Also score slices by this column of the photos' CSV, attribute, part of the folder name (race), or "
            "`file`; may be given several times. By each attribute by default.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="ROOT|CSV", help="The labeled photos, if not those the runs were trained on."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, for scripts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
) -> None:
    """Write the report of a run, or compare several, on one self-contained page.

    Scores with intervals over persons, confusion matrices, errors by age, calibration, abstention, slices, and the
    worst mistakes as pictures. Training writes this page into the run folder; this command writes it again with other
    slices, or compares several runs with the first. Without --out and --json it prints the scores.

    Examples:

        maskfit report runs/first

        maskfit report runs/first --out first.html

        maskfit report runs/first --by race --by camera --out slices.html

        maskfit report runs/first runs/second runs/third --out compared.html

        maskfit report runs/first --json > figures.json
    """
    from maskfit.report.build_report import compute_statistics, write_report
    from maskfit.report.run_comparison import Comparison

    check_overwrite(target, force)
    with err.status("evaluating"):
        statistics = compute_statistics(runs, data=data, by=by or ())
        written = None if target is None else write_report(target, statistics)
    if json:
        print_json(statistics.to_dict())
    elif target is None:
        if isinstance(statistics, Comparison):
            print_comparison(statistics)
        else:
            _print_scores(statistics, by or ())
        own = RunDir(runs[0]).report
        page = f"its page is {own}; " if len(runs) == 1 and own.is_file() else ""
        err.print(f"{page}--out PAGE writes everything as a page", soft_wrap=True)
    if written:
        size = written.stat().st_size / 1e6
        print_written(written, f"{size:.1f} MB", console=err if json else out)


def _print_scores(statistics: RunStatistics, by: Sequence[str]) -> None:
    """Prints the scores of a run, and the accuracy of the slices that were asked for."""
    run, scores = statistics.run, statistics.scores
    titles = {JOINT_HEAD: "all classes", **{name: name for name in run.schema.names}}
    heads = [name for name in titles if name in statistics.accuracy and (name != JOINT_HEAD or len(titles) > 2)]
    f1 = {JOINT_HEAD: scores.intervals.get("macro_f1")}
    f1 |= {name: item.interval for name, item in scores.per_attribute.items()}
    photos, persons = format_count(scores.photos, "held-out photo"), format_count(run.num_persons, "person")
    print_table(
        f"{run.path}: {photos} of {persons}, 95% intervals over persons",
        ["", "accuracy", "macro F1"],
        [(titles[name], _format(statistics.accuracy[name].photos), _format(f1.get(name))) for name in heads],
    )
    for column, parts in statistics.slices.items() if by else ():
        out.print()
        print_table(
            f"Accuracy by {column}",
            [column, "photos", "persons", *(titles[name] for name in heads)],
            [
                (value, part.photos, part.persons, *(_format(part.accuracy.get(name)) for name in heads))
                for value, part in parts.items()
            ],
        )


def _format(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"

"""`maskfit report`: the report page of one or several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_written
from maskfit.errors import DataError


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
    slices, or compares several runs with the first.

    Examples:

        maskfit report runs/first --out first.html

        maskfit report runs/first --by race --by camera --out slices.html

        maskfit report runs/first runs/second runs/third --out compared.html

        maskfit report runs/first --json > figures.json
    """
    from maskfit.report.build_report import compute_statistics, write_report

    if target is None and not json:
        raise DataError("no output requested", hint="add --out PAGE, or --json")
    check_overwrite(target, force)
    with err.status("evaluating"):
        statistics = compute_statistics(runs, data=data, by=by or ())
        written = None if target is None else write_report(target, statistics)
    if json:
        print_json(statistics.to_dict())
    if written:
        size = written.stat().st_size / 1e6
        print_written(written, f"{size:.1f} MB", console=err if json else out)

"""`maskfit report`: runs as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json
from maskfit.errors import DataError


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders of runs; several are compared on the photos that all of them judged.",
            show_default=False,
        ),
    ],
    target: Annotated[Path | None, typer.Option("--out", metavar="PAGE", help="The HTML page to write.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Also score each part of the set by this column of the photos' CSV, attribute, part of the folder's "
            "name (race), or `file`; may be given several times. Left out: by each attribute.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="ROOT|CSV", help="The labelled photos, where they are not what the runs were trained on."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, for scripts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a page that is there.")] = False,
) -> None:
    """Judge a run, or compare several, on one page that needs no network.

    Scores with intervals over persons, what is taken for what, mistakes by age, whether probabilities mean what they
    say, what saying "not sure" is worth, the worst mistakes as pictures. Every training ends with such a page in its
    folder; this writes it anew, by other columns, or of several runs beside the first.

    **Examples**

    `maskfit report runs/first --out first.html`

    `maskfit report runs/first --by race --by camera --out slices.html`

    `maskfit report runs/first runs/second runs/third --out compared.html`

    `maskfit report runs/first --json > figures.json`
    """
    from maskfit.report.build_report import compute_statistics, write_report

    if target is None and not json:
        raise DataError("nothing is asked for", hint="name a page with --out, or add --json")
    check_overwrite(target, force)
    with err.status("judging"):
        figures = compute_statistics(runs, data=data, by=by or ())
        written = None if target is None else write_report(target, figures)
    if json:
        print_json(figures.to_dict())
    if written:
        size = written.stat().st_size / 1e6
        (err if json else out).print(f"written: {written} ({size:.1f} MB)", markup=False, soft_wrap=True)

"""`maskfit review`: a web page on which people review and correct labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, print_written, require_extra
from maskfit.cli.dataset_options import SCHEMA_CHOICES, CodesOption, find_schema, parse_codes
from maskfit.cli.server_options import DEFAULT_HOST, DEFAULT_PORT, HostOption, OpenOption, PortOption, print_url
from maskfit.errors import DataError
from maskfit.text import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maskfit.apps.review.controller import ReviewController
    from maskfit.apps.review.review_data import ReviewData
    from maskfit.apps.review.state import Status

SourceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="ROOT|CSV|RUN",
        help="Labeled photos, or a run: its photos, label issues first, with its predictions.",
        show_default=False,
    ),
]
ProbabilitiesOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="RUN|CSV", help="Out-of-fold probabilities of these photos; several are averaged."),
]
LabelIssuesOption = Annotated[
    Path | None,
    typer.Option(
        "--label-issues", metavar="FILE", help="Order of the review, as written by 'maskfit label-issues --out FILE'."
    ),
]
SchemaOption = Annotated[
    str, typer.Option("--schema", metavar="NAME|FILE|RUN", help=f"Label schema of ROOT: {SCHEMA_CHOICES}.")
]
LogOption = Annotated[Path, typer.Option(metavar="FILE", help="Audit log of every decision; a review resumes from it.")]
CorrectionsOption = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="CSV into which the page writes corrections.")
]
ExportOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the corrections of the log to this file without opening a page."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing corrections file.")]


def review(
    source: SourceArgument,
    probabilities: ProbabilitiesOption = None,
    label_issues: LabelIssuesOption = None,
    schema: SchemaOption = "mask-gender-age",
    codes: CodesOption = "",
    log: LogOption = Path("review.jsonl"),
    target: CorrectionsOption = Path("corrections.csv"),
    export: ExportOption = None,
    host: HostOption = DEFAULT_HOST,
    port: PortOption = DEFAULT_PORT,
    open_: OpenOption = False,
    force: ForceOption = False,
) -> None:
    """Review labels person by person in the browser, and write corrections.

    A web page shows all photos of a person at once, each label beside the model's probabilities. Keys: Y right, W
    wrong, U unsure, M accept the prediction, 1 to 9 a new label, Z undo. Every key is saved at once; the same command
    with the same log resumes. No photo is changed, moved or copied.

    To use it from another machine, run the printed line with 'ssh -L' there.

    Examples:

        maskfit review runs/champion

        maskfit review photos --probabilities runs/champion --log mine.jsonl --out mine.csv

        maskfit review photos --export corrections.csv --log mine.jsonl

        maskfit train champion data.path=photos data.label_corrections=corrections.csv
    """
    from maskfit.apps.review.review_data import load_review_data

    if export is None:
        require_extra("review", "review", "streamlit")
    check_overwrite(export, force)
    check_overwrite(target, force=True)
    review_data = load_review_data(source, find_schema(schema), probabilities or (), label_issues, parse_codes(codes))
    if export is not None:
        _export(review_data, log, export)
        return
    from maskfit.apps.review.controller import ReviewController, serve
    from maskfit.apps.streamlit_server import build_url, check_port_free

    check_port_free(host, port)
    controller = ReviewController(review_data, log, target, force=force)
    try:
        url = build_url(host, port, controller.access_token)
        _print_started(controller, url, host, port)
        serve(controller, host, port, lambda: typer.launch(url) if open_ else None)
        _print_stopped(controller)
    finally:
        controller.close()


def _export(review_data: ReviewData, log: Path, path: Path) -> None:
    """Writes the corrections of a log."""
    from maskfit.apps.review.audit_log import replay_log
    from maskfit.apps.review.export_corrections import export_corrections

    if not log.is_file():
        raise DataError("the log does not exist", location=log, hint="pass the log of a review with --log FILE")
    for warning in [*review_data.warnings, *replay_log(log, review_data.review).warnings]:
        err.print(warning)
    rows = export_corrections(path, review_data.review, review_data.label_issues)
    print_written(path, f"{format_count(len(rows), 'correction')}; {_counts(review_data.review.status_counts())}")


def _print_started(controller: ReviewController, url: str, host: str, port: int) -> None:
    for warning in controller.warnings:
        err.print(warning)
    persons, with_issues = len(controller.review.photos_by_person), len(controller.issues_by_person)
    err.print(
        f"{format_count(persons, 'person')}, "
        f"{format_count(len(controller.review.photos), 'photo')}; "
        f"{format_count(with_issues, 'person')} with label issues"
    )
    if controller.num_resumed_actions:
        err.print(
            f"{controller.log_path}: resumed after {controller.num_resumed_actions:,} decisions; "
            f"{_counts(controller.review.status_counts())}"
        )
    closing = ("then open the URL there. Ctrl-C stops the page; every key is saved.",)
    print_url(url, host, port, "can see the photos", closing)


def _print_stopped(controller: ReviewController) -> None:
    err.print(f"{_counts(controller.review.status_counts())}; saved in {controller.log_path}")
    err.print(f"maskfit review ... --log {controller.log_path} resumes; with --export FILE it writes the corrections")


def _counts(counts: Mapping[Status, int]) -> str:
    """Formats the number of persons by status."""
    from maskfit.apps.review.html import STATUS_TEXT

    return ", ".join(f"{count:,} {STATUS_TEXT[status]}" for status, count in counts.items() if count)

"""`maskfit review`: a web page on which people review and correct labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, require_extra
from maskfit.cli.server_options import HERE, PORT, Host, Open, Port, print_url
from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import LABEL_SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maskfit.apps.review.controller import ReviewController
    from maskfit.apps.review.review_data import ReviewData
    from maskfit.apps.review.state import Status

Source = Annotated[
    Path,
    typer.Argument(
        metavar="ROOT|CSV|RUN",
        help="Labeled photos, or a run: its photos, label issues first, with its predictions.",
        show_default=False,
    ),
]
Probabilities = Annotated[
    list[Path] | None,
    typer.Option(metavar="RUN|CSV", help="Out-of-fold probabilities of these photos; several are averaged."),
]
Suspects = Annotated[
    Path | None,
    typer.Option(
        "--label-issues", metavar="FILE", help="Order of the review, as written by 'maskfit label-issues --out FILE'."
    ),
]
SchemaOption = Annotated[
    str, typer.Option("--schema", metavar="NAME", help=f"Label schema of ROOT: {', '.join(LABEL_SCHEMAS)}.")
]
Log = Annotated[Path, typer.Option(metavar="FILE", help="Audit log of every decision; a review resumes from it.")]
Target = Annotated[Path, typer.Option("--out", metavar="FILE", help="CSV into which the page writes corrections.")]
Export = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the corrections of the log to this file without opening a page."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing corrections file.")]


def review(
    source: Source,
    probabilities: Probabilities = None,
    suspects: Suspects = None,
    scheme: SchemaOption = "mask-gender-age",
    log: Log = Path("review.jsonl"),
    target: Target = Path("corrections.csv"),
    export: Export = None,
    host: Host = HERE,
    port: Port = PORT,
    open_: Open = False,
    force: Force = False,
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

    if scheme not in LABEL_SCHEMAS:
        raise DataError(f"label schema '{scheme}' is unknown; {did_you_mean(scheme, LABEL_SCHEMAS)}")
    if export is None:
        require_extra("review", "review", "streamlit")
    check_overwrite(export, force)
    check_overwrite(target, force=True)
    material = load_review_data(source, LABEL_SCHEMAS[scheme], probabilities or (), suspects)
    if export is not None:
        _export(material, log, export)
        return
    from maskfit.apps.review.controller import ReviewController, serve
    from maskfit.apps.streamlit_server import build_url, check_port_free

    check_port_free(host, port)
    desk = ReviewController(material, log, target, force=force)
    try:
        address = build_url(host, port, desk.access_token)
        _greet(desk, address, host, port)
        serve(desk, host, port, lambda: typer.launch(address) if open_ else None)
        _part(desk)
    finally:
        desk.close()


def _export(material: ReviewData, log: Path, path: Path) -> None:
    """Writes the corrections of a log."""
    from maskfit.apps.review.audit_log import replay_log
    from maskfit.apps.review.export_corrections import export_corrections

    if not log.is_file():
        raise DataError("the log does not exist", location=log, hint="pass the log of a review with --log FILE")
    for remark in [*material.warnings, *replay_log(log, material.review).warnings]:
        err.print(remark)
    rows = export_corrections(path, material.review, material.label_issues)
    err.print(f"written: {path}: {len(rows)} corrections; {_counts(material.review.status_counts())}")


def _greet(desk: ReviewController, address: str, host: str, port: int) -> None:
    for remark in desk.warnings:
        err.print(remark)
    persons, suspected = len(desk.review.photos_by_person), len(desk.issues_by_person)
    err.print(f"{persons} persons, {len(desk.review.photos)} photos; {suspected} persons with labels that look wrong")
    if desk.num_resumed_actions:
        err.print(
            f"{desk.log_path}: resumed after {desk.num_resumed_actions} decisions; "
            f"{_counts(desk.review.status_counts())}"
        )
    closing = ("then open the URL there. Ctrl-C stops the page; every key is saved.",)
    print_url(address, host, port, "can see the photos", closing)


def _part(desk: ReviewController) -> None:
    err.print(f"{_counts(desk.review.status_counts())}; all of it is in {desk.log_path}")
    err.print(f"maskfit review ... --log {desk.log_path} goes on, with --export FILE it writes the corrections")


def _counts(counts: Mapping[Status, int]) -> str:
    """Formats the number of persons by status."""
    from maskfit.apps.review.html import STATUS_TEXT

    return ", ".join(f"{count} {STATUS_TEXT[status]}" for status, count in counts.items() if count)

"""`maskfit label-issues`: labels that are probably wrong, from out-of-fold predictions."""

from __future__ import annotations

import math
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_next, print_table, print_written
from maskfit.cli.dataset_options import SCHEMA_CHOICES, CodesOption, find_schema, parse_codes
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.data.photo_dataset import PhotoDataset
    from maskfit.evaluation.label_issues import LabelIssue
    from maskfit.labels.schema import LabelSchema

SHOWN = 20

DEFAULT_NOISE = 0.03

DEFAULT_MIN_SCORE = 0.5
"""Minimum score of what is listed: at least as probably wrong as right."""


def label_issues(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_OR_TABLE...",
            help="Runs, or CSVs of out-of-fold probabilities; several are averaged.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="CSV to write with the label issues.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="ROOT|CSV", help="The labeled photos, if not those the run was trained on."),
    ] = None,
    noise: Annotated[
        float, typer.Option(metavar="FRACTION", help="Expected fraction of wrong labels.")
    ] = DEFAULT_NOISE,
    corrections: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write the proposed labels as corrections, for data.label_corrections=FILE."
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="SCORE",
            min=0,
            max=1,
            help=f"Minimum score of label issues; {DEFAULT_MIN_SCORE:g} by default, with --json 0.",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(
            "--tasks",
            metavar="DIR",
            help="Also write the label issues as tasks for Label Studio and CVAT; 'maskfit data corrections' reads the "
            "decisions.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--photo-url",
            metavar="URL",
            help="With --tasks: what Label Studio finds photos below; by default its local files.",
            show_default=False,
        ),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="NAME|FILE|RUN",
            help=f"Label schema of CSVs: {SCHEMA_CHOICES}. A run has its own.",
            show_default=False,
        ),
    ] = None,
    codes: CodesOption = "",
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print label issues of every score as JSON.")] = False,
) -> None:
    """Rank labels by the probability that they are wrong.

    Attributes of a person (gender, age) are checked on all photos of the person; attributes of a photo (the mask) on
    each photo, including swaps between two photos of a person. Ages near a band border count less. The score is the
    probability that the label is wrong; list and files contain those of at least --min-score.

    Examples:

        maskfit label-issues runs/champion --out issues.csv

        maskfit label-issues runs/champion runs/baseline --out issues.csv --corrections proposed.csv --min-score 0.8

        maskfit review runs/champion

        maskfit label-issues runs/champion --tasks tasks

        maskfit label-issues table.csv --schema mask --data photos.csv

        maskfit train champion data.path=ROOT data.label_corrections=proposed.csv
    """
    from maskfit.inference.label_issues import (
        load_labeled_photos,
        propose_corrections,
        rank_label_issues,
        write_label_issues,
    )

    check_overwrite(target, force)
    check_overwrite(corrections, force)
    if tasks is not None:
        _check_tasks(tasks, force)
    named = None if schema is None else find_schema(schema)
    ranked, warnings = rank_label_issues(sources, data, noise, parse_codes(codes), named)
    for warning in warnings:
        err.print(warning)
    least = DEFAULT_MIN_SCORE if min_score is None else min_score
    issues = [item for item in ranked if item.score >= least]
    if json:
        print_json([_to_record(item) for item in (ranked if min_score is None else issues)])
    else:
        _print_issues(issues, least, ranked[len(issues) :])
    if target is not None:
        lower = len(ranked) - len(issues)
        without = f", without the {lower:,} of a lower score" if lower else ""
        text = f"{format_count(len(issues), 'label issue')}, the most likely first{without}"
        print_written(write_label_issues(target, issues), text)
    if tasks is not None:
        photos, labels = load_labeled_photos(sources, data, parse_codes(codes), named)
        _write_tasks(tasks, issues, photos, labels, url)
    if corrections is not None:
        count = len(propose_corrections(corrections, issues, least))
        print_written(
            corrections, f"{format_count(count, 'row')} with a score of at least {least:g}; review them before training"
        )
    if not json and ranked:
        # Not --corrections: proposals of a lower score are better looked at first.
        written = "" if target is None else f" --out {quote(str(target))} --force"
        _print_next_steps(sources, data, schema, noise, ranked[len(issues) :], written)


def _check_tasks(folder: Path, force: bool) -> None:
    from maskfit.inference.labeling_tasks import FILES

    for name in FILES:
        check_overwrite(folder / name, force)


def _write_tasks(
    folder: Path, issues: list[LabelIssue], photos: PhotoDataset, schema: LabelSchema, url: str | None
) -> None:
    """Writes the issues as tasks for labeling tools."""
    from maskfit.inference.labeling_tasks import LOCAL_FILES, make_tasks, write_tasks

    made = make_tasks(issues, photos, schema)
    for path in write_tasks(folder, made, photos, schema, url or LOCAL_FILES):
        print_written(path, format_count(len(made), "task") if path.name != "label-studio.xml" else "")
    print_next(f"data corrections {quote(str(folder))} EXPORT --out corrections.csv")


def _print_issues(issues: list[LabelIssue], min_score: float, below: list[LabelIssue]) -> None:
    """Prints the issues, and how many score below the minimum."""
    from maskfit.inference.label_issues import photo_text

    rows = [
        (item.person, photo_text(item), item.attribute, ", ".join(item.label), ", ".join(item.proposed), item.score)
        for item in issues[:SHOWN]
    ]
    title = f"{format_count(len(issues), 'label issue')} with a score of at least {min_score:g}"
    title += f", the first {SHOWN} of them" if len(issues) > SHOWN else ""
    if rows:
        header = ["person", "photos", "attribute", "label", "proposed", "score"]
        # Where each photo is a person of its own, the column would say the same once more.
        start = int(all(row[0] == row[1] for row in rows))
        print_table(title, header[start:], [row[start:] for row in rows])
    else:
        out.print(title)
    if below:
        out.print(
            f"{format_count(len(below), 'label scores', 'labels score')} lower, at most {below[0].score:.4f}, and may "
            "be wrong too: they are ranked, the most likely first",
            soft_wrap=True,
        )


def _print_next_steps(
    sources: list[Path], data: Path | None, schema: str | None, noise: float, below: list[LabelIssue], files: str
) -> None:
    """Prints the commands that list the labels below the minimum, and that show issues with their photos."""
    from maskfit.run_dir import is_run_dir

    members = " ".join(quote(str(path)) for path in sources)
    named = "" if schema is None else f" --schema {quote(schema)}"
    if below:
        # Rounded down, so that the last of them is listed.
        least = math.floor(100 * below[:SHOWN][-1].score) / 100
        options = "" if data is None else f" --data {quote(str(data))}"
        options += "" if noise == DEFAULT_NOISE else f" --noise {noise:g}"
        print_next(f"label-issues {members}{options}{named} --min-score {least:g}{files}")
    if is_run_dir(sources[0]):
        print_next(f"review {quote(str(sources[0]))}")
    elif data is not None:
        tables = " ".join(f"--probabilities {quote(str(path))}" for path in sources)
        print_next(f"review {quote(str(data))} {tables}{named}")


def _to_record(item: LabelIssue) -> dict[str, object]:
    return {
        "person": item.person,
        "photos": list(item.photos),
        "attribute": item.attribute,
        "label": list(item.label),
        "proposed": list(item.proposed),
        "score": round(item.score, 6),
        "reason": item.reason,
    }

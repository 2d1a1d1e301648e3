"""`maskfit label-issues`: labels that look wrong, by what models say that never saw their photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, print_json, print_table

if TYPE_CHECKING:
    from maskfit.evaluation.label_issues import LabelIssue

SHOWN = 20


def label_issues(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_OR_TABLE...",
            help="Runs, or CSVs of out-of-fold probabilities; several are averaged, and better models find more.",
            show_default=False,
        ),
    ],
    target: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write all of them.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="ROOT|CSV", help="The labelled photos, where they are not what the run was trained on."),
    ] = None,
    noise: Annotated[
        float, typer.Option(metavar="SHARE", help="How many labels are taken to be wrong before looking.")
    ] = 0.03,
    corrections: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the proposals as corrections, for data.label_corrections=FILE."),
    ] = None,
    above: Annotated[
        float,
        typer.Option("--min-score", metavar="SCORE", min=0, max=1, help="With --corrections: from which score on."),
    ] = 0.5,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print all suspects as JSON.")] = False,
) -> None:
    """Rank labels by how likely they are to be wrong.

    What holds for a person (gender, age) is judged by all photos of the person at once; what changes from photo to
    photo (the mask) by each photo, and by whether two photos of a person bear each other's label. Ages near the border
    of two bands are suspected less. The score is the probability that the label is wrong.

    Examples:

        maskfit label-issues runs/champion --out suspects.csv

        maskfit label-issues runs/champion runs/baseline --out suspects.csv --corrections guessed.csv --min-score 0.8

        maskfit review runs/champion

        maskfit train champion data.path=ROOT data.label_corrections=guessed.csv
    """
    from maskfit.inference.label_issues import rank_label_issues, propose_corrections, write_label_issues

    check_overwrite(target, force)
    check_overwrite(corrections, force)
    found, remarks = rank_label_issues(sources, data, noise)
    for remark in remarks:
        err.print(remark)
    if json:
        print_json([_plain(item) for item in found])
    else:
        _show(found)
    if target is not None:
        err.print(f"wrote {write_label_issues(target, found)}: {len(found)} suspects, the worst first")
    if corrections is not None:
        count = len(propose_corrections(corrections, found, above))
        err.print(f"wrote {corrections}: {count} rows from score {above:g} on; they are guesses, so look at them first")


def _show(found: list[LabelIssue]) -> None:
    rows = [
        (item.person, item.attribute, ", ".join(item.label), ", ".join(item.proposed), item.score)
        for item in found[:SHOWN]
    ]
    title = f"{len(found)} suspects" + (f", the first {SHOWN} of them" if len(found) > SHOWN else "")
    print_table(title, ["person", "attribute", "label", "proposed", "score"], rows)


def _plain(item: LabelIssue) -> dict[str, object]:
    return {
        "person": item.person,
        "photos": list(item.photos),
        "attribute": item.attribute,
        "label": list(item.label),
        "proposed": list(item.proposed),
        "score": round(item.score, 6),
        "reason": item.reason,
    }

"""`maskfit data corrections`: decisions made in labeling tools, as label corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import check_overwrite, err, print_json, print_next, print_written
from maskfit.cli.dataset_options import SchemaOption, find_schema
from maskfit.text import format_count


def corrections(
    tasks: Annotated[
        Path,
        typer.Argument(metavar="TASKS", help="Folder that maskfit label-issues --tasks wrote.", show_default=False),
    ],
    export: Annotated[
        Path,
        typer.Argument(
            metavar="EXPORT",
            help="Export of Label Studio (JSON or JSON-MIN) or of CVAT (CVAT for images 1.1, the .xml).",
            show_default=False,
        ),
    ],
    target: Annotated[Path, typer.Option("--out", metavar="FILE", help="CSV of corrections to write.")],
    schema: SchemaOption = "mask-gender-age",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print counts and notes as JSON.")] = False,
) -> None:
    """Read what was decided about label issues in Label Studio or CVAT, as label corrections.

    A decision that confirms the label makes no correction. Where annotators disagree, or two photos of a person
    about gender or age, the label stays, and a note names the task.

    Examples:

        maskfit label-issues runs/champion --tasks tasks

        maskfit data corrections tasks project-1-export.json --out corrections.csv

        maskfit train champion data.path=photos data.label_corrections=corrections.csv
    """
    from maskfit.data.label_corrections import write_corrections
    from maskfit.inference.labeling_tasks import read_decisions

    check_overwrite(target, force)
    found = read_decisions(tasks, export, find_schema(schema))
    write_corrections(target, found.corrections)
    for note in found.notes:
        err.print(note)
    if json:
        counts = {"tasks": found.num_tasks, "confirmed": found.num_confirmed, "corrections": len(found.corrections)}
        print_json({**counts, "notes": list(found.notes)})
    confirmed = format_count(found.num_confirmed, "task confirms its labels", "tasks confirm their labels")
    print_written(target, f"{format_count(len(found.corrections), 'correction')}; {confirmed}")
    if not json:
        print_next(f"train RECIPE data.path=PHOTOS data.label_corrections={target}")

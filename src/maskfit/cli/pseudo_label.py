"""`maskfit pseudo-label`: confident predictions as labels to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, print_table, print_written
from maskfit.cli.dataset_options import SCHEMA_CHOICES, find_schema
from maskfit.errors import DataError
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.inference.pseudo_labels import PseudoLabels


def pseudo_label(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE.csv", help="Probabilities, from maskfit predict --probabilities.")
    ],
    images: Annotated[Path, typer.Option(help="Folder of the table's photos.")],
    target: Annotated[Path, typer.Option("--out", metavar="FILE", help="Manifest to write.")],
    persons: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Persons, ImageID,person: gender and age are then averaged per person."),
    ] = None,
    threshold: Annotated[float, typer.Option(metavar="P", help="Minimum probability of a photo's class.")] = 0.95,
    agree: Annotated[
        bool, typer.Option("--agree", help="With --persons: leave out persons whose photos disagree.")
    ] = False,
    schema: Annotated[
        str, typer.Option("--schema", metavar="NAME|FILE|RUN", help=f"Label schema of the table: {SCHEMA_CHOICES}.")
    ] = "mask-gender-age",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write confident predictions as pseudo-labels, to train on with data.extra_train.

    Without --persons every photo is labeled by itself. With it, all photos of a person get the gender and age of their
    mean probability.

    Examples:

        maskfit predict runs/baseline --images eval/images --probabilities table.csv

        maskfit pseudo-label table.csv --images eval/images --threshold 0.95 --out pseudo.csv

        maskfit pseudo-label table.csv --images eval/images --persons persons.csv --agree --out pseudo.csv

        maskfit train baseline data.path=train/images data.extra_train=pseudo.csv
    """
    from maskfit.evaluation.probability_table import read_table
    from maskfit.inference.pseudo_labels import read_persons, select_pseudo_labels, write_pseudo_labels

    label_schema = find_schema(schema)
    if agree and persons is None:
        raise DataError("--agree needs to know the persons", hint="add --persons CSV")
    check_overwrite(target, force)
    person_of_photo = None if persons is None else read_persons(persons)
    pseudo_labels = select_pseudo_labels(
        read_table(table, label_schema.num_classes), label_schema, threshold, persons=person_of_photo, agree=agree
    )
    write_pseudo_labels(target, pseudo_labels, label_schema, images)
    _print_summary(pseudo_labels, label_schema, target, agree)


def _print_summary(pseudo_labels: PseudoLabels, schema: LabelSchema, target: Path, agree: bool) -> None:
    rows = [
        (schema.describe(class_index), int((pseudo_labels.classes == class_index).sum()))
        for class_index in range(schema.num_classes)
    ]
    print_table("pseudo-labels", ["class", "photos"], rows)
    left_out = f"{pseudo_labels.num_below_threshold:,} are below the threshold" + (
        f", {pseudo_labels.num_disagreeing:,} belong to persons whose photos disagree" if agree else ""
    )
    print_written(target, f"{format_count(len(pseudo_labels.names), 'photo')}; {left_out}")
    err.print(f"next: maskfit train RECIPE data.path=ROOT data.extra_train={target}")

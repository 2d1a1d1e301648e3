"""`maskfit pseudo-label`: confident predictions as labels to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, print_table
from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema

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
    scheme: Annotated[
        str, typer.Option("--schema", metavar="NAME", help=f"Label schema of the table: {', '.join(LABEL_SCHEMAS)}.")
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

    if scheme not in LABEL_SCHEMAS:
        raise DataError(f"label schema '{scheme}' is unknown; {did_you_mean(scheme, LABEL_SCHEMAS)}")
    if agree and persons is None:
        raise DataError("--agree needs to know the persons", hint="add --persons CSV")
    check_overwrite(target, force)
    labels = LABEL_SCHEMAS[scheme]
    people = None if persons is None else read_persons(persons)
    made = select_pseudo_labels(read_table(table, labels.num_classes), labels, threshold, persons=people, agree=agree)
    write_pseudo_labels(target, made, labels, images)
    _tell(made, labels, target, agree)


def _tell(made: PseudoLabels, scheme: LabelSchema, target: Path, agree: bool) -> None:
    rows = [(scheme.describe(number), int((made.classes == number).sum())) for number in range(scheme.num_classes)]
    print_table("pseudo-labels", ["class", "photos"], rows)
    left = f"{made.num_below_threshold} are below the threshold" + (
        f", {made.num_disagreeing} belong to persons whose photos disagree" if agree else ""
    )
    err.print(f"wrote {target}: {len(made.names)} photos; {left}")
    err.print(f"next: maskfit train RECIPE data.path=ROOT data.extra_train={target}")

"""`maskfit data ...`: look at, check, split and draw sets of photos."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import err, out, print_json, print_table, progress
from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema

if TYPE_CHECKING:
    from maskfit.data.data_problems import DataProblem
    from maskfit.data.photo_dataset import PhotoDataset
    from maskfit.data.splits import PersonSplits
    from maskfit.data.validation import ValidationReport

MOST_COLUMNS = 12
"""Above this many folds the table of strata would be too wide to read."""

WIDEST = 48
"""Longer names of files push their line out of the column rather than all lines."""

Source = Annotated[
    Path,
    typer.Argument(
        metavar="ROOT|CSV",
        help="A folder of person folders (000001_female_Asian_45/mask1.jpg), or a CSV with the column path and any of "
        "person, mask, gender, age.",
        show_default=False,
    ),
]
SchemeName = Annotated[
    str, typer.Option("--schema", metavar="NAME", help=f"What is read from a photo: {', '.join(LABEL_SCHEMAS)}.")
]


def check(
    source: Source,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    scheme: SchemeName = "mask-gender-age",
) -> None:
    """List everything that is wrong with a set of photos, before a training finds it.

    Every photo is decoded. The exit code is 2 where something is fatal, that is, where a training would refuse the set;
    warnings alone leave it 0.

    **Examples**

    `maskfit data check train/images`

    `maskfit data check photos.csv --schema mask`

    `maskfit data check train/images --json > problems.json`
    """
    from maskfit.data.validation import validate_dataset

    labels = find_scheme(scheme)
    with progress("checking") as advance:
        checked = validate_dataset(source, labels, progress=advance)
    classes = checked.count_classes(labels)
    if json:
        print_json(
            {
                "photos": len(checked.photos),
                "persons": len(checked.photos.persons),
                "labels": checked.count_known(labels),
                "classes": {labels.describe(number): count for number, count in enumerate(classes)},
                "problems": [asdict(problem) for problem in checked.problems],
            }
        )
    else:
        for _, group in groupby(checked.problems, key=lambda problem: (problem.severity, problem.kind)):
            _print_problems(list(group))
        _print_summary(checked, labels, classes)
    if checked.fatal:
        raise typer.Exit(2)


def split(
    source: Source,
    folds: Annotated[
        int, typer.Option("--folds", metavar="K", min=1, help="How many folds; 1 holds out a share once.")
    ],
    target: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write person,fold.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, another split that is as good.")] = 0,
    holdout: Annotated[
        float, typer.Option("--holdout", metavar="SHARE", help="The share of persons held out by --folds 1.")
    ] = 0.1,
    scheme: SchemeName = "mask-gender-age",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Deal the persons of a set to folds and write the split down.

    All photos of a person fall into one fold, and every fold gets its share of each kind of person (gender x age in the
    competition). The same photos and seed give the same split.

    **Examples**

    `maskfit data split train/images --folds 5 --out folds.csv`

    `maskfit data split train/images --folds 1 --holdout 0.2 --seed 7 --out holdout.csv`
    """
    from maskfit.data.read_dataset import read_photos
    from maskfit.data.splits import make_person_splits

    labels = find_scheme(scheme)
    # Looked at first: a split is what makes runs comparable, and reading a large set takes a while.
    if target.exists() and not force:
        raise DataError("this file is there already", location=target, hint="name another file, or add --force")
    photos = read_photos(source, labels)
    made = make_person_splits(photos, labels, folds, seed=seed, holdout=holdout)
    made.write(target)
    _print_folds(made, photos, labels)
    out.print(f"written: {target}", markup=False, soft_wrap=True)


def synthesize(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that is new or empty.")],
    persons: Annotated[int, typer.Option("--persons", metavar="N", min=1, help="How many persons, of seven photos.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other people.")] = 0,
) -> None:
    """Draw faces of people who do not exist, in the competition's layout, to try everything without any download.

    **Examples**

    `maskfit data synthesize drawn --persons 100`

    `maskfit data synthesize drawn --persons 20 --seed 3`
    """
    from maskfit.synthesis.drawn import write_train_set

    with progress("drawing", unit="persons") as advance:
        images = write_train_set(target, persons, seed=seed, progress=advance)
    out.print(f"written: {persons} persons to {images}", markup=False, soft_wrap=True)


def oversample(
    source: Source,
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that is new or empty.")],
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, help="How many photos each class is to have, blends included.")
    ],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other pairs.")] = 0,
    scheme: SchemeName = "mask-gender-age",
) -> None:
    """Fill up the thin classes with blends of two of their photos, to train on them with data.extra_train.

    A pair is of one class and two persons, and none comes twice. Where one of the two is held out, training leaves the
    blend out.

    **Examples**

    `maskfit data oversample train/images --count 1000 --out blends`

    `maskfit train baseline data.path=train/images data.extra_train=blends/manifest.csv`
    """
    from maskfit.synthesis.offline_mixup import write_oversampled

    labels = find_scheme(scheme)
    with progress("blending") as advance:
        made = write_oversampled(source, labels, target, count, seed=seed, progress=advance)
    rows = [(labels.describe(number), made.before[number], blends) for number, blends in made.made.items() if blends]
    print_table("Blends", ["class", "photos", "blends"], rows)
    out.print(f"written: {sum(made.made.values())} photos, listed in {made.manifest}", soft_wrap=True)
    if made.unlabelled:
        err.print(f"passed over, {made.unlabelled} photos of which the class is not fully known", style="yellow")
    if made.unreadable:
        err.print(f"passed over, {len(made.unreadable)} photos that cannot be read:", style="yellow")
        for name, reason in made.unreadable.items():
            err.print(f"  {name}: {reason}")


def find_scheme(name: str) -> LabelSchema:
    """The scheme that `--schema` names.

    Raises:
        DataError: There is none of this name.
    """
    if name not in LABEL_SCHEMAS:
        raise DataError(f"scheme '{name}' is unknown; {did_you_mean(name, LABEL_SCHEMAS)}")
    return LABEL_SCHEMAS[name]


def _print_problems(problems: list[DataProblem]) -> None:
    """One kind of problem: a heading, a line for each, and once what to do where that is the same for all."""
    first = problems[0]
    colour = {"fatal": "bold red", "warning": "bold yellow", "note": "bold"}[first.severity]
    out.print(f"{first.kind} ({first.severity}, {len(problems)})", style=colour)
    width = min(max(len(problem.location) for problem in problems), WIDEST)
    fixes = list(dict.fromkeys(problem.hint for problem in problems))
    for problem in problems:
        line = f"  {problem.location:<{width}}  {problem.message}"
        if len(fixes) > 1:
            line += f"; next: {problem.hint}"
        # Not a Rich table: that breaks file names over lines, and then nobody can copy or grep them.
        out.print(line, markup=False, soft_wrap=True)
    if len(fixes) == 1:
        out.print(f"  next: {fixes[0]}", markup=False, soft_wrap=True)
    out.print()


def _print_summary(checked: ValidationReport, scheme: LabelSchema, classes: list[int]) -> None:
    counts = Counter(str(problem.severity) for problem in checked.problems)
    plural = {"fatal": "fatal", "warning": "warnings", "note": "notes"}
    found = [f"{counts[name]} {name if counts[name] == 1 else plural[name]}" for name in plural if counts[name]]
    photos = checked.photos
    if sum(classes) == len(photos):
        labels = f"{sum(count > 0 for count in classes)} of {len(classes)} classes"
    else:
        known = checked.count_known(scheme)
        labels = "labels known: " + ", ".join(f"{name} {count:,}" for name, count in known.items())
    line = f"{len(photos):,} photos of {len(photos.persons):,} persons; {labels}; {', '.join(found) or 'nothing wrong'}"
    out.print(line, markup=False, soft_wrap=True)


def _print_folds(folds: PersonSplits, photos: PhotoDataset, scheme: LabelSchema) -> None:
    """Persons and photos of each fold, and how many persons of each stratum it has."""
    from maskfit.data.splits import TRAIN_ONLY, describe_stratum, find_strata

    strata = find_strata(photos, scheme)
    images = Counter(folds.fold_of_person[photo.person] for photo in photos)
    numbers = sorted(set(folds.fold_of_person.values()))
    kinds = sorted(set(strata.values()))
    persons = Counter((stratum, folds.fold_of_person[person]) for person, stratum in strata.items())
    words = {number: "always trained" if number == TRAIN_ONLY else str(number) for number in numbers}
    rows = []
    for number in numbers:
        per_stratum = [persons[kind, number] for kind in kinds]
        seen = sum(count > 0 for count in per_stratum)
        rows.append([words[number], sum(per_stratum), images[number], f"{seen} of {len(kinds)}"])
    print_table("Folds", ["fold", "persons", "photos", "strata"], rows)
    out.print()
    if len(numbers) <= MOST_COLUMNS:
        print_table(
            "Persons per stratum",
            ["stratum", *words.values()],
            [[describe_stratum(kind, scheme), *(persons[kind, number] for number in numbers)] for kind in kinds],
        )
        out.print()

"""`maskfit data check`, `split`, `synthesize` and `oversample`."""

from __future__ import annotations

import shlex
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_next, print_table, print_written, progress
from maskfit.cli.dataset_options import (
    CodesOption,
    SchemaOption,
    SourceArgument,
    find_schema,
    parse_codes,
    training_words,
)
from maskfit.file_locks import claim
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.data.data_problems import DataProblem
    from maskfit.data.photo_dataset import PhotoDataset
    from maskfit.data.splits import PersonSplits
    from maskfit.data.validation import ValidationReport

MAX_FOLD_COLUMNS = 12
"""Maximum number of folds for which the table of strata is printed."""

MAX_LISTED = 5
"""Warnings, or notes, of one kind that are listed one by one; `--json` lists all."""

MIN_PERSONS_FOR_FOLDS = 10
"""Persons from which on the proposed training has five folds, which hold out each of them once."""

TRAIN_NOTE = (
    "quick takes minutes and downloads nothing; its models are for research only, as the bundled model is. champion "
    "has no such condition, takes longer and downloads ImageNet weights once"
)
"""What is said before the proposed training."""

MAX_NAME_WIDTH = 48
"""Column width of file names; longer ones shift only their own line."""


def check(
    source: SourceArgument,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    schema: SchemaOption = "mask-gender-age",
    codes: CodesOption = "",
) -> None:
    """Find every problem of a dataset before training.

    Every photo is decoded. The exit code is 2 if training would refuse the dataset; warnings alone leave it 0.
    Of many warnings of one kind the first are listed, with --json all.

    Examples:

        maskfit data check train/images

        maskfit data check photos.csv --schema mask

        maskfit data check photos.csv --codes '{mask: {0: not_wear, 1: wear}}'

        maskfit data check train/images --json > problems.json
    """
    from maskfit.data.validation import validate_dataset

    labels, meanings = find_schema(schema), parse_codes(codes)
    with progress("checking") as advance:
        result = validate_dataset(source, labels, codes=meanings, progress=advance)
    classes = result.count_classes(labels)
    if json:
        print_json(
            {
                "photos": len(result.photos),
                "persons": len(result.photos.persons),
                "labels": result.count_known(labels),
                "classes": {labels.describe(number): count for number, count in enumerate(classes)},
                "problems": [_to_record(problem) for problem in result.problems],
            }
        )
    else:
        for _, group in groupby(result.problems, key=lambda problem: (problem.severity, problem.kind)):
            _print_problems(list(group))
        _print_summary(result, labels, classes)
        if not result.num_fatal and (known := _trainable_schema(result, labels, schema)):
            recipe, *overrides = training_words(known, "quick")
            options = [recipe, f"data.path={source}", *overrides]
            options += [f"data.codes={codes}"] if codes else []
            options += ["cv.num_folds=5"] if len(result.photos.persons) >= MIN_PERSONS_FOR_FOLDS else []
            if recipe == "quick":
                err.print(TRAIN_NOTE, soft_wrap=True)
            print_next(f"train {' '.join(map(shlex.quote, options))}")
    if result.num_fatal:
        raise typer.Exit(2)


def split(
    source: SourceArgument,
    folds: Annotated[
        int, typer.Option("--folds", metavar="K", min=1, help="Number of folds; 1 holds out one part of the persons.")
    ],
    target: Annotated[Path, typer.Option("--out", metavar="FILE", help="CSV to write, person,fold.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the split.")] = 0,
    holdout: Annotated[
        float, typer.Option("--holdout", metavar="FRACTION", help="Fraction of persons held out with --folds 1.")
    ] = 0.1,
    schema: SchemaOption = "mask-gender-age",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    codes: CodesOption = "",
) -> None:
    """Split persons into folds and write the split as CSV.

    All photos of a person are in one fold, and folds are stratified by the attributes of persons (gender x age in the
    competition). The same photos and seed give the same split.

    Examples:

        maskfit data split train/images --folds 5 --out splits.csv

        maskfit data split train/images --folds 1 --holdout 0.2 --seed 7 --out holdout.csv
    """
    from maskfit.data.read_dataset import read_photos
    from maskfit.data.splits import describe_leak_risk, make_person_splits

    labels = find_schema(schema)
    # Checked first: a split makes runs comparable, and reading a large dataset takes a while.
    check_overwrite(target, force)
    photos = read_photos(source, labels, parse_codes(codes))
    for line in (*(note.to_line() for note in photos.notes), describe_leak_risk(photos)):
        if line:
            err.print(line, style="yellow")
    splits = make_person_splits(photos, labels, folds, seed=seed, val_fraction=holdout)
    splits.write(target)
    _print_folds(splits, photos, labels)
    print_written(target, console=out)


def synthesize(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")],
    persons: Annotated[
        int, typer.Option("--persons", metavar="N", min=1, help="Number of persons, with seven photos each.")
    ],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
) -> None:
    """Draw synthetic faces in the competition's layout, to try everything without a download.

    Examples:

        maskfit data synthesize drawn --persons 100

        maskfit data synthesize drawn --persons 20 --seed 3
    """
    from maskfit.synthesis.drawn import write_train_set

    claim(target)
    with progress("drawing", unit="persons") as advance:
        images = write_train_set(target, persons, seed=seed, progress=advance)
    print_written(images, format_count(persons, "person"), console=out)


def oversample(
    source: SourceArgument,
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")],
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, help="Photos per class after oversampling, blends included.")
    ],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
    schema: SchemaOption = "mask-gender-age",
    codes: CodesOption = "",
) -> None:
    """Oversample rare classes with blends of two photos, to train on with data.extra_train.

    Each pair has one class and two persons, and no pair is used twice. Training leaves a blend out where one of its two
    persons is held out.

    Examples:

        maskfit data oversample train/images --count 1000 --out blends

        maskfit train baseline data.path=train/images data.extra_train=blends/manifest.csv
    """
    from maskfit.synthesis.offline_mixup import write_oversampled

    labels, meanings = find_schema(schema), parse_codes(codes)
    claim(target)
    with progress("blending") as advance:
        result = write_oversampled(source, labels, target, count, codes=meanings, seed=seed, progress=advance)
    rows = [
        (labels.describe(number), result.original_counts[number], blends)
        for number, blends in result.blend_counts.items()
        if blends
    ]
    print_table("Blends", ["class", "photos", "blends"], rows)
    print_written(result.manifest, format_count(sum(result.blend_counts.values()), "photo"), console=out)
    if result.unlabeled:
        err.print(f"skipped {format_count(result.unlabeled, 'photo')} whose class is not fully known", style="yellow")
    if result.unreadable:
        err.print(f"skipped {format_count(len(result.unreadable), 'unreadable photo')}:", style="yellow")
        for name, reason in result.unreadable.items():
            err.print(f"  {name}: {reason}")


def _to_record(problem: DataProblem) -> dict[str, str]:
    """Returns a problem as JSON; scripts rely on these keys."""
    return {
        "severity": problem.severity,
        "kind": problem.kind,
        "where": problem.location,
        "what": problem.message,
        "fix": problem.hint,
    }


def _print_problems(problems: list[DataProblem]) -> None:
    """Prints problems of one kind: a heading, a line for each of the first, and the hint once if all have the same.

    What prevents a training is listed in full, since all of it has to be corrected.
    """
    first, count = problems[0], len(problems)
    if first.severity != "fatal" and count > MAX_LISTED + 1:
        problems = problems[:MAX_LISTED]
    color = {"fatal": "bold red", "warning": "bold yellow", "note": "bold"}[first.severity]
    out.print(f"{first.kind} ({first.severity}, {count:,})", style=color)
    width = min(max(len(problem.location) for problem in problems), MAX_NAME_WIDTH)
    hints = list(dict.fromkeys(problem.hint for problem in problems))
    for problem in problems:
        line = f"  {problem.location:<{width}}  {problem.message}"
        if len(hints) > 1:
            line += f"; next: {problem.hint}"
        # Not a rich table, which would wrap file names so that they cannot be copied or searched.
        out.print(line, markup=False, soft_wrap=True)
    if count > len(problems):
        out.print(f"  and {count - len(problems):,} more; --json lists all")
    if len(hints) == 1:
        out.print(f"  next: {hints[0]}", markup=False, soft_wrap=True)
    out.print()


def _trainable_schema(result: ValidationReport, schema: LabelSchema, name: str) -> str | None:
    """The name of the label schema that all attributes with a label form; None where there is none of this name."""
    from maskfit.data.validation import find_smaller_schema

    known = tuple(attribute for attribute, count in result.count_known(schema).items() if count)
    return name if known == schema.names else find_smaller_schema(known, schema)


def _print_summary(result: ValidationReport, schema: LabelSchema, classes: list[int]) -> None:
    from maskfit.data.splits import describe_leak_risk

    counts = Counter(str(problem.severity) for problem in result.problems)
    plural = {"fatal": "fatal", "warning": "warnings", "note": "notes"}
    found = [f"{counts[name]} {name if counts[name] == 1 else plural[name]}" for name in plural if counts[name]]
    photos = result.photos
    if sum(classes) == len(photos):
        labels = f"{sum(count > 0 for count in classes)} of {format_count(len(classes), 'class', 'classes')}"
    else:
        known = result.count_known(schema)
        labels = "labels known: " + ", ".join(f"{name} {count:,}" for name, count in known.items())
    subject = format_count(len(photos), "photo")
    if any(photo.box for photo in photos):
        files = {photo.file_name for photo in photos}
        subject = f"{format_count(len(photos), 'row')} on {format_count(len(files), 'photo')}"
    if not photos:
        line = f"no photo was read; {', '.join(found)}"
    else:
        # Where nobody says who is on the photos, each counts as a person of its own, which is no number of persons.
        persons = (
            ", persons unknown" if describe_leak_risk(photos) else f" of {format_count(len(photos.persons), 'person')}"
        )
        line = f"{subject}{persons}; {labels}; {', '.join(found) or 'no problems'}"
    out.print(line, markup=False, soft_wrap=True)


def _print_folds(folds: PersonSplits, photos: PhotoDataset, schema: LabelSchema) -> None:
    """Prints persons and photos of each fold, and persons per stratum."""
    from maskfit.data.splits import TRAIN_ONLY, describe_stratum, person_strata

    strata = person_strata(photos, schema)
    images = Counter(folds.fold_of_person[photo.person] for photo in photos)
    fold_numbers = sorted(set(folds.fold_of_person.values()))
    strata_kinds = sorted(set(strata.values()))
    persons = Counter((stratum, folds.fold_of_person[person]) for person, stratum in strata.items())
    labels = {number: "train only" if number == TRAIN_ONLY else str(number) for number in fold_numbers}
    rows = []
    for number in fold_numbers:
        per_stratum = [persons[kind, number] for kind in strata_kinds]
        seen = sum(count > 0 for count in per_stratum)
        rows.append([labels[number], sum(per_stratum), images[number], f"{seen} of {len(strata_kinds)}"])
    print_table("Folds", ["fold", "persons", "photos", "strata"], rows)
    out.print()
    if len(fold_numbers) <= MAX_FOLD_COLUMNS:
        print_table(
            "Persons per stratum",
            ["stratum", *labels.values()],
            [
                [describe_stratum(kind, schema), *(persons[kind, number] for number in fold_numbers)]
                for kind in strata_kinds
            ],
        )
        out.print()

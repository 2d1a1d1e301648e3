"""`maskfit evaluate thresholds`: from which probability on an alarm is raised, and what that catches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_table, print_written
from maskfit.cli.dataset_options import SCHEMA_CHOICES, CodesOption, find_schema, parse_codes
from maskfit.errors import DataError
from maskfit.text import format_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from maskfit.evaluation.operating_points import OperatingPoint
    from maskfit.inference.alarm_photos import AlarmPhotos

FALSE_ALARMS, CAUGHT = (0.001, 0.005, 0.01, 0.02, 0.05), (0.9, 0.95, 0.99)
"""Limits that are shown where none is asked for."""


def evaluate_thresholds(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|TRUTH TABLE",
            help="A run, judged on its held-out photos; or the truth, as for maskfit evaluate, and a CSV of "
            "predict --probabilities.",
            show_default=False,
        ),
    ],
    alarm: Annotated[
        str,
        typer.Option(
            "--alarm", metavar="NAME=VALUE,...", help="Values that deserve an alarm: mask=incorrect,not_wear."
        ),
    ],
    false_alarms: Annotated[
        list[float] | None,
        typer.Option(
            "--max-false-alarms",
            metavar="FRACTION",
            help="Threshold with at most this fraction of false alarms; may be repeated.",
            show_default=False,
        ),
    ] = None,
    caught: Annotated[
        list[float] | None,
        typer.Option(
            "--min-caught",
            metavar="FRACTION",
            help="Threshold that catches at least this fraction; may be repeated.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            "--threshold",
            metavar="PROBABILITY",
            help="Judge this threshold, such as one that was chosen on other photos; may be repeated.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="CSV to write with every threshold.")
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="NAME|FILE|RUN",
            help=f"Label schema of the table: {SCHEMA_CHOICES}; by default the one of its number of classes.",
            show_default=False,
        ),
    ] = None,
    codes: CodesOption = "",
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the operating points as JSON.")] = False,
) -> None:
    """Choose the threshold of an alarm: what it catches, how often it is false, and how many alarms are right.

    An alarm is raised where the probability of the values together reaches the threshold. The table has the usual
    limits of false alarms and of what is caught, with 95% intervals over persons. A threshold that was chosen on some
    photos looks better on them than on others: judge it on photos that had no part in it, with --threshold.

    Examples:

        maskfit evaluate thresholds runs/first --alarm mask=incorrect,not_wear

        maskfit predict --images photos --probabilities table.csv

        maskfit evaluate thresholds photos.csv table.csv --alarm mask=incorrect --max-false-alarms 0.01

        maskfit evaluate thresholds other.csv other-table.csv --alarm mask=incorrect --threshold 0.35
    """
    from maskfit.inference.alarm_photos import load_alarm_photos

    check_overwrite(target, force)
    if len(files) > 2:
        raise DataError(
            f"expected a run, or a truth and a table, got {len(files)} files",
            location=str(files[2]),
            hint="maskfit evaluate thresholds TRUTH TABLE --alarm mask=incorrect",
        )
    limits = {"--max-false-alarms": false_alarms, "--min-caught": caught, "--threshold": threshold}
    for option, numbers in limits.items():
        for number in numbers or ():
            if not 0 <= number <= 1 or (option == "--min-caught" and not number):
                raise DataError(f"a fraction is from 0 to 1, got {number:g}", location=option)
    named = None if schema is None else find_schema(schema)
    photos = load_alarm_photos(files, alarm, named, parse_codes(codes))
    persons = photos.persons or tuple(map(str, range(len(photos.truth))))
    rows = list(_points(photos, persons, false_alarms, caught, threshold))
    notes = [*photos.notes]
    if photos.persons is None:
        notes.append("who is on which photo is not known: the intervals take each photo as another person")
    if not threshold:
        notes.append("chosen on these photos; judge a threshold on photos of other persons with --threshold")
    count = int(photos.deserved.sum())
    if json:
        print_json(
            {
                "alarm": {"attribute": photos.alarm.attribute.name, "values": photos.alarm.values},
                "photos": len(persons),
                "persons": None if photos.persons is None else len(set(persons)),
                "deserved": count,
                "points": [{"chosen_by": name} | point.to_dict() for name, point in rows],
            }
        )
    else:
        print_table(
            f"alarm: {photos.alarm}; {count:,} of {format_count(len(persons), 'photo')} deserve it",
            ["chosen by", "probability from", "caught", "95%", "false alarms", "95%", "alarms that are right"],
            [
                [
                    name,
                    "-" if point.threshold is None else f"{point.threshold:g}",
                    f"{point.caught.value:.1%} ({point.num_caught:,} of {count:,})",
                    f"{point.caught.low:.1%} to {point.caught.high:.1%}",
                    f"{point.false_alarms.value:.2%} ({point.num_false:,} of {len(persons) - count:,})",
                    f"{point.false_alarms.low:.2%} to {point.false_alarms.high:.2%}",
                    "-" if point.right is None else f"{point.right.value:.1%}",
                ]
                for name, point in rows
            ],
        )
        name = photos.alarm.attribute.name
        fields = " + ".join(f"{name}.probabilities.{value}" for value in photos.alarm.values)
        out.print(f"the JSON of predict and serve has what is compared: {fields}", soft_wrap=True)
    for line in notes:
        err.print(line, style="yellow", markup=False, soft_wrap=True)
    if target is not None:
        print_written(_write_curve(target, photos), "a row for each threshold")


def _points(
    photos: AlarmPhotos,
    persons: tuple[str, ...],
    false_alarms: list[float] | None,
    caught: list[float] | None,
    thresholds: list[float] | None,
) -> Iterator[tuple[str, OperatingPoint]]:
    """How each threshold was chosen, and what it is worth; limits that no threshold keeps are named."""
    from maskfit.evaluation.operating_points import choose_threshold, measure_alarms, operating_curve

    def measure(alarms: NDArray[np.bool_], threshold: float | None = None) -> OperatingPoint:
        return measure_alarms(alarms, photos.deserved, persons, threshold)

    yield "the most probable value", measure(photos.most_probable)
    curve = operating_curve(photos.probability, photos.deserved)
    chosen: list[tuple[str, float | None]] = [("given", number) for number in thresholds or ()]
    by_default = not (false_alarms or caught or thresholds)
    chosen += [
        (f"false alarms of at most {100 * limit:g}%", choose_threshold(curve, max_false_alarms=limit))
        for limit in (FALSE_ALARMS if by_default else false_alarms or ())
    ]
    chosen += [
        (f"at least {100 * limit:g}% caught", choose_threshold(curve, min_caught=limit))
        for limit in (CAUGHT if by_default else caught or ())
    ]
    for name, number in chosen:
        if number is not None:
            yield name, measure(photos.probability >= number, number)
        elif not by_default:
            err.print(
                f"{name}: no threshold, the most probable alarms are false already", style="yellow", soft_wrap=True
            )


def _write_curve(target: Path, photos: AlarmPhotos) -> Path:
    from maskfit.evaluation.operating_points import operating_curve
    from maskfit.file_io import write_csv

    curve = operating_curve(photos.probability, photos.deserved)
    positive = int(photos.deserved.sum())
    negative = len(photos.truth) - positive
    return write_csv(
        target,
        ["threshold", "caught", "false_alarms", "right", "num_caught", "num_false"],
        [
            [
                f"{threshold:.9g}",
                f"{hits / positive:.6f}",
                f"{false / negative:.6f}",
                f"{hits / (hits + false):.6f}",
                int(hits),
                int(false),
            ]
            for threshold, hits, false in zip(*curve, strict=True)
        ],
    )

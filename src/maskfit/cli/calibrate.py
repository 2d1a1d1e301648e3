"""`maskfit calibrate`: from where on a run's models say "not sure"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import err, out, print_json, print_table
from maskfit.errors import DataError


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with a finished fold.")],
    accuracy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FRACTION", help="Accuracy that answered photos shall have: mask=0.99."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--coverage", metavar="NAME=FRACTION", help="Fraction of photos that shall be answered: age=0.8."),
    ] = None,
    below: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold", metavar="NAME=PROBABILITY", help='Probability below which the prediction is "not sure".'
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the fitted values as JSON.")] = False,
) -> None:
    """Fit temperatures and "not sure" thresholds on a run's out-of-fold predictions, and write them into its models.

    Training does this with a threshold of 0.6 for every attribute. Each call sets all thresholds: attributes that are
    not named go back to 0.6. The accuracy and coverage of a fitted threshold are estimated on persons it was not fitted
    on. Models that were exported before must be exported again.

    Examples:

        maskfit calibrate runs/first --accuracy mask=0.99 --coverage age=0.8

        maskfit calibrate runs/first --threshold gender=0.7
    """
    wanted = {"accuracy": _shares(accuracy), "keep": _shares(keep), "below": _shares(below)}
    from maskfit.inference.recalibrate import recalibrate
    from maskfit.run_dir import RunDir, is_run_dir

    if not is_run_dir(run):
        raise DataError("this is no run", location=run, hint="name the folder that maskfit train wrote")
    found = recalibrate(RunDir(run), **wanted)
    own = found.calibration
    if json:
        print_json(
            {
                **own.model_dump(mode="json"),
                "thresholds": {name: item.to_dict() for name, item in found.thresholds.items()},
                "models": [str(path) for path in found.models],
            }
        )
        return
    print_table(
        f"fitted on {own.photos:,} photos of {own.persons:,} persons",
        ["head", "temperature"],
        list(own.temperatures.items()),
    )
    print_table("not sure", ["attribute", "below"], list(own.abstain_below.items()))
    for name, item in found.thresholds.items():
        right = "none of them" if item.accuracy is None else f"{item.accuracy.value:.1%} of them right"
        out.print(
            f"{name}: on other persons {item.coverage.value:.1%} of photos stay answered, {right}; "
            f"when all are, {item.overall_accuracy.value:.1%} are right",
            soft_wrap=True,
        )
    err.print(f"written into {len(found.models)} models; export anew what was exported of them")


def _shares(words: Sequence[str] | None) -> dict[str, float]:
    """`mask=0.99` as numbers by attribute.

    Raises:
        DataError: A word is no such pair, or names an attribute twice.
    """
    shares: dict[str, float] = {}
    for word in words or ():
        name, _, text = word.partition("=")
        try:
            number = float(text)
        except ValueError:
            raise DataError(f"'{word}' is no attribute with a share", hint="write mask=0.99") from None
        if name in shares:
            raise DataError(f"'{name}' is named twice", hint="name it once")
        shares[name] = number
    return shares

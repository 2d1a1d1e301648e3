"""`maskfit calibrate`: temperatures, abstention thresholds and decision weights of a run's models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import err, out, print_json, print_table
from maskfit.errors import DataError
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.inference.recalibrate import KeptThreshold


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with a finished fold.")],
    accuracy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FRACTION", help="Minimum accuracy of predictions above the threshold: mask=0.99."),
    ] = None,
    coverage: Annotated[
        list[str] | None,
        typer.Option(
            "--coverage", metavar="NAME=FRACTION", help="Minimum fraction of photos above the threshold: age=0.8."
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold", metavar="NAME=PROBABILITY", help='Probability below which the prediction is "not sure".'
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the fitted values as JSON.")] = False,
) -> None:
    """Fit temperatures, "not sure" thresholds and decision weights on out-of-fold predictions.

    They are written into the models. Decision weights that gain nothing on other persons are left out.

    Training does this with a threshold of 0.6 for every attribute. Each call sets all thresholds: attributes that are
    not named go back to 0.6. The accuracy and coverage of a fitted threshold are estimated on persons it was not fitted
    on. With too few persons to know it (below 20, or below 1 / (1 - accuracy)) a target lowers no threshold: the model
    keeps the one that it has, and a line says so. Models that were exported before must be exported again.

    Examples:

        maskfit calibrate runs/first --accuracy mask=0.99 --coverage age=0.8

        maskfit calibrate runs/first --threshold gender=0.7
    """
    min_accuracy, min_coverage, thresholds = map(_parse_fractions, (accuracy, coverage, threshold))
    from maskfit.evaluation.fit_decisions import describe_fit
    from maskfit.inference.recalibrate import recalibrate
    from maskfit.model_file import read_model_metadata
    from maskfit.run_dir import RunDir, explain_no_run, is_run_dir

    if not is_run_dir(run):
        raise explain_no_run(run)
    result = recalibrate(RunDir(run), accuracy=min_accuracy, coverage=min_coverage, threshold=thresholds)
    calibration = result.calibration
    if calibration.warning:
        line = f"{calibration.warning}; next: {calibration.next_step}"
        err.print(line, style="yellow", markup=False, soft_wrap=True)
    for name, kept in result.kept.items():
        err.print(_describe_kept(name, kept), style="yellow", soft_wrap=True)
    if json:
        print_json(
            {
                **calibration.model_dump(mode="json"),
                "decision_fits": {name: fit.to_dict() for name, fit in result.decisions.items()},
                "thresholds": {name: item.to_dict() for name, item in result.thresholds.items()},
                "kept_thresholds": {name: kept.to_dict() for name, kept in result.kept.items()},
                "models": [str(path) for path in result.models],
            }
        )
        return
    print_table(
        f"fitted on {format_count(calibration.photos, 'photo')} of {format_count(calibration.persons, 'person')}",
        ["head", "temperature"],
        list(calibration.temperatures.items()),
    )
    print_table("not sure", ["attribute", "below"], list(calibration.abstain_below.items()))
    for name, item in result.thresholds.items():
        correct = "accuracy unknown"
        if item.accuracy is not None:
            span = item.accuracy
            width = f" (95% interval {span.low:.1%} to {span.high:.1%})" if span.has_width else ""
            correct = f"{span.value:.1%} of them correct{width}"
        which = _which(result.kept.get(name))
        out.print(
            f"{name}: {which}on held-out persons {item.coverage.value:.1%} of photos are above the threshold, "
            f"{correct}; without a threshold {item.overall_accuracy.value:.1%} are correct",
            soft_wrap=True,
        )
    if result.decisions:
        schema = read_model_metadata(result.models[0]).label_schema.scored_schema()
        for fit in result.decisions.values():
            out.print(describe_fit(fit, schema), soft_wrap=True)
    err.print(
        f"written: thresholds of {format_count(len(result.models), 'model')}; export again what was exported from them"
    )


def _which(kept: KeptThreshold | None) -> str:
    return "" if kept is None else f"with the fitted {kept.fitted:.4f}, which is not used, "


def _describe_kept(name: str, kept: KeptThreshold) -> str:
    """Why a threshold is not lowered, and what to do about it."""
    if kept.persons_needed is None:
        reason = "no number of persons shows an accuracy of 1"
        step = f"ask for less, such as --accuracy {name}=0.99"
    else:
        reason = f"{format_count(kept.persons, 'held-out person is', 'held-out persons are')} too few for this target "
        reason += f"(below {kept.persons_needed})"
        step = "hold out more: train with cv.num_folds=5 and without cv.train_folds, or on more persons"
    return (
        f"{name}: the threshold stays at {kept.probability:.4f} and is not lowered to the fitted {kept.fitted:.4f}: "
        f"{reason}; next: {step}, or set it yourself: --threshold {name}={kept.fitted:.2f}"
    )


def _parse_fractions(pairs: Sequence[str] | None) -> dict[str, float]:
    """Parses `mask=0.99` into numbers by attribute.

    Raises:
        DataError: A value is not NAME=NUMBER, or an attribute is named twice.
    """
    fractions: dict[str, float] = {}
    for pair in pairs or ():
        name, _, text = pair.partition("=")
        try:
            number = float(text)
        except ValueError:
            raise DataError(f"expected NAME=NUMBER, got '{pair}'", hint="write it like mask=0.99") from None
        if name in fractions:
            raise DataError(f"attribute '{name}' is given twice", hint="give it once")
        fractions[name] = number
    return fractions

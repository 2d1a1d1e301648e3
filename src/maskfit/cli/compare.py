"""`maskfit compare`: what a change is worth, from out-of-fold predictions of two or more runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_table, print_written
from maskfit.errors import DataError
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.evaluation.bootstrap import Interval
    from maskfit.report.run_comparison import Comparison, RunDifference
    from maskfit.report.run_statistics import RunStatistics
    from maskfit.report.verdict import Verdict


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Run folders; each later one is compared with the first."),
    ],
    target: Annotated[
        Path | None, typer.Option("--out", metavar="PAGE", help="Also write the comparison as an HTML page.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="ROOT|CSV", help="The labeled photos, if not those the runs were trained on."),
    ] = None,
    draws: Annotated[
        int, typer.Option(metavar="N", min=100, max=100_000, help="Bootstrap samples of persons for each interval.")
    ] = 1000,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, for scripts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
) -> None:
    """Say what a change is worth: each later run minus the first, on the same photos of the same persons.

    Differences are paired: every bootstrap sample has the same persons for both runs, so that what both find difficult
    cancels. An interval that includes zero is "not settled", with the number of persons that would settle it. Also by
    attribute, by class, and for ages near a border of the bands.

    Examples:

        maskfit compare runs/baseline runs/champion

        maskfit compare runs/baseline runs/champion runs/mine --out compared.html

        maskfit compare runs/baseline runs/champion --json > difference.json
    """
    from maskfit.report.build_report import compute_statistics, write_report
    from maskfit.report.run_comparison import Comparison

    if len(runs) < 2:
        raise DataError("one run has nothing to be compared with", hint="name two runs: maskfit compare RUN RUN")
    check_overwrite(target, force)
    with err.status("evaluating"):
        comparison = compute_statistics(runs, data=data, draws=draws)
        assert isinstance(comparison, Comparison)
        written = None if target is None else write_report(target, comparison)
    if json:
        print_json(_to_record(comparison))
    else:
        print_comparison(comparison)
    if written:
        size = written.stat().st_size / 1e6
        print_written(written, f"{size:.1f} MB", console=err if json else out)


def _verdicts(difference: RunDifference, persons: int) -> dict[str, Verdict]:
    from maskfit.report.verdict import judge_difference

    return {name: judge_difference(item, persons) for name, item in difference.macro_f1.items()}


def _to_record(comparison: Comparison) -> dict[str, object]:
    persons = comparison.runs[0].run.num_persons
    return {
        **comparison.to_dict(),
        "verdicts": [
            {name: item.to_dict() for name, item in _verdicts(difference, persons).items()}
            for difference in comparison.differences
        ],
    }


def print_comparison(comparison: Comparison) -> None:
    """Prints the verdict and the differences of each run to the first.

    Args:
        comparison: The runs, compared.
    """
    first = comparison.runs[0]
    names = comparison.names
    out.print(
        f"{len(first.run.table):,} photos of {first.run.num_persons:,} persons, out-of-fold predictions, "
        f"intervals {_level(comparison):.0%} over persons",
        markup=False,
        soft_wrap=True,
    )
    if comparison.left_out:
        out.print(f"{comparison.left_out:,} photos were not predicted by all runs and are left out", soft_wrap=True)
    for name, other, difference, relabeled in zip(
        names[1:], comparison.runs[1:], comparison.differences, comparison.relabeled, strict=True
    ):
        out.print()
        _print_verdict(names[0], name, first, other, difference)
        if relabeled:
            out.print(
                f"{relabeled:,} photos have other labels in {name}; both are scored with those of {names[0]} (name "
                "first the run whose labels are right, such as corrected ones)",
                markup=False,
                soft_wrap=True,
            )
        _print_tables(names[0], name, first, difference)


def _level(comparison: Comparison) -> float:
    return next(iter(comparison.differences[0].macro_f1.values())).level


def _print_verdict(
    first_name: str, name: str, first: RunStatistics, other: RunStatistics, difference: RunDifference
) -> None:
    from maskfit.evaluation.bootstrap import smallest_change_shown
    from maskfit.labels.schema import JOINT_HEAD
    from maskfit.report.verdict import POWER

    verdicts = _verdicts(difference, first.run.num_persons)
    main = JOINT_HEAD if JOINT_HEAD in verdicts else next(iter(verdicts))
    verdict = verdicts[main]
    label = "macro F1" if main == JOINT_HEAD else f"macro F1 of {main}"
    scores = [
        run.scores.macro_f1 if main == JOINT_HEAD else run.scores.per_attribute[main].macro_f1 for run in (first, other)
    ]
    values = " -> ".join("?" if value is None else f"{value:.3f}" for value in scores)
    alike = not difference.predicted_differently[main]
    reason = f": no photo of {format_count(verdict.num_persons, 'person')} is predicted differently" if alike else ""
    out.print(
        f"{name} against {first_name}: {label} {values}, {_signed(verdict.difference)}: {verdict.word}{reason}",
        markup=False,
        soft_wrap=True,
        style="bold",
    )
    if alike:
        level = verdict.difference.level
        share = smallest_change_shown(verdict.num_persons, level)
        out.print(
            f"{format_count(verdict.num_persons, 'person')} would have shown a change on {share:.1%} of persons or "
            f"more ({(1 + level) / 2:.1%} of the time), not a smaller one",
            markup=False,
            soft_wrap=True,
        )
    if verdict.word == "not settled" and verdict.persons_needed is not None:
        out.print(
            f"a difference of this size needs about {verdict.persons_needed:,} persons to be shown "
            f"({POWER:.0%} of the time); here are {verdict.num_persons:,}",
            markup=False,
            soft_wrap=True,
        )


def _print_tables(first_name: str, name: str, first: RunStatistics, difference: RunDifference) -> None:
    from maskfit.labels.schema import JOINT_HEAD

    verdicts = _verdicts(difference, first.run.num_persons)
    rows: list[tuple[object, ...]] = []
    for part, verdict in verdicts.items():
        agreement = difference.agreement[part]
        rows.append(
            (
                "class" if part == JOINT_HEAD else part,
                _signed(verdict.difference),
                verdict.word,
                _signed(difference.accuracy[part]),
                f"{agreement.only_first:,} / {agreement.only_other:,}",
                "" if verdict.settled or verdict.persons_needed is None else f"{verdict.persons_needed:,}",
            )
        )
    header = ["attribute", "macro F1", "verdict", "accuracy", "right only in first / second", "persons needed"]
    print_table(f"{name} minus {first_name}", header, rows)
    classes = [
        (first.scores.per_class[index].name, _signed(item), first.scores.per_class[index].support)
        for index, item in enumerate(difference.per_class)
        if item is not None
    ]
    if classes:
        print_table("by class", ["class", "F1", "photos"], classes)
    ages = [(group, _signed(item)) for group, item in difference.age_accuracy.items()]
    if ages:
        print_table("by age: within 3 years of a border of the bands, and elsewhere", ["ages", "accuracy"], ages)


def _signed(item: Interval) -> str:
    return f"{item.value:+.3f} [{item.low:+.3f}, {item.high:+.3f}]"

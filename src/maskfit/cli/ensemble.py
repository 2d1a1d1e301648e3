"""`maskfit ensemble`: stored tables combined by every vote, compared, and turned into submissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_table, progress
from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema

if TYPE_CHECKING:
    from maskfit.evaluation.bootstrap import Interval
    from maskfit.inference.ensemble.comparison import EvaluatedMember
    from maskfit.inference.ensemble.inputs import AlignedTables
    from maskfit.inference.ensemble.learned_weights import EnsembleFitter

Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN_OR_TABLE...",
        help="The members: run folders, each for its held-out answers, or CSVs with ImageID,p0,p1,... and, where they "
        "are known, truth and person.",
        show_default=False,
    ),
]
Vote = Annotated[
    list[str],
    typer.Option(
        "--combine",
        help="arithmetic, geometric, weighted, majority, majority_per_attribute, greedy, stack, or all; with options "
        "as in greedy:num_bags=5 or stack:C=0.01. May be given several times.",
    ),
]
Apply = Annotated[
    list[Path] | None,
    typer.Option(
        help="A member's probabilities of the photos to answer, from maskfit predict --probabilities; once for each "
        "member, in the members' order."
    ),
]
WeightsWord = Annotated[
    str | None,
    typer.Option(
        metavar="W,W,...",
        help="For weighted: a weight for each member. Left out, it is each member's held-out macro F1.",
    ),
]


Folds = Annotated[int, typer.Option(min=2, help="Into how many folds persons are dealt to judge what learns.")]
SchemaOption = Annotated[
    str | None,
    typer.Option(
        "--schema", metavar="NAME", help=f"What is answered, where no run says it: {', '.join(LABEL_SCHEMAS)}."
    ),
]


def ensemble(
    sources: Sources,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write into.")],
    vote: Vote = ["all"],  # noqa: B006 (Typer copies it)
    apply: Apply = None,
    weights: WeightsWord = None,
    folds: Folds = 5,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of these folds and of the intervals.")] = 0,
    scheme: SchemaOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Combine models from stored probabilities: compare ways to combine them, and predict with one.

    With run folders, or tables with a truth, every method is compared with the best single member. Methods fitted on
    the truth (weighted, greedy, stack, and the best single member itself) are scored on persons they were not fitted
    on. Writes comparison.csv and .json, and out-of-fold-METHOD.csv.

    With --apply, or with tables without a truth, predicts: submission-METHOD.csv and probabilities-METHOD.csv. No photo
    is opened.

    Examples:

        maskfit ensemble runs/b0 runs/b3 --out votes

        maskfit predict runs/b0 --image-list info.csv --probabilities p0.csv

        maskfit predict runs/b3 --image-list info.csv --probabilities p3.csv

        maskfit ensemble runs/b0 runs/b3 --apply p0.csv --apply p3.csv --combine greedy --combine stack --out votes

        maskfit ensemble p0.csv p3.csv --combine weighted --weights 1,0.625 --out votes
    """
    from maskfit.inference.ensemble.comparison import (
        describe_weights,
        fit_votes,
        parse_votes,
        predict_with,
        write_predictions,
    )
    from maskfit.inference.ensemble.inputs import load_aligned_tables

    tables = load_aligned_tables(sources, _find_schema(scheme))
    votes, remarks = parse_votes(vote, weights=_numbers(weights), truth=tables.truth is not None)
    wanted = _open_wanted(tables, sources, apply or [])
    _refuse_files(folder, votes, scored=tables.truth is not None, answered=wanted is not None, force=force)
    for remark in (*tables.warnings, *remarks):
        err.print(remark)
    fitted = fit_votes(tables, votes)
    shares = describe_weights(fitted, tables.names)
    written: list[Path] = []
    if tables.truth is not None:
        written += _compare(tables, votes, shares, folder, {"folds": folds, "seed": seed}, json)
    if wanted is not None:
        written += write_predictions(folder, predict_with(fitted, wanted))
    for path in written:
        err.print(f"written: {path}")


def _find_schema(name: str | None) -> LabelSchema | None:
    if name is not None and name not in LABEL_SCHEMAS:
        raise DataError(f"label schema '{name}' is unknown; {did_you_mean(name, LABEL_SCHEMAS)}")
    return LABEL_SCHEMAS[name] if name else None


def _numbers(text: str | None) -> list[float] | None:
    """The weights of `1,0.625`."""
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise DataError(
            f"--weights must be numbers separated by commas, got '{text}'", hint="--weights 1,0.625"
        ) from None


def _open_wanted(tables: AlignedTables, sources: Sequence[Path], apply: Sequence[Path]) -> AlignedTables | None:
    """Returns the tables to predict: those of --apply, or the members' own where they have no truth.

    Raises:
        DataError: --apply is not given once per member, names a run, or the members have no truth.
    """
    from maskfit.inference.ensemble.inputs import load_aligned_tables
    from maskfit.run_dir import is_run_dir

    if not apply:
        return tables if tables.truth is None else None
    if tables.truth is None:
        raise DataError(
            "--apply needs members with a truth to fit on",
            location=sources[0],
            hint="pass run folders as members, or drop --apply",
        )
    if len(apply) != len(sources):
        raise DataError(
            f"{len(sources)} members, but {len(apply)} tables to apply them to",
            hint="give --apply once for each member, in the same order",
        )
    for path in apply:
        if is_run_dir(path):
            raise DataError(
                "--apply takes a probability table, not a run",
                location=path,
                hint=f"maskfit predict {path} --image-list info.csv --probabilities FILE",
            )
    return load_aligned_tables(apply, tables.schema)


def _refuse_files(
    folder: Path, votes: Mapping[str, EnsembleFitter], *, scored: bool, answered: bool, force: bool
) -> None:
    """Checks that no output would be overwritten, before anything is computed."""
    names = ["comparison.csv", "comparison.json", *(f"out-of-fold-{vote}.csv" for vote in votes)] if scored else []
    if answered:
        names += [f"{kind}-{vote}.csv" for vote in votes for kind in ("probabilities", "submission")]
    if folder.exists() and not folder.is_dir():
        raise DataError("the path is not a folder", location=folder, hint="choose a folder to write into")
    for name in names:
        check_overwrite(folder / name, force)


def _compare(
    tables: AlignedTables,
    votes: Mapping[str, EnsembleFitter],
    shares: Mapping[str, Mapping[str, float]],
    folder: Path,
    settings: dict[str, int],
    json: bool,
) -> list[Path]:
    """Evaluates everything, prints the comparison, and writes it."""
    from maskfit.inference.ensemble.comparison import compare, write_comparison

    with progress("evaluating", unit="methods") as advance:
        judged = compare(tables, votes, **settings, progress=advance)
    if json:
        print_json({"weights": shares, "judged": [item.to_dict() for item in judged]})
    else:
        _print(tables, judged, shares)
    return write_comparison(folder, judged, shares, settings)


def _print(tables: AlignedTables, judged: Sequence[EvaluatedMember], shares: Mapping[str, Mapping[str, float]]) -> None:
    rows = []
    for item in judged:
        gain = f"{item.gain.value:+.4f}" if item.gain else ""
        around = item.scores.intervals.get("macro_f1")
        rows.append((item.name, item.scores.macro_f1, _span(around), item.scores.accuracy, gain, _span(item.gain, "+")))
    header = ["", "macro F1", "95 % interval", "accuracy", "gain", "95 % interval"]
    persons = len(set(tables.persons or ()))
    print_table(f"{len(tables.photos):,} held-out photos of {persons:,} persons", header, rows)
    out.print(
        "gain: over the best single member; weighted, greedy, stack and the best single member are evaluated on "
        "persons they were not fitted on",
        soft_wrap=True,
    )
    for vote, weights in shares.items():
        used = sorted(((share, name) for name, share in weights.items() if share), key=lambda pair: -pair[0])
        out.print(f"{vote}: " + ", ".join(f"{share:.2f} {name}" for share, name in used), soft_wrap=True)


def _span(around: Interval | None, sign: str = "") -> str:
    return f"{around.low:{sign}.3f} to {around.high:{sign}.3f}" if around else ""

"""`maskfit ensemble`: combines models from stored probability tables, compares the ways, and predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.calibration import DEFAULT_DECIDE, describe_decision_weights, parse_decide_mode
from maskfit.cli.console import check_overwrite, err, out, print_json, print_table, print_written, progress
from maskfit.cli.dataset_options import SCHEMA_CHOICES, find_schema
from maskfit.cli.ensemble_members import (
    MemberOptions,
    combine_members,
    output_names,
    print_member_ensemble,
    split_sources,
)
from maskfit.cli.predict_options import MODELS, PHOTOS, EngineOption, ImageListOption
from maskfit.errors import DataError
from maskfit.file_locks import is_occupied
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.evaluation.bootstrap import Interval
    from maskfit.inference.ensemble.comparison import EvaluatedMember
    from maskfit.inference.ensemble.inputs import AlignedTables
    from maskfit.inference.ensemble.learned_weights import EnsembleFitter

SourcesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN_OR_TABLE...",
        help="Ensemble members: run folders, used by their out-of-fold predictions or, with --top-k, --tta or "
        "--images, by their models; CSVs with ImageID,p0,p1,... and, if known, truth and person; submissions "
        "(ImageID,ans).",
        show_default=False,
    ),
]
CombineOption = Annotated[
    list[str],
    typer.Option(
        "--combine",
        metavar="NAME",
        help="arithmetic, geometric, weighted, majority, majority_per_attribute, greedy, stack, or all; with options "
        "as in greedy:num_bags=5 or stack:l2=0.01. May be given several times.",
    ),
]
ApplyOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Probability table of a member for the photos to predict, from maskfit predict --probabilities; once for "
        "each member, in the same order."
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="W,W,...",
        help="For weighted: a weight for each member; the member's out-of-fold macro F1 by default.",
    ),
]


FoldsOption = Annotated[
    int, typer.Option(min=2, help="Number of folds, by person, on which fitted methods are scored.")
]
SchemaOption = Annotated[
    str | None,
    typer.Option(
        "--schema", metavar="NAME|FILE|RUN", help=f"Label schema, for tables that are not of a run: {SCHEMA_CHOICES}."
    ),
]


DecideOption = Annotated[
    str,
    typer.Option(
        metavar="argmax|macro-f1|accuracy",
        help="How the submissions choose a class: the most probable one, or with weights fitted for a metric on the "
        "held-out photos; argmax where these gain nothing on other persons.",
    ),
]


MemberTopKOption = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        metavar="K",
        min=1,
        help="Predict with each fold's K best models, each one a member.",
        show_default=False,
        rich_help_panel=MODELS,
    ),
]
MemberTtaOption = Annotated[
    str | None,
    typer.Option(
        "--tta",
        metavar="NAME",
        rich_help_panel=MODELS,
        help="Test-time views, each one a member, as for maskfit predict: flip, crops:n=4, five_crop.",
        show_default=False,
    ),
]
MemberImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="DIR",
        help="Folder of photos to predict with every member and vote.",
        rich_help_panel=PHOTOS,
    ),
]


def ensemble(
    sources: SourcesArgument,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write into.")],
    combine: CombineOption = ["all"],  # noqa: B006 (Typer copies it)
    apply: ApplyOption = None,
    weights: WeightsOption = None,
    folds: FoldsOption = 5,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of these folds and of the intervals.")] = 0,
    schema: SchemaOption = None,
    decide: DecideOption = DEFAULT_DECIDE,
    top_k: MemberTopKOption = None,
    tta: MemberTtaOption = None,
    images: MemberImagesOption = None,
    image_list: ImageListOption = None,
    engine: EngineOption = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Combine models from stored probabilities: compare ways to combine them, and predict with one.

    With run folders, or tables with a truth, every method is compared with the best single member. Methods fitted on
    the truth (weighted, greedy, stack, and the best single member itself) are scored on persons they were not fitted
    on. Writes comparison.csv and .json, and out-of-fold-METHOD.csv. Decision weights of each method are fitted and
    scored in the same way.

    With --apply, or with tables without a truth, predicts: submission-METHOD.csv and probabilities-METHOD.csv. No photo
    is opened.

    With --top-k, --tta or --images, every model and view of the runs is a member of its own, whose table is predicted
    once and kept in members/; weighted takes each one's macro F1 on the photos that its fold held out. Also writes
    members.csv and drop-one.csv, which says how few members would do.

    Examples:

        maskfit ensemble runs/b0 runs/b3 --out votes

        maskfit predict runs/b0 --image-list info.csv --probabilities p0.csv

        maskfit predict runs/b3 --image-list info.csv --probabilities p3.csv

        maskfit ensemble runs/b0 runs/b3 --apply p0.csv --apply p3.csv --combine greedy --combine stack --out votes

        maskfit ensemble p0.csv p3.csv --combine weighted --weights 1,0.625 --out votes

        maskfit ensemble runs/b0 --top-k 2 --tta crops:n=2 --images eval/images --image-list eval/info.csv --out votes
    """
    mode = parse_decide_mode(decide)
    if top_k or tta or images or image_list:
        if apply or weights is not None or schema:
            raise DataError(
                "--apply, --weights and --schema are for stored tables",
                hint="leave them out, or --top-k, --tta, --images",
            )
        options = MemberOptions(top_k or 1, tta or "original", engine, folds, seed, mode)
        _combine_members(sources, folder, combine, (images, image_list), options, force=force, json=json)
        return
    from maskfit.inference.ensemble.comparison import (
        describe_weights,
        fit_votes,
        parse_votes,
        predict_with,
        select_weights,
        write_predictions,
    )
    from maskfit.inference.ensemble.inputs import load_aligned_tables

    tables = load_aligned_tables(sources, _find_schema(schema))
    methods, warnings = parse_votes(combine, weights=_parse_weights(weights), truth=tables.truth is not None)
    inputs = _load_inputs(tables, sources, apply or [])
    _check_outputs(folder, methods, evaluated=tables.truth is not None, predicted=inputs is not None, force=force)
    for warning in (*tables.warnings, *warnings):
        err.print(warning)
    fitted = fit_votes(tables, methods)
    member_weights = describe_weights(fitted, tables.names)
    written: list[Path] = []
    results: list[EvaluatedMember] = []
    if tables.truth is not None:
        results, written = _compare(tables, methods, member_weights, folder, {"folds": folds, "seed": seed}, json)
    if inputs is not None:
        decision_weights = select_weights(results, mode)
        for name in methods:
            chosen = describe_decision_weights(tables.schema, decision_weights.get(name, {}))
            err.print(f"submission of {name}: " + (f"{mode}, {chosen}" if chosen else "the most probable class"))
        written += write_predictions(folder, predict_with(fitted, inputs), tables.schema, decision_weights)
    for path in written:
        print_written(path)


def _combine_members(
    sources: Sequence[Path],
    folder: Path,
    combine: Sequence[str],
    listed: tuple[Path | None, Path | None],
    options: MemberOptions,
    *,
    force: bool,
    json: bool,
) -> None:
    """Combines every model and view of runs."""
    from maskfit.cli.predict import list_images, resolve_images
    from maskfit.inference.ensemble.comparison import describe_weights, fit_votes, parse_votes

    has_photos = any(listed)
    runs, further = split_sources(sources, has_photos)
    votes, warnings = parse_votes(combine)
    photos = list(list_images(*resolve_images(*listed))) if has_photos else []
    _check_names(folder, output_names(list(votes), has_photos), force)
    for warning in warnings:
        err.print(warning)
    if further:
        err.print(f"weight of {', '.join(map(str, further))} in weighted: the mean of the members'")
    found = combine_members(runs, further, photos, votes, folder, options)
    for warning in found.slots.warnings:
        err.print(warning)
    if not json:
        _print_comparison(
            found.slots, found.results, describe_weights(fit_votes(found.slots, votes), found.slots.names)
        )
    print_member_ensemble(found, json)


def _find_schema(name: str | None) -> LabelSchema | None:
    return find_schema(name) if name else None


def _parse_weights(text: str | None) -> list[float] | None:
    """Parses `1,0.625`."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise DataError(
            f"--weights must be numbers separated by commas, got '{text}'", hint="--weights 1,0.625"
        ) from None


def _load_inputs(tables: AlignedTables, sources: Sequence[Path], apply: Sequence[Path]) -> AlignedTables | None:
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
            f"{format_count(len(sources), 'member')}, but {format_count(len(apply), 'table')} to apply them to",
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


def _check_outputs(
    folder: Path, methods: Mapping[str, EnsembleFitter], *, evaluated: bool, predicted: bool, force: bool
) -> None:
    """Checks that no output would be overwritten, before anything is computed."""
    names = (
        ["comparison.csv", "comparison.json", *(f"out-of-fold-{method}.csv" for method in methods)] if evaluated else []
    )
    if predicted:
        names += [f"{kind}-{method}.csv" for method in methods for kind in ("probabilities", "submission")]
    _check_names(folder, names, force)


def _check_names(folder: Path, names: Sequence[str], force: bool) -> None:
    is_occupied(folder)
    for name in names:
        check_overwrite(folder / name, force)


def _compare(
    tables: AlignedTables,
    methods: Mapping[str, EnsembleFitter],
    member_weights: Mapping[str, Mapping[str, float]],
    folder: Path,
    settings: dict[str, int],
    json: bool,
) -> tuple[list[EvaluatedMember], list[Path]]:
    """Evaluates everything, prints the comparison, and writes it."""
    from maskfit.inference.ensemble.comparison import compare, write_comparison

    with progress("evaluating", unit="methods") as advance:
        results = compare(tables, methods, **settings, progress=advance)
    if json:
        print_json({"weights": member_weights, "judged": [item.to_dict() for item in results]})
    else:
        _print_comparison(tables, results, member_weights)
    return results, write_comparison(folder, results, member_weights, settings)


def _print_comparison(
    tables: AlignedTables, results: Sequence[EvaluatedMember], member_weights: Mapping[str, Mapping[str, float]]
) -> None:
    from maskfit.evaluation.fit_decisions import describe_fit

    rows = []
    for item in results:
        gain = f"{item.gain.value:+.4f}" if item.gain else ""
        interval = item.scores.intervals.get("macro_f1")
        rows.append(
            (
                item.name,
                item.scores.macro_f1,
                _format_interval(interval),
                item.scores.accuracy,
                gain,
                _format_interval(item.gain, "+"),
            )
        )
    header = ["", "macro F1", "95 % interval", "accuracy", "gain", "95 % interval"]
    persons = len(set(tables.persons or ()))
    print_table(
        f"{format_count(len(tables.photos), 'held-out photo')} of {format_count(persons, 'person')}", header, rows
    )
    out.print(
        "gain: over the best single member; weighted, greedy, stack and the best single member are evaluated on "
        "persons they were not fitted on",
        soft_wrap=True,
    )
    for item in results:
        for fit in item.decisions.values():
            out.print(f"{item.name}: {describe_fit(fit, tables.schema)}", soft_wrap=True)
    for method, weights in member_weights.items():
        nonzero = sorted(((weight, name) for name, weight in weights.items() if weight), key=lambda pair: -pair[0])
        out.print(f"{method}: " + ", ".join(f"{weight:.2f} {name}" for weight, name in nonzero), soft_wrap=True)


def _format_interval(interval: Interval | None, sign: str = "") -> str:
    return f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}" if interval else ""

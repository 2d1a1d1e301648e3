"""`maskfit benchmark`: throughput of a model on this machine, and the fastest engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import err, find_listed_images, out, print_json, print_table, progress
from maskfit.cli.defaults import DEFAULT_MODEL_HELP
from maskfit.errors import DataError, MaskfitError

if TYPE_CHECKING:
    from maskfit.inference.benchmark import BenchmarkResult, Throughput

MAX_BATCH_SIZE = 4096
"""Larger batches than this only exhaust memory."""

PhotosOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Also measure end to end, from files to predictions, on these photos."),
]
EnginesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--engine", help="Engine to measure, as in maskfit predict; may be given several times. All by default."
    ),
]


def benchmark(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL_OR_RUN", help=f"A model file, or a run (its first fold); {DEFAULT_MODEL_HELP}."),
    ] = None,
    photos: PhotosOption = None,
    engine: EnginesOption = None,
    batch_size: Annotated[
        str, typer.Option("--batch-size", metavar="N,N,...", help="Batch sizes to measure.")
    ] = "1,8,32",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Measure a model's throughput on this machine by engine and batch size.

    Every installed engine that can run the file is measured in its own process. Run nothing else meanwhile.

    Examples:

        maskfit benchmark model.onnx

        maskfit benchmark model.onnx --photos photos --batch-size 1,16,64

        maskfit benchmark runs/first --engine torch --engine torch:precision=bf16 --json
    """
    from maskfit.inference.benchmark import describe_machine, find_engines, time_model
    from maskfit.inference.engines import check_engine
    from maskfit.inference.engines.int8_origin import foreign_processor_warning
    from maskfit.inference.input_resolution import find_models, resolve_models
    from maskfit.model_metadata import read_metadata

    batch_sizes = _parse_batch_sizes(batch_size)
    for name in engine or ():
        check_engine(name)
    path = find_models(resolve_models([model] if model else [], err.print))[0]
    engines = engine or find_engines(path)
    files = [] if photos is None else [photo.path for photo in find_listed_images(photos)]
    rows: list[BenchmarkResult] = []
    failed: dict[str, str] = {}
    with progress("measuring", unit="engines") as advance:
        for done, spec in enumerate(engines):
            advance(done, len(engines))
            try:
                rows += time_model(path, spec, batch_sizes, files)[0]
            except MaskfitError as error:
                failed[spec] = error.message
    if not rows:
        if not engines:
            # It says what a model file is.
            read_metadata(path)
        raise MaskfitError("no engine could be measured: " + "; ".join(failed.values()), location=path)
    machine, recommendation = describe_machine(), _recommend(rows)
    if json:
        measured = [row.to_dict() for row in rows]
        print_json(
            {"model": str(path), "machine": machine, "timed": measured, "failed": failed, "fastest": recommendation}
        )
        return
    _print_results(path, rows, machine, recommendation)
    for line in (foreign_processor_warning(path), *failed.values()):
        if line:
            err.print(line, style="yellow")
    if path.suffix == ".safetensors":
        err.print(
            f"an exported model may be faster: maskfit export {path} --out model.onnx; maskfit benchmark model.onnx"
        )


def _print_results(path: Path, rows: list[BenchmarkResult], machine: str, recommendation: str) -> None:
    header = ["engine", "batch", "network alone", *(["from files"] if rows[0].files else []), "ms each"]
    cells = []
    for row in rows:
        rates = [_format_rate(rate) for rate in (row.network, row.files) if rate]
        cells.append((row.engine, row.batch, *rates, f"{1000 / row.median_throughput:.2f}"))
    print_table(f"{path}: photos/s, median (slowest-fastest)", header, cells)
    out.print(f"on {machine}", soft_wrap=True)
    out.print(recommendation, soft_wrap=True)


def _parse_batch_sizes(text: str) -> list[int]:
    """Parses `1,8,32`.

    Raises:
        DataError: A batch size is not an integer in 1 to MAX_BATCH_SIZE.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 1 <= int(part) <= MAX_BATCH_SIZE for part in parts):
        raise DataError(
            f"--batch-size: batch sizes must be integers in 1 to {MAX_BATCH_SIZE:,}, got {text}",
            hint="--batch-size 1,8,32",
        )
    return list(dict.fromkeys(map(int, parts)))


def _format_rate(rate: Throughput) -> str:
    # Short, so that a row fits on a screen of eighty columns.
    return f"{_format_number(rate.median)} ({_format_number(rate.low)}-{_format_number(rate.high)})"


def _format_number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _recommend(rows: list[BenchmarkResult]) -> str:
    """Returns the fastest engine and batch size, and its lead over the next engine."""
    best = max(rows, key=lambda row: row.median_throughput)
    scope = "end to end" if best.files else "network alone"
    others = [row.median_throughput for row in rows if row.engine != best.engine]
    lead = f", {best.median_throughput / max(others):.1f} times the next engine" if others else ""
    rate = f"{best.median_throughput:,.0f} photos/s"
    return f"fastest: --engine {best.engine} --batch-size {best.batch}, {rate} {scope}{lead}"

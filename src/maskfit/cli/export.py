"""`maskfit export`: a trained model as a file that runs elsewhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import (
    check_overwrite,
    err,
    find_listed_images,
    out,
    print_json,
    print_table,
    print_written,
    progress,
    require_extra,
)
from maskfit.errors import DataError, MaskfitError, ModelFileError
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.inference.export import ExportResult


MIN_INT8_PHOTOS = 50
"""Photos below which the share of changed predictions says little: of 50, none changed still allows 6 % of others."""


class ExportFormat(StrEnum):
    """Export formats."""

    onnx = "onnx"
    openvino = "openvino"
    torch = "torch"


CalibrateOption = Annotated[
    Path | None,
    typer.Option(help="Folder of calibration photos for --int8; about a hundred typical ones."),
]
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of photos to compare predictions on. By default every second photo of --calibrate, which is then "
        "not used for calibration, or noise, which compares outputs but not predictions."
    ),
]


def export(
    model: Annotated[Path, typer.Argument(help="A .safetensors model, or a run folder with one fold.")],
    file: Annotated[Path, typer.Option("--out", help="File to write: .onnx, .xml for OpenVINO, .safetensors.")],
    format_: Annotated[ExportFormat, typer.Option("--format", help="File format.")] = ExportFormat.onnx,
    half: Annotated[bool, typer.Option("--half", help="Store weights in 16 bits: half the size.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Quantize to 8 bits; needs --calibrate.")] = False,
    calibrate: CalibrateOption = None,
    images: ImagesOption = None,
    timing: Annotated[bool, typer.Option(help="Measure throughput, also of torch, each in its own process.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the measurements as JSON.")] = False,
) -> None:
    """Export a model to ONNX or OpenVINO, which run without torch, or to bare weights.

    The file contains label schema and preprocessing; images go in as uint8. Its outputs are compared with torch's
    before the file is kept, and the table shows differences and throughput.

    Examples:

        maskfit export runs/baseline/fold0/best.safetensors --format onnx --out model.onnx

        maskfit export runs/baseline --format onnx --half --images photos --out half.onnx

        maskfit export runs/baseline --format onnx --int8 --calibrate photos --out small.onnx

        maskfit export runs/baseline --format openvino --images photos --out model.xml

        maskfit predict model.onnx --images photos
    """
    if int8 != (calibrate is not None):
        raise DataError(
            "--int8 needs --calibrate, and --calibrate needs --int8",
            hint="maskfit export MODEL --int8 --calibrate DIR --out FILE",
        )
    require_extra("export", "train", "torch", "timm")
    if format_ is not ExportFormat.torch:
        require_extra("export", "train", "onnx", "onnxscript")
    if format_ is ExportFormat.openvino:
        require_extra("export --format openvino", "openvino", "openvino")
    from maskfit.inference.benchmark import compare_speed
    from maskfit.inference.export import EXPORTS, export_model

    for output in EXPORTS[format_].files(file):
        check_overwrite(output, force)
    source = _resolve_single_model(model)
    calibration = find_listed_images(calibrate) if calibrate else None
    with progress("comparing") as advance:
        result = export_model(
            source,
            file,
            format_,
            half=half,
            calibrate=calibration,
            photos=find_listed_images(images) if images else None,
            progress=advance,
            compare_speed=compare_speed if timing else None,
        )
    if calibration is not None and result.parity:
        compared = result.parity[0].num_images
        # Without photos of its own, the comparison takes every other one.
        used = len(calibration) if images else len(calibration) - compared
        if min(used, compared) < MIN_INT8_PHOTOS:
            err.print(
                f"int8 was calibrated on {format_count(used, 'photo')} and compared on {compared}: too few to know how "
                f"many predictions it changes; give --calibrate {2 * MIN_INT8_PHOTOS} or more that resemble those to "
                "be predicted",
                style="yellow",
            )
    _print_result(result, _build_rows(source, result, timing), json)


def _resolve_single_model(path: Path) -> Path:
    """Returns the only model of a file or run folder.

    Raises:
        ModelFileError: The run has several models.
    """
    from maskfit.inference.input_resolution import find_models

    models = find_models([path])
    if len(models) > 1:
        raise ModelFileError(
            f"the run has {format_count(len(models), 'model')}, but a file holds one",
            location=path,
            hint=f"choose one: {models[0]}; or train one on all photos with trainer.full_data_epochs, as "
            "full_data.safetensors; serve and predict take the run as an ensemble",
        )
    return models[0]


def _build_rows(model: Path, result: ExportResult, timing: bool) -> list[dict[str, Any]]:
    """Table rows of torch and of each engine that runs the file."""
    rows: list[dict[str, Any]] = [{"engine": "torch", "file": str(model), "bytes": model.stat().st_size}]
    for engine, parity in zip(result.engines, result.parity, strict=True):
        rows.append(
            {
                "engine": engine,
                "file": str(result.files[0]),
                "bytes": result.bytes,
                "difference": parity.max_difference,
                "changed": parity.num_changed,
                "photos": parity.num_images,
            }
        )
        if engine in result.speedups:
            rows[-1]["times_f32"] = result.speedups[engine]
    for row in rows if timing else []:
        row["photos_per_second"] = _measure_throughput(Path(row["file"]), row["engine"])
    return rows


def _measure_throughput(path: Path, engine: str) -> dict[int, float]:
    """Photos per second by batch size, from cropped images to logits."""
    from maskfit.inference.benchmark import time_model

    try:
        measured, _ = time_model(path, engine, (1, 32), seconds=1.0)
    except MaskfitError as error:
        raise MaskfitError(error.message, location=path, hint="--no-timing") from None
    return {row.batch: row.network.median for row in measured}


def _print_result(result: ExportResult, rows: list[dict[str, Any]], json: bool) -> None:
    from maskfit.inference.engines.int8_origin import describe_instructions

    if json:
        print_json(
            {
                "files": [str(path) for path in result.files],
                "compared_on": result.compared_on,
                "instructions": describe_instructions(),
                "engines": rows,
            }
        )
        return
    header = ["engine", "MB", "max difference", "predictions changed"]
    measured = rows[0].get("photos_per_second", {})
    header += [f"photos/s, batch {batch}" for batch in measured]
    header += ["times f32"] if result.speedups else []
    lines = []
    for row in rows:
        line = [row["engine"], f"{row['bytes'] / 1e6:.1f}", "-", "-"]
        if "photos" in row:
            line[2:] = f"{row['difference']:.1e}", f"{row['changed']} ({row['changed'] / row['photos']:.2%})"
        line += [f"{row['photos_per_second'][batch]:.0f}" for batch in measured]
        if result.speedups:
            line.append(f"{row['times_f32']:.2f}" if "times_f32" in row else "-")
        lines.append(line)
    print_table(f"compared with torch on {result.compared_on}", header, lines)
    if result.speedups:
        out.print(
            f"times f32: CPU time of the same engine in 32 bits, one thread, on this processor "
            f"({describe_instructions()}); elsewhere ask maskfit benchmark",
            soft_wrap=True,
        )
    for path in result.files:
        print_written(path)

"""`maskfit data crop`: cropped copies of photos, and a list of every detected face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import err, out, print_json, print_set_aside, progress
from maskfit.cli.dataset_options import SCHEMA_CHOICES, CodesOption, find_schema, parse_codes
from maskfit.errors import DataError
from maskfit.file_locks import claim
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.data.crop_dataset import CropSummary
    from maskfit.registry import ComponentSpec

SHOWN = 20
"""Photos named in a warning; the CSV files name all."""


SourceArgument = Annotated[
    Path,
    typer.Argument(metavar="ROOT|CSV", help="A folder of photos, or a CSV with the column path.", show_default=False),
]
TargetOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")]
CropOption = Annotated[
    str, typer.Option("--crop", metavar="CROP", help="Crop, as in data.crop: face, variance, center:scale=0.8.")
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE.onnx",
        help="bundled (default), yunet, ... (see maskfit detectors) or a file; with options: yunet:side=640.",
    ),
]
WeightsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Weights of the detector; alone, the file's kind is recognized.")
]
MarginOption = Annotated[
    str | None,
    typer.Option(metavar="FRACTION", help="Margin around the face as a fraction of it: 0.3, or left,top,right,bottom."),
]
FaceSelectionOption = Annotated[
    str | None, typer.Option("--choose", help="Face to crop: largest, central or surest (highest detection score).")
]
SizeOption = Annotated[
    str | None, typer.Option(metavar="N|HxW", help="Size of each copy in pixels: 224, or 280x210 (height x width).")
]
BackgroundOption = Annotated[
    str,
    typer.Option(
        "--background",
        metavar="NAME",
        help="Background removal, as in data.background_removal: grabcut, saliency:net=silueta.",
    ),
]
SchemaOption = Annotated[
    str,
    typer.Option("--schema", metavar="NAME|FILE|RUN", help=f"Label schema of the CSV's columns: {SCHEMA_CHOICES}."),
]


def crop(
    source: SourceArgument,
    target: TargetOption,
    crop_name: CropOption = "face",
    detector: DetectorOption = None,
    weights: WeightsOption = None,
    margin: MarginOption = None,
    face_selection: FaceSelectionOption = None,
    align: Annotated[bool, typer.Option("--align", help="Rotate each crop until the eyes are level.")] = False,
    size: SizeOption = None,
    background: BackgroundOption = "none",
    schema: SchemaOption = "mask-gender-age",
    codes: CodesOption = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace manifest.csv where it was edited.")] = False,
) -> None:
    """Write cropped copies of photos, and list every detected face.

    Also writes faces.csv (every face with box, score, landmarks, and which was used), faces.jpg (a sample) and, for a
    CSV, manifest.csv to train on. The same command resumes after an interruption. Training needs no copies:
    `data.crop=face` crops while reading, as prediction does.

    Examples:

        maskfit data crop train/images --out faces

        maskfit data crop photos.csv --out faces --detector mtcnn --margin 0.2,0.4,0.2,0.2 --align --size 224

        maskfit data crop eval/images --out faces --crop variance

        maskfit data crop train/images --out erased --crop resize --background grabcut
    """
    from maskfit.config.loader import parse_component
    from maskfit.data.crop_dataset import write_crops

    labels, meanings = find_schema(schema), parse_codes(codes)
    spec = _crop_spec(crop_name, detector, weights, margin, face_selection, align)
    output_size = None if size is None else _parse_size(size)
    claim(target)
    with progress("cropping") as advance:
        summary = write_crops(
            source,
            target,
            spec,
            size=output_size,
            schema=labels,
            codes=meanings,
            background_removal=parse_component(background, "data.background_removal"),
            force=force,
            progress=advance,
        )
    if json:
        print_json(_to_record(summary))
        return
    _print_summary(summary)


def _crop_spec(
    crop_name: str,
    detector: str | None,
    weights: Path | None,
    margin: str | None,
    face_selection: str | None,
    align: bool,
) -> ComponentSpec:
    """Returns the crop with the options of the command line."""
    from maskfit.config.loader import parse_component
    from maskfit.inference.detector_choice import parse_detector
    from maskfit.registry import ComponentSpec

    spec = parse_component(crop_name, "data.crop")
    options: dict[str, Any] = {}
    if detector is not None or (weights is not None and "detector" not in spec.options):
        named = parse_detector(detector, weights if detector is None else None)
        options["detector"] = named.detector
        if named.weights is not None:
            options["weights"] = named.weights
    if weights is not None:
        options["weights"] = str(weights)
    if margin is not None:
        options |= _parse_margin(margin)
    if face_selection is not None:
        options["face_selection"] = face_selection
    if align:
        options["align"] = True
    return ComponentSpec(name=spec.name, options=spec.options | options)


def _parse_margin(text: str) -> dict[str, float]:
    try:
        fractions = [float(fraction) for fraction in text.split(",")]
    except ValueError:
        fractions = []
    if len(fractions) not in (1, 4):
        raise DataError(f"invalid margin '{text}'", hint="write it like --margin 0.3, or --margin 0.2,0.4,0.2,0.2")
    return dict(zip(("left", "top", "right", "bottom"), fractions * (4 // len(fractions)), strict=True))


def _parse_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 8 <= int(side) <= 4096 for side in sides):
        raise DataError(f"invalid size '{text}'", hint="write it like --size 224 or --size 280x210, each in 8 to 4096")
    return int(sides[0]), int(sides[-1])


def _to_record(summary: CropSummary) -> dict[str, Any]:
    return {
        "photos": len(summary.records),
        "done_before": summary.num_resumed,
        "faces": sum(len(item.faces) for item in summary.records),
        "several": [item.photo for item in summary.records if len(item.faces) > 1],
        "guessed": list(summary.fallback_crops),
        "unreadable": summary.unreadable,
        "list": str(summary.faces),
        "sheet": str(summary.sheet),
        "manifest": summary.manifest and str(summary.manifest),
    }


def _print_summary(summary: CropSummary) -> None:
    faces = sum(len(item.faces) for item in summary.records)
    several = sum(len(item.faces) > 1 for item in summary.records)
    line = f"{format_count(len(summary.records), 'photo')} cropped"
    if faces or summary.fallback_crops:  # without a detector "0 faces" would be misleading
        line += f"; {format_count(faces, 'face')}"
    if several:
        line += f"; {format_count(several, 'photo')} with several faces"
    if summary.num_resumed:
        line += f"; {summary.num_resumed:,} were done earlier"
    out.print(line, soft_wrap=True)
    if summary.fallback_crops:
        names = ", ".join(summary.fallback_crops[:SHOWN]) + (", ..." if len(summary.fallback_crops) > SHOWN else "")
        records = format_count(len(summary.records), "photo")
        line = f"nothing found in {len(summary.fallback_crops):,} of {records}, using the fallback crop: {names}"
        err.print(line, style="yellow")
    print_set_aside(summary.unreadable, SHOWN)
    if len(summary.unreadable) > SHOWN:
        err.print(f"  all of them: {summary.faces.parent / 'unreadable.csv'}")
    out.print(f"list: {summary.faces}", soft_wrap=True)
    out.print(f"to look at: {summary.sheet}", soft_wrap=True)
    if summary.manifest:
        out.print(f"to train on: {summary.manifest}", soft_wrap=True)

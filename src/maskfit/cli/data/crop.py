"""`maskfit data crop`: cropped copies of photos, and a list of every detected face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import err, out, print_json, progress
from maskfit.errors import DataError, did_you_mean
from maskfit.labels.schema import LABEL_SCHEMAS

if TYPE_CHECKING:
    from maskfit.data.crop_dataset import CropSummary
    from maskfit.registry import ComponentSpec

SHOWN = 20
"""Photos named in a warning; the CSV files name all."""


Source = Annotated[
    Path,
    typer.Argument(metavar="ROOT|CSV", help="A folder of photos, or a CSV with the column path.", show_default=False),
]
Target = Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")]
CropWord = Annotated[
    str, typer.Option("--crop", metavar="CROP", help="Crop, as in data.crop: face, variance, center:scale=0.8.")
]
Detector = Annotated[
    str | None, typer.Option(metavar="NAME", help="yunet, mtcnn or ultra_light; with options: yunet:side=640.")
]
Weights = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Weights of the detector; downloaded once by default.")
]
Margin = Annotated[
    str | None,
    typer.Option(metavar="FRACTION", help="Margin around the face as a fraction of it: 0.3, or left,top,right,bottom."),
]
Choose = Annotated[str | None, typer.Option(help="Which face to crop: largest, central or surest.")]
Size = Annotated[
    str | None, typer.Option(metavar="N|HxW", help="Size of each copy in pixels: 224, or 280x210 (height x width).")
]
Background = Annotated[
    str,
    typer.Option(
        "--background",
        metavar="NAME",
        help="Background removal, as in data.background_removal: grabcut, saliency:net=silueta.",
    ),
]
SchemaOption = Annotated[
    str,
    typer.Option("--schema", metavar="NAME", help=f"Label schema of the CSV's columns: {', '.join(LABEL_SCHEMAS)}."),
]


def crop(
    source: Source,
    target: Target,
    word: CropWord = "face",
    detector: Detector = None,
    weights: Weights = None,
    margin: Margin = None,
    choose: Choose = None,
    align: Annotated[bool, typer.Option("--align", help="Rotate each crop until the eyes are level.")] = False,
    size: Size = None,
    background: Background = "none",
    scheme: SchemaOption = "mask-gender-age",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Write cropped copies of photos, and list every detected face.

    Also writes faces.csv (every face with box, score, landmarks, and which was used), faces.jpg (a sample) and, for a
    CSV, manifest.csv to train on. The same command resumes after an interruption. Training needs no copies:
    `data.crop=face` crops while reading, as prediction does.

    **Examples**

    `maskfit data crop train/images --out faces`

    `maskfit data crop photos.csv --out faces --detector mtcnn --margin 0.2,0.4,0.2,0.2 --align --size 224`

    `maskfit data crop eval/images --out faces --crop variance`

    `maskfit data crop train/images --out erased --crop resize --background grabcut`
    """
    from maskfit.config.loader import parse_component
    from maskfit.data.crop_dataset import write_crops

    if scheme not in LABEL_SCHEMAS:
        raise DataError(f"label schema '{scheme}' is unknown; {did_you_mean(scheme, LABEL_SCHEMAS)}")
    part = _part(word, detector, weights, margin, choose, align)
    pixels = None if size is None else _size(size)
    with progress("cropping") as advance:
        made = write_crops(
            source,
            target,
            part,
            size=pixels,
            schema=LABEL_SCHEMAS[scheme],
            background_removal=parse_component(background, "data.background_removal"),
            progress=advance,
        )
    if json:
        print_json(_facts(made))
        return
    _tell(made)


def _part(
    word: str, detector: str | None, weights: Path | None, margin: str | None, choose: str | None, align: bool
) -> ComponentSpec:
    """Returns the crop with the options of the command line."""
    from maskfit.config.loader import parse_component
    from maskfit.registry import ComponentSpec

    part = parse_component(word, "data.crop")
    options: dict[str, Any] = {}
    if detector is not None:
        options["detector"] = parse_component(detector, "data.crop.detector").model_dump(mode="json")
    if weights is not None:
        options["weights"] = str(weights)
    if margin is not None:
        options |= _margins(margin)
    if choose is not None:
        options["face_selection"] = choose
    if align:
        options["align"] = True
    return ComponentSpec(name=part.name, options=part.options | options)


def _margins(text: str) -> dict[str, float]:
    try:
        shares = [float(share) for share in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) not in (1, 4):
        raise DataError(f"invalid margin '{text}'", hint="write it like --margin 0.3, or --margin 0.2,0.4,0.2,0.2")
    return dict(zip(("left", "top", "right", "bottom"), shares * (4 // len(shares)), strict=True))


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 8 <= int(side) <= 4096 for side in sides):
        raise DataError(f"invalid size '{text}'", hint="write it like --size 224 or --size 280x210, each in 8 to 4096")
    return int(sides[0]), int(sides[-1])


def _facts(made: CropSummary) -> dict[str, Any]:
    return {
        "photos": len(made.records),
        "done_before": made.num_resumed,
        "faces": sum(len(item.faces) for item in made.records),
        "several": [item.photo for item in made.records if len(item.faces) > 1],
        "guessed": list(made.fallback_crops),
        "unreadable": made.unreadable,
        "list": str(made.faces),
        "sheet": str(made.sheet),
        "manifest": made.manifest and str(made.manifest),
    }


def _tell(made: CropSummary) -> None:
    faces = sum(len(item.faces) for item in made.records)
    several = sum(len(item.faces) > 1 for item in made.records)
    line = f"{len(made.records):,} photos cropped"
    if faces or made.fallback_crops:  # without a detector "0 faces" would be misleading
        line += f"; {faces:,} faces"
    if several:
        line += f"; {several:,} photos with several faces"
    if made.num_resumed:
        line += f"; {made.num_resumed:,} were done earlier"
    out.print(line, soft_wrap=True)
    if made.fallback_crops:
        named = ", ".join(made.fallback_crops[:SHOWN]) + (", ..." if len(made.fallback_crops) > SHOWN else "")
        count = f"{len(made.fallback_crops):,} of {len(made.records):,}"
        line = f"nothing found in {count} photos, using the fallback crop: {named}"
        err.print(line, style="yellow")
    if made.unreadable:
        err.print(f"set aside {len(made.unreadable):,} unreadable photos:", style="yellow")
        for name, reason in list(made.unreadable.items())[:SHOWN]:
            err.print(f"  {name}: {reason}")
        if len(made.unreadable) > SHOWN:
            err.print(f"  all of them: {made.faces.parent / 'unreadable.csv'}")
    out.print(f"list: {made.faces}", soft_wrap=True)
    out.print(f"to look at: {made.sheet}", soft_wrap=True)
    if made.manifest:
        out.print(f"to train on: {made.manifest}", soft_wrap=True)

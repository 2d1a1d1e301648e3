"""`maskfit data crop`: cropped copies of photos, and a list of every face on them."""

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
"""Photos that are named in a remark; the lists name all."""


Source = Annotated[
    Path,
    typer.Argument(metavar="ROOT|CSV", help="A folder of photos, or a CSV with the column path.", show_default=False),
]
Target = Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that is new or empty.")]
CropWord = Annotated[
    str, typer.Option("--crop", metavar="CROP", help="Any crop of data.crop: face, pixels, centre:scale=0.8.")
]
Detector = Annotated[
    str | None, typer.Option(metavar="NAME", help="yunet, mtcnn or ultra_light; with options: yunet:side=640.")
]
Weights = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The detector's weights; else they are fetched once.")
]
Margin = Annotated[
    str | None,
    typer.Option(metavar="SHARE", help="Round the face, in shares of it: 0.3, or left,top,right,bottom."),
]
Choose = Annotated[str | None, typer.Option(help="Which face: largest, central or surest.")]
Size = Annotated[
    str | None, typer.Option(metavar="N|HxW", help="Pixels of each copy: 224, or 280x210 (height x width).")
]
Background = Annotated[
    str,
    typer.Option("--background", metavar="NAME", help="Any of data.background_removal: grabcut, saliency:net=silueta."),
]
SchemeName = Annotated[
    str, typer.Option("--schema", metavar="NAME", help=f"What a CSV's columns are: {', '.join(LABEL_SCHEMAS)}.")
]


def crop(
    source: Source,
    target: Target,
    word: CropWord = "face",
    detector: Detector = None,
    weights: Weights = None,
    margin: Margin = None,
    choose: Choose = None,
    align: Annotated[bool, typer.Option("--align", help="Turn each crop so that the eyes are level.")] = False,
    size: Size = None,
    background: Background = "none",
    scheme: SchemeName = "mask-gender-age",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Write cropped copies of photos in the same folders, and list every face on them.

    Beside the copies lie faces.csv (every face with box, score and landmarks; which was taken), faces.jpg (some of them
    to look at) and, of a CSV, manifest.csv to train on. Stopped, the same command goes on. Training needs no copies:
    `data.crop=face` crops as it reads, and prediction alike.

    **Examples**

    `maskfit data crop train/images --out faces`

    `maskfit data crop photos.csv --out faces --detector mtcnn --margin 0.2,0.4,0.2,0.2 --align --size 224`

    `maskfit data crop eval/images --out faces --crop pixels`

    `maskfit data crop train/images --out erased --crop whole --background grabcut`
    """
    from maskfit.config.loader import parse_component
    from maskfit.data.crop_dataset import write_crops

    if scheme not in LABEL_SCHEMAS:
        raise DataError(f"scheme '{scheme}' is unknown; {did_you_mean(scheme, LABEL_SCHEMAS)}")
    part = _part(word, detector, weights, margin, choose, align)
    pixels = None if size is None else _size(size)
    with progress("cropping") as advance:
        made = write_crops(
            source,
            target,
            part,
            size=pixels,
            scheme=LABEL_SCHEMAS[scheme],
            background_removal=parse_component(background),
            progress=advance,
        )
    if json:
        print_json(_facts(made))
        return
    _tell(made)


def _part(
    word: str, detector: str | None, weights: Path | None, margin: str | None, choose: str | None, align: bool
) -> ComponentSpec:
    """The crop, with the short options laid over it."""
    from maskfit.config.loader import parse_component
    from maskfit.registry import ComponentSpec

    part = parse_component(word)
    options: dict[str, Any] = {}
    if detector is not None:
        options["detector"] = parse_component(detector).model_dump(mode="json")
    if weights is not None:
        options["weights"] = str(weights)
    if margin is not None:
        options |= _margins(margin)
    if choose is not None:
        options["choose"] = choose
    if align:
        options["align"] = True
    return ComponentSpec(name=part.name, options=part.options | options)


def _margins(text: str) -> dict[str, float]:
    try:
        shares = [float(share) for share in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) not in (1, 4):
        raise DataError(f"'{text}' is no margin", hint="write it like --margin 0.3, or --margin 0.2,0.4,0.2,0.2")
    return dict(zip(("left", "top", "right", "bottom"), shares * (4 // len(shares)), strict=True))


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 8 <= int(side) <= 4096 for side in sides):
        raise DataError(f"'{text}' is no size", hint="write it like --size 224 or --size 280x210, each in 8 to 4096")
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
    if faces or made.fallback_crops:  # else the crop has no detector, and "0 faces" would say that it found none
        line += f"; {faces:,} faces"
    if several:
        line += f"; {several:,} photos with several, all listed"
    if made.num_resumed:
        line += f"; {made.num_resumed:,} were done before"
    out.print(line, soft_wrap=True)
    if made.fallback_crops:
        named = ", ".join(made.fallback_crops[:SHOWN]) + (", ..." if len(made.fallback_crops) > SHOWN else "")
        line = f"nothing found in {len(made.fallback_crops):,} of {len(made.records):,} photos, the fallback was taken: {named}"
        err.print(line, style="yellow")
    if made.unreadable:
        err.print(f"set aside, {len(made.unreadable):,} photos that cannot be read:", style="yellow")
        for name, reason in list(made.unreadable.items())[:SHOWN]:
            err.print(f"  {name}: {reason}")
        if len(made.unreadable) > SHOWN:
            err.print(f"  all of them: {made.faces.parent / 'unreadable.csv'}")
    out.print(f"list: {made.faces}", soft_wrap=True)
    out.print(f"to look at: {made.sheet}", soft_wrap=True)
    if made.manifest:
        out.print(f"to train on: {made.manifest}", soft_wrap=True)

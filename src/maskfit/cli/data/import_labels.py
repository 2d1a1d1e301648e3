"""`maskfit data import`: labels of other programs and published sets as a manifest."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_next, print_table, print_written, progress
from maskfit.cli.dataset_options import DEFAULT_SCHEMA, SchemaOption, find_schema
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.data.crop_dataset import CropSummary
    from maskfit.data.importers import ImportedDataset
    from maskfit.labels.schema import LabelSchema

MAX_SHOWN = 8
"""Files listed for each reason why something was left out, and disagreements; `--json` lists all."""

MAX_WORDS = 40
"""Words listed in the table of words; `--json` lists all."""


def import_(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A folder, or a label file: JSON, CSV, text or XML.", show_default=False),
    ],
    target: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Manifest (CSV) to write; without it, only the tables are printed."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Format of the source, found by itself where it is certain: folders, flat, voc, yolo, coco, cvat, "
            "datumaro, supervisely, labelme, via, createml, medical-mask, boxes, retinanet, one-hot, ids, huggingface, "
            "json-lines, label-studio, labelbox, utkface, all-age-faces, fairface, adience, afad, fg-net, morph, cacd, "
            "agedb, appa-real, celeba, mmpretrain.",
        ),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="[KEY:]WORD=VALUE",
            help="What a word or code means: with_mask=wear, mask:0=not_wear, 'old=>=60', mask_lady=wear,female; "
            "=unknown for no label, =skip to leave its rows out, '*=skip' for all other words. Repeatable.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Folder of the photos, where they are not beside the labels."),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(
            "--person",
            metavar="REGEX",
            help="Where the format does not say who is on a photo: regular expression for its path in SOURCE, whose "
            "first group is the person: `^([^/]+)/` for the outermost folder, `([^/_]+)_[^/]*$` for names before `_`.",
        ),
    ] = None,
    majority: Annotated[
        bool,
        typer.Option(
            "--majority",
            help="Where rows of one photo differ, as those of several annotators, take the label of most rows; a tie "
            "stays empty, as all that differ do without this option.",
        ),
    ] = False,
    crop: Annotated[
        Path | None,
        typer.Option(
            "--crop",
            metavar="DIR",
            help="Also write each row with a box as a photo of its own, the portrait around the box, into this new "
            "folder, with a manifest of the copies.",
        ),
    ] = None,
    schema: SchemaOption = "mask-gender-age",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing file, and an edited manifest of --crop.")
    ] = False,
) -> None:
    """Import labels of other programs and published sets as a manifest.

    Prints how every word and code was read, and what was left out and why. Nothing of the source is changed.

    Examples:

        maskfit data import my-class-folders --out manifest.csv

        maskfit data import export.json --images photos --map Masked=wear --out manifest.csv

        maskfit data import VOC2012 --out manifest.csv --crop faces
    """
    from maskfit.data.importers import import_dataset, write_manifest

    labels = find_schema(schema)
    check_overwrite(target, force)
    if crop is not None and target is None:
        raise DataError("--crop needs --out", hint="add --out manifest.csv, from whose rows the copies are made")
    dataset = import_dataset(
        source, labels, format=format, maps=maps or (), images=images, person=person, majority=majority
    )
    if target is not None:
        write_manifest(dataset, target)
    crops = None if crop is None or target is None else _write_crops(target, crop, labels, force)
    if json:
        copies = {} if crops is None else {"crops": {"manifest": str(crops.manifest), "files": len(crops.records)}}
        print_json(_to_record(dataset, target) | copies)
        return
    _print_dataset(dataset)
    if target is None:
        err.print("nothing is written; add --out manifest.csv", style="yellow")
    else:
        print_written(target, format_count(len(dataset.rows), "row"), console=out)
        if crops is not None and crops.manifest is not None:
            print_written(crops.manifest, format_count(len(crops.records), "crop"), console=out)
        for name, reason in (crops.unreadable if crops else {}).items():
            err.print(f"not cropped: {name}: {reason}", style="yellow", soft_wrap=True)
        known = next((name for name, other in LABEL_SCHEMAS.items() if other.names == dataset.names), DEFAULT_SCHEMA)
        option = "" if known == DEFAULT_SCHEMA else f" --schema {known}"
        print_next(f"data check {shlex.quote(str(target))}{option}")


def _write_crops(manifest: Path, folder: Path, schema: LabelSchema, force: bool) -> CropSummary:
    """Writes the portraits around the boxes of a manifest; no detector is needed."""
    from maskfit.data.crop_dataset import write_crops
    from maskfit.registry import ComponentSpec

    with progress("cropping") as advance:
        return write_crops(
            manifest,
            folder,
            ComponentSpec.create("resize"),
            size=None,
            schema=schema,
            force=force,
            progress=advance,
        )


def _print_dataset(dataset: ImportedDataset) -> None:
    from maskfit.data.face_boxes import name_with_box

    known = ", ".join(f"{name} {count:,}" for name, count in dataset.count_labels().items())
    persons = len({row.person for row in dataset.rows if row.person})
    of_persons = f" of {format_count(persons, 'person')}" if persons else ""
    boxes = sum(row.box is not None for row in dataset.rows)
    with_boxes = f"; {boxes:,} with a box" if boxes else ""
    rows = format_count(len(dataset.rows), "row")
    out.print(f"{dataset.source}: {dataset.format}; {rows}{of_persons}{with_boxes}; labels: {known}", soft_wrap=True)
    out.print()
    codes = [(code.key, code.word, code.meaning, code.how, code.count) for code in dataset.codes]
    print_table("How words and codes were read", ["label", "in the source", "read as", "by", "rows"], codes[:MAX_WORDS])
    if len(codes) > MAX_WORDS:
        out.print(f"and {len(codes) - MAX_WORDS:,} more words; --json lists all")
    out.print()
    for reason, items in dataset.count_left_out().items():
        out.print(f"left out, {len(items):,}: {reason}", style="yellow", soft_wrap=True)
        for item in items[:MAX_SHOWN]:
            out.print(f"  {item.location}", soft_wrap=True)
        if len(items) > MAX_SHOWN:
            out.print(f"  and {len(items) - MAX_SHOWN:,} more; --json lists all")
    if dataset.disagreements:
        noun = "face" if all(entry.box for entry in dataset.disagreements) else "photo"
        out.print(f"labels that rows of one {noun} disagree about, {len(dataset.disagreements):,}:", style="yellow")
        for entry in dataset.disagreements[:MAX_SHOWN]:
            said = ", ".join(f"{cell} ({location})" for location, cell in entry.readings)
            out.print(f"  {name_with_box(str(entry.photo), entry.box)}  {entry.attribute}: {said}", soft_wrap=True)
        if len(dataset.disagreements) > MAX_SHOWN:
            out.print(f"  and {len(dataset.disagreements) - MAX_SHOWN:,} more; --json lists all")
    for note in dataset.notes:
        out.print(f"note: {note}", soft_wrap=True)


def _to_record(dataset: ImportedDataset, target: Path | None) -> dict[str, Any]:
    return {
        "source": str(dataset.source),
        "format": dataset.format,
        "written": None if target is None else str(target),
        "rows": len(dataset.rows),
        "persons": len({row.person for row in dataset.rows if row.person}),
        "boxes": sum(row.box is not None for row in dataset.rows),
        "labels": dataset.count_labels(),
        "codes": [
            {"label": code.key, "word": code.word, "read_as": code.meaning, "by": code.how, "rows": code.count}
            for code in dataset.codes
        ],
        "left_out": [{"where": item.location, "why": item.reason} for item in dataset.left_out],
        "disagreements": [
            {
                "photo": str(item.photo),
                "box": item.box,
                "label": item.attribute,
                "rows": [list(pair) for pair in item.readings],
            }
            for item in dataset.disagreements
        ],
        "notes": list(dataset.notes),
    }

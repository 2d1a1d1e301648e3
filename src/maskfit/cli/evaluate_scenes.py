"""`maskfit evaluate scenes`: detection and prediction together, on photos whose faces are boxed and labeled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_table, print_written, progress
from maskfit.cli.predict_faces import load_face_predictor, print_training_photos
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.data.importers import ImportedDataset
    from maskfit.inference.scenes.evaluate import SceneEvaluation

PANEL = "Reading the boxes"

MAX_SHOWN = 10
"""Worst photos that are listed in the terminal; the page shows them."""


def evaluate_scenes(
    boxes: Annotated[
        Path,
        typer.Argument(
            metavar="BOXES",
            help="Annotated scenes: a CSV or manifest with boxes, or Pascal VOC, YOLO, COCO or CVAT.",
            show_default=False,
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...", help="Model files and runs; the bundled model by default.", show_default=False
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Folder of the photos, where they are not beside the boxes."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="NAME",
            help="Face detector, as for maskfit predict: yunet, or yunet:side=640; the local one by default.",
            show_default=False,
        ),
    ] = None,
    iou: Annotated[
        float, typer.Option("--iou", help="Intersection over union from which a found box is an annotated face.")
    ] = 0.4,
    min_face: Annotated[
        float, typer.Option("--min-face", metavar="PIXELS", help="Shorter side of the smallest face that counts.")
    ] = 24.0,
    page: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write an HTML page with the scores and the worst photos."),
    ] = None,
    worst: Annotated[int, typer.Option("--worst", metavar="N", help="Worst photos on the page.")] = 24,
    tta: Annotated[str, typer.Option("--tta", help="Test-time augmentation, as for maskfit predict.")] = "original",
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="Format of BOXES, as for maskfit data import.", rich_help_panel=PANEL
        ),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="[KEY:]WORD=VALUE",
            help="What a word means, as for maskfit data import.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
) -> None:
    """Evaluate detector and model together on scenes with annotated faces.

    Prints recall by face size, false faces, and for each attribute macro F1 over the found and over all faces with the
    confusion of its values. A face that nobody annotated counts as false where it is detected.

    Examples:

        maskfit evaluate scenes scenes.csv --out scenes.html

        maskfit evaluate scenes voc-folder runs/first --images photos --detector yunet:side=640 --json
    """
    from maskfit.data.importers import import_dataset
    from maskfit.inference.input_resolution import resolve_models
    from maskfit.inference.predictor import Predictor
    from maskfit.inference.scenes.evaluate import evaluate_scenes as evaluate
    from maskfit.inference.scenes.evaluate import group_scenes

    check_overwrite(page, force)
    predictor = Predictor.load(
        *resolve_models(models, err.print), tta=tta, batch_size=None, num_images=64, log=err.print
    )
    dataset = import_dataset(boxes, predictor.schema, format=format, maps=maps or (), images=images)
    scenes, notes = group_scenes(dataset, predictor.schema)
    _print_notes(dataset, notes, json=json)
    print_training_photos(predictor, (row.photo for row in dataset.rows))
    faces = load_face_predictor(predictor, "find", detector)
    faces.predict_whole_image = False
    with progress("evaluating scenes") as advance:
        evaluation = evaluate(faces, scenes, iou_threshold=iou, min_face=min_face, progress=advance)
    for name, reason in evaluation.unreadable.items():
        err.print(f"takes no part: {name}: {reason}", style="yellow", soft_wrap=True)
    if page is not None:
        from maskfit.inference.scenes.page import write_scenes_page

        write_scenes_page(page, evaluation, boxes.name, worst, _describe_left_out(dataset))
    name = "" if faces.detector is None else faces.detector.detector_name
    if json:
        left_out = {reason: len(items) for reason, items in dataset.count_left_out().items()}
        print_json({"detector": name, **_to_record(evaluation, boxes, page), "left_out": left_out})
        return
    _print_evaluation(evaluation, boxes, name, _describe_left_out(dataset))
    if page is not None:
        print_written(page, console=out)


def _describe_left_out(dataset: ImportedDataset) -> str:
    """How many rows take no part in the scores, and why; empty for none."""
    if not dataset.left_out:
        return ""
    reasons = "; ".join(f"{reason} ({len(items):,})" for reason, items in dataset.count_left_out().items())
    left_out, total = len(dataset.left_out), len(dataset.left_out) + len(dataset.rows)
    return f"{left_out:,} of {format_count(total, 'row')} left out of these scores: {reasons}"


def _count_boxed_twice(evaluation: SceneEvaluation) -> int:
    """Pairs of annotated boxes that show one face, of which at most one can be found."""
    from maskfit.data.boxes import find_same_faces

    return sum(len(find_same_faces(result.scene.boxes)) for result in evaluation.results)


def _print_notes(dataset: ImportedDataset, notes: list[str], *, json: bool) -> None:
    # Without JSON this, and faces boxed twice, stand beside the scores, where they are read with them.
    if json and (text := _describe_left_out(dataset)):
        err.print(text, style="yellow", soft_wrap=True)
    for note in [*dataset.notes, *notes]:
        # Who is on a photo matters for splits, not here.
        if "who is on the photos" not in note and (json or "boxed twice" not in note):
            err.print(f"note: {note}", soft_wrap=True)


def _print_evaluation(evaluation: SceneEvaluation, boxes: Path, detector: str, left_out: str) -> None:
    from maskfit.evaluation.scores import describe_answered
    from maskfit.inference.scenes.page import describe_errors, format_size

    scores = evaluation.scores
    photos, faces = format_count(scores.photos, "photo"), format_count(scores.faces, "face")
    out.print(
        f"{boxes}: {photos}, {faces} of at least {scores.min_side:g} pixels "
        f"({scores.small_faces:,} smaller ones do not count), IoU {scores.iou_threshold:g}, detector {detector}",
        soft_wrap=True,
    )
    if left_out:
        out.print(left_out, style="yellow", soft_wrap=True)
    if evaluation.unreadable:
        count = format_count(len(evaluation.unreadable), "photo is", "photos are")
        out.print(f"{count} left out of these scores: unreadable", style="yellow", soft_wrap=True)
    if twice := _count_boxed_twice(evaluation):
        pairs = format_count(twice, "pair of annotated boxes shows", "pairs of annotated boxes show")
        text = f"{pairs} one face each, of which one box counts as missed; maskfit data check names them in a manifest"
        out.print(text, style="yellow", soft_wrap=True)
    out.print()
    print_table(
        "Detection",
        ["recall", "found", "faces", "false faces", "per photo"],
        [[scores.recall, scores.found, scores.faces, scores.false_faces, scores.false_per_photo]],
    )
    out.print()
    rows = [
        [format_size(low, high), faces, found, found / faces if faces else None]
        for low, high, faces, found in scores.by_size
    ]
    print_table("Recall by size (shorter side, pixels)", ["size", "faces", "found", "recall"], rows)
    for item in scores.attributes:
        out.print()
        total = ["macro", item.faces, sum(value.found for value in item.values), item.macro_f1_found, item.macro_f1_all]
        values = [[value.name, value.faces, value.found, value.f1_found, value.f1_all] for value in item.values]
        print_table(item.name.capitalize(), ["value", "faces", "found", "F1 found", "F1 all"], [*values, total])
        predicted = item.confusion.sum(axis=0).tolist()
        stray = [value.name for value, count in zip(item.values, predicted, strict=False) if count and not value.faces]
        if stray:
            out.print(f"not annotated but predicted, so that F1 0 counts in macro: {', '.join(stray)}", style="yellow")
        if any(value.found for value in item.values):
            line = describe_answered(item.name, item.answered, item.accuracy_answered, "found faces")
            out.print(line, soft_wrap=True)
        out.print()
        names = [value.name for value in item.values]
        confusion = [[name, *row] for name, row in zip(names, item.confusion.tolist(), strict=True)]
        print_table(f"Confusion of {item.name}: true by predicted", ["true", *names, "not found"], confusion)
    out.print()
    worst = [[result.scene.photo.name, describe_errors(evaluation, result)] for result in evaluation.worst(MAX_SHOWN)]
    if worst:
        print_table("Photos with the most errors", ["photo", "errors"], worst)


def _to_record(evaluation: SceneEvaluation, boxes: Path, page: Path | None) -> dict[str, Any]:
    min_side = evaluation.scores.min_side
    worst = evaluation.worst(len(evaluation.results))
    return {
        "boxes": str(boxes),
        **evaluation.scores.to_dict(),
        "unreadable": dict(evaluation.unreadable),
        "boxed_twice": _count_boxed_twice(evaluation),
        "errors": [
            {
                "photo": result.scene.photo.name,
                "missed": len(result.match.missed(min_side)),
                "false": len(result.match.false_faces(min_side)),
                "wrong": len(result.match.wrong(min_side, 0)),
            }
            for result in worst
        ],
        "page": None if page is None else str(page),
    }

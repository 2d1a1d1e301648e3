"""Options of `maskfit predict`, shared with other commands that run models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import RAY_HELP
from maskfit.errors import DataError

MAX_BATCH_SIZE = 4096
"""Larger batches than this only exhaust memory."""

MODELS = "Models and decisions"
PHOTOS = "Folders and lists of photos"
FILES = "Files to write"
MANY_PHOTOS = "Any number of photos"
"""Panels of the help; named photos have one in `predict_faces`."""


def check_rotation(degrees: int) -> None:
    """Checks the value of --rotate.

    Args:
        degrees: Degrees clockwise.

    Raises:
        DataError: It is no quarter turn.
    """
    if degrees not in (0, 90, 180, 270):
        raise DataError(f"--rotate {degrees} is no quarter turn", hint="--rotate 90, 180 or 270, degrees clockwise")


def _parse_batch_size(value: str | int) -> int:
    """Parses a batch size; 0, the default, stands for `auto`."""
    if value in ("auto", 0):
        return 0
    if not str(value).isdecimal() or not 1 <= int(value) <= MAX_BATCH_SIZE:
        raise typer.BadParameter(f"batch size must be auto or 1 to {MAX_BATCH_SIZE}, got {value}")
    return int(value)


JsonlOption = Annotated[
    Path | None, typer.Option("--jsonl", help="Write predictions as JSON Lines.", rich_help_panel=FILES, metavar="FILE")
]
TopKOption = Annotated[
    int,
    typer.Option("--top-k", metavar="K", min=1, help="Number of best models per fold to use.", rich_help_panel=MODELS),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Inference engine: auto (the fastest here for this number of photos), torch, onnx, or openvino, which "
        "runs .onnx files too; openvino:precision=bf16 is faster where supported, and openvino:precision=checked "
        "recomputes close predictions in f32, and so does openvino:precision=int8, calibrated on the photos.",
        rich_help_panel=MODELS,
        metavar="NAME",
    ),
]
BatchSizeOption = Annotated[
    int,
    typer.Option(
        metavar="N|auto",
        parser=_parse_batch_size,
        help="Batch size; auto chooses by engine and image size.",
        show_default="auto",
        rich_help_panel=MODELS,
    ),
]
TtaOption = Annotated[
    str,
    typer.Option(
        "--tta",
        help="Test-time augmentation: original; flip; crops:n=4,seed=0 for random crops, "
        "random_resized_crop:n=2 for those of torchvision's ranges; five_crop:scale=0.9 for "
        "corners and center.",
        rich_help_panel=MODELS,
        metavar="NAME",
    ),
]
InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PHOTO|MODEL_OR_RUN...",
        help="Photos, folders of photos, patterns such as '*.jpg'; model files, run folders (all their folds). "
        "Without a model the bundled one is used.",
        show_default=False,
    ),
]
ImagesOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="Folder of photos; with --shards also s3://, gs://, https://.", rich_help_panel=PHOTOS
    ),
]
ImageListOption = Annotated[
    Path | None,
    typer.Option(
        "--image-list",
        help="CSV with the column ImageID, or a manifest, perhaps with boxes: the photos to predict, in order.",
        rich_help_panel=PHOTOS,
        metavar="CSV",
    ),
]
SubmissionOption = Annotated[
    Path | None, typer.Option("--out", help="Write a submission, ImageID,ans.", rich_help_panel=FILES, metavar="FILE")
]
ProbabilitiesOption = Annotated[
    Path | None, typer.Option(help="Write the probability of every class.", rich_help_panel=FILES, metavar="FILE")
]
AttributesOption = Annotated[
    Path | None,
    typer.Option("--attributes-csv", help="Write each attribute by name.", rich_help_panel=FILES, metavar="FILE"),
]
CombineOption = Annotated[
    str,
    typer.Option(
        "--combine",
        help="How ensemble members are combined: arithmetic, geometric, weighted (by each model's macro F1 on held-out "
        "persons), majority, majority_per_attribute.",
        rich_help_panel=MODELS,
        metavar="NAME",
    ),
]
DecideOption = Annotated[
    str | None,
    typer.Option(
        "--decide",
        metavar="argmax|macro-f1|accuracy",
        help="How a class is chosen: the most probable one, or with the weights that training fitted for a metric; "
        "argmax where a model has none.",
        show_default="macro-f1",
        rich_help_panel=MODELS,
    ),
]
AgeBordersOption = Annotated[
    str | None,
    typer.Option(
        "--age-borders",
        metavar="YEARS,...",
        help="Other borders of the age bands than those of the models, such as 30,57; for models trained on narrow age "
        "bands, as the bundled one is.",
        show_default=False,
        rich_help_panel=MODELS,
    ),
]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="person",
        help="With --images: pool what belongs to a person (all attributes but the mask) over the person's photos. The "
        "person is the column person of --image-list, otherwise the photo's folder.",
        show_default=False,
        rich_help_panel=PHOTOS,
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the predictions as JSON.")]
FormatOption = Annotated[
    str,
    typer.Option("--format", help="With --shards: csv or parquet.", rich_help_panel=MANY_PHOTOS, metavar="csv|parquet"),
]
ShardSizeOption = Annotated[
    int, typer.Option(min=1, help="With --shards: photos per file.", rich_help_panel=MANY_PHOTOS, metavar="PHOTOS")
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="With --shards: continue, keeping finished shards.", rich_help_panel=MANY_PHOTOS),
]
RayOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help=f"With --shards. {RAY_HELP}", rich_help_panel=MANY_PHOTOS)
]
CoresOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="With --ray: cores per worker; all of its machine by default.", rich_help_panel=MANY_PHOTOS
    ),
]

"""What `maskfit predict` can be told, and how other verbs that ask models are told the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import RAY_HELP

MOST_IN_BATCH = 4096


def _batch_size(word: str | int) -> int:
    """A number of photos; 0, the default, for `auto`."""
    if word in ("auto", 0):
        return 0
    if not str(word).isdecimal() or not 1 <= int(word) <= MOST_IN_BATCH:
        raise typer.BadParameter(f"{word} is neither auto nor in 1 to {MOST_IN_BATCH}")
    return int(word)


Jsonl = Annotated[Path | None, typer.Option("--jsonl", help="Write a JSON object a line here, with everything said.")]
Top = Annotated[int, typer.Option("--top-k", metavar="K", min=1, help="How many of each fold's best models answer.")]
EngineWord = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What runs the networks: auto, the fastest here for so many photos; torch, onnx, or openvino, which runs "
        ".onnx too; openvino:precision=bf16 is faster where the processor has it, =checked asks close answers again.",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        metavar="N|auto",
        parser=_batch_size,
        help="Photos in a batch; auto chooses by engine and size of the photos.",
        show_default="auto",
    ),
]
ViewsWord = Annotated[
    str,
    typer.Option(
        "--tta",
        help="How each photo is seen: original; flip, for it and its mirror; crops:n=4,seed=0 for random parts; "
        "five_crop:scale=0.9 for corners and center.",
    ),
]
Named = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PHOTO|MODEL_OR_RUN...",
        help="Photos, folders of photos, patterns such as '*.jpg'; model files, run folders with all their folds. "
        "Where no model is named, the one that comes with maskfit answers.",
        show_default=False,
    ),
]
Images = Annotated[
    str | None, typer.Option(metavar="DIR", help="The folder of photos; with --shards also s3://, gs://, https://.")
]
List = Annotated[
    Path | None, typer.Option("--image-list", help="A CSV with the column ImageID: which photos, and in which order.")
]
Submission = Annotated[Path | None, typer.Option("--out", help="Write the submission, ImageID,ans, here.")]
Probabilities = Annotated[Path | None, typer.Option(help="Write the probability of every class here.")]
AttributesFile = Annotated[Path | None, typer.Option("--attributes-csv", help="Write each attribute in words here.")]
VoteWord = Annotated[
    str,
    typer.Option(
        "--combine", help="How members are combined: arithmetic, geometric, majority, majority_per_attribute."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")]
Format = Annotated[str, typer.Option("--format", help="With --shards: csv or parquet.")]
ShardSize = Annotated[int, typer.Option(min=1, help="With --shards: photos in one file.")]
Resume = Annotated[bool, typer.Option("--resume", help="With --shards: go on with those that are there.")]
Ray = Annotated[str | None, typer.Option(metavar="ADDRESS", help=f"With --shards. {RAY_HELP}")]
Cores = Annotated[int | None, typer.Option(min=1, help="With --ray: cores of a worker; else its machine's.")]

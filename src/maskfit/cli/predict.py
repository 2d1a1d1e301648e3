"""`maskfit predict`: answers for photos, with one model or many."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.allocation import tune_allocation
from maskfit.cli.console import err, out, print_json, progress, refuse_overwriting
from maskfit.cli.environment import EVAL, MODEL, OUTPUT
from maskfit.errors import DataError, ModelFileError

if TYPE_CHECKING:
    from maskfit.data.photo import Photo
    from maskfit.inference.predictor import Prediction


GUESSES_SHOWN = 10
"""Photos without a face that are named; --json names all."""


@dataclass(frozen=True)
class _Files:
    """What a prediction writes; None is not written."""

    submission: Path | None
    probabilities: Path | None
    attributes: Path | None
    jsonl: Path | None

    def named(self) -> list[Path]:
        """The files to write."""
        return [path for path in (self.submission, self.probabilities, self.attributes, self.jsonl) if path]

    def refuse(self, force: bool) -> None:
        """Stops before anything is replaced: a file that exists, or one of these by another.

        Raises:
            DataError: Something would be.
        """
        for path in self.named():
            refuse_overwriting(path, force)
        if len({path.resolve() for path in self.named()}) < len(self.named()):
            raise DataError("two outputs bear one name", where=self.named()[0], fix="name a file for each")


Jsonl = Annotated[Path | None, typer.Option("--jsonl", help="Write a JSON object a line here, with everything said.")]
Top = Annotated[int, typer.Option("--top", metavar="K", min=1, help="How many of each fold's best models answer.")]
EngineWord = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What runs the networks: auto, by the file's format; torch, onnx, or openvino, which runs .onnx too; "
        "openvino:precision=bf16 is faster where the processor has bf16.",
    ),
]
ViewsWord = Annotated[
    str,
    typer.Option(
        "--views",
        help="How each photo is seen: original; flip, for it and its mirror; crops:n=4,seed=0 for random parts; "
        "five:scale=0.9 for corners and centre.",
    ),
]


def predict(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL_OR_RUN...", help="Model files, or run folders with all their folds."),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of photos.")] = None,
    list_: Annotated[
        Path | None, typer.Option("--list", help="A CSV with the column ImageID: which photos, and in which order.")
    ] = None,
    out_: Annotated[Path | None, typer.Option("--out", help="Write the submission, ImageID,ans, here.")] = None,
    probabilities: Annotated[Path | None, typer.Option(help="Write the probability of every class here.")] = None,
    attributes: Annotated[Path | None, typer.Option(help="Write each attribute in words here.")] = None,
    jsonl: Jsonl = None,
    top: Top = 1,
    views: ViewsWord = "original",
    vote: Annotated[
        str, typer.Option(help="How members are combined: arithmetic, geometric, hard, hard_attribute.")
    ] = "arithmetic",
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Photos that a network sees at once.")] = 32,
    engine: EngineWord = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
) -> None:
    """Answer for every photo of a list, or of a folder, with the mean of all models.

    With --list the rows keep its order, and a photo that cannot be read is an error. Without it, unreadable photos are
    set aside and named. Models, list, photos and output may also come from SM_CHANNEL_MODEL, SM_CHANNEL_EVAL and
    SM_OUTPUT_DATA_DIR.

    Examples:

        maskfit predict runs/baseline --images eval/images --list eval/info.csv --out submission.csv

        maskfit predict runs/baseline runs/fast --images eval/images --out answers.csv --views flip

        maskfit predict runs/baseline --top 2 --views crops:n=4 --images photos --jsonl answers.jsonl

        maskfit predict model.onnx --images photos
    """
    models = models or _from_environment(MODEL)
    if not models:
        raise ModelFileError("no model was named", fix="maskfit predict MODEL_OR_RUN --images DIR")
    images, list_ = _photos_wanted(images, list_)
    if out_ is None and os.environ.get(OUTPUT):
        out_ = Path(os.environ[OUTPUT]) / "submission.csv"
    files = _Files(out_, probabilities, attributes, jsonl)
    files.refuse(force)
    if not all(model.endswith((".onnx", ".xml")) for model in models):
        # torch gains from it as in training; the others keep their memory by themselves.
        tune_allocation()
    photos = _read(images, list_)
    from maskfit.inference.predictor import Predictor

    predictor = Predictor.load(*models, views=views, vote=vote, batch_size=batch_size, top=top, engine=engine)
    with progress(f"predicting with {len(predictor.members)} models") as advance:
        prediction = predictor.predict(photos, set_aside=list_ is None, progress=advance)
    _write(prediction, files)
    _tell(prediction, files, json)


def _from_environment(variable: str) -> list[str]:
    return [os.environ[variable]] if os.environ.get(variable) else []


def _photos_wanted(images: Path | None, list_: Path | None) -> tuple[Path, Path | None]:
    """The folder and the list; both from the platform's folder where neither was named."""
    given = os.environ.get(EVAL)
    if images is None and list_ is None and given:
        images = Path(given)
        list_ = images / "info.csv" if (images / "info.csv").is_file() else None
        images = images / "images" if (images / "images").is_dir() else images
    if images is None and list_ is not None:
        images = list_.parent / "images" if (list_.parent / "images").is_dir() else list_.parent
    if images is None:
        raise DataError("no photos were named", fix="add --images DIR, and --list info.csv for a submission")
    return images, list_


def _read(images: Path, list_: Path | None) -> list[Photo]:
    from maskfit.data.lists import find_images, read_list

    return find_images(images) if list_ is None else read_list(list_, images)


def _write(prediction: Prediction, files: _Files) -> None:
    from maskfit.inference.submission import write_attributes, write_json_lines, write_submission

    table = prediction.table
    if files.submission:
        write_submission(files.submission, table.names, table.classes)
    if files.probabilities:
        table.write(files.probabilities)
    if files.attributes:
        write_attributes(files.attributes, table.names, table.classes, prediction.scheme)
    if files.jsonl:
        write_json_lines(files.jsonl, table, prediction.scheme, prediction.unsure_below)


def _tell(prediction: Prediction, files: _Files, json: bool) -> None:
    written = files.named()
    if json:
        answers = [
            {"photo": name, "answer": words, "class": int(number), "probability": share,
             "attributes": {one.attribute: one.to_dict() for one in said}}
            for (name, words, share), number, said in zip(
                prediction, prediction.table.classes, prediction.say(), strict=True
            )
        ]  # fmt: skip
        print_json(
            {
                "answers": answers,
                "unreadable": prediction.unreadable,
                "guessed": list(prediction.guessed),
                "written": [str(path) for path in written],
            }
        )
    elif not written:
        from maskfit.inference.saying import sentence

        for name, said in zip(prediction.table.names, prediction.say(), strict=True):
            out.print(f"{name}: {sentence(said)}", soft_wrap=True)
    for path in written:
        err.print(f"wrote {path}: {len(prediction.table)} rows")
    if prediction.guessed:
        first, more = prediction.guessed[:GUESSES_SHOWN], len(prediction.guessed) - GUESSES_SHOWN
        named = ", ".join(first) + (f" and {more:,} more" if more > 0 else "")
        err.print(f"no face found in {len(prediction.guessed):,} photos, the crop's fallback was taken: {named}")
    if prediction.unreadable:
        err.print(f"set aside, {len(prediction.unreadable)} that cannot be read:", style="yellow")
        for name, reason in prediction.unreadable.items():
            err.print(f"  {name}: {reason}")

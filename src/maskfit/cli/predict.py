"""`maskfit predict`: answers for photos, with one model or many."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Sized
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskfit.cli.annotated_images import AnnotatedImageWriter
from maskfit.cli.console import err, progress
from maskfit.cli.defaults import EVAL, OUTPUT, resolve_models, setup_allocator
from maskfit.cli.predict_faces import (
    DetectorWord,
    Draw,
    FacesWord,
    load_face_predictor,
    print_face_predictions,
    resolve_arguments,
)
from maskfit.cli.predict_options import (
    AttributesFile,
    BatchSize,
    Cores,
    EngineWord,
    Force,
    Format,
    Images,
    Json,
    Jsonl,
    List,
    Named,
    Probabilities,
    Ray,
    Resume,
    ShardSize,
    Submission,
    Top,
    ViewsWord,
    VoteWord,
)
from maskfit.cli.predict_shards import Shards, check_shard_options, predict_sharded
from maskfit.cli.prediction_output import (
    OutputPaths,
    PredictionSummary,
    buffered_stdout,
    print_predictions,
    stream_json,
)
from maskfit.errors import DataError

if TYPE_CHECKING:
    from maskfit.data.image_lists import ImageFolder, ListedImages
    from maskfit.inference.prediction import BatchPredictions
    from maskfit.inference.predictor import Predictor
    from maskfit.inference.sharded_prediction import ShardPlan


def predict(
    models: Named = None,
    images: Images = None,
    list_: List = None,
    out_: Submission = None,
    probabilities: Probabilities = None,
    attributes: AttributesFile = None,
    jsonl: Jsonl = None,
    top: Top = 1,
    views: ViewsWord = "original",
    vote: VoteWord = "arithmetic",
    batch_size: BatchSize = 0,
    engine: EngineWord = "auto",
    force: Force = False,
    faces: FacesWord = None,
    detector: DetectorWord = None,
    draw: Draw = None,
    shards: Shards = None,
    format_: Format = "csv",
    shard_size: ShardSize = 2000,
    resume: Resume = False,
    ray: Ray = None,
    cores: Cores = None,
    json: Json = False,
) -> None:
    """Answer for photos: for every face on those that are named, or a row for each photo of a list or folder.

    Of several models the mean answers. A detector is fetched where --detector names it or a model was trained with it,
    and else not. With --image-list the rows keep its order, and a photo that cannot be read is an error; without it such
    photos are set aside and named. SM_CHANNEL_MODEL, SM_CHANNEL_EVAL and SM_OUTPUT_DATA_DIR stand for what is not said.

    Examples:

        maskfit predict photo.jpg --draw out.jpg

        maskfit predict holiday 'party/*.jpg' runs/baseline --top-k 2 --tta flip --json

        maskfit predict runs/baseline --images eval/images --image-list eval/info.csv --out submission.csv

        maskfit predict model.onnx --images s3://bucket/photos --shards answers --format parquet --ray auto
    """
    if shards is None:
        check_shard_options(images, ray=ray, resume=resume)
    words = resolve_arguments(
        models,
        rows=bool(images or list_ or shards),
        for_rows={"--out": out_, "--probabilities": probabilities, "--attributes-csv": attributes, "--jsonl": jsonl},
        for_faces={"--faces": faces, "--detector": detector, "--draw": draw},
    )
    asked: dict[str, Any] = {"views": views, "vote": vote, "batch_size": batch_size, "top": top, "engine": engine}
    load = partial(_load, words.models, asked)
    if words.photos:
        drawings = AnnotatedImageWriter(draw, words.photos, force) if draw else None
        # Opened to begin soon: faces pass the networks batch after batch, and not in lanes.
        print_face_predictions(load_face_predictor(load(()), faces, detector), words.photos, drawings, json=json)
    elif shards is not None:
        plan = _plan(words.models, images, list_, format=format_, size=shard_size, **asked)
        predict_sharded(plan, shards, list_, ray=ray, cores=cores, resume=resume, json=json)
    else:
        _answer_rows(load, images, list_, OutputPaths(out_, probabilities, attributes, jsonl), force, json)


def _plan(models: Sequence[str], images: str | None, list_: Path | None, **options: Any) -> ShardPlan:
    """What is answered in shards."""
    from maskfit.inference.sharded_prediction import ShardPlan

    setup_allocator()
    return ShardPlan(images or str(_photos_wanted(None, list_)[0]), tuple(resolve_models(models)), **options)


def _answer_rows(
    load: Callable[[Sized], Predictor],
    images: str | None,
    list_: Path | None,
    files: OutputPaths,
    force: bool,
    json: bool,
) -> None:
    """A row for each photo of a folder or list."""
    folder, list_ = _photos_wanted(Path(images) if images else None, list_)
    if files.submission is None and os.environ.get(OUTPUT):
        files = replace(files, submission=Path(os.environ[OUTPUT]) / "submission.csv")
    files.check_overwrite(force)
    photos = _read(folder, list_)
    predictor = load(photos)
    err.print(f"engine: {_said(predictor)}")
    answer_all(predictor, photos, files, listed=list_ is not None, json=json)


def answer_all(
    predictor: Predictor, photos: ListedImages | ImageFolder, files: OutputPaths, *, listed: bool, json: bool
) -> None:
    """Answers for photos, into files and onto standard output.

    Args:
        predictor: The models.
        photos: What to look at; how many they are is asked for the bar alone.
        files: What to write. Where there is none, a line for each photo is printed.
        listed: Whether every photo must have its row, so that one that cannot be read is an error and nothing is
            written or printed.
        json: Print the answers as JSON.
    """
    from maskfit.inference.prediction_writers import open_prediction_writers

    written = files.named()
    remarks = PredictionSummary(every=json)
    # Lines that come one by one on a screen are a bar of their own, which another would tear.
    quiet = not (json or written or listed)
    with ExitStack() as stack:
        sinks: list[Callable[[BatchPredictions], None]] = [remarks.add]
        stream = stack.enter_context(buffered_stdout(json or listed))
        if json:
            rest = partial(_rest, predictor, remarks, list(written.values()))
            sinks.append(stack.enter_context(stream_json(stream, rest)))
        elif not written:
            sinks.append(partial(print_predictions, stream=stream))
        sinks.append(stack.enter_context(open_prediction_writers(written, predictor.schema)))
        advance = None if quiet else stack.enter_context(progress(f"predicting with {len(predictor.members)} models"))
        done = 0
        for answers in stack.enter_context(closing(predictor.stream(photos, set_aside=not listed))):
            for sink in sinks:
                sink(answers)
            done += answers.num_processed
            if advance:
                advance(done, len(photos))
    remarks.print(list(written.values()))


def _load(named: Sequence[str], asked: Mapping[str, Any], photos: Sized) -> Predictor:
    """The models, or the one in the box, opened for so many photos."""
    models = resolve_models(named)
    setup_allocator()
    from maskfit.inference.predictor import Predictor

    options = {**asked, "batch_size": asked["batch_size"] or None}
    return Predictor.load(*models, **options, photos=len(photos), say=err.print)


def _said(predictor: Predictor) -> str:
    """The engines, and in which batches they are asked."""
    times = f" x {predictor.num_workers} at a time" if predictor.num_workers > 1 else ""
    return f"{'; '.join(predictor.engines)}; batches of {predictor.batch_size}{times}"


def _rest(predictor: Predictor, remarks: PredictionSummary, written: list[Path]) -> dict[str, Any]:
    """What stands beside the answers in the JSON."""
    return {
        "unreadable": remarks.unreadable,
        "guessed": remarks.guessed,
        "written": [str(path) for path in written],
        "engines": list(predictor.engines),
        "batch_size": predictor.batch_size,
        "lanes": predictor.num_workers,
    }


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
        fix = "maskfit predict photo.jpg, or for a submission --images DIR --image-list info.csv"
        raise DataError("no photos were named", hint=fix)
    return images, list_


def _read(images: Path, list_: Path | None) -> ListedImages | ImageFolder:
    from maskfit.data.image_lists import ImageFolder, read_image_list

    return ImageFolder(images) if list_ is None else read_image_list(list_, images)

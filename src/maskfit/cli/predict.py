"""`maskfit predict`: predictions for photos, with one model or an ensemble."""

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
    """Predict every face on the named photos, or one row for each photo of a folder or list.

    Several models are averaged. Detector weights are downloaded only if --detector names the detector or a model was
    trained with it. With --image-list the rows keep its order and an unreadable photo is an error; otherwise such
    photos are set aside and listed. SM_CHANNEL_MODEL, SM_CHANNEL_EVAL and SM_OUTPUT_DATA_DIR are the defaults.

    Examples:

        maskfit predict photo.jpg --draw out.jpg

        maskfit predict holiday 'party/*.jpg' runs/baseline --top-k 2 --tta flip --json

        maskfit predict runs/baseline --images eval/images --image-list eval/info.csv --out submission.csv

        maskfit predict model.onnx --images s3://bucket/photos --shards answers --format parquet --ray auto
    """
    if shards is None:
        check_shard_options(images, ray=ray, resume=resume)
    inputs = resolve_arguments(
        models,
        rows=bool(images or list_ or shards),
        for_rows={"--out": out_, "--probabilities": probabilities, "--attributes-csv": attributes, "--jsonl": jsonl},
        for_faces={"--faces": faces, "--detector": detector, "--draw": draw},
    )
    options: dict[str, Any] = {"tta": views, "vote": vote, "batch_size": batch_size, "top_k": top, "engine": engine}
    load = partial(_load, inputs.models, options)
    if inputs.photos:
        drawings = AnnotatedImageWriter(draw, inputs.photos, force) if draw else None
        # Loaded for few photos: faces are predicted batch by batch, without parallel batches.
        print_face_predictions(load_face_predictor(load(()), faces, detector), inputs.photos, drawings, json=json)
    elif shards is not None:
        plan = _plan(inputs.models, images, list_, format=format_, size=shard_size, **options)
        predict_sharded(plan, shards, list_, ray=ray, cores=cores, resume=resume, json=json)
    else:
        _predict_rows(load, images, list_, OutputPaths(out_, probabilities, attributes, jsonl), force, json)


def _plan(models: Sequence[str], images: str | None, list_: Path | None, **options: Any) -> ShardPlan:
    """The plan of a sharded prediction."""
    from maskfit.inference.sharded_prediction import ShardPlan

    setup_allocator()
    return ShardPlan(images or str(_resolve_images(None, list_)[0]), tuple(resolve_models(models)), **options)


def _predict_rows(
    load: Callable[[Sized], Predictor],
    images: str | None,
    list_: Path | None,
    files: OutputPaths,
    force: bool,
    json: bool,
) -> None:
    """Predicts one row for each photo of a folder or list."""
    folder, list_ = _resolve_images(Path(images) if images else None, list_)
    if files.submission is None and os.environ.get(OUTPUT):
        files = replace(files, submission=Path(os.environ[OUTPUT]) / "submission.csv")
    files.check_overwrite(force)
    photos = _list_images(folder, list_)
    predictor = load(photos)
    err.print(f"engine: {_describe_engines(predictor)}")
    predict_all(predictor, photos, files, listed=list_ is not None, json=json)


def predict_all(
    predictor: Predictor, photos: ListedImages | ImageFolder, files: OutputPaths, *, listed: bool, json: bool
) -> None:
    """Predicts photos into files and onto standard output.

    Args:
        predictor: The models.
        photos: The photos; their number is used for the progress bar only.
        files: Files to write. Without any, one line per photo is printed.
        listed: Whether every photo needs a row: then an unreadable photo is an error, and nothing is written or
            printed.
        json: Print the predictions as JSON.
    """
    from maskfit.inference.prediction_writers import open_prediction_writers

    written = files.named()
    summary = PredictionSummary(every=json)
    # Lines printed one by one on a terminal would break a progress bar.
    quiet = not (json or written or listed)
    with ExitStack() as stack:
        sinks: list[Callable[[BatchPredictions], None]] = [summary.add]
        stream = stack.enter_context(buffered_stdout(json or listed))
        if json:
            rest = partial(_json_extras, predictor, summary, list(written.values()))
            sinks.append(stack.enter_context(stream_json(stream, rest)))
        elif not written:
            sinks.append(partial(print_predictions, stream=stream))
        sinks.append(stack.enter_context(open_prediction_writers(written, predictor.schema)))
        advance = None if quiet else stack.enter_context(progress(f"predicting with {len(predictor.members)} models"))
        done = 0
        for predictions in stack.enter_context(closing(predictor.stream(photos, skip_unreadable=not listed))):
            for sink in sinks:
                sink(predictions)
            done += predictions.num_processed
            if advance:
                advance(done, len(photos))
    summary.print(list(written.values()))


def _load(named: Sequence[str], options: Mapping[str, Any], photos: Sized) -> Predictor:
    """Loads the models, or the bundled one, for a number of photos."""
    models = resolve_models(named)
    setup_allocator()
    from maskfit.inference.predictor import Predictor

    settings = {**options, "batch_size": options["batch_size"] or None}
    return Predictor.load(*models, **settings, num_images=len(photos), log=err.print)


def _describe_engines(predictor: Predictor) -> str:
    """The engines and batch size, for the log."""
    times = f" x {predictor.num_workers} in parallel" if predictor.num_workers > 1 else ""
    return f"{'; '.join(predictor.engines)}; batches of {predictor.batch_size}{times}"


def _json_extras(predictor: Predictor, summary: PredictionSummary, written: list[Path]) -> dict[str, Any]:
    """The members of the JSON object besides the predictions."""
    return {
        "unreadable": summary.unreadable,
        "guessed": summary.guessed,
        "written": [str(path) for path in written],
        "engines": list(predictor.engines),
        "batch_size": predictor.batch_size,
        "lanes": predictor.num_workers,
    }


def _resolve_images(images: Path | None, list_: Path | None) -> tuple[Path, Path | None]:
    """The image folder and the list; both from SM_CHANNEL_EVAL where neither is given."""
    folder = os.environ.get(EVAL)
    if images is None and list_ is None and folder:
        images = Path(folder)
        list_ = images / "info.csv" if (images / "info.csv").is_file() else None
        images = images / "images" if (images / "images").is_dir() else images
    if images is None and list_ is not None:
        images = list_.parent / "images" if (list_.parent / "images").is_dir() else list_.parent
    if images is None:
        fix = "maskfit predict photo.jpg, or for a submission --images DIR --image-list info.csv"
        raise DataError("no photos given", hint=fix)
    return images, list_


def _list_images(images: Path, list_: Path | None) -> ListedImages | ImageFolder:
    from maskfit.data.image_lists import ImageFolder, read_image_list

    return ImageFolder(images) if list_ is None else read_image_list(list_, images)

"""`maskfit predict`: predictions for photos, with one model or an ensemble."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskfit.calibration import DEFAULT_DECIDE, parse_decide_mode
from maskfit.cli.annotated_images import AnnotatedImageWriter
from maskfit.cli.console import err, progress
from maskfit.cli.defaults import setup_allocator
from maskfit.cli.predict_faces import (
    AnswerCounts,
    DetectorOption,
    DrawOption,
    FacesCsvOption,
    FacesOption,
    MinFaceOption,
    RotateOption,
    check_faces_csv,
    load_face_predictor,
    print_face_predictions,
    print_training_photos,
    resolve_arguments,
)
from maskfit.cli.predict_options import (
    AgeBordersOption,
    AttributesOption,
    BatchSizeOption,
    ByOption,
    CombineOption,
    CoresOption,
    DecideOption,
    EngineOption,
    ForceOption,
    FormatOption,
    ImageListOption,
    ImagesOption,
    InputsArgument,
    JsonlOption,
    JsonOption,
    ProbabilitiesOption,
    RayOption,
    ResumeOption,
    ShardSizeOption,
    SubmissionOption,
    TopKOption,
    TtaOption,
    check_rotation,
)
from maskfit.cli.predict_shards import ShardsOption, check_shard_options, predict_sharded
from maskfit.cli.prediction_output import (
    OutputPaths,
    PredictionSummary,
    buffered_stdout,
    print_predictions,
    stream_json,
)
from maskfit.environment import EVAL, OUTPUT
from maskfit.errors import DataError
from maskfit.labels.age_distribution import parse_age_borders
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.data.image_lists import ImageFolder, ListedImages
    from maskfit.inference.engines.int8_conversion import PhotoCollection
    from maskfit.inference.prediction import BatchPredictions
    from maskfit.inference.predictor import Predictor
    from maskfit.inference.sharded_prediction import ShardPlan


def predict(
    models: InputsArgument = None,
    faces: FacesOption = None,
    detector: DetectorOption = None,
    min_face: MinFaceOption = None,
    rotate: RotateOption = 0,
    draw: DrawOption = None,
    faces_csv: FacesCsvOption = None,
    images: ImagesOption = None,
    image_list: ImageListOption = None,
    by: ByOption = None,
    submission: SubmissionOption = None,
    probabilities: ProbabilitiesOption = None,
    attributes_csv: AttributesOption = None,
    jsonl: JsonlOption = None,
    top_k: TopKOption = 1,
    tta: TtaOption = "original",
    combine: CombineOption = "arithmetic",
    decide: DecideOption = None,
    age_borders: AgeBordersOption = None,
    batch_size: BatchSizeOption = 0,
    engine: EngineOption = "auto",
    force: ForceOption = False,
    shards: ShardsOption = None,
    format_: FormatOption = "csv",
    shard_size: ShardSizeOption = 2000,
    resume: ResumeOption = False,
    ray: RayOption = None,
    cores: CoresOption = None,
    json: JsonOption = False,
) -> None:
    """Predict every face on the named photos, or one row for each photo of a folder or list.

    Several models are averaged. Detector weights are downloaded only if --detector names the detector or a model was
    trained with it. With --image-list the rows keep its order and an unreadable photo is an error; otherwise such
    photos are set aside and listed. SM_CHANNEL_MODEL, SM_CHANNEL_EVAL and SM_OUTPUT_DATA_DIR are the defaults.

    Examples:

        maskfit predict photo.jpg --draw out.jpg

        maskfit predict holiday --faces-csv faces.csv

        maskfit predict holiday 'party/*.jpg' runs/baseline --top-k 2 --tta flip --json

        maskfit predict photo.jpg --age-borders 18,40,65

        maskfit predict runs/baseline --images eval/images --image-list eval/info.csv --out submission.csv

        maskfit predict model.onnx --images s3://bucket/photos --shards answers --format parquet --ray auto
    """
    if shards is None and (images or ray or resume):
        check_shard_options(images, ray=ray, resume=resume)
    inputs = resolve_arguments(
        models,
        rows=bool(images or image_list or shards),
        for_rows={
            "--out": submission,
            "--probabilities": probabilities,
            "--attributes-csv": attributes_csv,
            "--jsonl": jsonl,
            "--by": by,
        },
        for_faces={
            "--faces": faces,
            "--detector": detector,
            "--min-face": min_face,
            "--rotate": rotate,
            "--draw": draw,
            "--faces-csv": faces_csv,
        },
    )
    options: dict[str, Any] = {
        "tta": tta,
        "vote": combine,
        "decide": decide or DEFAULT_DECIDE,
        "age_borders": age_borders or "",
        "batch_size": batch_size,
        "top_k": top_k,
        "engine": engine,
    }
    if rotate:
        check_rotation(rotate)
    parse_decide_mode(options["decide"])
    parse_age_borders(age_borders)
    _check_by(by, sharded=shards is not None)
    load = partial(_load_predictor, inputs.models, options)
    if inputs.photos:
        check_faces_csv(faces_csv, force)
        photos = replace(inputs.photos, rotation=rotate)
        annotator = AnnotatedImageWriter(draw, photos, force) if draw else None
        if photos.single_file is None:
            setup_allocator()
        # Loaded for few photos: faces are predicted batch by batch, without parallel batches.
        predictor = load(())
        _print_decisions(predictor, explicit=decide is not None)
        if inputs.models:
            print_training_photos(predictor, (photo.path for photo in photos))
        face_predictor = load_face_predictor(predictor, faces, detector, min_face)
        print_face_predictions(face_predictor, photos, annotator, json=json, faces_csv=faces_csv)
    elif shards is not None:
        plan = _shard_plan(inputs.models, images, image_list, format=format_, size=shard_size, **options)
        predict_sharded(plan, shards, image_list, ray=ray, cores=cores, resume=resume, json=json)
    else:
        outputs = OutputPaths(submission, probabilities, attributes_csv, jsonl)
        _predict_rows(load, images, image_list, outputs, force, json, by=by, explicit=decide is not None)


def _shard_plan(models: Sequence[str], images: str | None, image_list: Path | None, **options: Any) -> ShardPlan:
    """The plan of a sharded prediction."""
    from maskfit.inference.input_resolution import resolve_models
    from maskfit.inference.sharded_prediction import ShardPlan

    setup_allocator()
    return ShardPlan(
        images or str(resolve_images(None, image_list)[0]), tuple(resolve_models(models, err.print)), **options
    )


def _predict_rows(
    load: Callable[[PhotoCollection], Predictor],
    images: str | None,
    image_list: Path | None,
    outputs: OutputPaths,
    force: bool,
    json: bool,
    *,
    by: str | None,
    explicit: bool,
) -> None:
    """Predicts one row for each photo of a folder or list."""
    folder, image_list = resolve_images(Path(images) if images else None, image_list)
    if outputs.submission is None and os.environ.get(OUTPUT):
        outputs = replace(outputs, submission=Path(os.environ[OUTPUT]) / "submission.csv")
    outputs.check_overwrite(force)
    photos = list_images(folder, image_list)
    for note in getattr(photos, "notes", ()):
        err.print(note)
    predictor = load(photos)
    writes_classes = bool(outputs.submission or outputs.probabilities)
    for line in predictor.describe(show_decisions=explicit, writes_classes=writes_classes):
        err.print(line, soft_wrap=True)
    print_training_photos(predictor, (photo.path for photo in photos))
    _print_group_photos(photos)
    persons = _list_persons(predictor, photos, image_list) if by else None
    predict_all(predictor, photos, outputs, listed=image_list is not None, json=json, persons=persons)


def _print_group_photos(photos: ListedImages | ImageFolder) -> None:
    """Says where photos of several people are about to be predicted as portraits of one."""
    from maskfit.inference.group_photos import find_group_photos

    found = find_group_photos(photos)
    if found.several:
        err.print(
            f"each photo is predicted as the portrait of one person, but {found.several} of "
            f"{format_count(found.looked_at, 'photo')} looked at show several faces, such as {found.example}; to "
            "predict every face, name the photos or their folder without --images",
            soft_wrap=True,
        )


def _check_by(by: str | None, *, sharded: bool) -> None:
    if by not in (None, "person"):
        raise DataError(f"--by {by} is unknown", hint="--by person")
    if by and sharded:
        raise DataError(
            "--by person needs all photos at once, --shards predicts them apart", hint="drop one of the two"
        )


def _list_persons(predictor: Predictor, photos: ListedImages | ImageFolder, image_list: Path | None) -> dict[str, str]:
    """The person on each photo, by the photo's name; fails where the models predict nothing of a person."""
    from maskfit.data.image_lists import read_list_persons
    from maskfit.inference.person_pooling import persons_of_folders, pooled_attributes

    pooled_attributes(predictor.schema)
    names = [photo.name for photo in photos]
    persons = read_list_persons(image_list) if image_list else None
    if persons is None and any(photo.box is not None for photo in photos):
        # The faces of a photo, and of a folder of scenes, are different people.
        raise DataError("the list has boxes and does not say who is who", hint="add a column person, or leave out --by")
    persons = persons or persons_of_folders(names)
    return dict(zip(names, persons, strict=True))


def predict_all(
    predictor: Predictor,
    photos: ListedImages | ImageFolder,
    outputs: OutputPaths,
    *,
    listed: bool,
    json: bool,
    persons: Mapping[str, str] | None = None,
) -> None:
    """Predicts photos into files and onto standard output.

    Args:
        predictor: The models.
        photos: The photos; their number is used for the progress bar only.
        outputs: Files to write. Without any, one line per photo is printed.
        listed: Whether every photo needs a row: then an unreadable photo is an error, and nothing is written or
            printed.
        json: Print the predictions as JSON.
        persons: Person on each photo, by its name: predictions are pooled over a person's photos, and all of them are
            kept until the last one is done; None predicts each photo by itself.
    """
    from maskfit.data.image_lists import ImageFolder
    from maskfit.inference.prediction_writers import open_prediction_writers

    paths = outputs.named()
    summary, counts = PredictionSummary(keep_all=json), AnswerCounts(predictor.schema.attributes[0])
    # Lines printed one by one on a terminal would break a progress bar.
    quiet = not (json or paths or listed)
    with ExitStack() as stack:
        sinks: list[Callable[[BatchPredictions], None]] = [summary.add]
        stream = stack.enter_context(buffered_stdout(json or listed))
        if json:
            extras = partial(_json_extras, predictor, summary, list(paths.values()))
            sinks.append(stack.enter_context(stream_json(stream, extras)))
        elif not paths:
            sinks.append(partial(print_predictions, stream=stream, counts=counts))
        sinks.append(stack.enter_context(open_prediction_writers(paths, predictor.schema, ages=predictor.gives_ages)))
        advance = (
            None
            if quiet
            else stack.enter_context(progress(f"predicting with {format_count(len(predictor.members), 'model')}"))
        )
        done = 0
        kept: list[BatchPredictions] = []
        if isinstance(photos, ImageFolder):
            summary.unreadable |= photos.set_aside
        for predictions in stack.enter_context(closing(predictor.stream(photos, skip_unreadable=not listed))):
            if persons is None:
                _emit(predictions, sinks)
            else:
                kept.append(predictions)
            done += predictions.num_processed
            if advance:
                advance(done, len(photos))
        if persons is not None:
            _emit_pooled(kept, persons, sinks)
    counts.print(format_count(summary.rows, "photo"))
    summary.print(list(paths.values()), outputs.submission, _other_schema_name(predictor))


def _other_schema_name(predictor: Predictor) -> str | None:
    """Name of the predictor's schema where it is not the one that `maskfit evaluate` expects by default."""
    from maskfit.labels.schema import LABEL_SCHEMAS

    classes = [(item.name, item.values) for item in predictor.schema.attributes]
    names = (
        name for name, schema in LABEL_SCHEMAS.items() if classes == [(x.name, x.values) for x in schema.attributes]
    )
    return next((name for name in names if name != "mask-gender-age"), None)


def _emit(predictions: BatchPredictions, sinks: Sequence[Callable[[BatchPredictions], None]]) -> None:
    for sink in sinks:
        sink(predictions)


def _emit_pooled(
    batches: Sequence[BatchPredictions],
    persons: Mapping[str, str],
    sinks: Sequence[Callable[[BatchPredictions], None]],
) -> None:
    """Pools the predictions of all photos by person, and says what that changed."""
    from maskfit.inference.person_pooling import pool_predictions

    pooled = pool_predictions(batches, [persons[name] for batch in batches for name in batch.names])
    err.print(str(pooled))
    _emit(pooled.predictions, sinks)


def _load_predictor(sources: Sequence[str], options: Mapping[str, Any], photos: PhotoCollection) -> Predictor:
    """Loads the models, or the bundled one, for a number of photos."""
    from maskfit.inference.input_resolution import resolve_models

    models = resolve_models(sources, err.print)
    if len(photos):
        setup_allocator()
    from maskfit.inference.predictor import Predictor

    settings = {
        **options,
        "batch_size": options["batch_size"] or None,
        "age_borders": parse_age_borders(options["age_borders"] or None),
    }
    return Predictor.load(*models, **settings, num_images=len(photos), photos=photos, log=err.print)


def _print_decisions(predictor: Predictor, explicit: bool) -> None:
    """Prints how classes are chosen, where a model has weights or the user asked for a way."""
    if predictor.decision_weights or explicit:
        err.print(f"decisions: {predictor.describe_decisions()}")


def _json_extras(predictor: Predictor, summary: PredictionSummary, paths: list[Path]) -> dict[str, Any]:
    """The members of the JSON object besides the predictions."""
    return {
        "unreadable": summary.unreadable,
        "guessed": summary.shown_fallbacks,
        "written": [str(path) for path in paths],
        "decide": predictor.describe_decisions(),
        "age_borders": next((list(item.bin_edges) for item in predictor.schema.attributes if item.bin_edges), None),
        "engines": list(predictor.engines),
        "batch_size": predictor.batch_size,
        "lanes": predictor.num_workers,
    }


def resolve_images(images: Path | None, image_list: Path | None) -> tuple[Path, Path | None]:
    """Finds the image folder and the list; both from SM_CHANNEL_EVAL where neither is given.

    Args:
        images: Folder of photos; by default that of the list.
        image_list: The list; None without one.

    Returns:
        The folder and the list.

    Raises:
        DataError: Neither is given, or the list is no CSV.
    """
    folder = os.environ.get(EVAL)
    if images is None and image_list is None and folder:
        images = Path(folder)
        image_list = images / "info.csv" if (images / "info.csv").is_file() else None
        images = images / "images" if (images / "images").is_dir() else images
    if images is None and image_list is not None:
        from maskfit.data.image_lists import default_folder

        images = default_folder(image_list)
    if images is None:
        hint = "maskfit predict photo.jpg, or for a submission --images DIR --image-list info.csv"
        raise DataError("no photos given", hint=hint)
    return images, image_list


def list_images(images: Path, image_list: Path | None) -> ListedImages | ImageFolder:
    """Lists the photos of a folder or list.

    Args:
        images: The folder.
        image_list: The list; None for all photos of the folder.

    Returns:
        The photos.

    Raises:
        DataError: There are none, or the list cannot be read.
    """
    from maskfit.data.image_lists import ImageFolder, read_image_list

    return ImageFolder(images) if image_list is None else read_image_list(image_list, images)

"""`maskfit predict`: answers for photos, with one model or many."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Sized
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskfit.cli.allocation import tune_allocation
from maskfit.cli.answers import Files, Remarks, held_back, one_json, print_sentences
from maskfit.cli.asking import (
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
from maskfit.cli.console import err, progress
from maskfit.cli.drawings import Drawings
from maskfit.cli.environment import EVAL, OUTPUT
from maskfit.cli.models import models_or_box
from maskfit.cli.reading import DetectorWord, Draw, FacesWord, open_aloud, read_aloud, sort_named
from maskfit.cli.sharded import Shards, predict_sharded, refuse_unsharded
from maskfit.errors import DataError

if TYPE_CHECKING:
    from maskfit.data.lists import ListedPhotos, PhotoFolder
    from maskfit.inference.answers import Answers
    from maskfit.inference.predictor import Predictor
    from maskfit.inference.shards import Plan


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
    and else not. With --list the rows keep its order, and a photo that cannot be read is an error; without it such
    photos are set aside and named. SM_CHANNEL_MODEL, SM_CHANNEL_EVAL and SM_OUTPUT_DATA_DIR stand for what is not said.

    Examples:

        maskfit predict photo.jpg --draw out.jpg

        maskfit predict holiday 'party/*.jpg' runs/baseline --top 2 --views flip --json

        maskfit predict runs/baseline --images eval/images --list eval/info.csv --out submission.csv

        maskfit predict model.onnx --images s3://bucket/photos --shards answers --format parquet --ray auto
    """
    if shards is None:
        refuse_unsharded(images, ray=ray, resume=resume)
    words = sort_named(
        models, rows=bool(images or list_ or shards),
        for_rows={"--out": out_, "--probabilities": probabilities, "--attributes": attributes, "--jsonl": jsonl},
        for_faces={"--faces": faces, "--detector": detector, "--draw": draw},
    )  # fmt: skip
    asked: dict[str, Any] = {"views": views, "vote": vote, "batch_size": batch_size, "top": top, "engine": engine}
    load = partial(_load, words.models, asked)
    if words.photos:
        drawings = Drawings(draw, words.photos, force) if draw else None
        # Opened to begin soon: faces pass the networks batch after batch, and not in lanes.
        read_aloud(open_aloud(load(()), faces, detector), words.photos, drawings, json=json)
    elif shards is not None:
        plan = _plan(words.models, images, list_, format=format_, size=shard_size, **asked)
        predict_sharded(plan, shards, list_, ray=ray, cores=cores, resume=resume, json=json)
    else:
        _answer_rows(load, images, list_, Files(out_, probabilities, attributes, jsonl), force, json)


def _plan(models: Sequence[str], images: str | None, list_: Path | None, **options: Any) -> Plan:
    """What is answered in shards."""
    from maskfit.inference.shards import Plan

    tune_allocation()
    return Plan(images or str(_photos_wanted(None, list_)[0]), tuple(models_or_box(models)), **options)


def _answer_rows(
    load: Callable[[Sized], Predictor], images: str | None, list_: Path | None, files: Files, force: bool, json: bool
) -> None:  # fmt: skip
    """A row for each photo of a folder or list."""
    folder, list_ = _photos_wanted(Path(images) if images else None, list_)
    if files.submission is None and os.environ.get(OUTPUT):
        files = replace(files, submission=Path(os.environ[OUTPUT]) / "submission.csv")
    files.refuse(force)
    photos = _read(folder, list_)
    predictor = load(photos)
    err.print(f"engine: {_said(predictor)}")
    answer_all(predictor, photos, files, listed=list_ is not None, json=json)


def answer_all(
    predictor: Predictor, photos: ListedPhotos | PhotoFolder, files: Files, *, listed: bool, json: bool
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
    from maskfit.inference.writing import writing

    written = files.named()
    remarks = Remarks(every=json)
    # Lines that come one by one on a screen are a bar of their own, which another would tear.
    quiet = not (json or written or listed)
    with ExitStack() as stack:
        sinks: list[Callable[[Answers], None]] = [remarks.add]
        stream = stack.enter_context(held_back(json or listed))
        if json:
            rest = partial(_rest, predictor, remarks, list(written.values()))
            sinks.append(stack.enter_context(one_json(stream, rest)))
        elif not written:
            sinks.append(partial(print_sentences, stream=stream))
        sinks.append(stack.enter_context(writing(written, predictor.scheme)))
        advance = None if quiet else stack.enter_context(progress(f"predicting with {len(predictor.members)} models"))
        done = 0
        for answers in stack.enter_context(closing(predictor.stream(photos, set_aside=not listed))):
            for sink in sinks:
                sink(answers)
            done += answers.done
            if advance:
                advance(done, len(photos))
    remarks.tell(list(written.values()))


def _load(named: Sequence[str], asked: Mapping[str, Any], photos: Sized) -> Predictor:
    """The models, or the one in the box, opened for so many photos."""
    models = models_or_box(named)
    tune_allocation()
    from maskfit.inference.predictor import Predictor

    options = {**asked, "batch_size": asked["batch_size"] or None}
    return Predictor.load(*models, **options, photos=len(photos), say=err.print)


def _said(predictor: Predictor) -> str:
    """The engines, and in which batches they are asked."""
    times = f" x {predictor.lanes} at a time" if predictor.lanes > 1 else ""
    return f"{'; '.join(predictor.engines)}; batches of {predictor.batch_size}{times}"


def _rest(predictor: Predictor, remarks: Remarks, written: list[Path]) -> dict[str, Any]:
    """What stands beside the answers in the JSON."""
    return {
        "unreadable": remarks.unreadable, "guessed": remarks.guessed, "written": [str(path) for path in written],
        "engines": list(predictor.engines), "batch_size": predictor.batch_size, "lanes": predictor.lanes,
    }  # fmt: skip


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
        fix = "maskfit predict photo.jpg, or for a submission --images DIR --list info.csv"
        raise DataError("no photos were named", fix=fix)
    return images, list_


def _read(images: Path, list_: Path | None) -> ListedPhotos | PhotoFolder:
    from maskfit.data.lists import PhotoFolder, read_list

    return PhotoFolder(images) if list_ is None else read_list(list_, images)

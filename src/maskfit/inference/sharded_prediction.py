"""Answers for any number of photos, in shards: each photo has its row in exactly one, whatever is killed on the way.

RESULT/
  plan.json                 which photos, models and views; written once all photos are listed
  lists/000000.csv          the names of a shard's photos, in order
  answers/000000.parquet    a row for each of them that can be read (or .csv)
  unreadable/000000.csv     those that cannot, and why
  summary.json              what there is in all; written last

A shard's answers appear whole, after its list of unreadable photos; until then nothing of the shard counts. So whoever
dies over a shard leaves nothing of it, and whoever takes it up writes all of it: never by halves, never twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from maskfit.data.photo_dataset import Photo
from maskfit.data.remote_files import ImageRoot
from maskfit.errors import DataError, RunError, did_you_mean
from maskfit.file_io import atomic_write, read_csv, read_json, write_csv, write_json
from maskfit.inference.model_inputs import RemotePhoto, ImageSource
from maskfit.inference.prediction import BatchPredictions
from maskfit.inference.predictor import Predictor
from maskfit.inference.table_formats import FORMATS

ID_COLUMN = "ImageID"


@dataclass(frozen=True)
class ShardPlan:
    """What is answered, and how; it says all that whoever takes up a shard must know.

    Attributes:
        root: Where the photos lie: a folder or an address.
        models: Model files and runs.
        format: A name of `tabled.FORMATS`.
        size: Photos in a shard.
        views, vote, top, engine: As for `Predictor.load`.
        batch_size: Photos in a batch; 0 chooses by engine and framing.
        photos: How many photos there are.
    """

    root: str
    models: tuple[str, ...]
    format: str = "csv"
    size: int = 2000
    tta: str = "original"
    vote: str = "arithmetic"
    batch_size: int = 0
    top_k: int = 1
    engine: str = "auto"
    num_images: int = 0

    @property
    def num_shards(self) -> int:
        """How many shards there are."""
        return -(-self.num_images // self.size)

    def predictor(self, threads: int | None = None) -> Predictor:
        """The models, opened for as many photos; `threads` as for `Predictor.load`."""
        return Predictor.load(
            *self.models,
            views=self.tta,
            vote=self.vote,
            batch_size=self.batch_size or None,
            top=self.top_k,
            engine=self.engine,
            photos=self.num_images,
            threads=threads,
        )


@dataclass(frozen=True)
class ShardDir:
    """The files of a result."""

    path: Path

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    def list_(self, shard: int) -> Path:
        """The names of a shard's photos."""
        return self.path / "lists" / f"{shard:06d}.csv"

    def predictions(self, shard: int, ending: str) -> Path:
        """What is answered for a shard; being there, the shard is done."""
        return self.path / "answers" / f"{shard:06d}.{ending}"

    def unreadable(self, shard: int) -> Path:
        """Which of a shard's photos cannot be read."""
        return self.path / "unreadable" / f"{shard:06d}.csv"

    def read_plan(self) -> ShardPlan:
        """The plan of a result that was begun."""
        facts = read_json(self.plan)
        return ShardPlan(**{**facts, "models": tuple(facts["models"])})


@dataclass(frozen=True)
class ShardResult:
    """A shard that is done.

    Attributes:
        number: Which.
        answered, unreadable: How many photos.
    """

    number: int
    num_predicted: int
    num_unreadable: int


def start_or_resume(folder: ShardDir, plan: ShardPlan, names: Iterable[str] | None, *, resume: bool) -> ShardPlan:
    """Lists the photos, or finds the lists of a result that was begun.

    Args:
        folder: The result's.
        plan: What is wanted; its `photos` are counted here.
        names: The photos' names, in order; left out, all below the root.
        resume: Go on with the result that is there, as it was begun.

    Raises:
        DataError: There are no photos, or they cannot be listed; or the format is not known.
        RunError: The folder is in the way, or was begun with something else.
    """
    if plan.format not in FORMATS:
        raise DataError(f"there is no format '{plan.format}'; {did_you_mean(plan.format, FORMATS)}")
    FORMATS[plan.format].check()
    if resume and folder.plan.is_file():
        return _resumed(folder, plan)
    if not resume and folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise RunError(
            "this folder is not empty",
            location=folder.path,
            hint="add --resume to go on with the answers in it, or name another folder",
        )
    count = 0
    rest = iter(ImageRoot(plan.root).names() if names is None else names)
    while part := list(islice(rest, plan.size)):
        write_csv(folder.list_(count // plan.size), [ID_COLUMN], ([name] for name in part))
        count += len(part)
    if not count:
        raise DataError("there are no photos to look at", location=plan.root, hint="check the folder or the list")
    counted = ShardPlan(**{**asdict(plan), "photos": count})
    # Written last: with it the lists are whole.
    write_json(folder.plan, asdict(counted))
    return counted


def _resumed(folder: ShardDir, plan: ShardPlan) -> ShardPlan:
    begun = folder.read_plan()
    wanted, known = asdict(plan), asdict(begun)
    changed = [
        f"{key} was {known[key]}, is {wanted[key]}" for key in known if key != "photos" and known[key] != wanted[key]
    ]
    if changed:
        raise RunError(
            f"these answers were begun with something else; {'; '.join(changed)}",
            location=folder.plan,
            hint="resume with the same words, or name another folder",
        )
    return begun


def pending(folder: ShardDir, plan: ShardPlan) -> list[int]:
    """The shards that are not done."""
    ending = FORMATS[plan.format].suffix
    return [number for number in range(plan.num_shards) if not folder.predictions(number, ending).is_file()]


def predict_shard(folder: ShardDir, plan: ShardPlan, predictor: Predictor, number: int) -> ShardResult:
    """Answers for a shard's photos, and writes them, unless that was done already.

    Raises:
        MaskfitError: Its list is damaged.
    """
    form = FORMATS[plan.format]
    target = folder.predictions(number, form.suffix)
    photos = list(_photos(ImageRoot(plan.root), folder.list_(number)))
    if target.is_file():
        lost = len(read_csv(folder.unreadable(number), [ID_COLUMN])) if folder.unreadable(number).is_file() else 0
        return ShardResult(number, len(photos) - lost, lost)
    parts: list[BatchPredictions] = []
    with closing(predictor.stream(photos, set_aside=True)) as stream:
        try:
            parts.extend(stream)
        except DataError:
            # Not one photo of the shard can be read: that is no error of the others.
            if any(len(part) for part in parts):
                raise
    unreadable = {name: reason for part in parts for name, reason in part.unreadable.items()}
    if unreadable:
        write_csv(folder.unreadable(number), [ID_COLUMN, "reason"], unreadable.items())
    else:
        # One may be there from an attempt that met a network which was down.
        folder.unreadable(number).unlink(missing_ok=True)
    with atomic_write(target) as temporary:
        form.write(temporary, predictor.schema, parts)
    return ShardResult(number, sum(len(part) for part in parts), len(unreadable))


def _photos(root: ImageRoot, list_: Path) -> Iterator[ImageSource]:
    for row in read_csv(list_, [ID_COLUMN]):
        name = row[ID_COLUMN]
        path = root.path(name)
        yield RemotePhoto(name, root.reader(name)) if path is None else Photo(path, name, name)


def predict_locally(
    folder: ShardDir, plan: ShardPlan, shards: Sequence[int], predictor: Predictor
) -> Iterator[ShardResult]:
    """Answers for shards one after another, on this machine; gives each when it is done."""
    for number in shards:
        yield predict_shard(folder, plan, predictor, number)


def write_summary(folder: ShardDir, plan: ShardPlan) -> dict[str, Any]:
    """Counts what there is, once every shard is done, and writes it down."""
    lists = (folder.unreadable(number) for number in range(plan.num_shards))
    lost = sum(len(read_csv(path, [ID_COLUMN])) for path in lists if path.is_file())
    facts = {
        "photos": plan.num_images,
        "answered": plan.num_images - lost,
        "unreadable": lost,
        "shards": plan.num_shards,
        "answers": str(folder.path / "answers"),
    }
    write_json(folder.summary, facts)
    return facts

"""Predictions for any number of photos, in shards: each photo has its row in exactly one, whatever is killed meanwhile.

RESULT/
  plan.json                 photos, models and options; written once all photos are listed
  lists/000000.csv          the names of a shard's photos, in order
  answers/000000.parquet    a row for each of them that can be read (or .csv)
  unreadable/000000.csv     those that cannot, and why
  unreadable/listing.csv    entries of the folder that may hold photos and could not be listed, and why
  attempts/000000.jsonl     attempts at a shard that ended abruptly, until it is finished (`shard_attempts`)
  summary.json              totals; written last

A shard's table appears whole, after its list of unreadable photos; until then nothing of the shard counts. A process
that dies leaves nothing of its shard but a note of the attempt, and the one that takes it up writes all of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from maskfit.calibration import DEFAULT_DECIDE
from maskfit.data.face_boxes import split_name
from maskfit.data.image_lists import FolderEntry, listed_photo
from maskfit.data.photo_dataset import Photo
from maskfit.data.remote_files import ImageRoot
from maskfit.errors import DataError, RunError, did_you_mean
from maskfit.file_io import atomic_write, read_csv, read_json, write_csv, write_json
from maskfit.file_locks import is_occupied
from maskfit.inference.engines import Logger
from maskfit.inference.image_loading import RemotePhoto
from maskfit.inference.prediction import BatchPredictions
from maskfit.inference.predictor import Predictor
from maskfit.inference.shard_attempts import ShardAttempts
from maskfit.inference.submission import ID_COLUMN
from maskfit.inference.table_formats import FORMATS
from maskfit.labels.age_distribution import parse_age_borders
from maskfit.text import format_count

_OLD_PLAN_KEYS = {"views": "tta", "top": "top_k", "photos": "num_images"}
"""Keys of plan.json that earlier versions wrote."""


@dataclass(frozen=True)
class ShardPlan:
    """What is predicted and how: everything that a process needs to take up a shard.

    Attributes:
        root: Where the photos are: a folder or an address.
        models: Model files and run folders.
        format: A name of `table_formats.FORMATS`.
        size: Photos in a shard.
        tta: As for `Predictor.load`.
        vote: As for `Predictor.load`.
        decide: As for `Predictor.load`.
        age_borders: Borders of the age bands, as `30,57`; empty for those of the models.
        batch_size: Photos in a batch; 0 selects it by engine and input size.
        top_k: As for `Predictor.load`.
        engine: As for `Predictor.load`.
        num_images: How many photos there are.
    """

    root: str
    models: tuple[str, ...]
    format: str = "csv"
    size: int = 2000
    tta: str = "original"
    vote: str = "arithmetic"
    decide: str = DEFAULT_DECIDE
    age_borders: str = ""
    batch_size: int = 0
    top_k: int = 1
    engine: str = "auto"
    num_images: int = 0

    @property
    def num_shards(self) -> int:
        """How many shards there are."""
        return -(-self.num_images // self.size)

    def predictor(self, threads: int | None = None, log: Logger = lambda line: None) -> Predictor:
        """Opens the models for this many photos.

        Args:
            threads: As for `Predictor.load`.
            log: As for `Predictor.load`.

        Returns:
            The predictor.
        """
        return Predictor.load(
            *self.models,
            tta=self.tta,
            vote=self.vote,
            decide=self.decide,
            age_borders=parse_age_borders(self.age_borders or None),
            batch_size=self.batch_size or None,
            top_k=self.top_k,
            engine=self.engine,
            num_images=self.num_images,
            threads=threads,
            log=log,
        )

    def describe(self, predictor: Predictor) -> list[str]:
        """Describes how the photos are predicted.

        Args:
            predictor: The opened models.

        Returns:
            Lines for the log.
        """
        return predictor.describe(show_decisions=self.decide != DEFAULT_DECIDE)


@dataclass(frozen=True)
class ShardDir:
    """The files of a sharded prediction.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.path / "plan.json"

    @property
    def summary(self) -> Path:
        """The totals."""
        return self.path / "summary.json"

    def list_(self, shard: int) -> Path:
        """Returns the path of the list of a shard's photos.

        Args:
            shard: Its number.

        Returns:
            The path.
        """
        return self.path / "lists" / f"{shard:06d}.csv"

    def predictions(self, shard: int, suffix: str) -> Path:
        """Returns the path of a shard's table; where it exists, the shard is done.

        Args:
            shard: Its number.
            suffix: Suffix of the format, without the dot.

        Returns:
            The path.
        """
        return self.path / "answers" / f"{shard:06d}.{suffix}"

    def unreadable(self, shard: int) -> Path:
        """Returns the path of the list of a shard's unreadable photos.

        Args:
            shard: Its number.

        Returns:
            The path.
        """
        return self.path / "unreadable" / f"{shard:06d}.csv"

    def attempts(self, shard: int) -> Path:
        """Returns the path of the notes of a shard's attempts.

        Args:
            shard: Its number.

        Returns:
            The path.
        """
        return self.path / "attempts" / f"{shard:06d}.jsonl"

    @property
    def unlisted(self) -> Path:
        """The entries of the folder that are set aside before any shard."""
        return self.path / "unreadable" / "listing.csv"

    def read_plan(self) -> ShardPlan:
        """Reads the plan of a prediction that was started.

        Returns:
            The plan.

        Raises:
            RunError: The plan is damaged.
        """
        try:
            values = {_OLD_PLAN_KEYS.get(key, key): value for key, value in read_json(self.plan).items()}
            plan = ShardPlan(**{**values, "models": tuple(values["models"])})
            # The numbers come from a file: no loop runs over more shards than there are lists.
            lists = sum(1 for _ in self.list_(0).parent.iterdir())
            sound = plan.size >= 1 and 1 <= plan.num_shards <= lists and plan.format in FORMATS
        except (AttributeError, KeyError, TypeError, OSError):
            sound = False
        if not sound:
            raise RunError(
                "the plan is damaged, or lists of photos are missing", location=self.plan, hint="start in a new folder"
            )
        return plan


@dataclass(frozen=True)
class ShardResult:
    """A finished shard.

    Attributes:
        number: Its number.
        num_predicted: Photos with a row.
        num_unreadable: Photos that cannot be read.
        notes: Lines about how it was predicted.
    """

    number: int
    num_predicted: int
    num_unreadable: int
    notes: tuple[str, ...] = ()


def start_or_resume(folder: ShardDir, plan: ShardPlan, names: Iterable[str] | None, *, resume: bool) -> ShardPlan:
    """Lists the photos, or finds the lists of a prediction that was started.

    Args:
        folder: The folder of the result.
        plan: The plan; its `num_images` is counted here.
        names: The photos' names, in order; None lists all below the root.
        resume: Continue the result in the folder.

    Returns:
        The plan with the number of photos.

    Raises:
        DataError: There are no photos, they cannot be listed, or the format is unknown.
        RunError: The folder is not empty, or was started with another plan.
    """
    if plan.format not in FORMATS:
        raise DataError(f"there is no format '{plan.format}'; {did_you_mean(plan.format, FORMATS)}")
    FORMATS[plan.format].check()
    if resume and folder.plan.is_file():
        return _resume(folder, plan)
    if is_occupied(folder.path) and not resume:
        raise RunError(
            "this folder is not empty",
            location=folder.path,
            hint="add --resume to continue the predictions in it, or name another folder",
        )
    count = 0
    unlisted: dict[str, str] = {}
    entries = ImageRoot(plan.root).entries() if names is None else (FolderEntry(name) for name in names)
    rest = _split_entries(entries, unlisted)
    while part := list(islice(rest, plan.size)):
        write_csv(folder.list_(count // plan.size), [ID_COLUMN], ([name] for name in part))
        count += len(part)
    if not count:
        raise DataError("there are no photos", location=plan.root, hint="check the folder or the list")
    if unlisted:
        write_csv(folder.unlisted, [ID_COLUMN, "reason"], unlisted.items())
    else:
        # An attempt that did not end may have left one.
        folder.unlisted.unlink(missing_ok=True)
    counted = ShardPlan(**{**asdict(plan), "num_images": count})
    # Written last: where it exists, the lists are whole.
    write_json(folder.plan, asdict(counted))
    return counted


def _split_entries(entries: Iterable[FolderEntry], unlisted: dict[str, str]) -> Iterator[str]:
    """Yields the names of photos and collects the other entries."""
    for name, reason in entries:
        if reason:
            unlisted[name] = reason
        else:
            yield name


def _resume(folder: ShardDir, plan: ShardPlan) -> ShardPlan:
    started = folder.read_plan()
    new, old = asdict(plan), asdict(started)
    changed = [f"{key} was {old[key]}, is {new[key]}" for key in old if key != "num_images" and old[key] != new[key]]
    if changed:
        raise RunError(
            f"this prediction was started with other options; {'; '.join(changed)}",
            location=folder.plan,
            hint="resume with the same options, or name another folder",
        )
    return started


def pending(folder: ShardDir, plan: ShardPlan) -> list[int]:
    """Lists the shards that are not finished.

    Args:
        folder: The folder of the result.
        plan: Its plan.

    Returns:
        Their numbers.
    """
    suffix = FORMATS[plan.format].suffix
    return [number for number in range(plan.num_shards) if not folder.predictions(number, suffix).is_file()]


def predict_shard(
    folder: ShardDir, plan: ShardPlan, open_predictor: Callable[[], Predictor], number: int
) -> ShardResult:
    """Predicts a shard's photos and writes their table, unless it is finished already.

    Args:
        folder: The folder of the result.
        plan: Its plan.
        open_predictor: Returns the models; called only where the shard is not finished.
        number: The shard.

    Returns:
        How many photos it has.

    Raises:
        MaskfitError: Its list is damaged, the models cannot be opened, or too many processes died of this shard.
    """
    table_format = FORMATS[plan.format]
    target = folder.predictions(number, table_format.suffix)
    photos = list(_read_list(ImageRoot(plan.root), folder.list_(number)))
    if target.is_file():
        lost = len(read_csv(folder.unreadable(number), [ID_COLUMN])) if folder.unreadable(number).is_file() else 0
        return ShardResult(number, len(photos) - lost, lost)
    attempts = ShardAttempts.read(folder.attempts(number))
    set_aside = attempts.set_aside()
    with attempts.attempt() as note:
        predictor = open_predictor()
        wanted = [photo for photo in photos if photo.name not in set_aside]
        batches = list(_predict_photos(predictor, wanted, note if attempts.is_careful else None))
        unreadable = {name: reason for batch in batches for name, reason in batch.unreadable.items()} | set_aside
        if unreadable:
            write_csv(folder.unreadable(number), [ID_COLUMN, "reason"], unreadable.items())
        else:
            # An attempt during a network outage may have left one.
            folder.unreadable(number).unlink(missing_ok=True)
        with atomic_write(target) as temporary:
            table_format.write(temporary, predictor.schema, batches)
    notes = plan.describe(predictor)
    if attempts.is_careful:
        processes = format_count(attempts.count, "process", "processes")
        notes.append(
            f"note: {processes} ended abruptly in shard {number}, whose photos were then read one at a time; "
            f"{format_count(len(set_aside), 'photo is', 'photos are')} set aside"
        )
    return ShardResult(number, sum(len(batch) for batch in batches), len(unreadable), tuple(notes))


def _predict_photos(
    predictor: Predictor, photos: Sequence[Photo | RemotePhoto], note: Callable[[str], None] | None
) -> Iterator[BatchPredictions]:
    """Predicts the photos of a shard, or of one that killed its process one at a time, each noted beforehand."""
    for part in [photos] if note is None else ([photo] for photo in photos):
        if note is not None:
            note(part[0].name)
        found = 0
        with closing(predictor.stream(part, skip_unreadable=True)) as stream:
            try:
                for batch in stream:
                    found += len(batch)
                    yield batch
            except DataError:
                # No photo of the shard can be read: that is no error of the other shards.
                if found:
                    raise


def _read_list(root: ImageRoot, list_: Path) -> Iterator[Photo | RemotePhoto]:
    for row in read_csv(list_, [ID_COLUMN]):
        name = row[ID_COLUMN]
        if root.path(name) is not None:
            yield listed_photo(Path(root.root), name)
            continue
        file, box = split_name(name)
        yield RemotePhoto(name, root.reader(file), box)


def predict_locally(
    folder: ShardDir, plan: ShardPlan, shards: Sequence[int], predictor: Predictor
) -> Iterator[ShardResult]:
    """Predicts shards one after another, on this machine.

    Args:
        folder: The folder of the result.
        plan: Its plan.
        shards: Numbers of the shards.
        predictor: The models.

    Yields:
        Each shard when it is finished.
    """
    for number in shards:
        yield predict_shard(folder, plan, lambda: predictor, number)


def write_summary(folder: ShardDir, plan: ShardPlan) -> dict[str, Any]:
    """Counts the photos once every shard is finished, and writes summary.json.

    Args:
        folder: The folder of the result.
        plan: Its plan.

    Returns:
        The contents of summary.json.
    """
    # Every shard is finished; a process that died after it wrote the table left its note.
    shutil.rmtree(folder.attempts(0).parent, ignore_errors=True)
    lists = (folder.unreadable(number) for number in range(plan.num_shards))
    lost = sum(len(read_csv(path, [ID_COLUMN])) for path in lists if path.is_file())
    unlisted = len(read_csv(folder.unlisted, [ID_COLUMN])) if folder.unlisted.is_file() else 0
    summary = {
        "photos": plan.num_images + unlisted,
        "answered": plan.num_images - lost,
        "unreadable": lost + unlisted,
        "shards": plan.num_shards,
        "answers": str(folder.path / "answers"),
    }
    write_json(folder.summary, summary)
    return summary

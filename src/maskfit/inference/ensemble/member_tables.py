"""A table of probabilities for every member and test-time view of runs, each predicted once and kept.

A member is one model of a run: a fold, and one of its best epochs. It predicts the photos that its fold held out, whose
labels are known, and other photos. A table's file is named by the content of model and photos, so that a later call
takes it from there whatever the files are called, and nothing is taken that belongs to other content or another engine.
A table that is not of exactly these photos, such as one that was cut short or sorted, is predicted again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskfit.config.loader import read_recipe
from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.label_corrections import read_corrected
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, PhotoError, RunError, format_list
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.inference.engines import AUTO, Logger, check_engine
from maskfit.inference.ensemble_runner import EnsembleRunner, check_compatible, open_members_for
from maskfit.inference.image_loading import batched, given_face, load_image, run_batches_in_parallel
from maskfit.inference.tta import ModelInput, TestTimeAugmentation, build_tta
from maskfit.labels.schema import FloatArray, LabelSchema
from maskfit.model_file import read_model_metadata
from maskfit.run_dir import FoldDir, RunDir
from maskfit.version import __version__

HELD_OUT, PREDICTED = "held-out", "predicted"
"""Which photos a table is of: those that the member's fold held out, or those to predict."""


@dataclass(frozen=True)
class ViewMember:
    """A model with one test-time view.

    Attributes:
        run: The run folder as the user named it.
        fold: Number of the fold.
        rank: Rank of the model among the fold's best epochs, from 1.
        view: Number of the view, from 1.
        model: The model file.
    """

    run: Path
    fold: int
    rank: int
    view: int
    model: Path

    @property
    def name(self) -> str:
        """Its name in reports, such as `runs/b0 fold2 top1 view2`."""
        return f"{self.slot} fold{self.fold}"

    @property
    def slot(self) -> str:
        """What its fold has in common with the run's other folds, such as `runs/b0 top1 view2`."""
        return f"{self.run} top{self.rank} view{self.view}"


@dataclass(frozen=True, eq=False)
class MemberTables:
    """The tables of all members.

    Attributes:
        schema: The schema of the predictions.
        held_out: By member, its predictions for the photos of its fold, with their labels.
        predicted: By member, its predictions for the photos to predict; empty without such photos.
        files: By member and `HELD_OUT` or `PREDICTED`, where the table is kept.
        num_reused: How many of the tables were there already.
    """

    schema: LabelSchema
    held_out: Mapping[ViewMember, ProbabilityTable]
    predicted: Mapping[ViewMember, ProbabilityTable]
    files: Mapping[tuple[ViewMember, str], Path]
    num_reused: int


@dataclass(frozen=True, eq=False)
class _Job:
    """Models that predict the same photos."""

    kind: str
    members: Mapping[Path, list[ViewMember]]
    photos: Sequence[Photo]
    truth: ProbabilityTable | None


def load_member_tables(
    runs: Sequence[Path],
    folder: Path,
    *,
    top_k: int = 1,
    tta: str = "original",
    photos: Sequence[Photo] = (),
    engine: str = AUTO,
    log: Logger = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> MemberTables:
    """Predicts with every member and view of runs, or reads what was kept of an earlier call.

    Args:
        runs: Run folders.
        folder: Where tables are kept.
        top_k: Number of each fold's best models.
        tta: Test-time views, as for `build_tta`.
        photos: Photos to predict besides the held-out ones.
        engine: As for `open_engine`.
        log: Receives a line about what takes time.
        progress: Called with (photos done, photos) over all tables that are missing.

    Returns:
        The tables.

    Raises:
        RunError: A run has no finished fold, or a fold keeps fewer than `top_k` models.
        DataError: Photos cannot be read, or a run's photos are not those that it was trained on.
        ModelFileError: A model cannot be opened, or they predict different labels.
        RecipeError: There is no such engine, or it has no such option.
    """
    engine_key = check_engine(engine).model_dump_json()
    views = build_tta(tta)
    jobs = [job for run in runs for job in _held_out_jobs(run, top_k, len(views))]
    if photos:
        everyone = {model: members for job in jobs for model, members in job.members.items()}
        jobs.append(_Job(PREDICTED, everyone, photos, None))
    schema = read_model_metadata(next(iter(jobs[0].members))).label_schema.scored_schema()
    digests: dict[Path, str] = {}
    names = [_file_names(job, (repr(views), engine_key), digests) for job in jobs]
    missing = [
        [
            model
            for model, members in job.members.items()
            if not all(_is_usable(folder / files[item], job, schema.num_classes, log) for item in members)
        ]
        for job, files in zip(jobs, names, strict=True)
    ]
    total = sum(len(job.photos) for job, models in zip(jobs, missing, strict=True) if models)
    done = 0
    tables: dict[str, dict[ViewMember, ProbabilityTable]] = {HELD_OUT: {}, PREDICTED: {}}
    kept: dict[tuple[ViewMember, str], Path] = {}
    for job, files, models in zip(jobs, names, missing, strict=True):
        if models:

            def advance(count: int, before: int = done) -> None:
                if progress:
                    progress(before + count, total)

            predicted = _predict_views(models, job.photos, views, engine, log, advance)
            for model, probabilities in predicted.items():
                for member, rows in zip(job.members[model], probabilities, strict=True):
                    truth = None if job.truth is None else job.truth.truth
                    ProbabilityTable(tuple(photo.name for photo in job.photos), rows, truth).write(
                        folder / files[member]
                    )
            done += len(job.photos)
        # Read back in any case: a table that was written has eight digits, and a second call must give the same votes.
        for member, name in files.items():
            tables[job.kind][member] = read_table(folder / name, schema.num_classes)
            kept[member, job.kind] = folder / name
    written = sum(len(job.members[model]) for job, models in zip(jobs, missing, strict=True) for model in models)
    return MemberTables(schema, tables[HELD_OUT], tables[PREDICTED], kept, len(kept) - written)


def _held_out_jobs(run: Path, top_k: int, num_views: int) -> list[_Job]:
    """One job for each finished fold of a run.

    Raises:
        RunError: No fold is finished.
        DataError: A held-out photo is not in the run's data.
    """
    folder = RunDir(run)
    folder.models(top_k)
    recipe = read_recipe(folder.recipe)
    data = recipe.data
    dataset, _ = read_corrected(
        str(data.path),
        data.label_schema,
        data.label_corrections,
        data.known_label_errors,
        data.codes,
        must_use_codes=False,
    )
    by_name = {photo.name: photo for photo in dataset}
    num_classes = data.label_schema.scored_schema().num_classes
    jobs = []
    for number in folder.fold_numbers():
        fold = folder.fold(number)
        if not fold.done:
            continue
        table = read_table(fold.probabilities, num_classes)
        lost = [name for name in table.names if name not in by_name]
        if lost:
            raise DataError(
                f"held-out photos of {run} are not in its data:\n{format_list(lost, shown=MAX_LISTED)}",
                location=data.path,
                hint="restore the photos that the run was trained on, or combine its stored tables without --tta",
            )
        jobs.append(
            _Job(HELD_OUT, _fold_members(run, number, fold, top_k, num_views), [by_name[n] for n in table.names], table)
        )
    return jobs


def _fold_members(run: Path, number: int, fold: FoldDir, top_k: int, num_views: int) -> dict[Path, list[ViewMember]]:
    models = fold.top_k_models(top_k)
    missing = [path for path in models if not path.is_file()]
    if missing:
        raise RunError("this model is missing", location=missing[0], hint="train this fold again")
    return {
        model: [ViewMember(run, number, rank, view, model) for view in range(1, num_views + 1)]
        for rank, model in enumerate(models, start=1)
    }


def _is_usable(path: Path, job: _Job, num_classes: int, log: Logger) -> bool:
    """Whether a table is there and of exactly the photos of a job, in their order; says what is wrong with it."""
    if not path.is_file():
        return False
    try:
        table = read_table(path, num_classes)
    except DataError as error:
        problem = error.message
    else:
        same_truth = job.truth is None or np.array_equal(table.truth, job.truth.truth)  # type: ignore[arg-type]
        if table.names == tuple(photo.name for photo in job.photos) and same_truth:
            return True
        problem = "its rows are not those of the photos"
    log(f"predicting again what this table should have: {path}: {problem}")
    return False


def _file_names(job: _Job, settings: tuple[str, ...], digests: dict[Path, str]) -> dict[ViewMember, str]:
    """The file of each member's table: readable, and with a digest of everything that it depends on."""
    photos = hashlib.sha256()
    for photo in job.photos:
        photos.update(f"{photo.name}\0{photo.box}\0{_digest(photo.path, digests)}\n".encode())
    if job.truth is not None and job.truth.truth is not None:
        photos.update(job.truth.truth.tobytes())
    names = {}
    for model, members in job.members.items():
        for item in members:
            parts = (__version__, _digest(model, digests), *settings, str(item.view), photos.hexdigest())
            key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
            names[item] = (
                f"{item.run.resolve().name}-fold{item.fold}-top{item.rank}-view{item.view}-{job.kind}-{key}.csv"
            )
    return names


def _digest(path: Path, known: dict[Path, str]) -> str:
    if path not in known:
        try:
            with path.open("rb") as stream:
                known[path] = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"this file cannot be read: {error.strerror}", location=path, hint="restore it") from None
    return known[path]


def _predict_views(
    models: Sequence[Path],
    photos: Sequence[Photo],
    views: TestTimeAugmentation,
    engine: str,
    log: Logger,
    advance: Callable[[int], None],
) -> dict[Path, list[FloatArray]]:
    """Probabilities (photos, classes) of each model and view; each photo is decoded once.

    Raises:
        DataError: Photos cannot be read; all of them are named.
    """
    opened = open_members_for(models, num_passes=len(photos) * len(views), engine=engine, log=log)
    runner = EnsembleRunner(opened.members, check_compatible(opened.members), views, "arithmetic")

    def load(photo: Photo) -> ModelInput | str:
        try:
            pixels = load_image(photo)
            return runner.preprocess(pixels, given_face(photo, pixels))
        except PhotoError as error:
            return f"{photo.name}: {error.message}"

    def process(batch: Sequence[ModelInput | str]) -> tuple[list[str], dict[str, list[FloatArray]]]:
        problems = [item for item in batch if isinstance(item, str)]
        inputs = [item for item in batch if not isinstance(item, str)]
        return problems, {} if problems else runner.forward_views(inputs)

    parts: list[dict[str, list[FloatArray]]] = []
    problems: list[str] = []
    batches = batched(photos, opened.batch_size)
    with closing(run_batches_in_parallel(batches, load, process, num_workers=opened.num_workers)) as results:
        for number, (lost, part) in enumerate(results, start=1):
            problems += lost
            parts.append(part)
            advance(min(number * opened.batch_size, len(photos)))
    if problems:
        raise DataError(
            f"photos cannot be read:\n{format_list(problems, shown=MAX_LISTED)}", hint="repair them, or leave them out"
        )
    names = [member.name for member in opened.members]
    return {
        model: [np.concatenate([part[name][view] for part in parts]) for view in range(len(views))]
        for model, name in zip(models, names, strict=True)
    }

"""Stages from a recipe to a submission, each made of the functions behind the command of the same purpose."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from maskfit.calibration import ARGMAX, DecideMode, DecisionWeights, describe_decision_weights, weighted_classes
from maskfit.config.recipe import Recipe
from maskfit.data.label_corrections import read_corrected
from maskfit.data.photo_dataset import Photo
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, RecipeError, did_you_mean
from maskfit.evaluation.probability_table import read_table
from maskfit.file_io import read_json, write_json, write_text
from maskfit.inference.ensemble.comparison import compare, describe_weights, fit_votes, parse_votes, write_comparison
from maskfit.inference.ensemble.drop_one import write_curves
from maskfit.inference.ensemble.learned_weights import EnsembleFitter
from maskfit.inference.ensemble.member_tables import MemberTables, load_member_tables
from maskfit.inference.ensemble.member_votes import (
    fold_scores,
    gather_voters,
    held_out_slots,
    member_curves,
    vote_on_photos,
    write_members,
)
from maskfit.inference.submission import read_submission, write_submission
from maskfit.inference.tta import build_tta
from maskfit.labels.schema import LabelSchema
from maskfit.model_file import read_model_metadata
from maskfit.pipeline.report_page import render_report_page
from maskfit.pipeline.state import hash_file, hash_files, hash_photos, hash_recipe_files, recipe_inputs
from maskfit.run_dir import RunDir, is_run_dir
from maskfit.text import format_count
from maskfit.version import __version__

BEST_VOTE = "best"
"""Stands for the vote with the highest macro F1 on held-out photos."""

SEED, NUM_FOLDS = 0, 5
"""Seed of intervals and nested folds, and number of these folds, as `maskfit ensemble` has them by default."""

ProgressBar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a progress display with a title; yields a function to call with (done, total)."""


@dataclass(eq=False)
class Pipeline:
    """What to run, and what a stage hands to the next one within a process.

    Attributes:
        folder: Where everything is written.
        recipe: The recipe; its `output_dir` is that of `run`.
        photos: Photos to predict, in the order of the submission.
        top_k: Number of each fold's best models that vote.
        tta: Test-time views.
        combine: Votes to compare, as for `parse_votes`.
        vote: The vote of the submission, or `BEST_VOTE`.
        decide: How the submission chooses a class.
        engine: Inference engine.
        console: Shows the progress.
        progress: Opens a progress display.
    """

    folder: Path
    recipe: Recipe
    photos: Sequence[Photo]
    top_k: int
    tta: str
    combine: tuple[str, ...]
    vote: str
    decide: DecideMode
    engine: str
    console: Console
    progress: ProgressBar
    votes: dict[str, EnsembleFitter] = field(init=False)
    warnings: list[str] = field(init=False)
    _tables: MemberTables | None = field(init=False, default=None)
    _photos_digest: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Checks whatever would otherwise be refused after the training.

        Raises:
            MaskfitError: A vote or view is unknown, or the recipe does not fit a pipeline.
        """
        build_tta(self.tta)
        self.votes, self.warnings = parse_votes(self.combine)
        if self.vote not in (BEST_VOTE, *self.votes):
            known = (BEST_VOTE, *self.votes)
            raise DataError(f"vote '{self.vote}' is not compared; {did_you_mean(self.vote, known)}", hint="--vote best")
        trainer = self.recipe.trainer
        if self.top_k > trainer.save_top_k:
            raise RecipeError(
                f"--top-k {self.top_k}, but the recipe keeps {format_count(trainer.save_top_k, 'model')} of each fold",
                hint=f"add trainer.save_top_k={self.top_k}",
            )
        if trainer.devices * trainer.num_nodes > 1:
            raise RecipeError(
                "several devices train in processes that each run the command",
                hint="train with maskfit train, then use maskfit ensemble RUN --images DIR",
            )
        self.recipe = self.recipe.model_copy(update={"output_dir": str(self.run.path)})

    @property
    def run(self) -> RunDir:
        """The run's folder."""
        return RunDir(self.folder / "run")

    @property
    def members_folder(self) -> Path:
        """Folder of the members' tables."""
        return self.folder / "members"

    @property
    def ensemble_folder(self) -> Path:
        """Folder of the comparison and of each vote's probabilities."""
        return self.folder / "ensemble"

    @property
    def comparison(self) -> Path:
        """Scores of members and votes."""
        return self.ensemble_folder / "comparison.json"

    @property
    def decisions(self) -> Path:
        """The chosen vote and its decision weights."""
        return self.folder / "decisions.json"

    @property
    def submission(self) -> Path:
        """The submission."""
        return self.folder / "submission.csv"

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"

    @property
    def schema(self) -> LabelSchema:
        """The schema of the predictions."""
        return read_model_metadata(self.run.models()[0]).label_schema.scored_schema()

    def photos_digest(self) -> str:
        """Returns the SHA-256 of the photos to predict: names in their order, and content."""
        if self._photos_digest is None:
            self._photos_digest = hash_photos(self.photos)
        return self._photos_digest

    def member_tables(self) -> MemberTables:
        """Predicts with every member and view, or reads what is kept.

        Returns:
            The tables.
        """
        if self._tables is None:
            with self.progress("predicting with every member") as advance:
                self._tables = load_member_tables(
                    [self.run.path],
                    self.members_folder,
                    top_k=self.top_k,
                    tta=self.tta,
                    photos=self.photos,
                    engine=self.engine,
                    log=self.console.print,
                    progress=advance,
                )
        return self._tables


@dataclass(frozen=True)
class StageResult:
    """What a stage did.

    Attributes:
        summary: In one line.
        outputs: The files that it wrote and that nothing else changes.
    """

    summary: str
    outputs: tuple[Path, ...]


@dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes:
        name: Its name.
        title: What it does.
        inputs: Returns what it is made from, by name; called when the stages before it are done.
        work: Does it.
    """

    name: str
    title: str
    inputs: Callable[[Pipeline], dict[str, str]]
    work: Callable[[Pipeline], StageResult]


def _train_inputs(pipeline: Pipeline) -> dict[str, str]:
    data = pipeline.recipe.data
    dataset, _ = read_corrected(
        str(data.path),
        data.label_schema,
        data.label_corrections,
        data.known_label_errors,
        data.codes,
        must_use_codes=not data.extra_train,
    )
    extra = [
        photo
        for path in data.extra_train
        for photo in read_photos(path, data.label_schema, data.codes, must_use_codes=False)
    ]
    photos = {"training photos or their labels": hash_photos([*dataset, *extra])}
    return {**recipe_inputs(pipeline.recipe), **photos, **hash_recipe_files(pipeline.recipe)}


def _train(pipeline: Pipeline) -> StageResult:
    from maskfit.training.train import train

    path = pipeline.run.path
    resume = is_run_dir(path)
    if not resume and path.is_dir() and not any(path.glob("fold[0-9]*")):
        # Killed while the folder was being prepared: without a recipe it is no run yet.
        shutil.rmtree(path)
    run, scores = train(pipeline.recipe, resume=resume, console=pipeline.console)
    score = "no photo has all labels" if scores.macro_f1 is None else f"macro F1 {scores.macro_f1:.4f}"
    summary = f"{format_count(len(run.fold_numbers()), 'fold')}: {score} on {scores.photos:,} held-out photos"
    return StageResult(summary, (run.scores, run.oof_probabilities))


def _views_inputs(pipeline: Pipeline) -> dict[str, str]:
    folds = [pipeline.run.fold(number) for number in pipeline.run.fold_numbers()]
    files = [path for fold in folds for path in (*fold.top_k_models(pipeline.top_k), fold.probabilities)]
    return {
        "maskfit": __version__,
        "models": hash_files(files),
        "photos to predict": pipeline.photos_digest(),
        "top_k": str(pipeline.top_k),
        "tta": pipeline.tta,
        "engine": pipeline.engine,
    }


def _views(pipeline: Pipeline) -> StageResult:
    tables = pipeline.member_tables()
    summary = f"{format_count(len(tables.held_out), 'member')}, {format_count(len(tables.files), 'table')}"
    if tables.num_reused:
        summary += f", {tables.num_reused} of them from before"
    return StageResult(summary, tuple(tables.files.values()))


def _ensemble_inputs(pipeline: Pipeline) -> dict[str, str]:
    return {**_views_inputs(pipeline), "combine": " ".join(pipeline.combine)}


def _ensemble(pipeline: Pipeline) -> StageResult:
    for warning in pipeline.warnings:
        pipeline.console.print(warning)
    folder, tables = pipeline.ensemble_folder, pipeline.member_tables()
    scores, slots = fold_scores(tables), held_out_slots(tables)
    voters = gather_voters(tables, scores)
    with pipeline.progress("evaluating") as advance:
        results = compare(slots, pipeline.votes, folds=NUM_FOLDS, seed=SEED, progress=advance)
    curves = member_curves(tables, slots, voters, folds=NUM_FOLDS, seed=SEED)
    weights = describe_weights(fit_votes(slots, pipeline.votes), slots.names)
    settings = {
        "folds": NUM_FOLDS,
        "seed": SEED,
        "top_k": pipeline.top_k,
        "tta": pipeline.tta,
        "drop_one": {photos: curve.describe() for photos, curve in curves.items()},
    }
    written = [
        write_members(folder / "members.csv", tables, scores),
        *write_comparison(folder, results, weights, settings),
    ]
    if curves:
        written.append(write_curves(folder / "drop-one.csv", curves))
    for name, table in vote_on_photos(voters, slots, pipeline.votes).items():
        written.append(table.write(_probabilities(pipeline, name)))
    summary = f"{format_count(len(pipeline.votes), 'vote')} over {format_count(len(voters.names), 'member')}"
    return StageResult(summary, tuple(written))


def _probabilities(pipeline: Pipeline, vote: str) -> Path:
    return pipeline.ensemble_folder / f"probabilities-{vote}.csv"


def _decide_inputs(pipeline: Pipeline) -> dict[str, str]:
    return {
        "comparison of votes": hash_file(pipeline.comparison),
        "vote": pipeline.vote,
        "decide": pipeline.decide,
    }


def _decide(pipeline: Pipeline) -> StageResult:
    judged = {
        item["name"]: item
        for item in read_json(pipeline.comparison)["judged"]
        if item["name"] in pipeline.votes and item["macro_f1"] is not None
    }
    if pipeline.vote == BEST_VOTE:
        # The first of equals, which is the simplest: the votes' order goes from plain to fitted.
        chosen = max(judged.values(), key=lambda item: item["macro_f1"])
    else:
        chosen = judged[pipeline.vote]
    score, weights = chosen["macro_f1"], {}
    fit = chosen["decisions"].get(pipeline.decide) if pipeline.decide != ARGMAX else None
    if fit is not None and fit["kept"]:
        fitted = DecisionWeights.model_validate({key: value for key, value in fit["fitted"].items() if key != "gain"})
        weights = dict(fitted.weights)
    described = describe_decision_weights(pipeline.schema, weights)
    content = {
        "vote": chosen["name"],
        "chosen_as": pipeline.vote,
        "held_out_macro_f1": score,
        "decide": pipeline.decide,
        "weights": weights,
        "fit": fit,
    }
    write_json(pipeline.decisions, content)
    how = f"{pipeline.decide}, {described}" if described else _why_argmax(fit)
    return StageResult(f"{chosen['name']} (macro F1 {score:.4f} on held-out photos), {how}", (pipeline.decisions,))


def _why_argmax(fit: dict[str, Any] | None) -> str:
    reason = "" if fit is None else f": {fit['reason']}"
    return f"the most probable class{reason}"


def _submit_inputs(pipeline: Pipeline) -> dict[str, str]:
    vote = read_json(pipeline.decisions)["vote"]
    return {
        "decisions": hash_file(pipeline.decisions),
        "probabilities": hash_file(_probabilities(pipeline, vote)),
        "photos to predict": pipeline.photos_digest(),
    }


def _submit(pipeline: Pipeline) -> StageResult:
    chosen, schema = read_json(pipeline.decisions), pipeline.schema
    table = read_table(_probabilities(pipeline, chosen["vote"]), schema.num_classes)
    table = table.reindex(photo.name for photo in pipeline.photos)
    classes = weighted_classes(schema, table.probabilities, chosen["weights"])
    write_submission(pipeline.submission, table.names, classes)
    return StageResult(f"{pipeline.submission.name}: {format_count(len(table), 'row')}", (pipeline.submission,))


def _report_inputs(pipeline: Pipeline) -> dict[str, str]:
    files = (pipeline.comparison, pipeline.decisions, pipeline.submission, pipeline.run.scores)
    return {"maskfit": __version__, **{path.name: hash_file(path) for path in files}}


def _report(pipeline: Pipeline) -> StageResult:
    schema = pipeline.schema
    counts = Counter(read_submission(pipeline.submission, schema.num_classes).values())
    page = render_report_page(
        name=pipeline.recipe.name,
        schema=schema,
        run_scores=read_json(pipeline.run.scores),
        comparison=read_json(pipeline.comparison),
        decisions=read_json(pipeline.decisions),
        class_counts=[counts[index] for index in range(schema.num_classes)],
    )
    write_text(pipeline.report, page)
    return StageResult(
        f"{pipeline.report.name}, and of the run alone {pipeline.run.report.name} in run/", (pipeline.report,)
    )


STAGES = (
    Stage("train", "training every fold", _train_inputs, _train),
    Stage("views", "predicting with every model and view", _views_inputs, _views),
    Stage("ensemble", "comparing votes over all of them", _ensemble_inputs, _ensemble),
    Stage("decide", "choosing the vote and its decision weights", _decide_inputs, _decide),
    Stage("submit", "writing the submission", _submit_inputs, _submit),
    Stage("report", "writing the report", _report_inputs, _report),
)
"""The stages in order."""

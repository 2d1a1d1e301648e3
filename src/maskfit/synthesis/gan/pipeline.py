"""From photos to made faces: train or take a generator, draw from it, have it judged, write down what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.labels.schema import LabelSchema
from maskfit.registry import ComponentSpec
from maskfit.synthesis.gan.checkpoint import GanMetadata, load_generator, read_gan_metadata
from maskfit.synthesis.gan.classifier import JudgeClassifier
from maskfit.synthesis.gan.dataset import GanDataset, Progress, split_by_fold, split_by_persons
from maskfit.synthesis.gan.evaluation import GanEvaluation, check_judge_independence, evaluate_generator
from maskfit.synthesis.gan.results import write_results
from maskfit.synthesis.gan.sampling import SamplingResult, select_classes, write_faces
from maskfit.synthesis.gan.train import build_metadata, check_output_dir, train_gan

ProgressBar = Callable[[str, str], AbstractContextManager[Progress]]
"""Gives a bar for something to do, by its title and what is counted."""


@dataclass(frozen=True)
class GanTrainOptions:
    """How a generator is to be trained.

    Attributes:
        scheme: What it is conditioned on.
        crop: How photos are cut.
        folds, fold: A split file and the fold of which nobody is learned from; without a file everybody is.
        size: Side of a face in pixels, one of `networks.SIZES`.
        width: Channels of its largest map.
        batch: Photos of a step.
        steps: Steps in all.
        minutes: When to stop if that is sooner.
        resume: Whether to go on with what was begun in the folder.
    """

    label_schema: LabelSchema
    crop: ComponentSpec
    folds: Path | None = None
    fold: int = 0
    size: int = 64
    width: int = 32
    batch: int = 32
    steps: int = 20_000
    minutes: float | None = None
    resume: bool = False


@dataclass(frozen=True)
class GanResult:
    """What came out.

    Attributes:
        facts: The generator's.
        drawn: Its faces.
        judgement: What the judge said; None without one.
        told: All of this as `gan.json` has it.
    """

    metadata: GanMetadata
    samples: SamplingResult
    evaluation: GanEvaluation | None
    result_dict: dict[str, Any]


@contextmanager
def _no_progress(title: str, unit: str) -> Iterator[Progress]:
    yield lambda done, total: None


def generate_faces(
    source: Path,
    out: Path,
    generator: GanTrainOptions | Path,
    *,
    classes: str = "thin",
    target_count: int | None = None,
    judge: Path | None = None,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress_bar: ProgressBar = _no_progress,
) -> GanResult:
    """Makes faces for some classes of a set.

    Args:
        source: The photos: a folder in the competition's layout, or a manifest.
        out: A folder that is new or empty, or to go on with.
        generator: How to train one, or the file of one, which is then drawn from.
        classes: `thin`, `all`, or numbers; see `drawing.choose_classes`.
        upto: How many photos such a class is to have with its faces; the average where left out.
        judge: A model that was trained without the persons whom the generator does not know.
        seed: Another seed, another training and other faces.
        store: The folder for decoded photos; in the user's cache where left out.
        bars: Shows what is being done.

    Raises:
        DataError: Photos, split, classes or folder cannot be used, or the judge knows whom it should not know.
        ModelFileError: The generator's or the judge's file cannot be used.
        RecipeError: The crop cannot be built.
        RunError: The losses are no longer numbers.
    """
    dataset = _load_dataset(source, out, generator)
    counts = select_classes(classes, dataset.count_classes(), target_count)
    asked = JudgeClassifier(judge, dataset.label_schema) if judge else None
    if asked:
        # Before the hours of training, not after them.
        check_judge_independence(asked, dataset.held_out)
    if isinstance(generator, GanTrainOptions):
        generator = _train(dataset, out, generator, seed, cache_dir, progress_bar)
    network, metadata = load_generator(generator)
    with progress_bar("drawing", "faces") as advance:
        samples = write_faces(network, metadata, out, dataset.count_classes(), counts, seed=seed, progress=advance)
    evaluation = None
    if asked:
        with progress_bar("judging", "pictures") as advance:
            evaluation = evaluate_generator(
                asked, network, metadata, dataset, seed=seed, cache_dir=cache_dir, progress=advance
            )
    result_dict = write_results(out, network, metadata, dataset, samples, evaluation, seed=seed, cache_dir=cache_dir)
    return GanResult(metadata, samples, evaluation, result_dict)


def _load_dataset(source: Path, out: Path, generator: GanTrainOptions | Path) -> GanDataset:
    check_output_dir(source, out, resume=isinstance(generator, GanTrainOptions) and generator.resume)
    if isinstance(generator, GanTrainOptions):
        return split_by_fold(source, generator.label_schema, generator.folds, generator.fold)
    metadata = read_gan_metadata(generator)
    return split_by_persons(source, metadata.label_schema, metadata.persons)


def _train(
    dataset: GanDataset,
    out: Path,
    options: GanTrainOptions,
    seed: int,
    cache_dir: Path | None,
    progress_bar: ProgressBar,
) -> Path:
    metadata = build_metadata(dataset, options.crop, options.size, width=options.width, batch=options.batch, seed=seed)
    # One bar after the other: two at once would write over each other.
    with progress_bar("decoding", "photos") as advance:
        frames = open_image_cache(dataset.train.photos, metadata.framing, folder=cache_dir, progress=advance)
    with progress_bar("training", "steps") as advance:
        return train_gan(
            metadata,
            frames,
            dataset.train.attribute_indices(metadata.label_schema),
            out,
            steps=options.steps,
            minutes=options.minutes,
            progress=advance,
        )

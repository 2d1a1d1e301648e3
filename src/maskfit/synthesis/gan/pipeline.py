"""GAN pipeline: train or load a generator, sample faces, evaluate them, write the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.label_codes import CodesOption
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
"""Creates a progress bar from a title and the unit that is counted."""


@dataclass(frozen=True)
class GanTrainOptions:
    """Training options of a generator.

    Attributes:
        label_schema: Schema of the conditioning attributes.
        crop: Crop of the photos, as in a recipe's `data.crop`.
        split_file: Split file; None to train on all photos.
        fold: Index of the fold whose persons are held out; ignored without a split file.
        size: Side of a face in pixels, a key of `networks.SIZES`.
        width: Channels of the largest feature map.
        batch_size: Photos per step.
        steps: Number of steps in total, those before an interruption included.
        minutes: Time limit; None for none.
        resume: Whether to continue the training in the output folder.
    """

    label_schema: LabelSchema
    crop: ComponentSpec
    split_file: Path | None = None
    fold: int = 0
    size: int = 64
    width: int = 32
    batch_size: int = 32
    steps: int = 20_000
    minutes: float | None = None
    resume: bool = False


@dataclass(frozen=True)
class GanResult:
    """Result of `generate_faces`.

    Attributes:
        metadata: Metadata of the generator.
        samples: The generated faces.
        evaluation: Evaluation by the judge; None without one.
        result_dict: All of this as written to `gan.json`.
    """

    metadata: GanMetadata
    samples: SamplingResult
    evaluation: GanEvaluation | None
    result_dict: dict[str, Any]


@contextmanager
def _no_progress(title: str, unit: str) -> Iterator[Progress]:
    """Reports nothing."""
    yield lambda done, total: None


def generate_faces(
    source: Path,
    out: Path,
    generator: GanTrainOptions | Path,
    *,
    classes: str = "thin",
    target_count: int | None = None,
    judge: Path | None = None,
    codes: CodesOption | None = None,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress_bar: ProgressBar = _no_progress,
) -> GanResult:
    """Generates faces for some classes of a dataset, training a generator first if needed.

    Args:
        source: Photos: a folder in the competition's layout, or a manifest.
        out: Output folder, new or empty, or one with a training to resume.
        generator: Options to train a generator, or the file of a trained one.
        classes: `thin`, `all`, or class indices such as `2,5,8`; see `sampling.select_classes`.
        target_count: Photos per class including the generated faces; None for the average class size.
        judge: Model that evaluates the faces; it must not be trained on the held-out persons.
        codes: Meanings of codes without words, as for `read_photos`.
        seed: Seed of training and sampling.
        cache_dir: Folder of the image cache; None for the user's cache.
        progress_bar: Creates a progress bar for each stage.

    Returns:
        The result.

    Raises:
        DataError: Photos, split, classes or folder are unusable, or the judge was trained on held-out persons.
        ModelFileError: The generator's or the judge's file is unusable.
        RecipeError: The crop cannot be built.
        RunError: The losses became non-finite.
    """
    dataset = _load_dataset(source, out, generator, codes)
    counts = select_classes(classes, dataset.count_classes(), target_count)
    classifier = JudgeClassifier(judge, dataset.label_schema) if judge else None
    if classifier:
        # Checked before hours of training instead of after.
        check_judge_independence(classifier, dataset.held_out)
    if isinstance(generator, GanTrainOptions):
        generator = _train(dataset, out, generator, seed, cache_dir, progress_bar)
    network, metadata = load_generator(generator)
    with progress_bar("sampling", "faces") as advance:
        samples = write_faces(network, metadata, out, dataset.count_classes(), counts, seed=seed, progress=advance)
    evaluation = None
    if classifier:
        with progress_bar("evaluating", "images") as advance:
            evaluation = evaluate_generator(
                classifier, network, metadata, dataset, seed=seed, cache_dir=cache_dir, progress=advance
            )
    result_dict = write_results(out, network, metadata, dataset, samples, evaluation, seed=seed, cache_dir=cache_dir)
    return GanResult(metadata, samples, evaluation, result_dict)


def _load_dataset(source: Path, out: Path, generator: GanTrainOptions | Path, codes: CodesOption | None) -> GanDataset:
    check_output_dir(source, out, resume=isinstance(generator, GanTrainOptions) and generator.resume)
    if isinstance(generator, GanTrainOptions):
        return split_by_fold(source, generator.label_schema, generator.split_file, generator.fold, codes)
    metadata = read_gan_metadata(generator)
    return split_by_persons(source, metadata.label_schema, metadata.persons, codes)


def _train(
    dataset: GanDataset,
    out: Path,
    options: GanTrainOptions,
    seed: int,
    cache_dir: Path | None,
    progress_bar: ProgressBar,
) -> Path:
    metadata = build_metadata(
        dataset, options.crop, options.size, width=options.width, batch_size=options.batch_size, seed=seed
    )
    # Sequential progress bars: two at once would overwrite each other.
    with progress_bar("decoding", "photos") as advance:
        frames = open_image_cache(dataset.train.photos, metadata.crop_resize, folder=cache_dir, progress=advance)
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

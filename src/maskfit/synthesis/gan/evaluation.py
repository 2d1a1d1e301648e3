"""Evaluation of generated faces by a classifier, always next to real photos as reference.

- Agreement: how often the classifier predicts the conditioning attributes. It knows the generator's training photos by
  heart, so faces that copy them agree better than unseen photos can: agreement measures clarity, not realism.
- Fréchet distance of generated faces to photos of unseen persons, in the classifier's features. This is not FID, which
  is that distance in Inception features of many more images. Lower and upper reference values are computed with the
  same
  number of images and the same labels.
- Copies: distance to the nearest training photo, compared with that of photos of unseen persons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import nn

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.photo_dataset import PERSON_SEPARATOR, PhotoDataset
from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import DataError
from maskfit.labels.schema import UNKNOWN, IntArray
from maskfit.synthesis.gan.checkpoint import GanMetadata
from maskfit.synthesis.gan.classifier import JudgeClassifier
from maskfit.synthesis.gan.dataset import GanDataset, Progress
from maskfit.synthesis.gan.frechet_distance import Features, frechet_distance
from maskfit.synthesis.gan.sampling import sample_class, sample_faces
from maskfit.text import format_count

FACES_PER_CLASS = 50
"""Generated faces of each class that are evaluated."""

MIN_PHOTOS, MIN_PERSONS = 20, 4
"""Minimum number of photos and persons held out; fewer give no meaningful statistics, and each half needs two photos.
"""

BLUR_RATIO = 1 / 16
"""Sigma of the blur of the "blurred" reference, as a fraction of the side."""

COPY_QUANTILE = 0.01
"""A face counts as a copy if it is nearer to a training photo than this fraction of unseen photos."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of the classifier's predictions with the labels: (fraction, images) for each kind of image.

    The field names are keys of `gan.json`.

    Attributes:
        words: A class, an attribute, or `whole class`.
        made: Generated faces conditioned on it.
        strangers: Photos of persons that the generator was not trained on.
        learned: Training photos of the generator.
    """

    words: str
    made: tuple[float | None, int]
    strangers: tuple[float | None, int]
    learned: tuple[float | None, int]


@dataclass(frozen=True)
class GanEvaluation:
    """Evaluation of a generator; the field names are keys of `gan.json`.

    Attributes:
        judge: File name of the classifier.
        about: Description in its metadata.
        strangers: Number of photos of held-out persons.
        unknown_to_judge: Whether the classifier is known not to have been trained on them; None if unknown.
        compared: Number of images of each distance, and of the held-out photos they are compared with.
        frechet: Fréchet distances to one half of the held-out photos: of the other half (`real`, the lower bound), of
            that half downscaled to the face size (`small`), of generated faces with the same labels (`made`), of
            blurred downscaled photos (`blurred`), of `noise`.
        agreement: Agreement overall, then by attribute, then by class.
        nearest: Median distance to the nearest training photo, of `made` and of `small` images.
        copies: Fraction of generated faces nearer to a training photo than all but `COPY_QUANTILE` of held-out photos.
    """

    judge: str
    about: str
    strangers: int
    unknown_to_judge: bool | None
    compared: int
    frechet: dict[str, float]
    agreement: tuple[Agreement, ...]
    nearest: dict[str, float]
    copies: float


def evaluate_generator(
    judge: JudgeClassifier,
    generator: nn.Module,
    metadata: GanMetadata,
    dataset: GanDataset,
    *,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> GanEvaluation:
    """Evaluates a generator on `FACES_PER_CLASS` samples of each training class and on real photos.

    Args:
        judge: The classifier.
        generator: The generator, in evaluation mode.
        metadata: Its metadata.
        dataset: Its training photos and the held-out photos.
        seed: Seed of the noise and of the halves.
        cache_dir: Folder of the image cache; None for the user's cache.
        progress: Called with (images processed, images in total).

    Returns:
        The evaluation.

    Raises:
        DataError: Too few held-out photos, or the classifier was trained on some of them.
    """
    unknown = check_judge_independence(judge, dataset.held_out)
    first, second = _split_halves(dataset.held_out, seed)
    classes = [class_index for class_index, count in dataset.count_classes().items() if count]
    advance = _progress_counter(
        len(dataset.train) + len(dataset.held_out) + FACES_PER_CLASS * len(classes) + 4 * len(second), progress
    )
    learned, held_out = (
        judge.predict_photos(photos, cache_dir, advance) for photos in (dataset.train, dataset.held_out)
    )
    made = judge.predict_images(
        np.concatenate([sample_class(generator, metadata, item, FACES_PER_CLASS, seed) for item in classes]), advance
    )
    references = {
        name: judge.predict_images(faces, advance).features
        for name, faces in _reference_images(
            generator, metadata, dataset.held_out.select(second), seed, cache_dir
        ).items()
    }
    references["real"] = held_out.features[second]
    distances = {
        "made": nearest(made.features, learned.features),
        "small": nearest(references["small"], learned.features),
    }
    labels = (
        np.repeat(metadata.label_schema.to_attribute_indices(classes), FACES_PER_CLASS, axis=0),
        *(photos.attribute_indices(metadata.label_schema) for photos in (dataset.held_out, dataset.train)),
    )
    return GanEvaluation(
        judge=judge.path.name,
        about=judge.metadata.description,
        strangers=len(dataset.held_out),
        unknown_to_judge=unknown,
        compared=len(second),
        frechet={name: frechet_distance(held_out.features[first], features) for name, features in references.items()},
        agreement=_compute_agreement(
            metadata, classes, [output.predictions for output in (made, held_out, learned)], labels
        ),
        nearest={name: float(np.median(values)) for name, values in distances.items()},
        copies=float((distances["made"] < np.quantile(distances["small"], COPY_QUANTILE)).mean()),
    )


def check_judge_independence(judge: JudgeClassifier, held_out: PhotoDataset) -> bool | None:
    """Checks that the classifier was not trained on the held-out persons.

    Args:
        judge: The classifier.
        held_out: Photos of persons that the generator was not trained on.

    Returns:
        True if it is known to be independent; None if its training persons are unknown.

    Raises:
        DataError: Too few photos or persons, or the classifier was trained on some of them.
    """
    if len(held_out) < MIN_PHOTOS or len(held_out.persons) < MIN_PERSONS:
        raise DataError(
            f"too few held-out photos: {len(held_out):,} of "
            f"{format_count(len(held_out.persons), 'person')}; the evaluation needs "
            f"{MIN_PHOTOS} of {MIN_PERSONS}",
            hint="hold out persons with --folds FILE --fold K, and use the model of the same fold as judge",
        )
    known = judge.training_persons()
    if known is None:
        return None
    both = sorted(known & {person for photo in held_out for person in photo.person.split(PERSON_SEPARATOR)})
    if both:
        raise DataError(
            f"the judge was trained on {len(both):,} of the held-out persons, such as {both[0]}",
            location=judge.path,
            hint="use the model of the fold in which they were held out",
        )
    return True


def _split_halves(photos: PhotoDataset, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the indices of two equally large halves of the photos without a common person."""
    persons = np.array([photo.person for photo in photos])
    order = np.random.default_rng([seed, 2]).permutation(np.unique(persons))
    in_first = np.isin(persons, order[: len(order) // 2])
    halves = [np.flatnonzero(in_first), np.flatnonzero(~in_first)]
    count = min(map(len, halves))
    return halves[0][:count], halves[1][:count]


def _reference_images(
    generator: nn.Module, metadata: GanMetadata, photos: PhotoDataset, seed: int, cache_dir: Path | None
) -> dict[str, ImageBatch]:
    """Returns downscaled held-out photos, generated faces of the same labels, blurred photos and noise."""
    small = open_image_cache(photos.photos, metadata.crop_resize, folder=cache_dir).gather(np.arange(len(photos)))
    rng = np.random.default_rng([seed, 3])
    blur = ImageFilter.GaussianBlur(BLUR_RATIO * metadata.size)
    return {
        "small": small,
        "made": sample_faces(
            generator,
            rng.standard_normal((len(photos), metadata.latent_dim)),
            photos.attribute_indices(metadata.label_schema),
        ),
        "blurred": np.stack([np.asarray(Image.fromarray(face).filter(blur)) for face in small]),
        "noise": rng.integers(0, 256, small.shape, dtype=np.uint8),
    }


def nearest(features: Features, learned: Features) -> NDArray[np.float64]:
    """Computes the distance of each row to its nearest neighbor among the training features.

    Args:
        features: Shape (rows, features).
        learned: Features of the training photos, shape (train rows, features).

    Returns:
        Euclidean distances, shape (rows,).
    """
    squares = (features**2).sum(axis=1)[:, None] - 2 * features @ learned.T + (learned**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0.0)))


def _compute_agreement(
    metadata: GanMetadata, classes: list[int], predicted: list[IntArray], labels: tuple[IntArray, ...]
) -> tuple[Agreement, ...]:
    """Compares predictions and labels of each kind of image: overall, by attribute and by class."""
    label_schema = metadata.label_schema

    def compare(words: str, columns: list[int], own: IntArray | None = None) -> Agreement:
        fractions = []
        for predictions, truth in zip(predicted, labels, strict=True):
            known = (truth[:, columns] != UNKNOWN).all(axis=1)
            if own is not None:
                known &= (truth == own).all(axis=1)
            correct = (predictions == truth)[known][:, columns].all(axis=1)
            fractions.append((float(correct.mean()) if len(correct) else None, len(correct)))
        return Agreement(words, *fractions)

    every = list(range(len(label_schema.names)))
    return (
        compare("whole class", every),
        *(compare(name, [index]) for index, name in enumerate(label_schema.names)),
        *(
            compare(label_schema.describe(class_index), every, label_schema.to_attribute_indices([class_index])[0])
            for class_index in classes
        ),
    )


def _progress_counter(total: int, progress: Progress | None) -> Callable[[int], None]:
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress(done, total)

    return advance

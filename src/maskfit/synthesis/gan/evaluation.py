"""How good made faces are, by a classifier that is asked about real photos too: no number here means much alone.

- Does the judge see in a face what it was made for? It knows the photos it was trained on by heart, so faces that copy
  those agree better than photos of strangers can: agreement says how clear a face is, not how true.
- How far are made faces from photos of strangers, in the judge's features? This is the Fréchet distance, but not FID,
  which is that distance in the features of one Inception on many more pictures. Beside it stand the least and the most
  that it comes to here, all with as many pictures and the same labels.
- Are they copies? How near the nearest learned photo lies, beside how near one lies to photos of strangers.
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

FACES_PER_CLASS = 50
"""Faces of each class that the judge is asked about."""

MIN_PHOTOS, MIN_PERSONS = 20, 4
"""Photos and persons below which strangers are too few to say anything by; each half needs two photos."""

BLUR_RATIO = 1 / 16
"""Deviation of the blur of faces without any detail, as a share of their side."""

COPY_QUANTILE = 0.01
"""Share of strangers that lie nearer to a learned photo than what is called a copy."""


@dataclass(frozen=True)
class Agreement:
    """How often the judge sees in pictures what they are of: (share, pictures) of each kind.

    Attributes:
        words: A class, an attribute, or `whole class`.
        made: Faces made for it.
        strangers: Photos of persons of whom the generator knew no photo.
        learned: Photos that the generator learned from.
    """

    words: str
    made: tuple[float | None, int]
    strangers: tuple[float | None, int]
    learned: tuple[float | None, int]


@dataclass(frozen=True)
class GanEvaluation:
    """What a judge said.

    Attributes:
        judge: Its file's name.
        about: What its file says of it.
        strangers: How many photos of strangers there were.
        unknown_to_judge: Whether the judge is known not to have been trained on them; None where nobody can tell.
        compared: How many pictures each distance is of, and how many photos of other strangers it is from.
        frechet: Distances of `real` photos of strangers, the least there can be; of the same as `small` as the faces;
            of `made` faces with the same labels; of the small ones `blurred`; of `noise`.
        agreement: With the whole class first, then by attribute, then by class.
        nearest: Median distance to the nearest learned photo, of `made` and of `small` ones.
        copies: Share of made faces that lie nearer to one than all but `COPY` of the strangers do.
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
    """Asks a judge about faces drawn for this, `EACH` of every class that was learned, beside real photos.

    Args:
        judge: Who is asked.
        generator: In evaluation mode.
        facts: Its facts.
        material: The photos it learned from, and those of strangers.
        seed: Of noise and halves.
        store: The folder for decoded photos; in the user's cache where left out.
        progress: Called with (pictures looked at, pictures).

    Raises:
        DataError: There are too few photos of strangers, or the judge was trained on some of them.
    """
    unknown = check_judge_independence(judge, dataset.held_out)
    first, second = _split_halves(dataset.held_out, seed)
    classes = [number for number, count in dataset.count_classes().items() if count]
    advance = _progress_counter(
        len(dataset.train) + len(dataset.held_out) + FACES_PER_CLASS * len(classes) + 4 * len(second), progress
    )
    learned, others = (judge.predict_photos(photos, cache_dir, advance) for photos in (dataset.train, dataset.held_out))
    made = judge.predict_images(
        np.concatenate([sample_class(generator, metadata, item, FACES_PER_CLASS, seed) for item in classes]), advance
    )
    references = {
        name: judge.predict_images(faces, advance).features
        for name, faces in _reference_images(
            generator, metadata, dataset.held_out.select(second), seed, cache_dir
        ).items()
    }
    references["real"] = others.features[second]
    near = {"made": nearest(made.features, learned.features), "small": nearest(references["small"], learned.features)}
    asked = (
        np.repeat(metadata.label_schema.to_attribute_indices(classes), FACES_PER_CLASS, axis=0),
        *(photos.attribute_indices(metadata.label_schema) for photos in (dataset.held_out, dataset.train)),
    )
    return GanEvaluation(
        judge=judge.path.name,
        about=judge.metadata.description,
        strangers=len(dataset.held_out),
        unknown_to_judge=unknown,
        compared=len(second),
        frechet={name: frechet_distance(others.features[first], features) for name, features in references.items()},
        agreement=_compute_agreement(metadata, classes, [seen.predictions for seen in (made, others, learned)], asked),
        nearest={name: float(np.median(distances)) for name, distances in near.items()},
        copies=float((near["made"] < np.quantile(near["small"], COPY_QUANTILE)).mean()),
    )


def check_judge_independence(judge: JudgeClassifier, strangers: PhotoDataset) -> bool | None:
    """Whether the judge is known not to have been trained on these persons; None where nobody can tell.

    Raises:
        DataError: There are too few of them, or it was trained on some.
    """
    if len(strangers) < MIN_PHOTOS or len(strangers.persons) < MIN_PERSONS:
        raise DataError(
            f"{len(strangers)} photos of {len(strangers.persons)} persons whom the generator does not know are too few "
            "to judge it by",
            hint="hold some persons out: --folds FILE --fold K, and as judge the model of the same fold",
        )
    known = judge.training_persons()
    if known is None:
        return None
    both = sorted(known & {person for photo in strangers for person in photo.person.split(PERSON_SEPARATOR)})
    if both:
        raise DataError(
            f"this judge was trained on {len(both)} of the persons it is to be asked about, such as {both[0]}",
            location=judge.path,
            hint="name the model of the fold in which they were held out",
        )
    return True


def _split_halves(photos: PhotoDataset, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of two halves of the photos, no person in both, and as many in one as in the other."""
    persons = np.array([photo.person for photo in photos])
    order = np.random.default_rng([seed, 2]).permutation(np.unique(persons))
    in_first = np.isin(persons, order[: len(order) // 2])
    halves = [np.flatnonzero(in_first), np.flatnonzero(~in_first)]
    count = min(map(len, halves))
    return halves[0][:count], halves[1][:count]


def _reference_images(
    generator: nn.Module, metadata: GanMetadata, photos: PhotoDataset, seed: int, cache_dir: Path | None
) -> dict[str, ImageBatch]:
    """Photos as the generator would have seen them, faces made with their labels, and what is worse than any."""
    small = open_image_cache(photos.photos, metadata.framing, folder=cache_dir).gather(np.arange(len(photos)))
    rng = np.random.default_rng([seed, 3])
    blur = ImageFilter.GaussianBlur(BLUR_RATIO * metadata.size)
    return {
        "small": small,
        "made": sample_faces(
            generator,
            rng.standard_normal((len(photos), metadata.latent)),
            photos.attribute_indices(metadata.label_schema),
        ),
        "blurred": np.stack([np.asarray(Image.fromarray(face).filter(blur)) for face in small]),
        "noise": rng.integers(0, 256, small.shape, dtype=np.uint8),
    }


def nearest(features: Features, learned: Features) -> NDArray[np.float64]:
    """The distance of each row to the nearest of the learned ones."""
    squares = (features**2).sum(axis=1)[:, None] - 2 * features @ learned.T + (learned**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0.0)))


def _compute_agreement(
    metadata: GanMetadata, classes: list[int], predicted: list[IntArray], asked: tuple[IntArray, ...]
) -> tuple[Agreement, ...]:
    """Of each kind of picture what was said and what was asked, compared whole, by attribute and by class."""
    label_schema = metadata.label_schema

    def compare(words: str, columns: list[int], own: IntArray | None = None) -> Agreement:
        shares = []
        for result_dict, truth in zip(predicted, asked, strict=True):
            known = (truth[:, columns] != UNKNOWN).all(axis=1)
            if own is not None:
                known &= (truth == own).all(axis=1)
            right = (result_dict == truth)[known][:, columns].all(axis=1)
            shares.append((float(right.mean()) if len(right) else None, len(right)))
        return Agreement(words, *shares)

    every = list(range(len(label_schema.names)))
    return (
        compare("whole class", every),
        *(compare(name, [place]) for place, name in enumerate(label_schema.names)),
        *(
            compare(label_schema.describe(number), every, label_schema.to_attribute_indices([number])[0])
            for number in classes
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

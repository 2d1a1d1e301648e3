"""What a recipe means on its data: which photos, which labels, who is held out, how photos are framed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from maskfit.config.recipe import Recipe
from maskfit.data.label_corrections import read_corrected
from maskfit.data.photo_dataset import BOTH, PhotoDataset
from maskfit.data.preprocessing import CropResize, Normalize, Preprocessing
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import TRAIN_ONLY, PersonSplits, make_person_splits, read_folds
from maskfit.errors import DataError, RecipeError
from maskfit.labels.schema import IntArray, LabelSchema, as_number
from maskfit.models.network import Network, build_network
from maskfit.training.network_setup import validate_network_options


@dataclass(frozen=True)
class TrainingPlan:
    """A recipe on its data.

    Attributes:
        recipe: The recipe.
        photos: Every photo, its labels corrected; behind the first `judged` stand those that are only trained on.
        judged: How many photos can be held out.
        official: What answers are scored on.
        trained: What the network tells apart; the age rule makes it differ from `official`.
        folds: Who is held out when.
        preprocessing: What stands between a decoded photo and the network.
        heads: What the network's outputs are called.
        remarks: What the user should know, a line each.
    """

    recipe: Recipe
    photos: PhotoDataset
    num_scored_photos: int
    scored_schema: LabelSchema
    train_schema: LabelSchema
    folds: PersonSplits
    preprocessing: Preprocessing
    heads: tuple[str, ...]
    warnings: tuple[str, ...]

    def indices_of(self, names: Iterable[str]) -> list[int]:
        """Where photos of these names stand in the set."""
        known = {photo.name: place for place, photo in enumerate(self.photos.photos[: self.num_scored_photos])}
        return [known[name] for name in names]

    def targets(self) -> IntArray:
        """Official codes of every photo, (photos, attributes)."""
        return self.photos.codes(self.scored_schema)

    def allowed_masks(self) -> dict[str, NDArray[np.bool_]]:
        """By head (photos, values): what each photo's label leaves possible in training."""
        labels = [photo.labels for photo in self.photos]
        return {head: self.train_schema.allowed_mask_from_labels(labels, head) for head in self.heads}

    def ages(self) -> NDArray[np.float64]:
        """The age of every photo as a number, by the first attribute with bands; NaN where nobody wrote a number."""
        name = next(attribute.name for attribute in self.scored_schema.attributes if attribute.bin_edges)
        numbers = [as_number(photo.labels.get(name, "")) for photo in self.photos.photos]
        return np.array([np.nan if number is None else number for number in numbers])

    def split(self, fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the photos to train on and of those held out; ages that the recipe drops are trained on by none.

        A photo that counts several times stands several times among those to train on.
        """
        train, valid = self.folds.split(self.photos.photos[: self.num_scored_photos], fold)
        held_out = {self.photos[place].person for place in valid}
        extra = [
            place
            for place in range(self.num_scored_photos, len(self.photos))
            if not held_out & set(self.photos[place].person.split(BOTH))
        ]
        train = np.concatenate([train, np.array(extra, dtype=np.int64)])
        banded = [attribute.name for attribute in self.scored_schema.attributes if attribute.bin_edges]
        rule = self.recipe.data.age_labels
        keep = [not any(rule.drops(self.photos[place].labels.get(name)) for name in banded) for place in train]
        if not any(keep):
            raise DataError("the age rule drops every training photo", hint="look at data.age_labels.exclude")
        train = train[keep]
        return np.repeat(train, [self.photos[place].repeat for place in train]), valid

    def val_indices(self) -> list[int]:
        """Places of the photos that are validated on in some fold."""
        judged = self.photos.photos[: self.num_scored_photos]
        return [
            place
            for place, photo in enumerate(judged)
            if self.folds.fold_of_person.get(photo.person, TRAIN_ONLY) != TRAIN_ONLY
        ]

    def fold_numbers(self) -> tuple[int, ...]:
        """The folds to train."""
        every = tuple(range(self.folds.count))
        strange = [fold for fold in self.recipe.cv.train_folds if fold not in every]
        if strange:
            raise RecipeError(
                f"cv.train_folds={strange[0]}: the folds are 0 to {self.folds.count - 1}", hint="count from 0"
            )
        return self.recipe.cv.train_folds or every

    def network(self, weights: str = "none") -> Network:
        """A new network as the recipe says."""
        model = self.recipe.model
        return build_network(model.backbone, model.head, self.train_schema.sizes, weights, self.with_years)

    @property
    def with_years(self) -> bool:
        """Whether the network has a layer for years."""
        return self.recipe.age_regression.name != "none"


def make_plan(recipe: Recipe) -> TrainingPlan:
    """Reads and checks everything that training needs before anything is decoded.

    Raises:
        MaskfitError: The recipe names no data, the data have mistakes, or recipe and data do not fit.
    """
    if recipe.data.path is None:
        raise RecipeError(
            "the recipe names no photos", location="data.path", hint="add data.path=DIR or data.path=PHOTOS.csv"
        )
    official = recipe.data.label_schema
    data = recipe.data
    photos, remarks = read_corrected(str(data.path), official, data.label_corrections, data.known_label_errors)
    extra = [photo for path in recipe.data.extra_train for photo in read_photos(path, official)]
    trained = recipe.data.age_labels.scheme(official)
    # The meta device gives a network's facts without its weights' memory.
    with torch.device("meta"):
        draft = build_network(recipe.model.backbone, recipe.model.head, trained.sizes)
    validate_network_options(recipe, draft)
    heads = draft.heads
    _refuse_unlabelled(photos, trained, Path(recipe.data.path))
    _refuse_yearless(recipe, photos)
    strange = [name for name in recipe.heads if name not in heads]
    if strange:
        raise RecipeError(f"heads.{strange[0]}: the heads of '{recipe.model.head.name}' are {', '.join(heads)}")
    return TrainingPlan(
        recipe=recipe,
        photos=PhotoDataset(photos.root, (*photos.photos, *extra)),
        num_scored_photos=len(photos),
        scored_schema=official,
        train_schema=trained,
        folds=_folds(recipe, photos),
        preprocessing=Preprocessing(
            crop_resize=CropResize(
                crop=data.crop,
                size=data.image_size,
                filter=draft.backbone.filter,
                background_removal=data.background_removal,
                unsharp_mask=data.unsharp_mask,
            ).pinned(),
            normalization=Normalize(mean=draft.backbone.mean, std=draft.backbone.std, mode=recipe.data.normalization),
        ),
        heads=heads,
        warnings=tuple(remarks),
    )


def _folds(recipe: Recipe, photos: PhotoDataset) -> PersonSplits:
    if recipe.cv.split_file is not None:
        return read_folds(Path(recipe.cv.split_file))
    return make_person_splits(
        photos,
        recipe.data.label_schema,
        recipe.cv.num_folds,
        seed=recipe.trainer.seed,
        holdout=recipe.cv.val_fraction,
    )


def _refuse_yearless(recipe: Recipe, photos: PhotoDataset) -> None:
    if recipe.age_regression.name == "none":
        return
    banded = [attribute.name for attribute in recipe.data.label_schema.attributes if attribute.bin_edges]
    if not banded:
        raise RecipeError(
            "a loss of years needs an attribute with bands, and this scheme has none",
            location="years",
            hint="age_regression=none",
        )
    if all(as_number(photo.labels.get(banded[0], "")) is None for photo in photos):
        raise DataError(
            f"no photo says its {banded[0]} as a number, so no years could be learned",
            location=recipe.data.path,
            hint="age_regression=none, or a manifest with numbers",
        )


def _refuse_unlabelled(photos: PhotoDataset, scheme: LabelSchema, root: Path) -> None:
    labels = [photo.labels for photo in photos]
    unlabelled = [name for name in scheme.names if scheme.allowed_mask_from_labels(labels, name).all()]
    if unlabelled:
        raise DataError(
            f"no photo says its {' or '.join(unlabelled)}, so nothing could learn it",
            location=root,
            hint="add the column, or name a smaller scheme such as data.label_schema=mask",
        )

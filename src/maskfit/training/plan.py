"""A recipe applied to its data: which photos and labels are used, who is held out, how images are preprocessed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.config.recipe import DataConfig, Recipe
from maskfit.data.label_corrections import read_corrected
from maskfit.data.label_coverage import check_labels
from maskfit.data.photo_dataset import PERSON_SEPARATOR, Photo, PhotoDataset
from maskfit.data.preprocessing import CropResize, Normalize, Preprocessing
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import TRAIN_ONLY, PersonSplits, describe_leak_risk, make_person_splits, read_splits
from maskfit.errors import DataError, RecipeError
from maskfit.labels.schema import IntArray, LabelSchema, as_number
from maskfit.models.backbone_names import FACES, NONE
from maskfit.models.input_sizes import (
    check_further_sizes,
    describe_lost_pixels,
    describe_weights,
    resolve_image_size,
    settle_input_size,
)
from maskfit.models.meta_device import meta_device
from maskfit.models.network import Network, build_network
from maskfit.pretrained_weights import MissingWeightsError
from maskfit.text import format_count
from maskfit.training.leaking_copies import describe_leaking_copies, find_leaking_copies
from maskfit.training.network_setup import validate_network_options
from maskfit.training.progressive_sizes import describe_progressive_resizing, progressive_sizes
from maskfit.training.soft_labels import SoftTargets, describe_matches, read_soft_labels
from maskfit.training.warm_start import validate_start


@dataclass(frozen=True)
class TrainingPlan:
    """A recipe applied to its data.

    Attributes:
        recipe: The recipe.
        photos: Every photo, its labels corrected; the first `num_scored_photos` may be held out, the others are for
            training only.
        targets: (photos, attributes) official value index of every photo, `UNKNOWN` where it is not known.
        num_scored_photos: Number of photos that may be held out.
        scored_schema: Labels that predictions are scored on.
        train_schema: Labels that the network is trained on; the age rule makes it differ from `scored_schema`.
        folds: Which persons are held out in which fold.
        preprocessing: Preprocessing between a decoded photo and the network.
        heads: Names of the network's outputs.
        soft_targets: Head name to the soft labels of every photo; empty without `data.soft_labels`.
        warnings: Messages for the user, a line each.
    """

    recipe: Recipe
    photos: PhotoDataset
    targets: IntArray = field(compare=False, repr=False)
    num_scored_photos: int
    scored_schema: LabelSchema
    train_schema: LabelSchema
    folds: PersonSplits
    preprocessing: Preprocessing
    heads: tuple[str, ...]
    soft_targets: Mapping[str, SoftTargets] = field(compare=False, repr=False)
    warnings: tuple[str, ...]

    def indices_of(self, names: Iterable[str]) -> list[int]:
        """Returns the indices of photos by name.

        Args:
            names: Names of photos that may be held out.

        Returns:
            Their indices in `photos`, in the same order.
        """
        index_of = {photo.name: index for index, photo in enumerate(self.photos.photos[: self.num_scored_photos])}
        return [index_of[name] for name in names]

    @cached_property
    def class_indices(self) -> IntArray:
        """(photos,) official class index of every photo, `UNKNOWN` where any attribute is."""
        return self.scored_schema.to_class_index(self.targets)

    @cached_property
    def allowed_masks(self) -> dict[str, NDArray[np.bool_]]:
        """Head name to the training classes that each photo's label allows, (photos, values)."""
        labels = [photo.labels for photo in self.photos]
        return {head: self.train_schema.allowed_mask_from_labels(labels, head) for head in self.heads}

    @cached_property
    def ages(self) -> NDArray[np.float64]:
        """(photos,) age in years of every photo, from the first attribute with bins; NaN where it is no number."""
        name = next(attribute.name for attribute in self.scored_schema.attributes if attribute.bin_edges)
        numbers = [as_number(photo.labels.get(name, "")) for photo in self.photos.photos]
        return np.array([np.nan if number is None else number for number in numbers])

    def split(self, fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the training and validation photos of a fold.

        Photos of ages that the recipe excludes are validated on but never trained on. A photo with a repeat count
        occurs that many times among the training photos.

        Args:
            fold: The fold, from 0.

        Returns:
            Indices in `photos` of the training photos, and of the validation photos.

        Raises:
            DataError: The age rule excludes every training photo.
        """
        train, valid = self.folds.split(self.photos.photos[: self.num_scored_photos], fold)
        held_out = {self.photos[index].person for index in valid}
        extra = [
            index
            for index in range(self.num_scored_photos, len(self.photos))
            if not held_out & set(self.photos[index].person.split(PERSON_SEPARATOR))
        ]
        train = np.concatenate([train, np.array(extra, dtype=np.int64)])
        binned = [attribute.name for attribute in self.scored_schema.attributes if attribute.bin_edges]
        rule = self.recipe.data.age_labels
        keep = [not any(rule.excludes(self.photos[index].labels.get(name)) for name in binned) for index in train]
        if not any(keep):
            raise DataError(
                "data.age_labels.exclude excludes every training photo", hint="narrow data.age_labels.exclude"
            )
        train = train[keep]
        return np.repeat(train, [self.photos[index].repeat for index in train]), valid

    def val_indices(self) -> list[int]:
        """Returns the indices of the photos that are held out in some fold.

        Returns:
            Indices in `photos`, rising.
        """
        return [
            index
            for index, photo in enumerate(self.photos.photos[: self.num_scored_photos])
            if self.folds.fold_of_person.get(photo.person, TRAIN_ONLY) != TRAIN_ONLY
        ]

    def fold_numbers(self) -> tuple[int, ...]:
        """Returns the folds to train.

        Returns:
            Fold numbers, from 0.

        Raises:
            RecipeError: `cv.train_folds` names a fold that does not exist.
        """
        every = tuple(range(self.folds.num_folds))
        unknown = [fold for fold in self.recipe.cv.train_folds if fold not in every]
        if unknown:
            raise RecipeError(
                f"cv.train_folds={unknown[0]} does not exist; the folds are 0 to {self.folds.num_folds - 1}",
                hint="count folds from 0",
            )
        return self.recipe.cv.train_folds or every

    def network(self, weights: str = "none") -> Network:
        """Builds a new network as the recipe defines it.

        Args:
            weights: Initial weights of the backbone: "none", "timm", "faces" or a file.

        Returns:
            The network.
        """
        model = self.recipe.model
        return build_network(
            model.backbone, model.head, self.train_schema.sizes, weights, age_regression=self.has_age_regression
        )

    @property
    def has_age_regression(self) -> bool:
        """Whether the network has an age regressor."""
        return self.recipe.age_regression.name != "none"


def make_plan(recipe: Recipe) -> TrainingPlan:
    """Reads and checks everything that training needs, before any photo is decoded.

    Args:
        recipe: The recipe.

    Returns:
        The plan.

    Raises:
        MaskfitError: The recipe names no data, the data have errors, or recipe and data do not fit.
    """
    if recipe.data.path is None:
        raise RecipeError(
            "the recipe has no dataset", location="data.path", hint="set data.path=DIR or data.path=PHOTOS.csv"
        )
    recipe = resolve_input_size(recipe)
    data, scored_schema = recipe.data, recipe.data.label_schema
    photos, extra, warnings = _read_photos(data)
    all_photos = PhotoDataset(photos.root, (*photos.photos, *extra))
    train_schema = data.age_labels.training_schema(scored_schema)
    # The meta device gives a network's shapes without the memory of its weights.
    with meta_device():
        draft = build_network(recipe.model.backbone, recipe.model.head, train_schema.sizes)
    validate_network_options(recipe.trainer, recipe.model.backbone.name, draft)
    warnings += validate_start(recipe.model)
    if recipe.model.pretrained not in (NONE, FACES) and (line := describe_weights(recipe.model.backbone)):
        warnings.append(line)
    if line := describe_progressive_resizing(recipe.progressive_resizing, data.input_size):
        warnings.append(line)
    if lost := describe_lost_pixels(recipe.model.backbone, data.input_size):
        warnings.append(f"{recipe.model.backbone.name}: {lost}")
    targets = all_photos.attribute_indices(scored_schema)
    check_labels(photos, scored_schema, Path(str(data.path)))
    _check_age_regression(recipe, photos)
    unknown = [name for name in recipe.heads if name not in draft.heads]
    if unknown:
        raise RecipeError(
            f"heads.{unknown[0]} does not exist; the heads of '{recipe.model.head.name}' are {', '.join(draft.heads)}"
        )
    soft_targets: dict[str, SoftTargets] = {}
    if data.soft_labels is not None:
        soft_targets, line = _match_soft_labels(
            Path(data.soft_labels), all_photos, scored_schema, train_schema, draft.heads
        )
        warnings.append(line)
    plan = TrainingPlan(
        recipe=recipe,
        photos=all_photos,
        targets=targets,
        num_scored_photos=len(photos),
        scored_schema=scored_schema,
        train_schema=train_schema,
        folds=_split_persons(recipe, photos),
        preprocessing=Preprocessing(
            crop_resize=_pin_crop(
                CropResize(
                    crop=data.crop,
                    size=data.input_size,
                    filter=draft.backbone.filter,
                    background_removal=data.background_removal,
                    unsharp_mask=data.unsharp_mask,
                )
            ),
            normalization=Normalize(mean=draft.backbone.mean, std=draft.backbone.std, mode=data.normalization),
        ),
        heads=draft.heads,
        soft_targets=soft_targets,
        warnings=tuple(warnings),
    )
    return _with_min_steps(_with_leaks(plan))


def _with_leaks(plan: TrainingPlan) -> TrainingPlan:
    """Adds a warning where a held-out photo is the same file as a training photo of another person."""
    leaks = find_leaking_copies(plan.photos.photos, plan.num_scored_photos, plan.folds.fold_of_person)
    line = describe_leaking_copies(leaks, shlex.quote(str(plan.recipe.data.path)))
    return replace(plan, warnings=(*plan.warnings, line)) if line else plan


def _with_min_steps(plan: TrainingPlan) -> TrainingPlan:
    """Adds epochs where a fold has few photos, so that its training has `trainer.min_steps` steps; a line says so."""
    settings = plan.recipe.trainer
    if not settings.min_steps:
        return plan
    photos = min(len(plan.split(fold)[0]) for fold in plan.fold_numbers())
    steps = -(-photos // (settings.batch_size * settings.accumulate_grad_batches))
    epochs = -(-settings.min_steps // max(steps, 1))
    if epochs <= settings.epochs:
        return plan
    reason = f"an epoch has {format_count(steps, 'step')}, and trainer.min_steps is {settings.min_steps}"
    line = f"{format_count(epochs, 'epoch')} in place of {settings.epochs}: {reason}"
    recipe = plan.recipe.model_copy(update={"trainer": settings.model_copy(update={"epochs": epochs})})
    return replace(plan, recipe=recipe, warnings=(*plan.warnings, line))


def _pin_crop(crop_resize: CropResize) -> CropResize:
    """Pins the weights of a crop; where a detector's are missing, the error names the one that needs no file."""
    try:
        return crop_resize.pinned()
    except MissingWeightsError as error:
        if crop_resize.crop.name != "face":
            raise
        remedy = "data.crop.detector=bundled trains with the detector that ships with maskfit"
        raise MissingWeightsError(error.message, location=error.location, hint=f"{remedy}; or {error.hint}") from None


def resolve_input_size(recipe: Recipe) -> Recipe:
    """Settles the size of the network's input, and that the backbone takes it.

    Args:
        recipe: The recipe.

    Returns:
        The recipe with the size in place of `auto`, and with timm's `img_size` where the backbone needs it: so a model
        file rebuilds the same network.

    Raises:
        RecipeError: The backbone does not take images of this size, or of those that training begins with.
    """
    size = resolve_image_size(recipe.model.backbone, recipe.data.image_size)
    backbone = settle_input_size(recipe.model.backbone, size)
    settled = recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"image_size": size}),
            "model": recipe.model.model_copy(update={"backbone": backbone}),
        }
    )
    sizes = progressive_sizes(recipe.progressive_resizing, size)
    check_further_sizes(backbone, sizes.keys() - {size}, "progressive_resizing")
    return settled


def _split_persons(recipe: Recipe, photos: PhotoDataset) -> PersonSplits:
    if recipe.cv.split_file is not None:
        return read_splits(Path(recipe.cv.split_file))
    return make_person_splits(
        photos,
        recipe.data.label_schema,
        recipe.cv.num_folds,
        seed=recipe.trainer.seed,
        val_fraction=recipe.cv.val_fraction,
    )


def _read_photos(data: DataConfig) -> tuple[PhotoDataset, list[Photo], list[str]]:
    """The photos with their labels, those for training only, and lines about how they were read."""
    schema = data.label_schema
    photos, warnings = read_corrected(
        str(data.path),
        schema,
        data.label_corrections,
        data.known_label_errors,
        data.codes,
        must_use_codes=not data.extra_train,
    )
    if risk := describe_leak_risk(photos):
        warnings.append(risk)
    extra = [
        photo for path in data.extra_train for photo in read_photos(path, schema, data.codes, must_use_codes=False)
    ]
    return photos, extra, warnings


def _match_soft_labels(
    path: Path, photos: PhotoDataset, scored: LabelSchema, trained: LabelSchema, heads: Iterable[str]
) -> tuple[dict[str, SoftTargets], str]:
    """Returns the soft labels of each head that has some, and a line about how many photos have one."""
    table = read_soft_labels(path, scored)
    rows = table.rows_of(photos)
    line = describe_matches(table, rows)
    targets = {head: table.targets(rows, trained, head) for head in heads}
    return {head: own for head, own in targets.items() if own is not None}, line


def _check_age_regression(recipe: Recipe, photos: PhotoDataset) -> None:
    if recipe.age_regression.name == "none":
        return
    binned = [attribute.name for attribute in recipe.data.label_schema.attributes if attribute.bin_edges]
    if not binned:
        raise RecipeError(
            "age regression needs an attribute with bin_edges, and this label schema has none",
            location="age_regression",
            hint="age_regression=none",
        )
    if all(as_number(photo.labels.get(binned[0], "")) is None for photo in photos):
        raise DataError(
            f"no photo has its {binned[0]} as a number, which age regression needs",
            location=recipe.data.path,
            hint="set age_regression=none, or use a manifest with ages in years",
        )

"""What a recipe means on its data: which photos, which labels, who is held out, how photos are framed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from maskfit.data.corrections import read_corrected
from maskfit.data.folds import TRAINED, Folds, make_folds, read_folds
from maskfit.data.photo import BOTH, PhotoSet
from maskfit.data.photos import read_photos
from maskfit.data.transforms import Framing, Normalising, Preprocessing
from maskfit.errors import DataError, RecipeError
from maskfit.labels import Codes, Scheme, as_number
from maskfit.models.network import Network, build_network
from maskfit.recipe import Recipe
from maskfit.training.economy import check_economy


@dataclass(frozen=True)
class Plan:
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
    photos: PhotoSet
    judged: int
    official: Scheme
    trained: Scheme
    folds: Folds
    preprocessing: Preprocessing
    heads: tuple[str, ...]
    remarks: tuple[str, ...]

    def places(self, names: Iterable[str]) -> list[int]:
        """Where photos of these names stand in the set."""
        known = {photo.name: place for place, photo in enumerate(self.photos.photos[: self.judged])}
        return [known[name] for name in names]

    def truth(self) -> Codes:
        """Official codes of every photo, (photos, attributes)."""
        return self.photos.codes(self.official)

    def allowed(self) -> dict[str, NDArray[np.bool_]]:
        """By head (photos, values): what each photo's label leaves possible in training."""
        labels = [photo.labels for photo in self.photos]
        return {head: self.trained.possible(labels, head) for head in self.heads}

    def years(self) -> NDArray[np.float64]:
        """The age of every photo as a number, by the first attribute with bands; NaN where nobody wrote a number."""
        name = next(attribute.name for attribute in self.official.attributes if attribute.edges)
        numbers = [as_number(photo.labels.get(name, "")) for photo in self.photos.photos]
        return np.array([np.nan if number is None else number for number in numbers])

    def split(self, fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the photos to train on and of those held out; ages that the recipe drops are trained on by none.

        A photo that counts several times stands several times among those to train on.
        """
        train, valid = self.folds.split(self.photos.photos[: self.judged], fold)
        held_out = {self.photos[place].person for place in valid}
        extra = [
            place
            for place in range(self.judged, len(self.photos))
            if not held_out & set(self.photos[place].person.split(BOTH))
        ]
        train = np.concatenate([train, np.array(extra, dtype=np.int64)])
        banded = [attribute.name for attribute in self.official.attributes if attribute.edges]
        rule = self.recipe.data.age
        keep = [not any(rule.drops(self.photos[place].labels.get(name)) for name in banded) for place in train]
        if not any(keep):
            raise DataError("the age rule drops every training photo", fix="look at data.age.drop")
        train = train[keep]
        return np.repeat(train, [self.photos[place].times for place in train]), valid

    def held_out(self) -> list[int]:
        """Places of the photos that are validated on in some fold."""
        judged = self.photos.photos[: self.judged]
        return [place for place, photo in enumerate(judged) if self.folds.of.get(photo.person, TRAINED) != TRAINED]

    def fold_numbers(self) -> tuple[int, ...]:
        """The folds to train."""
        every = tuple(range(self.folds.count))
        strange = [fold for fold in self.recipe.fold if fold not in every]
        if strange:
            raise RecipeError(f"fold={strange[0]}: the folds are 0 to {self.folds.count - 1}", fix="count from 0")
        return self.recipe.fold or every

    def network(self, weights: str = "none") -> Network:
        """A new network as the recipe says."""
        model = self.recipe.model
        return build_network(model.backbone, model.head, self.trained.sizes, weights, self.with_years)

    @property
    def with_years(self) -> bool:
        """Whether the network has a layer for years."""
        return self.recipe.years.name != "none"


def make_plan(recipe: Recipe) -> Plan:
    """Reads and checks everything that training needs before anything is decoded.

    Raises:
        MaskfitError: The recipe names no data, the data have mistakes, or recipe and data do not fit.
    """
    if recipe.data.root is None:
        raise RecipeError(
            "the recipe names no photos", where="data.root", fix="add data.root=DIR or data.root=PHOTOS.csv"
        )
    official = recipe.data.scheme
    data = recipe.data
    photos, remarks = read_corrected(str(data.root), official, data.corrections, data.known_errors)
    extra = [photo for path in recipe.data.extra for photo in read_photos(path, official)]
    trained = recipe.data.age.scheme(official)
    # The meta device gives a network's facts without its weights' memory.
    with torch.device("meta"):
        draft = build_network(recipe.model.backbone, recipe.model.head, trained.sizes)
    check_economy(recipe, draft)
    heads = draft.heads
    _refuse_unlabelled(photos, trained, Path(recipe.data.root))
    _refuse_yearless(recipe, photos)
    strange = [name for name in recipe.heads if name not in heads]
    if strange:
        raise RecipeError(f"heads.{strange[0]}: the heads of '{recipe.model.head.name}' are {', '.join(heads)}")
    return Plan(
        recipe=recipe,
        photos=PhotoSet(photos.root, (*photos.photos, *extra)),
        judged=len(photos),
        official=official,
        trained=trained,
        folds=_folds(recipe, photos),
        preprocessing=Preprocessing(
            framing=Framing(
                crop=data.crop,
                size=data.size,
                filter=draft.trunk.filter,
                background=data.background,
                sharpen=data.sharpen,
            ).settled(),
            normalising=Normalising(mean=draft.trunk.mean, std=draft.trunk.std, mode=recipe.data.normalise),
        ),
        heads=heads,
        remarks=tuple(remarks),
    )


def _folds(recipe: Recipe, photos: PhotoSet) -> Folds:
    if isinstance(recipe.folds, str):
        return read_folds(Path(recipe.folds))
    return make_folds(photos, recipe.data.scheme, recipe.folds, seed=recipe.trainer.seed, holdout=recipe.holdout)


def _refuse_yearless(recipe: Recipe, photos: PhotoSet) -> None:
    if recipe.years.name == "none":
        return
    banded = [attribute.name for attribute in recipe.data.scheme.attributes if attribute.edges]
    if not banded:
        raise RecipeError(
            "a loss of years needs an attribute with bands, and this scheme has none", where="years", fix="years=none"
        )
    if all(as_number(photo.labels.get(banded[0], "")) is None for photo in photos):
        raise DataError(
            f"no photo says its {banded[0]} as a number, so no years could be learned",
            where=recipe.data.root,
            fix="years=none, or a manifest with numbers",
        )


def _refuse_unlabelled(photos: PhotoSet, scheme: Scheme, root: Path) -> None:
    labels = [photo.labels for photo in photos]
    unlabelled = [name for name in scheme.names if scheme.possible(labels, name).all()]
    if unlabelled:
        raise DataError(
            f"no photo says its {' or '.join(unlabelled)}, so nothing could learn it",
            where=root,
            fix="add the column, or name a smaller scheme such as data.scheme=mask",
        )

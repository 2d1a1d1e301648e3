"""Mixing: label share equals pixel share, to the pixel; partners are whom the name says; nothing turns round."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskfit.errors import RecipeError
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS, UNKNOWN, LabelSchema
from maskfit.losses import LOSSES
from maskfit.losses.multi_head_loss import HeadLoss, MultiHeadLoss
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.augment import BATCH_MIXING
from maskfit.training.augment.batch_mixing import MixedBatch, Mixing
from maskfit.training.seeding import seed_torch

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
NAMES = [name for name in BATCH_MIXING if name != "none"]
CUTS = [name for name in NAMES if name != "mixup"]


def make(name: str, scheme: LabelSchema = SCHEMA, **options: object) -> Mixing:
    return instantiate(BATCH_MIXING, ComponentSpec.create(name, **options), schema=scheme)


def allow(classes: list[int], joint: bool = False, scheme: LabelSchema = SCHEMA) -> dict[str, torch.Tensor]:
    heads = (JOINT_HEAD,) if joint else scheme.names
    rows = {head: scheme.allowed_mask_from_indices(scheme.to_attribute_indices(classes), head) for head in heads}
    return {head: torch.from_numpy(values) for head, values in rows.items()}


def numbered(count: int, height: int, width: int) -> torch.Tensor:
    """Photos whose red is their own number, green each pixel's row, blue its column."""
    photos = torch.zeros(count, 3, height, width)
    photos[:, 0] = torch.arange(float(count)).view(-1, 1, 1)
    photos[:, 1] = torch.arange(float(height)).view(1, -1, 1)
    photos[:, 2] = torch.arange(float(width)).view(1, 1, -1)
    return photos


def test_none_mixes_nothing():
    assert make("none")(torch.zeros(2, 3, 4, 4), allow([0, 1])) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(16, 16), (15, 9), (9, 15), (8, 33), (1, 7)])
@pytest.mark.parametrize("prob", [1.0, 0.5])
def test_label_share_is_pixel_share(name, size, prob):
    """Each photo all 255 among partners that are all 0: what is left of its 255 is its share."""
    mixing = make(name, prob=prob)
    count, fractions = 6, []
    for one in range(count):
        seed_torch(one, name)
        photos = torch.zeros(count, 3, *size)
        photos[one] = 255
        mixed = mixing(photos, allow([0, 5, 5, 0, 11, 0]))
        assert isinstance(mixed, MixedBatch)
        assert mixed.images.shape == photos.shape
        assert mixed.lam.shape == mixed.permutation.shape == (count,)
        left = mixed.images[one].double().mean() / 255
        assert float(left) == pytest.approx(float(mixed.lam[one]), abs=1e-6)
        # Whoever got it as a partner has the rest.
        for other in range(count):
            if other != one:
                rest = (1 - float(mixed.lam[other])) * (int(mixed.permutation[other]) == one)
                assert float(mixed.images[other].double().mean() / 255) == pytest.approx(rest, abs=1e-6)
        fractions += mixed.lam.tolist()
    assert all(0 <= share <= 1 for share in fractions)


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("size", [(12, 12), (15, 9), (9, 15)])
def test_each_pixel_stays_in_its_place_and_is_counted(name, size):
    seed_torch(0, name)
    height, width = size
    photos = numbered(8, height, width)
    mixed = make(name, prob=1.0)(photos, allow([0, 5, 5, 0, 0, 11, 5, 0]))
    assert torch.equal(mixed.images[:, 1:], photos[:, 1:])
    for index in range(8):
        own = mixed.images[index, 0] == index
        other = mixed.images[index, 0] == mixed.permutation[index]
        assert (own | other).all()
        assert float(mixed.lam[index]) * height * width == pytest.approx(int(own.sum()), abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_each_photo_has_its_own_draw_which_follows_from_where_training_stands(name):
    mixing, photos = make(name, prob=0.7), numbered(16, 12, 10)
    results = []
    for step in (0, 1, 0):
        seed_torch(0, "step", step)
        results.append(mixing(photos, allow([0, 5, 0, 5] * 4)))
    for first, again in zip(results[0], results[2], strict=True):
        assert torch.equal(first, again)
    assert not torch.equal(results[0].images, results[1].images)
    assert len(results[0].lam.unique()) > 1


@pytest.mark.parametrize("name", NAMES)
def test_chance_is_each_photos_chance(name):
    photos, allowed = torch.rand(200, 3, 6, 6) * 255, allow([5, 11] * 100)
    for prob in (0.0, 0.4):
        seed_torch(1, name)
        mixed = make(name, prob=prob)(photos, allowed)
        untouched = (mixed.images == photos).flatten(1).all(dim=1)
        assert (mixed.lam[untouched] > 0.95).all()
        # Some cuts round to nothing.
        assert 1 - prob - 0.1 < untouched.float().mean() < 1 - prob + 0.2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half(name, kind):
    seed_torch(2, name)
    mixed = make(name, prob=1.0)(numbered(4, 6, 6).to(kind), allow([5] * 4))
    assert mixed.images.dtype == kind
    assert mixed.lam.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_alone_in_its_batch_stays_itself(name):
    photos = numbered(1, 6, 5)
    mixed = make(name, prob=1.0)(photos, allow([5]))
    assert mixed.permutation.tolist() == [0]
    torch.testing.assert_close(mixed.images, photos)


# Shapes of cuts


def kept(name: str, count: int = 300, size: tuple[int, int] = (20, 12), **options: object) -> torch.Tensor:
    """Which pixels stay a photo's own, (count, height, width)."""
    photos = numbered(count, *size)
    mixed = make(name, prob=1.0, **options)(photos, allow([5] * count))
    return mixed.images[:, 0] == photos[:, 0]


def test_a_strip_goes_from_top_to_bottom_and_never_across():
    seed_torch(3)
    own = kept("vertical_cutmix")
    assert torch.equal(own, own[:, :1].expand_as(own))
    edges = (own[:, 0, 1:] != own[:, 0, :-1]).sum(dim=1)
    assert edges.max() == 2
    # With a beta of 1 every width is as likely; it lies inside, so the middle is hit more often than the sides.
    assert own.float().mean() == pytest.approx(0.5, abs=0.05)
    assert 0.2 < own[:, 0].float().mean(dim=0).min() < own[:, 0].float().mean(dim=0).max() < 0.98
    assert len(own[:, 0].sum(dim=1).unique()) == 13


@pytest.mark.parametrize("size", [(20, 12), (12, 20), (15, 15)])
def test_a_box_has_the_photos_format_lies_anywhere_and_is_clipped(size):
    seed_torch(4)
    height, width = size
    other = ~kept("cutmix", 600, size)
    rows, columns = other.any(dim=2), other.any(dim=1)
    assert torch.equal(other, rows[:, :, None] & columns[:, None])
    # Where it touches no edge it is whole: of the photo's own format.
    inside = ~(rows[:, 0] | rows[:, -1] | columns[:, 0] | columns[:, -1]) & rows.any(dim=1)
    high, wide = rows[inside].sum(dim=1) / height, columns[inside].sum(dim=1) / width
    assert inside.sum() > 50
    assert (high - wide).abs().max() <= 1 / min(size) + 1e-6
    assert other[:, height // 2, width // 2].float().mean() > other[:, 0, 0].float().mean()


@pytest.mark.parametrize("beta", [0.05, 20.0])
def test_beta_says_how_even_the_shares_are(beta):
    seed_torch(5)
    fraction = kept("vertical_cutmix", 300, (4, 100), beta=beta).float().mean(dim=(1, 2))
    center = ((fraction > 0.25) & (fraction < 0.75)).float().mean()
    assert (center > 0.95) if beta > 1 else (center < 0.15)
    blended = make("mixup", alpha=beta)(torch.zeros(300, 3, 1, 1), allow([5] * 300)).lam
    center = ((blended > 0.25) & (blended < 0.75)).float().mean()
    assert (center > 0.95) if beta > 1 else (center < 0.15)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("half_face")])
@pytest.mark.parametrize("width", [12, 11])
def test_halves_are_left_and_right(name, width):
    seed_torch(6)
    own = kept(name, 100, (7, width))
    assert torch.equal(own, own[:, :1].expand_as(own))
    left = torch.arange(width) < width // 2
    is_left = (own[:, 0] == left).all(dim=1)
    is_right = (own[:, 0] == ~left).all(dim=1)
    assert (is_left ^ is_right).all()
    assert 30 < is_left.sum() < 70


# Partners


@pytest.mark.parametrize("name", ["mixup", "cutmix", "vertical_cutmix", "half_face"])
def test_everyone_gives_once_and_nobody_to_itself(name):
    seed_torch(7)
    partner = make(name)(torch.zeros(30, 3, 2, 2), allow([0] * 30)).permutation
    assert sorted(partner.tolist()) == list(range(30))
    assert (partner != torch.arange(30)).all()


@pytest.mark.parametrize("joint", [False, True])
def test_the_same_class_is_the_same_in_every_head(joint):
    classes = [0, 6, 3, 0, 1, 6, 0, 17]
    for step in range(20):
        seed_torch(step)
        partner = make("half_face_same")(torch.zeros(8, 3, 2, 2), allow(classes, joint)).permutation.tolist()
        assert [classes[other] for other in partner] == classes
        alone = [index for index, other in enumerate(partner) if index == other]
        assert alone == [2, 4, 7]
    seen = set()
    for step in range(40):
        seed_torch(step)
        seen.add(int(make("half_face_same")(torch.zeros(8, 3, 2, 2), allow(classes, joint)).permutation[0]))
    assert seen == {3, 6}


def test_photos_that_know_the_same_are_of_one_class():
    codes = np.array([[0, UNKNOWN, UNKNOWN], [0, 0, 0], [0, UNKNOWN, UNKNOWN], [0, UNKNOWN, 0]])
    allowed = {head: torch.from_numpy(SCHEMA.allowed_mask_from_indices(codes, head)) for head in SCHEMA.names}
    assert make("half_face_same")(torch.zeros(4, 3, 2, 2), allowed).permutation.tolist() == [2, 1, 0, 3]


DECADES = AgeLabelRule(by_decade=True, old_from_age=58).training_schema(SCHEMA)


@pytest.mark.parametrize("scheme", [SCHEMA, DECADES, LABEL_SCHEMAS["age"]], ids=["three", "decades", "age"])
@pytest.mark.parametrize("joint", [False, True])
def test_the_old_are_looked_for(scheme, joint):
    """The oldest value of age, the last attribute: in both kinds of heads, and also where decades are trained."""
    ages = scheme.shape[-1]
    classes = [index % scheme.num_classes for index in (ages - 1, 0, 1, 2 * ages - 1, ages - 2, 0)]
    old = {index for index, number in enumerate(classes) if number % ages == ages - 1}
    assert 1 <= len(old) <= 2
    seen = set()
    for step in range(30):
        seed_torch(step)
        partner = make("half_face_old", scheme)(torch.zeros(6, 3, 2, 2), allow(classes, joint, scheme)).permutation
        assert all(int(other) in old - {index} for index, other in enumerate(partner) if old - {index})
        assert all(int(other) != index for index, other in enumerate(partner))
        seen |= set(partner.tolist())
    assert old <= seen


def test_without_anyone_old_any_other_photo_will_do():
    seed_torch(8)
    partner = make("half_face_old")(torch.zeros(50, 3, 2, 2), allow([0, 1] * 25)).permutation
    assert (partner != torch.arange(50)).all()
    assert len(partner.unique()) > 20
    # Who may be old or not is not old.
    codes = np.array([[0, 0, UNKNOWN], [0, 0, 2], [0, 0, UNKNOWN]])
    allowed = {head: torch.from_numpy(SCHEMA.allowed_mask_from_indices(codes, head)) for head in SCHEMA.names}
    partner = make("half_face_old")(torch.zeros(3, 3, 2, 2), allowed).permutation.tolist()
    assert (partner[0], partner[2]) == (1, 1)


# The loss


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_weighs_both_labels_by_their_pixels(name):
    seed_torch(9)
    classes = [0, 5, 5, 17]
    allowed, photos = allow(classes, joint=True), numbered(4, 9, 7)
    mixed = make(name, prob=1.0)(photos, allowed)
    loss = instantiate(LOSSES, ComponentSpec.create("cross_entropy"), counts=torch.ones(18))
    logits = torch.randn(4, 18)
    found = MultiHeadLoss({JOINT_HEAD: HeadLoss(loss, 1.0)})({JOINT_HEAD: logits}, allowed, mixed)["loss"]
    logs = logits.log_softmax(dim=1)
    expected = 0.0
    for index, number in enumerate(classes):
        other = classes[int(mixed.permutation[index])]
        lam = float(mixed.lam[index])
        expected -= (lam * float(logs[index, number]) + (1 - lam) * float(logs[index, other])) / 4
    assert float(found) == pytest.approx(expected, rel=1e-4)


# Mistakes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prob", [-0.1, 1.1, float("nan"), "often"])
def test_a_chance_out_of_range_is_the_recipes_mistake(name, prob):
    with pytest.raises(RecipeError, match=name):
        make(name, prob=prob)


@pytest.mark.parametrize(("name", "option"), [("mixup", "alpha"), ("cutmix", "beta"), ("vertical_cutmix", "beta")])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "even"])
def test_a_beta_out_of_range_is_the_recipes_mistake(name, option, value):
    with pytest.raises(RecipeError, match=name):
        make(name, **{option: value})


def test_who_has_no_age_has_no_old():
    with pytest.raises(RecipeError, match="bin_edges"):
        make("half_face_old", LABEL_SCHEMAS["mask-gender"])

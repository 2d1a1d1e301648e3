"""Batches: every photo once an epoch, in an order that follows from where training stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maskfit.data.image_cache.cache import CachedImages
from maskfit.errors import RecipeError
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.data_loaders import FoldDataset, TrainLoader, ValLoader
from maskfit.training.optim import LR_SCHEDULERS, OPTIMIZERS
from maskfit.training.samplers import SAMPLERS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
PHOTOS = 30


@pytest.fixture
def frames() -> CachedImages:
    """Photos whose pixels are their own number, stored in another order than the set's."""
    rows = np.random.default_rng(0).permutation(PHOTOS)
    pixels = np.empty((PHOTOS, 2, 3, 3), np.uint8)
    pixels[rows] = np.arange(PHOTOS, dtype=np.uint8)[:, None, None, None]
    return CachedImages(rows.astype(np.int64), pixels)


def samples_of(frames: CachedImages, count: int) -> FoldDataset:
    codes = SCHEMA.to_attribute_indices(np.arange(PHOTOS) % 18)
    # Every other photo from the back: places in the set, not in the list of indices.
    indices = np.arange(PHOTOS)[::-1][:count].copy()
    return FoldDataset(
        frames, {head: SCHEMA.allowed_mask_from_indices(codes, head) for head in (JOINT_HEAD, "mask")}, indices
    )


def indices_of(batches) -> list[list[int]]:
    return [batch["indices"].tolist() for batch in batches]


def flat(batches: list[list[int]]) -> list[int]:
    return [index for batch in batches for index in batch]


def training(frames, count=11, size=4, chance=(0, "fold", 0), done=0) -> TrainLoader:
    sampler = instantiate(SAMPLERS, ComponentSpec.create("random"), classes=np.zeros(count, np.int64))
    return TrainLoader(samples_of(frames, count), sampler, size, chance, lambda: done)


def test_a_batch_holds_the_photos_and_labels_of_its_indices(frames):
    for batch in training(frames):
        indices = batch["indices"]
        assert batch["images"].shape == (len(indices), 2, 3, 3)
        assert batch["images"].dtype == torch.uint8
        assert (batch["images"] == indices.view(-1, 1, 1, 1)).all()
        assert (batch["allowed"][JOINT_HEAD].int().argmax(dim=1) == indices % 18).all()
        assert (batch["allowed"]["mask"].int().argmax(dim=1) == indices % 18 // 6).all()
        assert (batch["allowed"][JOINT_HEAD].sum(dim=1) == 1).all()


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [
        (11, 4, [4, 4, 3]),
        (12, 4, [4, 4, 4]),
        (3, 8, [3]),
        (10, 4, [4, 4, 2]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_every_photo_comes_once_an_epoch(frames, count, size, lengths):
    batches = training(frames, count, size)
    seen = indices_of(batches)
    assert [len(batch) for batch in seen] == lengths
    assert len(batches) == len(lengths)
    assert sorted(flat(seen)) == sorted(samples_of(frames, count).indices.tolist())


def test_a_last_batch_of_one_photo_is_filled_from_the_front(frames):
    seen = indices_of(training(frames, 9, 4))
    assert [len(batch) for batch in seen] == [4, 4, 2]
    assert sorted(set(flat(seen))) == sorted(samples_of(frames, 9).indices.tolist())
    assert seen[2][1] == seen[0][0]


def test_the_order_depends_on_epoch_and_seed_and_on_nothing_else(frames):
    first = indices_of(training(frames))
    assert indices_of(training(frames)) == first
    assert first[0] != sorted(first[0])
    others = [
        indices_of(training(frames, done=3)),
        indices_of(training(frames, done=6)),
        indices_of(training(frames, chance=(1, "fold", 0))),
        indices_of(training(frames, chance=(0, "fold", 1))),
    ]
    assert len({str(order) for order in [first, *others]}) == 5


@pytest.mark.parametrize("done", range(9))
def test_a_resume_goes_on_with_the_batches_that_were_not_seen(frames, done):
    whole = [indices_of(training(frames, done=start)) for start in (0, 3, 6)]
    epoch, within = divmod(done, 3)
    assert indices_of(training(frames, done=done)) == whole[epoch][within:]


def test_validation_goes_through_every_photo_in_order_and_drops_none(frames):
    samples = samples_of(frames, 9)
    for size in (1, 4, 8, 9, 20):
        batches = ValLoader(samples, size)
        seen = indices_of(batches)
        assert flat(seen) == samples.indices.tolist()
        assert len(batches) == len(seen)
        assert max(len(batch) for batch in seen) <= size


def test_a_validation_batch_of_one_photo_is_one_photo(frames):
    assert indices_of(ValLoader(samples_of(frames, 5), 4))[-1] == [25]


# What moves the weights


@pytest.mark.parametrize("name", list(LR_SCHEDULERS))
def test_a_schedule_gives_factors_from_nothing_to_one(name):
    factor = instantiate(LR_SCHEDULERS, ComponentSpec.create(name), epochs=5, epoch_steps=20)
    if not callable(factor):
        pytest.skip("follows what validation says")
    factors = [factor(step) for step in range(100)]
    assert all(0 < value <= 1 for value in factors)
    assert max(factors) == 1


def test_cosine_rises_then_falls_to_its_floor_at_the_last_step():
    factor = instantiate(LR_SCHEDULERS, ComponentSpec.create("cosine", warmup=0.5, floor=0.1), epochs=5, epoch_steps=20)
    assert [factor(step) for step in range(10)] == pytest.approx([(step + 1) / 10 for step in range(10)])
    falling = [factor(step) for step in range(10, 100)]
    assert falling[0] == 1
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == pytest.approx(0.1)
    center = instantiate(LR_SCHEDULERS, ComponentSpec.create("cosine", warmup=0, floor=0.0), epochs=1, epoch_steps=101)
    assert [center(0), center(25), center(50), center(100)] == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, 0])
    assert factor(1000) == pytest.approx(0.1)


@pytest.mark.parametrize("options", [{"warmup": -1}, {"floor": 1.5}, {"floor": -0.1}, {"warmup": float("nan")}])
def test_a_schedule_out_of_range_is_the_recipes_mistake(options):
    with pytest.raises(RecipeError, match="cosine"):
        instantiate(LR_SCHEDULERS, ComponentSpec.create("cosine", **options), epochs=1, epoch_steps=10)


def test_one_step_in_all_is_a_schedule_too():
    assert instantiate(LR_SCHEDULERS, ComponentSpec.create("cosine"), epochs=1, epoch_steps=1)(0) == 1


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_an_optimiser_moves_every_weight_and_shrinks_only_those_with_two_sides(name):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    network[2].bias.requires_grad_(False)
    optimizer = instantiate(OPTIMIZERS, ComponentSpec.create(name, lr=0.1, weight_decay=0.3), network=network)
    decay = {id(weight): group["weight_decay"] for group in optimizer.param_groups for weight in group["params"]}
    for label, weight in network.named_parameters():
        assert decay.pop(id(weight)) == (0.3 if weight.ndim > 1 else 0.0), label
    assert not decay
    photos, before = torch.randn(8, 4), [weight.clone() for weight in network.parameters()]

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (network(photos) - 1).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    moved = [not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)]
    # All but the frozen one.
    assert moved == [True, True, True, True, True, False]


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("options", [{"lr": -1.0}, {"weight_decay": -0.1}, {"weight_decay": float("nan")}])
def test_options_of_an_optimiser_out_of_range_are_the_recipes_mistake(name, options):
    with pytest.raises(RecipeError, match=name):
        instantiate(OPTIMIZERS, ComponentSpec.create(name, **options), network=nn.Linear(2, 2))


@pytest.mark.parametrize("betas", [[0.9], [0.9, 1.0], 0.9])
def test_betas_out_of_range_are_the_recipes_mistake(betas):
    with pytest.raises(RecipeError, match="adamw"):
        instantiate(OPTIMIZERS, ComponentSpec.create("adamw", betas=betas), network=nn.Linear(2, 2))

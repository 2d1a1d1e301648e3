"""Progressive resizing: sizes grow to the network's, pixels are antialiased, and only training sees small images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.errors import RecipeError
from maskfit.models.network import Network
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.augment import PROGRESSIVE_RESIZING
from maskfit.training.augment.progressive_resizing import list_sizes
from maskfit.training.plan import make_plan
from maskfit.training.progressive_sizes import describe_progressive_resizing
from maskfit.training.recipe_registry import RECIPE_REGISTRY
from maskfit.training.task import ClassificationTask
from maskfit.training.train import train

Make = Callable[..., Recipe]
LINEAR = "progressive_resizing={name: linear, size_increment: 4}"


def sizes(num_batches: int = 100, size: tuple[int, int] = (128, 96), **options: float) -> list[tuple[int, int]]:
    spec = ComponentSpec.create("linear", **options)
    schedule = instantiate(PROGRESSIVE_RESIZING, spec, size=size, num_batches=num_batches)
    return [schedule(batch) for batch in range(num_batches)]


def test_the_defaults_begin_at_half_the_size_and_end_with_a_fifth_at_the_full_one() -> None:
    found = sizes()
    assert found[0] == found[49] == (64, 48)
    assert set(found[80:]) == {(128, 96)}
    # Halfway through the growth the scale is three quarters; 72 is no multiple of 16.
    assert found[65] in ((96, 64), (96, 80))
    fine = sizes(size_increment=4)
    assert (fine[65], fine[79], fine[80]) == ((96, 72), (124, 96), (128, 96))


@given(
    num_batches=st.integers(1, 300),
    height=st.integers(8, 300),
    width=st.integers(8, 300),
    initial_scale=st.floats(0.01, 1),
    delay_fraction=st.floats(0, 0.99),
    share=st.floats(0, 1),
    size_increment=st.integers(1, 64),
)
def test_sizes_only_grow_and_never_beyond_the_networks(
    num_batches: int, height: int, width: int, share: float, **options: float
) -> None:
    finetune_fraction = share * (1 - options["delay_fraction"])
    found = sizes(num_batches, (height, width), finetune_fraction=finetune_fraction, **options)
    for side, full in enumerate((height, width)):
        sides = [size[side] for size in found]
        assert sides == sorted(sides)
        assert sides[0] >= 8
        assert sides[-1] <= full
        assert all(item % options["size_increment"] == 0 or item in (8, full) for item in sides)
        delayed = [item for batch, item in enumerate(sides) if batch / num_batches < options["delay_fraction"]]
        assert len(set(delayed)) <= 1
    tuned = [size for batch, size in enumerate(found) if batch / num_batches >= 1 - finetune_fraction]
    assert set(tuned) <= {(height, width)}


def test_the_list_of_sizes_has_each_once_with_its_share() -> None:
    schedule = instantiate(PROGRESSIVE_RESIZING, ComponentSpec.create("linear"), size=(64, 64), num_batches=200)
    listed = list_sizes(schedule, 200)
    assert list(listed) == [(32, 32), (48, 48), (64, 64)]
    assert sum(listed.values()) == pytest.approx(1)
    assert sum(schedule(batch) == (48, 48) for batch in range(200)) == round(200 * listed[48, 48])


@pytest.mark.parametrize(
    "options",
    [
        {"initial_scale": 0},
        {"initial_scale": 1.5},
        {"delay_fraction": 1},
        {"finetune_fraction": -0.1},
        {"size_increment": 0},
        {"delay_fraction": 0.7, "finetune_fraction": 0.4},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=next(iter(options))):
        sizes(**options)


def shrinking_task(size: tuple[int, int], batches: int = 5, accumulate: int = 1) -> ClassificationTask:
    task = ClassificationTask.__new__(ClassificationTask)
    torch.nn.Module.__init__(task)
    spec = ComponentSpec.create("linear", initial_scale=0.25, delay_fraction=0, finetune_fraction=0, size_increment=1)
    task.progressive_resizing = instantiate(PROGRESSIVE_RESIZING, spec, size=size, num_batches=2 * batches)
    task._fabric = None
    task._trainer = SimpleNamespace(num_training_batches=batches, accumulate_grad_batches=accumulate)  # type: ignore[assignment]
    return task


def test_pixels_are_those_of_pillows_antialiased_reduction() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    found = shrinking_task((40, 60))._downscale(torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), 0)
    assert found.shape == (2, 3, 10, 15)
    for image, expected in zip(found.permute(0, 2, 3, 1).numpy(), pixels, strict=True):
        reduced = Image.fromarray(expected).resize((15, 10), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(image, np.asarray(reduced, dtype=np.float32), atol=1.1)


def test_batches_whose_gradients_are_summed_have_one_size() -> None:
    """Five batches an epoch in steps of two: the last one of an epoch is a step of its own."""
    task, images = shrinking_task((64, 64), accumulate=2), torch.zeros(1, 3, 64, 64)
    sides = [task._downscale(images, batch).shape[2] for batch in range(10)]
    assert sides == [sides[first] for first in (0, 0, 2, 2, 4, 5, 5, 7, 7, 9)]
    assert len(set(sides)) == 6


def seen_sizes(monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> tuple[list[tuple[int, int]], set[tuple[int, int]]]:
    """The sizes of the training batches in turn, and all sizes of validation and of the last evaluation."""
    training, evaluation = [], set()
    forward = Network.forward_features

    def watch(self: Network, images: torch.Tensor) -> torch.Tensor:
        size = (images.shape[2], images.shape[3])
        if self.training:
            training.append(size)
        else:
            evaluation.add(size)
        return forward(self, images)

    monkeypatch.setattr(Network, "forward_features", watch)
    train(recipe)
    return training, evaluation


def test_training_grows_and_validation_has_the_full_size(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    mixing = "batch_mixing={name: half_face_same, prob: 1}"
    recipe = tiny("data.image_size=[32,24]", "trainer.full_data_epochs=1", "trainer.epochs=3", mixing, LINEAR)
    training, evaluation = seen_sizes(monkeypatch, recipe)
    assert evaluation == {(32, 24)}
    batches = len(training) * 3 // 4 // 3 * 3
    assert training[0] == (16, 12)
    assert training == sorted(training)
    assert len(set(training)) > 2
    # The epoch on all photos.
    assert set(training[batches:]) == {(32, 24)}


def test_without_it_every_batch_has_the_full_size(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    training, evaluation = seen_sizes(monkeypatch, tiny("trainer.epochs=1"))
    assert set(training) == evaluation == {(24, 24)}


def test_what_is_used_is_said(tiny: Make) -> None:
    line = "progressive resizing: 64 (54%), 80 (8%), 96 (8%), 112 (8%), 128 (24%) px of the training; 50% of"
    recipe = tiny("data.image_size=128", "progressive_resizing=linear")
    described = describe_progressive_resizing(recipe.progressive_resizing, (128, 128))
    assert described is not None
    assert described.startswith(line)
    assert described in make_plan(recipe).warnings
    assert describe_progressive_resizing(tiny().progressive_resizing, (24, 24)) is None


def test_a_network_of_one_size_is_refused_before_anything_is_written(tiny: Make, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    words = ("model.backbone={name: vit_tiny_patch16_224}", "data.image_size=64", "progressive_resizing=linear")
    with pytest.raises(RecipeError, match=r"does not take images of (32|48) x (32|48) px besides those") as caught:
        train(tiny(*words))
    assert caught.value.location == "progressive_resizing"
    assert not (tmp_path / "run").exists()


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"trainer.compile: does not go together with progressive_resizing"):
        read_recipe("fast", ["trainer.compile=true", "progressive_resizing=linear"], registries=RECIPE_REGISTRY)
    with pytest.raises(RecipeError, match=r"progressive_resizing: does not go together with trainer.cached_features"):
        read_recipe("quick", ["progressive_resizing=linear"], registries=RECIPE_REGISTRY)

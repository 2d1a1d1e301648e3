"""In a training step nobody asks the device for a number, and nothing is sent there so that the host waits.

The device is torch's `meta`, which computes shapes alone: asking it for a number is an error, and a copy to it is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from maskfit.data.preprocessing import Normalize
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.losses import LOSSES
from maskfit.losses.multi_head_loss import HeadLoss, MultiHeadLoss
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training import data_loaders
from maskfit.training.augment import AUGMENTATIONS, BATCH_MIXING, PROGRESSIVE_RESIZING
from maskfit.training.data_loaders import FoldDataset
from maskfit.training.optim import FREEZING
from maskfit.training.task import ClassificationTask

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
BATCH, SIDE = 6, 32


class Watched(TorchDispatchMode):
    """Fails where the host would wait for the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [item for item in (*args, *kwargs.values()) if isinstance(item, torch.Tensor)]
        away = any(item.device.type == "meta" for item in given)
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default) and away:
            pytest.fail(f"{func} asks the device")
        if func is torch.ops.aten._to_copy.default and kwargs.get("device") is not None:
            there = torch.device(kwargs["device"]).type
            if (there == "meta") != away:
                assert there == "meta", "a tensor is brought back"
                assert kwargs.get("non_blocking"), "the host waits until a tensor is there"
        if func is torch.ops.aten.copy_.default and args[0].device != args[1].device:
            assert args[2] if len(args) > 2 else kwargs.get("non_blocking"), "the host waits until a tensor is there"
        return func(*args, **kwargs)


@contextmanager
def watched() -> Iterator[None]:
    # Mixed precision is not to be had on this device; it asks for nothing either.
    with Watched(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "autocast", lambda *given, **more: nullcontext())
        yield


def step(
    augmentation: str = "light", mixing: str = "none", loss: str = "cross_entropy", resizing: str = "none"
) -> None:
    with torch.device("meta"):
        network = build_network(
            ComponentSpec.create("small", width=4), ComponentSpec.create("multi_head"), SCHEMA.sizes
        )
    losses = {
        name: HeadLoss(instantiate(LOSSES, ComponentSpec.create(loss), counts=torch.ones(size)), 1.0)
        for name, size in SCHEMA.sizes.items()
    }
    task = ClassificationTask(
        network,
        MultiHeadLoss(losses),
        lambda network: torch.optim.SGD(network.parameters()),
        schema=SCHEMA,
        normalization=Normalize(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
        augmentation=instantiate(AUGMENTATIONS, ComponentSpec.create(augmentation), size=(SIDE, SIDE)),
        batch_mixing=instantiate(BATCH_MIXING, ComponentSpec.create(mixing), schema=SCHEMA),
        progressive_resizing=instantiate(
            PROGRESSIVE_RESIZING, ComponentSpec.create(resizing), size=(SIDE, SIDE), num_batches=18
        ),
        lr_scheduler=lambda step: 1.0,
        freezing=instantiate(FREEZING, ComponentSpec.create("none")),
    ).to("meta")
    task._trainer = SimpleNamespace(num_training_batches=9, current_epoch=0, max_epochs=2, accumulate_grad_batches=1)
    allowed = {name: torch.zeros(BATCH, size, dtype=torch.bool) for name, size in SCHEMA.sizes.items()}
    batch = {"images": torch.zeros(BATCH, SIDE, SIDE, 3, dtype=torch.uint8), "indices": torch.arange(BATCH)}
    batch = {name: item.to("meta") for name, item in batch.items()}
    batch["allowed"] = {name: rows.to("meta") for name, rows in allowed.items()}
    with watched():
        task.training_step(batch, 0).backward()
    assert all(item.grad is not None for item in network.parameters())


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_no_augmentation_waits(name: str) -> None:
    step(augmentation=name)


@pytest.mark.parametrize("name", BATCH_MIXING)
def test_no_mixing_waits(name: str) -> None:
    step(mixing=name)


@pytest.mark.parametrize("name", PROGRESSIVE_RESIZING)
def test_no_size_waits(name: str) -> None:
    step(mixing="half_face_same", resizing=name)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_waits(name: str) -> None:
    step(loss=name)


def test_one_who_waits_is_noticed() -> None:
    there = torch.ones(2, device="meta")
    with pytest.raises((AssertionError, pytest.fail.Exception)), watched():
        there.sum().item()
    with pytest.raises(AssertionError, match="waits"), watched():
        torch.ones(2).to("meta")
    with watched():
        torch.ones(2).to("meta", non_blocking=True)


def test_for_a_gpu_every_tensor_of_a_batch_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    from maskfit.data.image_cache.cache import CachedImages

    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    frames = CachedImages(np.arange(4), np.zeros((4, 2, 2, 3), np.uint8))
    samples = FoldDataset(frames, {"mask": np.ones((4, 3), bool), "age": np.ones((4, 3), bool)}, np.arange(4))
    assert len(list(samples.batches([np.arange(2), np.arange(2, 4)], pinned=True))) == 2
    assert len(pinned) == 2 * 4
    list(samples.batches([np.arange(2)], pinned=False))
    assert len(pinned) == 2 * 4


def test_batches_are_read_ahead_in_their_order_and_an_error_comes_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def batch(self: FoldDataset, indices: np.ndarray) -> dict[str, Any]:
        read.append(int(indices[0]))
        if indices[0] == 3:
            raise OSError("the disk is gone")
        return {"indices": torch.from_numpy(indices)}

    monkeypatch.setattr(FoldDataset, "batch", batch)
    samples = FoldDataset(None, {}, np.arange(9))  # type: ignore[arg-type]
    coming = samples.batches((np.array([number]) for number in range(9)), pinned=False)
    for number in range(3):
        assert next(coming)["indices"].tolist() == [number]
        assert len(read) <= number + 1 + data_loaders.PREFETCH_BATCHES
    with pytest.raises(OSError, match="disk"):
        next(coming)
    assert read == sorted(read)

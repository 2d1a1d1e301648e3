"""The Lightning task without a recipe: built from a network, a loss and an optimizer, and trained on tensors."""

from __future__ import annotations

import warnings

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from maskfit.config.monitor import MACRO_F1
from maskfit.data.preprocessing import Normalize
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.losses.cross_entropy import CrossEntropy
from maskfit.losses.multi_head_loss import HeadLoss, MultiHeadLoss
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec
from maskfit.training.builders import suppress_lightning_output
from maskfit.training.task import ClassificationTask

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
LABELS = [{"mask": "wear", "gender": "male", "age": 30}, {"mask": "incorrect"}, {"gender": "female", "age": 61}, {}]


def make_task(**options: object) -> ClassificationTask:
    """The example of the task's docstring."""
    network = build_network(ComponentSpec.create("small", width=4), ComponentSpec.create("multi_head"), SCHEMA.sizes)
    losses = {name: HeadLoss(CrossEntropy(torch.ones(size)), 1.0) for name, size in SCHEMA.sizes.items()}
    return ClassificationTask(
        network,
        MultiHeadLoss(losses),
        lambda module: torch.optim.AdamW(module.parameters(), lr=1e-2),
        schema=SCHEMA,
        normalization=Normalize(mean=network.backbone.mean, std=network.backbone.std),
        **options,
    )


def make_batch() -> dict[str, object]:
    torch.manual_seed(0)
    codes = SCHEMA.encode_batch(LABELS)
    allowed = {name: torch.from_numpy(SCHEMA.allowed_mask_from_indices(codes, name)) for name in SCHEMA.names}
    images = torch.randint(0, 256, (len(LABELS), 24, 24, 3), dtype=torch.uint8)
    return {"images": images, "allowed": allowed, "indices": torch.arange(len(LABELS))}


def make_trainer(**options: object) -> Trainer:
    with suppress_lightning_output():
        return Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, **options
        )


def test_two_steps_on_random_tensors_without_a_recipe() -> None:
    task = make_task()
    before = [weight.detach().clone() for weight in task.network.parameters()]
    with warnings.catch_warnings(action="ignore"):
        make_trainer(max_epochs=1).fit(task, DataLoader([make_batch(), make_batch()], batch_size=None))
    assert task.batches_done == len(task.step_losses) == 2
    assert task.step_losses[1] < task.step_losses[0]
    assert all(loss.isfinite() for loss in task.step_losses)
    # A head learns from the photos that have its label; all three have some.
    assert all(not torch.equal(old, new) for old, new in zip(before, task.network.parameters(), strict=True))


def test_validation_needs_targets_and_scores_the_whole_set() -> None:
    targets = SCHEMA.encode_batch(LABELS)
    trainer, loader = make_trainer(), DataLoader([make_batch()], batch_size=None)
    with warnings.catch_warnings(action="ignore"):
        trainer.validate(make_task(targets=targets), loader, verbose=False)
        metrics = trainer.callback_metrics
        assert 0 <= metrics[MACRO_F1.metric] <= 1
        assert {"valid_loss", "valid_mask_f1", "valid_gender_f1", "valid_age_f1"} <= set(metrics)
        with pytest.raises(ValueError, match="validation needs targets"):
            trainer.validate(make_task(), loader, verbose=False)

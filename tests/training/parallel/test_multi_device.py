"""Training with two processes over Gloo: the same batches, losses and scores as with one."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskfit.config.loader import recipe_to_yaml
from maskfit.config.recipe import Recipe
from maskfit.data.image_cache.cache import CachedImages
from maskfit.errors import RecipeError, RunError
from maskfit.losses.cross_entropy import CrossEntropy
from maskfit.losses.multi_head_loss import HeadLoss, MultiHeadLoss
from maskfit.run_dir import RunDir
from maskfit.training.data_loaders import FoldDataset, TrainLoader, ValLoader
from maskfit.training.parallel.distributed import SINGLE_PROCESS, ProcessGroup
from maskfit.training.samplers import RandomSampler
from maskfit.training.train import train

TWO = (ProcessGroup(0, 2), ProcessGroup(1, 2))

PLAIN = (
    # No BatchNorm, whose statistics are per process, and no random augmentation, which differs between ranks.
    "model.backbone={name: vit_tiny_patch16_224, img_size: 24, patch_size: 8, embed_dim: 16, depth: 1, num_heads: 2}",
    "model.head={name: multi_head, dropout: 0.0}",
    "augmentation=none",
    "data.train_resize_scale=1.0",
    "cv.val_fraction=0.25",
    "trainer.precision=32-true",
)


def samples(count: int) -> FoldDataset:
    frames = CachedImages(np.arange(count), np.zeros((count, 2, 2, 3), dtype=np.uint8))
    return FoldDataset(frames, {"mask": np.eye(3, dtype=bool)[np.arange(count) % 3]}, np.arange(count))


@pytest.mark.parametrize(("count", "size"), [(40, 8), (41, 8), (33, 8), (43, 7), (35, 8)])
def test_the_ranks_split_each_batch_of_a_single_process(count: int, size: int) -> None:
    data = samples(count)

    def batches(ranks: ProcessGroup) -> list[list[int]]:
        found = TrainLoader(data, RandomSampler(np.zeros(count, dtype=np.int64)), size, (0,), lambda: 0, ranks)
        return [batch["indices"].tolist() for batch in found]

    alone, first, second = batches(SINGLE_PROCESS), batches(TWO[0]), batches(TWO[1])
    assert len(first) == len(second) == len(alone)
    for one, own, other in zip(alone[:-1], first, second, strict=False):
        assert own + other == one
        assert abs(len(own) - len(other)) <= 1
    # The last batch is filled up where a rank would get a single photo.
    assert min(len(first[-1]), len(second[-1])) >= 2
    assert set(first[-1] + second[-1]) >= set(alone[-1])
    assert first[-1] + second[-1] == alone[-1] or len(alone[-1]) < 4


@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_each_photo_is_validated_by_one_rank(count: int) -> None:
    indices = [
        number for ranks in TWO for batch in ValLoader(samples(count), 3, ranks) for number in batch["indices"].tolist()
    ]
    assert sorted(indices) == list(range(count))


def test_the_mean_loss_of_the_ranks_is_the_loss_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    logits, weights = torch.randn(9, 3), torch.ones(3)
    allowed = torch.eye(3, dtype=torch.bool)[torch.arange(9) % 3]
    allowed[[2, 3, 4]] = True  # of three photos nothing is known, and of unlike many on both sides
    known = [(~allowed[part].all(dim=1)).sum() for part in (slice(0, 4), slice(4, 9))]
    mean = (known[0] + known[1]) / 2

    def loss(part: slice, over: Callable[[torch.Tensor], torch.Tensor] | None) -> torch.Tensor:
        criterion = MultiHeadLoss({"mask": HeadLoss(CrossEntropy(weights), 1.0)}, over)
        return criterion({"mask": logits[part]}, {"mask": allowed[part]})["loss"]

    shared = [loss(part, lambda _: mean) for part in (slice(0, 4), slice(4, 9))]
    assert torch.isclose((shared[0] + shared[1]) / 2, loss(slice(0, 9), None), atol=1e-6)
    # In evaluation mode it is the mean over the rank's own photos.
    evaluation_loss = MultiHeadLoss({"mask": HeadLoss(CrossEntropy(weights), 1.0)}, lambda _: mean).eval()
    assert torch.isclose(evaluation_loss({"mask": logits[:4]}, {"mask": allowed[:4]})["loss"], loss(slice(0, 4), None))


def losses(folder: RunDir, fold: int = 0) -> list[float]:
    with folder.fold(fold).train_loss.open() as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream)]


def files(folder: RunDir) -> set[str]:
    return {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def alone_and_together(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The same recipe trained by one process, and by two."""
    from maskfit.config.loader import read_recipe
    from maskfit.training.recipe_registry import RECIPE_REGISTRY

    place = tmp_path_factory.mktemp("together")
    words = [
        f"data.path={faces}",
        f"data.cache_dir={place / 'stores'}",
        "data.image_size=24",
        "trainer.epochs=2",
        "trainer.batch_size=16",
        "trainer.device=cpu",
        *PLAIN,
    ]
    made = {
        name: train(read_recipe("fast", [*words, f"output_dir={place / name}", *more], registries=RECIPE_REGISTRY))
        for name, more in (("alone", []), ("two", ["trainer.devices=2"]))
    }
    return SimpleNamespace(alone=made["alone"], two=made["two"], words=words, place=place)


def test_two_processes_have_the_losses_of_one(alone_and_together: SimpleNamespace) -> None:
    (alone, scores), (two, other) = alone_and_together.alone, alone_and_together.two
    one, both = losses(alone), losses(two)
    assert len(one) == len(both) > 6
    assert both == pytest.approx(one, abs=1e-5)
    assert files(two) == files(alone)
    assert (other.photos, other.known) == (scores.photos, scores.known)
    assert other.macro_f1 == pytest.approx(scores.macro_f1, abs=0.05)


def test_the_validation_scores_are_those_of_the_whole_set(alone_and_together: SimpleNamespace) -> None:
    rows = []
    for folder, _ in (alone_and_together.alone, alone_and_together.two):
        with folder.fold(0).metrics.open() as stream:
            rows.append(list(csv.DictReader(stream)))
    for one, both in zip(*rows, strict=True):
        assert float(both["valid_loss"]) == pytest.approx(float(one["valid_loss"]), abs=1e-4)
        assert float(both["valid_macro_f1"]) == pytest.approx(float(one["valid_macro_f1"]), abs=0.05)


def test_the_batch_must_hold_two_photos_per_device(tiny: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError, match="two photos for each of 4 devices, got 6"):
        train(tiny("trainer.devices=4", "trainer.batch_size=6"))


def test_several_nodes_need_a_launcher(tiny: Callable[..., Recipe]) -> None:
    with pytest.raises(RunError, match=r"trainer\.num_nodes=2, but this process was started alone"):
        train(tiny("trainer.num_nodes=2"))


def test_synchronized_batchnorm_has_the_same_state_dict() -> None:
    import timm
    from timm.layers.norm_act import convert_sync_batchnorm

    # EfficientNet's norm layers include an activation, which torch's own conversion would lose.
    network = timm.create_model("efficientnet_b0", num_classes=3).eval()
    photos = torch.rand(2, 3, 32, 32)
    before, names = network(photos), list(network.state_dict())
    network = convert_sync_batchnorm(network)
    assert list(network.state_dict()) == names
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in network.modules())
    assert torch.allclose(network(photos), before, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_the_command_runs_under_torchrun(alone_and_together: SimpleNamespace, tmp_path: Path, more: list[str]) -> None:
    words = [*alone_and_together.words, f"output_dir={tmp_path / 'run'}", "trainer.devices=2", "cv.num_folds=2"]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "maskfit",
        "train",
        "fast",
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1
    folder = RunDir(tmp_path / "run")
    if more:
        folder.fold(1).scores.unlink()
        folder.scores.unlink()
        assert subprocess.run([*command, *more], capture_output=True, timeout=600).returncode == 0
    assert folder.scores.is_file()
    assert losses(folder, 1)


@pytest.mark.slow
def test_a_killed_training_of_two_processes_resumes_to_the_same_losses(
    alone_and_together: SimpleNamespace, tmp_path: Path
) -> None:
    import os
    import signal
    import time

    def start(name: str, *more: str) -> subprocess.Popen[bytes]:
        words = [
            *alone_and_together.words,
            f"output_dir={tmp_path / name}",
            "trainer.devices=2",
            "trainer.epochs=8",
            "trainer.save_every_n_steps=2",
        ]
        command = [sys.executable, "-m", "maskfit", "train", "fast", *words, *more]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    cut = RunDir(tmp_path / "cut")
    process = start("cut")
    while not cut.fold(0).checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(3)
    assert start("cut", "--resume").wait() == 0
    assert losses(cut) == losses(RunDir(tmp_path / "whole"))


def test_a_recipe_stores_devices_and_nodes(tiny: Callable[..., Recipe]) -> None:
    text = recipe_to_yaml(tiny("trainer.devices=2", "trainer.num_nodes=3"))
    assert "devices: 2" in text
    assert "nodes: 3" in text

"""Training: photos a second through `maskfit train` against the network alone and against other ways to train it.

    uv run python benchmarks/train.py [--photos DIR] [--backbone NAME] [--against network,seeds] [--rounds N]

`maskfit` is a fold as the command trains it: store, augmentation, loss, optimiser, Lightning's loop, progress. Against:

- `network`: the limit. The same network, loss, optimiser, memory format, precision and allocation, on batches of floats
  that lie in memory ready to use.
- `network-f32`, `network-bf16`: the same as torch computes it in 32 bits, and in plain bfloat16 by autocast.
- `seeds`: as the public solutions of the competition train: each photo opened with Pillow and transformed by
  torchvision in a DataLoader's workers, float32, memory as it comes.
- `timm`: timm's loader, transforms, optimiser and loop, as its documentation drives them.
- `fastai`: its ImageDataLoaders and Learner; skipped where it is not installed.

Each is a process of its own, warm before the first round, halted while another has its turn. What lies between two
epochs (validation, checkpoints) is in nobody's clock.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

WARM = 2
"""Steps before the first round: memory is asked for, threads begin."""
WORKERS = 4
"""A seed's and timm's own number of loading processes."""
LR = 1e-3


class Turns:
    """In a contender's process: steps while it is its turn, and tells how long they took."""

    def __init__(self) -> None:
        self.steps = 0
        self.photos = 0
        self.seconds = 0.0
        self.wanted = 0.0
        self.before = time.perf_counter()

    def step(self, photos: int, counted: bool = True) -> None:
        """To be called after every step; where something else lay before it, that step is not counted."""
        self.steps += 1
        if counted and self.steps > WARM:
            self.photos += photos
            self.seconds += time.perf_counter() - self.before
        if self.steps >= WARM and self.seconds >= self.wanted:
            print(f"turn {self.photos} {self.seconds}", flush=True)
            self.wanted = float(sys.stdin.readline() or "nan")
            if not self.wanted > 0:
                os.killpg(0, signal.SIGKILL)
            self.photos, self.seconds = 0, 0.0
        self.before = time.perf_counter()


def recipe_words(given: argparse.Namespace) -> list[str]:
    return [
        f"data.path={given.photos}",
        f"data.cache_dir={given.scratch}/stores",
        f"data.label_schema={given.scheme}",
        f"output_dir={given.scratch}/run",
        "data.crop=center",
        f"data.image_size={given.size}",
        f"model.backbone={given.backbone}",
        "model.pretrained=none",
        "augmentation=light",
        "batch_mixing=none",
        "optimizer=adamw",
        f"optimizer.lr={LR}",
        f"trainer.batch_size={given.batch}",
        "trainer.epochs=1000",
        f"trainer.precision={given.precision}",
    ]


def run_maskfit(given: argparse.Namespace, turns: Turns) -> None:
    from maskfit.config.loader import read_recipe
    from maskfit.training.run_session import prepare_run
    from maskfit.training.progress_reporting import FoldProgress
    from maskfit.training.recipe_registry import RECIPE_REGISTRY

    class Clock:
        """A screen, which is told of every step."""

        epoch = ""

        def line(self, text: str) -> None: ...

        def end(self, title: str) -> None: ...

        def show(self, standing: FoldProgress) -> None:
            if standing.done:
                rest = len(train) % given.batch or given.batch
                photos = given.batch if standing.done % steps else rest
                turns.step(photos, counted=standing.epoch == self.epoch)
            self.epoch = standing.epoch

    begun = prepare_run(read_recipe("baseline", recipe_words(given), registries=RECIPE_REGISTRY))
    train, _ = begun.plan.split(0)
    steps = -(-len(train) // given.batch)
    begun.train_fold(0, Clock())


def run_network(given: argparse.Namespace, turns: Turns, kind: str | None = None) -> None:
    """The network alone: prepared as `maskfit` prepares it, or plain in the precision that is named."""
    import torch

    from maskfit.config.loader import read_recipe
    from maskfit.training.run_session import prepare_run
    from maskfit.training.network_setup import prepare_network
    from maskfit.training.optim.optimizers import adamw
    from maskfit.training.recipe_registry import RECIPE_REGISTRY

    words = [word for word in recipe_words(given) if not word.startswith("output_dir=")]
    begun = prepare_run(
        read_recipe("baseline", [*words, f"output_dir={given.scratch}/{given.contender}"], registries=RECIPE_REGISTRY)
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = begun.plan.network().to(device, memory_format=torch.channels_last).train()
    if kind is None:
        network = prepare_network(network, begun.plan.recipe, begun.precision.kind)
    optimiser = adamw(network, lr=LR)
    shape = (given.batch, 3, given.size, given.size)
    photos = [torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last) for _ in range(4)]
    sizes = begun.plan.train_schema.sizes
    targets = {name: torch.randint(size, (given.batch,), device=device) for name, size in sizes.items()}
    type_ = {"bf16": torch.bfloat16, "16": torch.float16}.get(kind or begun.precision.kind)
    for batch in cycle(photos):
        optimiser.zero_grad()
        with torch.autocast(device.type, type_ or torch.bfloat16, enabled=type_ is not None):
            logits = network(batch)
            loss = sum(torch.nn.functional.cross_entropy(logits[name], target) for name, target in targets.items())
        loss.backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        turns.step(given.batch)


def run_seeds(given: argparse.Namespace, turns: Turns) -> None:
    import timm
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    class Photos(Dataset):  # type: ignore[type-arg]
        def __init__(self) -> None:
            self.items = sorted(given.classes.glob("*/*"))
            self.transform = transforms.Compose(
                [
                    transforms.Resize(int(given.size * 256 / 224)),
                    transforms.CenterCrop(given.size),
                    transforms.ColorJitter(0.5, 0.5, 0.5, 0.5),
                    transforms.RandomHorizontalFlip(),
                    transforms.ToTensor(),
                    transforms.Normalize((0.548, 0.504, 0.479), (0.237, 0.247, 0.246)),
                ]
            )

        def __len__(self) -> int:
            return len(self.items)

        def __getitem__(self, place: int) -> Any:
            return self.transform(Image.open(self.items[place]).convert("RGB")), int(self.items[place].parent.name)

    loader = DataLoader(Photos(), given.batch, shuffle=True, num_workers=WORKERS, drop_last=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = timm.create_model(given.backbone, num_classes=18).to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=LR)
    criterion = torch.nn.CrossEntropyLoss()
    while True:
        for place, (photos, targets) in enumerate(loader):
            photos, targets = photos.to(device), targets.to(device)
            optimiser.zero_grad()
            logits = network(photos)
            loss = criterion(logits, targets)
            loss.backward()
            optimiser.step()
            loss.item(), (logits.argmax(1) == targets).sum().item()
            turns.step(len(photos), counted=place > 0)


def run_timm(given: argparse.Namespace, turns: Turns) -> None:
    import timm
    import torch
    from timm.data import create_dataset, create_loader, resolve_data_config
    from timm.optim import create_optimizer_v2
    from timm.utils import AverageMeter

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = timm.create_model(given.backbone, num_classes=18).to(device)
    facts = resolve_data_config({"img_size": given.size}, model=network)
    loader = create_loader(
        create_dataset("", root=str(given.classes), is_training=True, batch_size=given.batch),
        input_size=(3, given.size, given.size),
        batch_size=given.batch,
        is_training=True,
        num_workers=WORKERS,
        interpolation=facts["interpolation"],
        mean=facts["mean"],
        std=facts["std"],
        device=device,
    )
    optimiser = create_optimizer_v2(network, opt="adamw", lr=LR, weight_decay=0.01)
    criterion, losses = torch.nn.CrossEntropyLoss(), AverageMeter()
    network.train()
    while True:
        for place, (photos, targets) in enumerate(loader):
            loss = criterion(network(photos), targets)
            losses.update(loss.item(), len(photos))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            turns.step(len(photos), counted=place > 0)


def run_fastai(given: argparse.Namespace, turns: Turns) -> None:
    import timm
    from fastai.vision.all import (
        Callback,
        CrossEntropyLossFlat,
        ImageDataLoaders,
        Learner,
        RandomResizedCrop,
        aug_transforms,
    )

    class Clock(Callback):  # type: ignore[misc]
        def after_batch(self) -> None:
            if self.training:
                turns.step(len(self.x), counted=self.iter > 0)

    loaders = ImageDataLoaders.from_folder(
        given.classes,
        valid_pct=0.1,
        item_tfms=RandomResizedCrop(given.size, min_scale=0.8),
        batch_tfms=aug_transforms(),
        bs=given.batch,
    )
    network = timm.create_model(given.backbone, num_classes=loaders.c)
    learner = Learner(loaders, network, loss_func=CrossEntropyLossFlat(), cbs=Clock())
    with learner.no_bar(), learner.no_logging():
        learner.fit(1000, LR)


CONTENDERS: dict[str, Callable[[argparse.Namespace, Turns], None]] = {
    "maskfit": run_maskfit,
    "network": run_network,
    "network-f32": partial(run_network, kind="32"),
    "network-bf16": partial(run_network, kind="bf16"),
    "seeds": run_seeds,
    "timm": run_timm,
    "fastai": run_fastai,
}
TUNED = ("maskfit", "network", "network-f32", "network-bf16")
"""Whose memory is allocated as `maskfit train` allocates it."""


class Contender:
    """Another process, and its turns."""

    def __init__(self, name: str, words: list[str]) -> None:
        self.name = name
        self.rates: list[float] = []
        self.process = subprocess.Popen(
            [sys.executable, __file__, *words, "--contender", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def warm_up(self) -> None:
        self._wait()

    def turn(self, seconds: float) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)
        assert self.process.stdin
        print(seconds, file=self.process.stdin, flush=True)
        photos, took = self._wait()
        self.rates.append(photos / took)

    def _wait(self) -> tuple[float, float]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("turn "):
                # Halted with its workers: nobody prepares photos in another's time.
                os.killpg(self.process.pid, signal.SIGSTOP)
                photos, took = line.split()[1:]
                return float(photos), float(took)
        sys.exit(f"{self.name} ended: {self.process.wait()}")

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def compare(given: argparse.Namespace, names: list[str], words: list[str]) -> None:
    contenders: list[Contender] = []
    try:
        for name in names:
            contenders.append(Contender(name, words))
            contenders[-1].warm_up()
        for _ in range(given.rounds):
            for contender in contenders:
                contender.turn(given.seconds)
    finally:
        for contender in contenders:
            contender.stop()
    # What `auto` is here stands in the run's folder.
    precision = json.loads((given.scratch / "run" / "environment.json").read_text())["precision"]["kind"]
    print(
        f"{given.backbone} at {given.size}, batches of {given.batch}, precision {precision}, "
        f"{given.rounds} rounds of {given.seconds:g} s in turn; {os.cpu_count()} cores, {platform.machine()}"
    )
    ours = contenders[0].rates
    for contender in contenders:
        rates = contender.rates
        line = f"  {contender.name:12} {statistics.median(rates):9.2f} photos/s ({min(rates):.2f} to {max(rates):.2f})"
        if contender is not contenders[0]:
            ratios = sorted(own / other for own, other in zip(ours, rates, strict=True))
            middle = statistics.median(ratios)
            line += f"   maskfit is {middle:.3f} times as fast ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        print(line)


def sort_by_class(given: argparse.Namespace) -> None:
    """Links to the photos in a folder for each class, as other programs want them."""
    from maskfit.data.read_dataset import read_photos
    from maskfit.labels.schema import LABEL_SCHEMAS

    photos = read_photos(str(given.photos), LABEL_SCHEMAS[given.scheme])
    classes = LABEL_SCHEMAS[given.scheme].to_class_index(photos.attribute_indices(LABEL_SCHEMAS[given.scheme]))
    for number, (photo, label) in enumerate(zip(photos, classes, strict=True)):
        link = given.classes / f"{max(int(label), 0):02d}" / f"{number:06d}{photo.path.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(photo.path.absolute())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="in the competition's layout, or a CSV; else drawn faces")
    parser.add_argument("--schema", default="mask-gender-age", help="what the set's labels say")
    parser.add_argument("--backbone", default="efficientnet_b0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "32", "bf16", "16"], help="of maskfit and network"
    )
    parser.add_argument("--against", default="network,network-f32,seeds,timm,fastai", help="with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one turn")
    parser.add_argument("--contender", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.classes = given.scratch / "classes" if given.scratch else None
    return given


def main() -> None:
    # Whoever ends this ends the contenders too, those that are halted among them.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    given = arguments()
    if given.contender:
        if given.contender in TUNED:
            from maskfit.memory_allocator import configure_malloc

            configure_malloc()
        CONTENDERS[given.contender](given, Turns())
        return
    names = ["maskfit"]
    for name in given.against.split(","):
        if name == "fastai" and importlib.util.find_spec(name) is None:
            print("fastai is not installed: skipped")
        else:
            names.append(name)
    with tempfile.TemporaryDirectory() as folder:
        given.scratch = Path(folder)
        given.classes = given.scratch / "classes"
        if given.photos is None:
            from maskfit.synthesis.drawn import write_train_set

            given.photos = write_train_set(given.scratch / "drawn", 120)
        sort_by_class(given)
        words = ["photos", "scheme", "backbone", "size", "batch", "precision", "scratch"]
        compare(given, names, [f"--{word}={getattr(given, word)}" for word in words])


if __name__ == "__main__":
    main()

"""Training throughput of `maskfit train` against the network alone and against other training loops.

    uv run python benchmarks/train.py [--images DIR] [--backbone NAME] [--against network,public-solutions] [--rounds N]

`maskfit` is a fold as the command trains it: image cache, augmentation, loss, optimizer, Lightning's loop, progress.
Contenders:

- `network`: the upper limit. The same network, loss, optimizer, memory format, precision and allocator, on float
  batches in memory.
- `network-f32`, `network-bf16`: the same in torch's f32, and in bfloat16 autocast.
- `public-solutions`: as the public solutions of the competition train: Pillow and torchvision transforms for each image
  in DataLoader workers, f32, default memory format.
- `timm`: timm's loader, transforms, optimizer and loop, as in its documentation.
- `fastai`: its ImageDataLoaders and Learner; skipped where it is not installed.

Each contender has its own process, is warmed up before the first round, and is stopped (SIGSTOP) while another has its
turn. Validation and checkpoints between epochs are not measured.
"""

from __future__ import annotations

import argparse
import contextlib
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

WARMUP_STEPS = 2
"""Steps before the first round, in which memory is allocated and threads start."""

NUM_WORKERS = 4
"""DataLoader workers of the public solutions and timm."""

LEARNING_RATE = 1e-3


class Stopwatch:
    """Measures steps in a contender's process, one turn at a time, and reports each turn on stdout."""

    def __init__(self) -> None:
        self.steps = 0
        self.images = 0
        self.seconds = 0.0
        self.turn_seconds = 0.0
        self.last_step = time.perf_counter()

    def step(self, num_images: int, counted: bool = True) -> None:
        """Records a training step.

        Args:
            num_images: Images in the batch.
            counted: False if something else than training came before the step.
        """
        self.steps += 1
        if counted and self.steps > WARMUP_STEPS:
            self.images += num_images
            self.seconds += time.perf_counter() - self.last_step
        if self.steps >= WARMUP_STEPS and self.seconds >= self.turn_seconds:
            print(f"turn {self.images} {self.seconds}", flush=True)
            self.turn_seconds = float(sys.stdin.readline() or "nan")
            if not self.turn_seconds > 0:
                os.killpg(0, signal.SIGKILL)
            self.images, self.seconds = 0, 0.0
        self.last_step = time.perf_counter()


def recipe_overrides(args: argparse.Namespace) -> list[str]:
    """Returns the overrides of the recipe."""
    return [
        f"data.path={args.images}",
        f"data.cache_dir={args.scratch}/cache",
        f"data.label_schema={args.schema}",
        f"output_dir={args.scratch}/run",
        "data.crop=center",
        f"data.image_size={args.size}",
        f"model.backbone={args.backbone}",
        "model.pretrained=none",
        "augmentation=light",
        "batch_mixing=none",
        "optimizer=adamw",
        f"optimizer.lr={LEARNING_RATE}",
        f"trainer.batch_size={args.batch}",
        "trainer.epochs=1000",
        f"trainer.precision={args.precision}",
    ]


def run_maskfit(args: argparse.Namespace, stopwatch: Stopwatch) -> None:
    """Trains a fold as `maskfit train` does."""
    from maskfit.config.loader import read_recipe
    from maskfit.training.progress_reporting import FoldProgress
    from maskfit.training.recipe_registry import RECIPE_REGISTRY
    from maskfit.training.run_session import prepare_run

    class StepReporter:
        """Progress reporter; `show` is called after every step."""

        epoch = ""

        def line(self, text: str) -> None: ...

        def end(self, title: str) -> None: ...

        def show(self, progress: FoldProgress) -> None:
            if progress.done:
                last_batch = len(train) % args.batch or args.batch
                num_images = args.batch if progress.done % steps else last_batch
                stopwatch.step(num_images, counted=progress.epoch == self.epoch)
            self.epoch = progress.epoch

    run = prepare_run(read_recipe("baseline", recipe_overrides(args), registries=RECIPE_REGISTRY))
    train, _ = run.plan.split(0)
    steps = -(-len(train) // args.batch)
    run.train_fold(0, StepReporter())


def run_network(args: argparse.Namespace, stopwatch: Stopwatch, kind: str | None = None) -> None:
    """Trains on batches in memory, as maskfit prepares the network, or in plain torch in the precision `kind`."""
    import torch

    from maskfit.config.loader import read_recipe
    from maskfit.training.network_setup import prepare_network
    from maskfit.training.optim.optimizers import adamw
    from maskfit.training.recipe_registry import RECIPE_REGISTRY
    from maskfit.training.run_session import prepare_run

    overrides = [item for item in recipe_overrides(args) if not item.startswith("output_dir=")]
    run = prepare_run(
        read_recipe("baseline", [*overrides, f"output_dir={args.scratch}/{args.contender}"], registries=RECIPE_REGISTRY)
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = run.plan.network().to(device).to(memory_format=torch.channels_last).train()
    if kind is None:
        network = prepare_network(network, run.plan.recipe.trainer, run.precision.kind)
    optimizer = adamw(network, lr=LEARNING_RATE)
    shape = (args.batch, 3, args.size, args.size)
    batches = [torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last) for _ in range(4)]
    sizes = run.plan.train_schema.sizes
    targets = {name: torch.randint(size, (args.batch,), device=device) for name, size in sizes.items()}
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(kind or run.precision.kind)
    for batch in cycle(batches):
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            logits = network(batch)
            loss = torch.zeros((), device=device)
            for name, target in targets.items():
                loss = loss + torch.nn.functional.cross_entropy(logits[name], target)
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        stopwatch.step(args.batch)


def run_public_solutions(args: argparse.Namespace, stopwatch: Stopwatch) -> None:
    """Trains as the public solutions do."""
    import timm
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    class ImageFiles(Dataset):  # type: ignore[type-arg]
        def __init__(self) -> None:
            self.paths = sorted(args.classes.glob("*/*"))
            self.transform = transforms.Compose(
                [
                    transforms.Resize(int(args.size * 256 / 224)),
                    transforms.CenterCrop(args.size),
                    transforms.ColorJitter(0.5, 0.5, 0.5, 0.5),
                    transforms.RandomHorizontalFlip(),
                    transforms.ToTensor(),
                    transforms.Normalize((0.548, 0.504, 0.479), (0.237, 0.247, 0.246)),
                ]
            )

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int) -> Any:
            return self.transform(Image.open(self.paths[index]).convert("RGB")), int(self.paths[index].parent.name)

    loader = DataLoader(ImageFiles(), args.batch, shuffle=True, num_workers=NUM_WORKERS, drop_last=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = timm.create_model(args.backbone, num_classes=18).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    criterion = torch.nn.CrossEntropyLoss()
    while True:
        for index, (images, targets) in enumerate(loader):
            images, targets = images.to(device), targets.to(device)
            optimizer.zero_grad()
            logits = network(images)
            loss = criterion(logits, targets)
            loss.backward()
            optimizer.step()
            loss.item(), (logits.argmax(1) == targets).sum().item()
            stopwatch.step(len(images), counted=index > 0)


def run_timm(args: argparse.Namespace, stopwatch: Stopwatch) -> None:
    """Trains as timm's documentation shows."""
    import timm
    import torch
    from timm.data import create_dataset, create_loader, resolve_data_config
    from timm.optim import create_optimizer_v2
    from timm.utils import AverageMeter

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = timm.create_model(args.backbone, num_classes=18).to(device)
    data_config = resolve_data_config({"img_size": args.size}, model=network)
    loader = create_loader(
        create_dataset("", root=str(args.classes), is_training=True, batch_size=args.batch),
        input_size=(3, args.size, args.size),
        batch_size=args.batch,
        is_training=True,
        num_workers=NUM_WORKERS,
        interpolation=data_config["interpolation"],
        mean=data_config["mean"],
        std=data_config["std"],
        device=device,
    )
    optimizer = create_optimizer_v2(network, opt="adamw", lr=LEARNING_RATE, weight_decay=0.01)
    criterion, losses = torch.nn.CrossEntropyLoss(), AverageMeter()
    network.train()
    while True:
        for index, (images, targets) in enumerate(loader):
            loss = criterion(network(images), targets)
            losses.update(loss.item(), len(images))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            stopwatch.step(len(images), counted=index > 0)


def run_fastai(args: argparse.Namespace, stopwatch: Stopwatch) -> None:
    """Trains with fastai's Learner."""
    import timm
    from fastai.vision.all import (
        Callback,
        CrossEntropyLossFlat,
        ImageDataLoaders,
        Learner,
        RandomResizedCrop,
        aug_transforms,
    )

    class StepCallback(Callback):  # type: ignore[misc]
        def after_batch(self) -> None:
            if self.training:
                stopwatch.step(len(self.x), counted=self.iter > 0)

    loaders = ImageDataLoaders.from_folder(
        args.classes,
        valid_pct=0.1,
        item_tfms=RandomResizedCrop(args.size, min_scale=0.8),
        batch_tfms=aug_transforms(),
        bs=args.batch,
    )
    network = timm.create_model(args.backbone, num_classes=loaders.c)
    learner = Learner(loaders, network, loss_func=CrossEntropyLossFlat(), cbs=StepCallback())
    with learner.no_bar(), learner.no_logging():
        learner.fit(1000, LEARNING_RATE)


CONTENDERS: dict[str, Callable[[argparse.Namespace, Stopwatch], None]] = {
    "maskfit": run_maskfit,
    "network": run_network,
    "network-f32": partial(run_network, kind="32-true"),
    "network-bf16": partial(run_network, kind="bf16-mixed"),
    "public-solutions": run_public_solutions,
    "timm": run_timm,
    "fastai": run_fastai,
}
TUNED_MALLOC = ("maskfit", "network", "network-f32", "network-bf16")
"""Contenders that configure malloc as `maskfit train` does."""


class Contender:
    """A contender's process and its measured rates.

    Args:
        name: Key of `CONTENDERS`.
        options: Command line of the process.
    """

    def __init__(self, name: str, options: list[str]) -> None:
        self.name = name
        self.rates: list[float] = []
        self.process = subprocess.Popen(
            [sys.executable, __file__, *options, "--contender", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def warm_up(self) -> None:
        """Waits until the process is ready."""
        self._wait()

    def run_turn(self, seconds: float) -> None:
        """Lets the process train for a number of seconds."""
        os.killpg(self.process.pid, signal.SIGCONT)
        assert self.process.stdin
        print(seconds, file=self.process.stdin, flush=True)
        num_images, took = self._wait()
        self.rates.append(num_images / took)

    def _wait(self) -> tuple[float, float]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("turn "):
                # With its DataLoader workers, so that they do not use the cores in another contender's turn.
                os.killpg(self.process.pid, signal.SIGSTOP)
                num_images, took = line.split()[1:]
                return float(num_images), float(took)
        sys.exit(f"{self.name} ended with exit code {self.process.wait()}")

    def stop(self) -> None:
        """Kills the process and its workers, if it has not ended by itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def compare(args: argparse.Namespace, names: list[str], options: list[str]) -> None:
    """Runs all contenders in turn and prints a table."""
    contenders: list[Contender] = []
    try:
        for name in names:
            contenders.append(Contender(name, options))
            contenders[-1].warm_up()
        for _ in range(args.rounds):
            for contender in contenders:
                contender.run_turn(args.seconds)
    finally:
        for contender in contenders:
            contender.stop()
    # The precision that `auto` selected.
    precision = json.loads((args.scratch / "run" / "environment.json").read_text())["precision"]["kind"]
    print(
        f"{args.backbone} at {args.size}, batches of {args.batch}, precision {precision}, "
        f"{args.rounds} rounds of {args.seconds:g} s; {os.cpu_count()} cores, {platform.machine()}"
    )
    maskfit_rates = contenders[0].rates
    for contender in contenders:
        rates = contender.rates
        line = f"  {contender.name:12} {statistics.median(rates):9.2f} images/s ({min(rates):.2f} to {max(rates):.2f})"
        if contender is not contenders[0]:
            ratios = sorted(own / other for own, other in zip(maskfit_rates, rates, strict=True))
            median = statistics.median(ratios)
            line += f"   speed-up of maskfit {median:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        print(line)


def link_by_class(args: argparse.Namespace) -> None:
    """Makes a folder of links per class, the layout that timm and fastai read."""
    from maskfit.data.read_dataset import read_photos
    from maskfit.labels.schema import LABEL_SCHEMAS

    photos = read_photos(str(args.images), LABEL_SCHEMAS[args.schema])
    classes = LABEL_SCHEMAS[args.schema].to_class_index(photos.attribute_indices(LABEL_SCHEMAS[args.schema]))
    for number, (photo, label) in enumerate(zip(photos, classes, strict=True)):
        link = args.classes / f"{max(int(label), 0):02d}" / f"{number:06d}{photo.path.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(photo.path.absolute())


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=Path, help="photos in the competition's layout, or a manifest; default: synthetic faces"
    )
    parser.add_argument("--schema", default="mask-gender-age", help="label schema of the dataset")
    parser.add_argument("--backbone", default="efficientnet_b0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument(
        "--precision",
        default="auto",
        choices=["auto", "32-true", "bf16-mixed", "16-mixed"],
        help="precision of maskfit and network",
    )
    parser.add_argument(
        "--against", default="network,network-f32,public-solutions,timm,fastai", help="contenders, separated by commas"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one turn")
    parser.add_argument("--contender", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.classes = args.scratch / "classes" if args.scratch else None
    return args


def main() -> None:
    """Runs the benchmark."""
    # SIGTERM also ends the contenders, including the stopped ones.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    args = parse_arguments()
    if args.contender:
        if args.contender in TUNED_MALLOC:
            from maskfit.memory_allocator import configure_malloc

            configure_malloc()
        CONTENDERS[args.contender](args, Stopwatch())
        return
    names = ["maskfit"]
    for name in args.against.split(","):
        if name == "fastai" and importlib.util.find_spec(name) is None:
            print("fastai is not installed: skipped")
        else:
            names.append(name)
    with tempfile.TemporaryDirectory() as folder:
        args.scratch = Path(folder)
        args.classes = args.scratch / "classes"
        if args.images is None:
            from maskfit.synthesis.drawn import write_train_set

            args.images = write_train_set(args.scratch / "drawn", 120)
        link_by_class(args)
        options = ["images", "schema", "backbone", "size", "batch", "precision", "scratch"]
        compare(args, names, [f"--{name}={getattr(args, name)}" for name in options])


if __name__ == "__main__":
    main()

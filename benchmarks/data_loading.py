"""Data loading: decoding, building the image cache, an epoch from it, and augmentation, against common alternatives.

    uv run python benchmarks/data_loading.py [--images DIR] [--only PART] [--rounds N] [--max-images N]

Contenders take turns within one run; printed are medians with minimum and maximum. Each contender has its own process,
because the allocator and thread pools of one would affect another. The `DataLoader` epoch follows the public solutions:
Pillow and torchvision transforms for each image, in a DataLoader with two workers, in every epoch.

decode     images per second on one core: Pillow, `maskfit` (simplejpeg where installed), OpenCV, torchvision
cache      building an image cache of 224 x 224 from files, on all cores, against one DataLoader epoch
epoch      an epoch from the cache, in batches of 32, with flips and color jitter, against the DataLoader epoch
augment    flips and color jitter on the device: maskfit's for a batch, against torchvision's for each image
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32
SIZE = (224, 224)


def decode_pillow(paths: list[Path]) -> None:
    """Decodes with Pillow."""
    from PIL import Image

    for path in paths:
        with Image.open(path) as image:
            np.asarray(image.convert("RGB"))


def decode_maskfit(paths: list[Path]) -> None:
    """Decodes with maskfit."""
    from maskfit.data.image_decoding import decode

    for path in paths:
        decode(path)


def decode_opencv(paths: list[Path]) -> None:
    """Decodes with OpenCV on one thread."""
    import cv2

    cv2.setNumThreads(1)
    for path in paths:
        image = cv2.imread(str(path))
        assert image is not None
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_torchvision(paths: list[Path]) -> None:
    """Decodes with torchvision."""
    from torchvision.io import ImageReadMode, decode_image

    for path in paths:
        decode_image(str(path), mode=ImageReadMode.RGB)


def build_cache(paths: list[Path]) -> None:
    """Builds an image cache."""
    from maskfit.data.image_cache.cache import open_image_cache
    from maskfit.data.photo_dataset import Photo
    from maskfit.data.preprocessing import CropResize

    with tempfile.TemporaryDirectory() as folder:
        open_image_cache([Photo(path, str(path), "") for path in paths], CropResize(size=SIZE), folder=Path(folder))


def read_epoch(paths: list[Path]) -> Callable[[], None]:
    """Returns an epoch from an image cache, with augmentation."""
    import torch

    from maskfit.data.image_cache.cache import open_image_cache
    from maskfit.data.photo_dataset import Photo
    from maskfit.data.preprocessing import CropResize
    from maskfit.memory_allocator import configure_malloc
    from maskfit.training.augment import AUGMENTATIONS

    configure_malloc()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        cached = open_image_cache(
            [Photo(path, str(path), "") for path in paths], CropResize(size=SIZE), folder=Path(folder)
        )
    augment = AUGMENTATIONS["color_jitter"](SIZE, 0.2, 0.2, 0.2, 0.0)

    def epoch() -> None:
        order = np.random.default_rng(0).permutation(len(paths))
        for start in range(0, len(order), BATCH):
            frames = torch.from_numpy(cached.gather(order[start : start + BATCH]))
            augment(frames.permute(0, 3, 1, 2).float()).sum()

    return epoch


class ImageFiles:
    """A dataset as the public solutions write it."""

    def __init__(self, paths: list[Path]) -> None:
        from torchvision import transforms

        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.CenterCrop(384),
                transforms.Resize(SIZE[0]),
                transforms.RandomResizedCrop(SIZE, scale=(0.8, 1.0)),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(0.2, 0.2, 0.2),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB"))


def dataloader_epoch(paths: list[Path]) -> None:
    """Runs an epoch of a DataLoader that decodes and augments each image."""
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(2)
    files: Any = ImageFiles(paths)  # no Dataset, which would import torch above
    for batch in DataLoader(files, batch_size=BATCH, shuffle=True, num_workers=2):
        batch.sum()


def augment_maskfit(paths: list[Path]) -> Callable[[], None]:
    """Returns an epoch of maskfit's augmentation, a batch at a time."""
    from maskfit.training.augment import AUGMENTATIONS

    augment = AUGMENTATIONS["color_jitter"](SIZE, 0.2, 0.2, 0.2, 0.0)

    def work(frames: Any) -> None:
        augment(frames)

    return _augmentation_epoch(paths, work)


def augment_torchvision(paths: list[Path]) -> Callable[[], None]:
    """Returns an epoch of torchvision's augmentation, an image at a time."""
    import torch
    from torchvision.transforms import v2

    each = v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.2)])

    def work(frames: Any) -> None:
        torch.stack([each(frame) for frame in frames / 255])

    return _augmentation_epoch(paths, work)


def _augmentation_epoch(paths: list[Path], work: Callable[[Any], None]) -> Callable[[], None]:
    """Returns an epoch of flips and color jitter, on a GPU where there is one."""
    import torch

    from maskfit.memory_allocator import configure_malloc

    configure_malloc()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = torch.randint(0, 256, (BATCH, 3, *SIZE), dtype=torch.uint8, device=device)

    def epoch() -> None:
        for _ in range(0, len(paths), BATCH):
            work(batch.float())
        if device == "cuda":
            torch.cuda.synchronize()

    return epoch


PARTS: dict[str, dict[str, tuple[Callable[[list[Path]], Any], int]]] = {
    "decode": {
        "maskfit": (decode_maskfit, 1),
        "Pillow": (decode_pillow, 1),
        "OpenCV": (decode_opencv, 1),
        "torchvision": (decode_torchvision, 1),
    },
    "cache": {"maskfit builds": (build_cache, 0), "DataLoader epoch": (dataloader_epoch, 0)},
    "epoch": {"from the cache": (read_epoch, 0), "DataLoader epoch": (dataloader_epoch, 0)},
    "augment": {"maskfit": (augment_maskfit, 0), "torchvision, each image": (augment_torchvision, 0)},
}
"""Part -> contender, maskfit first -> (function, number of cores, 0 for all). If the function returns a function, that
one is timed and the first call is setup."""


def run_contender(part: str, name: str, folder: Path, max_images: int) -> None:
    """Runs in a contender's process: warms up and prints a line; then runs a round for each line that it reads."""
    from maskfit.data.image_lists import find_images

    function, cores = PARTS[part][name]
    if cores:
        import os

        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    paths = [image.path for image in find_images(folder)][:max_images]
    prepared: list[Callable[[], None]] = []

    def once() -> None:
        if prepared:
            prepared[0]()
            return
        returned = function(paths)
        if returned is not None:
            prepared.append(returned)
            returned()

    once()
    print(flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        once()
        print(json.dumps([len(paths), time.perf_counter() - began]), flush=True)


def compare(part: str, folder: Path, rounds: int, max_images: int) -> None:
    """Prints the rates of all contenders of a part, and the speed-up of the first."""
    command = [sys.executable, __file__, "--images", str(folder), "--max-images", str(max_images), "--contender", part]
    running = {}
    for name in PARTS[part]:
        process = subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # One after the other: none warms up while another is timed.
        if process.stdout and process.stdout.readline():
            running[name] = process
        else:
            print(f"  {name}: not available here")
    rates: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, process in running.items():
            assert process.stdin
            assert process.stdout
            process.stdin.write("go\n")
            process.stdin.flush()
            count, seconds = json.loads(process.stdout.readline())
            rates[name].append(count / seconds)
    for process in running.values():
        process.communicate()
    print(part)
    first = next(iter(rates.values()))
    for name, found in rates.items():
        ratios = sorted(own / other for own, other in zip(first, found, strict=True))
        spread = f"({min(found):,.0f} to {max(found):,.0f})"
        speedup = f"speed-up of maskfit {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(
            f"  {name:24} {statistics.median(found):9,.0f} images/s {spread:22} {speedup if found is not first else ''}"
        )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of images; default: synthetic faces")
    parser.add_argument("--only", choices=PARTS, help="run only this part")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-images", type=int, default=1400, help="number of images used at most")
    parser.add_argument("--contender", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        part, name = args.contender
        run_contender(part, name, args.images, args.max_images)
        return
    with tempfile.TemporaryDirectory() as folder:
        if args.images is None:
            from maskfit.synthesis.drawn import write_train_set

            args.images = write_train_set(Path(folder) / "drawn", 60)
        for part in [args.only] if args.only else PARTS:
            compare(part, args.images, args.rounds, args.max_images)


if __name__ == "__main__":
    main()

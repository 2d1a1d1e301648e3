"""The input path: starting, decoding, building the store, an epoch from it, augmentation; against the usual ways.

    uv run python benchmarks/input.py [--photos DIR] [--only PART] [--rounds N] [--most N]

All in one run, contenders taking turns, medians with the least and the greatest; each contender has a process of its
own (allocation and thread pools of one would change the other). What stands for the usual way is written here from what
public solutions do: Pillow and torchvision's transforms for each photo, in a DataLoader with two workers, every epoch.

decode     photos a second on one core: Pillow, `maskfit` (simplejpeg where installed), OpenCV, torchvision
store      building a store of 224 x 224 from files, on all cores, against one epoch of the usual way
epoch      an epoch from the store, in batches of 32, with flips and colour jitter, against the same usual epoch
augment    flips and colour jitter on the device: maskfit's, by batch, against torchvision's for each photo
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
    from PIL import Image

    for path in paths:
        with Image.open(path) as image:
            np.asarray(image.convert("RGB"))


def decode_maskfit(paths: list[Path]) -> None:
    from maskfit.data.image_decoding import decode

    for path in paths:
        decode(path)


def decode_opencv(paths: list[Path]) -> None:
    import cv2

    cv2.setNumThreads(1)
    for path in paths:
        cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def decode_torchvision(paths: list[Path]) -> None:
    from torchvision.io import ImageReadMode, decode_image

    for path in paths:
        decode_image(str(path), mode=ImageReadMode.RGB)


def build_store(paths: list[Path]) -> None:
    from maskfit.data.photo_dataset import Photo
    from maskfit.data.image_cache.cache import open_image_cache
    from maskfit.data.preprocessing import CropResize

    with tempfile.TemporaryDirectory() as folder:
        open_image_cache([Photo(path, str(path), "") for path in paths], CropResize(size=SIZE), folder=Path(folder))


def read_epoch(paths: list[Path]) -> Callable[[], None]:
    import torch

    from maskfit.memory_allocator import configure_malloc
    from maskfit.data.photo_dataset import Photo
    from maskfit.data.image_cache.cache import open_image_cache
    from maskfit.data.preprocessing import CropResize
    from maskfit.training.augment.augmentations import AUGMENTATIONS

    configure_malloc()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        stored = open_image_cache(
            [Photo(path, str(path), "") for path in paths], CropResize(size=SIZE), folder=Path(folder)
        )
    augment = AUGMENTATIONS["color_jitter"](SIZE, 0.2, 0.2, 0.2, 0.0)

    def epoch() -> None:
        order = np.random.default_rng(0).permutation(len(paths))
        for start in range(0, len(order), BATCH):
            frames = torch.from_numpy(stored.gather(order[start : start + BATCH]))
            augment(frames.permute(0, 3, 1, 2).float()).sum()

    return epoch


class _Files:
    """A data set as public solutions write it."""

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

    def __getitem__(self, place: int) -> Any:
        from PIL import Image

        with Image.open(self.paths[place]) as image:
            return self.transform(image.convert("RGB"))


def usual_epoch(paths: list[Path]) -> None:
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(2)
    for batch in DataLoader(_Files(paths), batch_size=BATCH, shuffle=True, num_workers=2):
        batch.sum()


def augment_ours(paths: list[Path]) -> Callable[[], None]:
    from maskfit.training.augment.augmentations import AUGMENTATIONS

    augment = AUGMENTATIONS["color_jitter"](SIZE, 0.2, 0.2, 0.2, 0.0)

    def work(frames: Any) -> None:
        augment(frames)

    return _augmenting(paths, work)


def augment_usual(paths: list[Path]) -> Callable[[], None]:
    import torch
    from torchvision.transforms import v2

    each = v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.2)])

    def work(frames: Any) -> None:
        torch.stack([each(frame) for frame in frames / 255])

    return _augmenting(paths, work)


def _augmenting(paths: list[Path], work: Callable[[Any], None]) -> Callable[[], None]:
    """An epoch of flips and colour jitter, on a GPU where there is one."""
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
    "store": {"maskfit builds": (build_store, 0), "usual epoch": (usual_epoch, 0)},
    "epoch": {"from the store": (read_epoch, 0), "usual epoch": (usual_epoch, 0)},
    "augment": {"maskfit": (augment_ours, 0), "torchvision, each photo": (augment_usual, 0)},
}
"""Contenders of each part, maskfit first; and the cores each may use, 0 for all. One that gives back a function is
timed by that: what it did before is not part of the comparison."""


def serve(part: str, name: str, folder: Path, most: int) -> None:
    """The process of one contender: warms up and says so by a line; then for each line in a round, its seconds out."""
    from maskfit.data.image_lists import find_images

    work, cores = PARTS[part][name]
    if cores:
        import os

        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    paths = [photo.path for photo in find_images(folder)][:most]
    ready: list[Callable[[], None]] = []

    def once() -> None:
        if ready:
            ready[0]()
            return
        made = work(paths)
        if made is not None:
            ready.append(made)
            made()

    once()
    print(flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        once()
        print(json.dumps([len(paths), time.perf_counter() - began]), flush=True)


def compare(part: str, folder: Path, rounds: int, most: int) -> None:
    """Rates of all contenders of a part, and how many times as fast the first is."""
    command = [sys.executable, __file__, "--photos", str(folder), "--most", str(most), "--serve", part]
    running = {}
    for name in PARTS[part]:
        process = subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # One after another, so that none warms up while another is timed.
        if process.stdout and process.stdout.readline():
            running[name] = process
        else:
            print(f"  {name}: could not run here")
    rates: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, process in running.items():
            assert process.stdin
            assert process.stdout
            process.stdin.write("go\n")
            process.stdin.flush()
            photos, seconds = json.loads(process.stdout.readline())
            rates[name].append(photos / seconds)
    for process in running.values():
        process.communicate()
    print(part)
    first = next(iter(rates.values()))
    for name, found in rates.items():
        ratios = sorted(mine / other for mine, other in zip(first, found, strict=True))
        spread = f"({min(found):,.0f} to {max(found):,.0f})"
        times = f"maskfit {statistics.median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(
            f"  {name:24} {statistics.median(found):9,.0f} photos/s {spread:22} {times if found is not first else ''}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of photos; drawn faces where left out")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=1400, help="use at most so many photos")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(*given.serve, given.photos, given.most)
        return
    with tempfile.TemporaryDirectory() as folder:
        if given.photos is None:
            from maskfit.synthesis.drawn import write_train_set

            given.photos = write_train_set(Path(folder) / "drawn", 60)
        for part in [given.only] if given.only else PARTS:
            compare(part, given.photos, given.rounds, given.most)


if __name__ == "__main__":
    main()

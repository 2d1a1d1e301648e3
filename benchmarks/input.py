"""The input path: an epoch from the store against an epoch of opening photos, and the network's share of prediction.

    uv run python benchmarks/input.py [--photos DIR] [--model MODEL] [--rounds N]

`store` reads every photo of a shuffled epoch in batches of 32 from the memory-mapped store. `pillow` opens, crops and
shrinks the same photos in the same order with Pillow, which is what the public solutions of the competition do in every
epoch. Both on one core, taking turns; the store was built before, its time is printed on its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from maskfit.data.lists import find_images
from maskfit.data.photo import Photo
from maskfit.data.store import StoredFrames, open_store
from maskfit.data.transforms import Frames, Framing
from maskfit.inference.engines import Logits
from maskfit.inference.predictor import Predictor

BATCH = 32


def read_store(frames: StoredFrames, order: np.ndarray) -> None:
    """One epoch as training reads it."""
    for start in range(0, len(order), BATCH):
        frames.take(order[start : start + BATCH])


def read_photos(photos: list[Photo], size: tuple[int, int], order: np.ndarray) -> None:
    """One epoch as the public solutions read it: open, centre crop, shrink."""
    height, width = size
    for start in range(0, len(order), BATCH):
        batch = []
        for place in order[start : start + BATCH]:
            image = Image.open(photos[place].path).convert("RGB")
            side = min(image.size)
            left, upper = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, upper, left + side, upper + side)).resize((width, height), Image.BILINEAR)
            batch.append(np.asarray(image))
        np.stack(batch)


def seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare_epochs(photos: list[Photo], rounds: int) -> None:
    size = (224, 224)
    with tempfile.TemporaryDirectory() as folder:
        framing = Framing(size=size)
        built = seconds(lambda: open_store(photos, framing, folder=Path(folder)))
        frames = open_store(photos, framing, folder=Path(folder))
        ours, theirs = [], []
        for number in range(rounds):
            order = np.random.default_rng(number).permutation(len(photos))
            ours.append(seconds(lambda order=order: read_store(frames, order)))
            theirs.append(seconds(lambda order=order: read_photos(photos, size, order)))
    ratios = sorted(slow / fast for slow, fast in zip(theirs, ours, strict=True))
    print(f"{len(photos)} photos at {size[0]} x {size[1]}, one core, {rounds} rounds in turn")
    print(f"  store built once, on all cores   {built:8.2f} s")
    print(f"  an epoch from the store, median  {statistics.median(ours):8.3f} s")
    print(f"  an epoch with Pillow, median     {statistics.median(theirs):8.3f} s")
    print(f"  ratio: {statistics.median(ratios):.1f} times as fast ({ratios[0]:.1f} to {ratios[-1]:.1f})")


def network_share(photos: list[Photo], model: Path, rounds: int) -> None:
    """How much of a whole prediction, from files to probabilities, the network runs."""
    predictor = Predictor.load(model)
    engine = predictor.members[0].engine
    inside = [0.0]
    plain = engine.logits

    def timed(frames: Frames) -> Logits:
        began = time.perf_counter()
        try:
            return plain(frames)
        finally:
            inside[0] += time.perf_counter() - began

    engine.logits = timed  # type: ignore[method-assign]
    shares = []
    for _ in range(rounds):
        inside[0] = 0.0
        whole = seconds(lambda: predictor.predict(photos))
        shares.append(inside[0] / whole)
    print(f"prediction of {len(photos)} photos with {model.name}, all cores")
    print(f"  in the network: {statistics.median(shares):.1%} of the time ({min(shares):.1%} to {max(shares):.1%})")
    print(f"  {len(photos) / whole:.0f} photos a second in the last round")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of photos; drawn faces where left out")
    parser.add_argument("--model", type=Path, help="also measure prediction with this model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=1400, help="use at most so many photos")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.photos is None:
            from maskfit.synthesis.drawn import write_people

            given.photos = write_people(Path(folder) / "drawn", 60)
        photos = find_images(given.photos)[: given.most]
        # The process may use more cores than the comparison: it is held to one while epochs are read.
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        compare_epochs(photos, given.rounds)
        os.sched_setaffinity(0, cores)
        if given.model:
            network_share(photos, given.model, given.rounds)


if __name__ == "__main__":
    main()

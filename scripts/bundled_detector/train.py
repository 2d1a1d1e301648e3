"""Builds the bundled face detector, from the photos to the file that ships; finished steps are skipped.

    python scripts/bundled_detector/train.py --scenes street-scenes/scenes.csv \
        --portraits masked-faces/train/images=1200 --portraits masked-faces/faces/faces.csv=800 \
        --portraits more-faces/faces.csv=1200 --teacher yunet --teacher centerface.onnx \
        --start yunet_n_dynamic.onnx --work detector

Inputs: street photos with boxes (`path,xmin,ymin,xmax,ymax`); portraits, as folders or CSVs with a column `path`, each
with the number of photos to take; teachers, named as for `maskfit predict --detector`, which return landmarks. Steps:

1. label: the teachers look at each photo, also enlarged and mirrored. They give landmarks, boxes of faces that nobody
   boxed, and places where nothing is trained because they disagree. 100 street photos are held out for judging and 50
   for choosing, by the hash of their file names.
2. train: YuNet's weights, in a network with less work on its finest maps, on images that are composed at random from
   all other street photos and the portraits (`scenes.py`). The time is set, not the number of images: the learning rate
   follows the minutes. `last.pt` is written every five minutes, and the same command resumes from it. `--start` also
   takes a file that this script wrote: its normalizations then keep their statistics, which makes a step a fifth
   shorter. In both cases a third of the images are around what the network at the start got wrong.
3. export: ONNX.

`calibrate.py` moves the scores to as many false faces as an earlier file has; `evaluate.py` judges.
docs/bundled-detector.md says how the shipped file was made.
"""

from __future__ import annotations

import argparse
import csv
import random
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from export import to_onnx
from loss import detection_loss
from network import FaceNetwork, decode, normalize, start_from
from PIL import Image
from scenes import Hard, Scenes
from torch import Tensor

from labels import SAME_FACE_IOU, Label, View, label_photos, overlaps, read_labels
from maskfit.data.detectors import load_detector, pin_detector_weights
from maskfit.data.detectors.interface import nms
from maskfit.data.image_lists import ImageFolder
from maskfit.inference.detector_choice import parse_detector
from maskfit.memory_allocator import configure_malloc
from maskfit.registry import ComponentSpec


class Images(NamedTuple):
    """Training images: their side in pixels, how many times as many are in a step, and the share with a portrait."""

    side: int
    share: float
    portraits: float


IMAGES = Images(256, 1.0, 0.12), Images(512, 0.25, 0.4)
"""Images of successive steps. On large images a detector learns what the inside of a large face looks like."""

TEACHER_OPTIONS = "side=1024,score=0.3"
VIEWS = ((1.0, False), (2.0, True), (1.4, False)), ((1.0, False), (1.5, True))
"""Enlargement of the photo, and whether it is mirrored, of each look of the first teacher, and of each further one."""

AVERAGING = 0.999
"""Share of the averaged weights that a step keeps."""

SAVE_SECONDS, TELL_SECONDS = 300, 30

JUDGED_SIDE = 512
"""Longer side of the photos on which a training is watched."""

SMALLEST_HARD = 16.0
"""Pixels of the smallest face that is chosen by its difficulty: smaller ones are rather invisible than hard."""

FALSE_SCORE = 0.3
"""Lowest score of a false face that is a hard place."""

Photos = list[tuple[Any, Label]]


def open_views(teachers: Sequence[str]) -> list[View]:
    """Returns the teachers' ways to look at a photo."""
    views = []
    for number, text in enumerate(teachers):
        crop = parse_detector(f"{text}:{TEACHER_OPTIONS}")
        spec = ComponentSpec.model_validate(crop.detector)
        teacher = load_detector(spec, pin_detector_weights(spec, crop.weights, crop.sha256)).detector
        views += [View(teacher, scale, mirrored) for scale, mirrored in VIEWS[number > 0]]
    return views


def choose_portraits(sources: Sequence[str]) -> list[Path]:
    """Returns the portraits: of each `PATH=COUNT` that many, at random."""
    chosen = []
    for source in sources:
        name, _, count = source.rpartition("=")
        if Path(name).is_dir():
            paths = [photo.path for photo in ImageFolder(Path(name))]
        else:
            with Path(name).open(encoding="utf-8", newline="") as stream:
                paths = [Path(name).parent / row["path"] for row in csv.DictReader(stream)]
        chosen += random.Random(0).sample(sorted(paths), min(int(count), len(paths)))
    return chosen


def load(labels: Sequence[Label], side: int | None = None) -> Photos:
    """Decodes photos into memory, downscaled to `side`."""
    photos = []
    for label in labels:
        image = Image.open(label.path).convert("RGB")
        if side and max(image.size) > side:
            scale = side / max(image.size)
            image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX)
            label = label._replace(boxes=label.boxes * scale, landmarks=label.landmarks * scale)
        photos.append((np.asarray(image), label))
    return photos


@torch.no_grad()
def find(network: FaceNetwork, pixels: Any, side: int, floor: float) -> tuple[Any, Any]:
    """Returns boxes and scores on a photo downscaled to `side`."""
    scale = min(side / max(pixels.shape[:2]), 1)
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    canvas = np.zeros((-(-small.height // 32) * 32, -(-small.width // 32) * 32, 3), np.uint8)
    canvas[: small.height, : small.width] = np.asarray(small)
    logits, boxes, *_ = decode(network(torch.from_numpy(canvas)[None]))
    scores = logits[0].sigmoid().numpy()
    kept = np.flatnonzero(scores >= floor)
    found, scores = boxes[0].numpy()[kept].astype(float) / scale, scores[kept]
    chosen = nms(found, scores, 0.4)
    return found[chosen], scores[chosen]


def judge(network: FaceNetwork, photos: Photos, side: int) -> str:
    """Returns recall of annotated faces of at least 24 pixels, and other faces found a photo, at some scores."""
    network.eval()
    results = [(label, *find(network, pixels, side, 0.1)) for pixels, label in photos]
    network.train()
    parts = []
    for floor in (0.2, 0.3, 0.4, 0.5):
        hit = total = false = 0
        for label, boxes, scores in results:
            boxes, known = boxes[scores >= floor], label.boxes.astype(float)
            given = known[label.annotated]
            large = np.minimum(given[:, 2] - given[:, 0], given[:, 3] - given[:, 1]) >= 24
            hit += int((overlaps(given, boxes).max(1) >= 0.4)[large].sum()) if len(boxes) else 0
            total += int(large.sum())
            false += int((overlaps(boxes, known).max(1) < 0.4).sum()) if len(boxes) and len(known) else len(boxes)
        parts.append(f"{floor}: {hit / total:.3f} {false / len(photos):.2f}")
    return f"side {side} | " + " | ".join(parts)


class Training:
    """A training with all that a resumed one needs.

    Args:
        rate: The highest learning rate.
        path: The checkpoint, which is read if it exists.
        network: The network that a new training starts from.
    """

    def __init__(self, rate: float, path: Path, network: FaceNetwork) -> None:
        self.network = network.to(memory_format=torch.channels_last).train()
        self.average = deepcopy(self.network)
        self.rate, self.path = rate, path
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=0.02)
        self.seconds, self.images, self.steps = 0.0, 0, 0
        if path.is_file():
            state = torch.load(path, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["shadow"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.seconds, self.images, self.steps = state["spent"], state["images"], state["step"]

    def save(self) -> None:
        """Writes the checkpoint."""
        state = {"network": self.network.state_dict(), "shadow": self.average.state_dict()}
        state |= {"optimizer": self.optimizer.state_dict(), "spent": self.seconds, "images": self.images}
        part = self.path.with_suffix(".part")
        torch.save(state | {"step": self.steps}, part)
        part.replace(self.path)

    def step(self, batch: Sequence[Tensor], progress: float) -> dict[str, float]:
        """Trains a batch and returns the parts of the loss."""
        rate = self.rate * min(1, (self.steps + 1) / 100) * float(0.5 + 0.5 * np.cos(np.pi * progress) + 0.005)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        pixels, *faces = batch
        with torch.autocast("cpu", torch.bfloat16):
            maps = self.network(pixels)
        loss, parts = detection_loss(maps, *faces)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.steps += 1
        self.images += len(pixels)
        self._move_average(min(AVERAGING, (1 + self.steps) / (10 + self.steps)))
        return parts | {"rate": rate}

    @torch.no_grad()
    def _move_average(self, decay: float) -> None:
        for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def find_hard(network: FaceNetwork, street: Photos, portraits: Photos) -> Hard:
    """Returns where a network is wrong: faces weigh the square of what their score lacks, false ones of their score."""
    network.eval()
    places = []
    for number, (pixels, label) in enumerate(street):
        boxes, scores = find(network, pixels, JUDGED_SIDE, 0.05)
        faces = label.boxes.astype(float)
        near = overlaps(faces, boxes) >= SAME_FACE_IOU
        large = np.sqrt(np.prod(faces[:, 2:] - faces[:, :2], axis=1)) >= SMALLEST_HARD
        lack = 1 - np.where(near, scores, 0).max(1, initial=0)
        places += [[number, *faces[index], lack[index] ** 2] for index in np.flatnonzero(label.certain & large)]
        false = ~near.any(0) & (scores >= FALSE_SCORE)
        places += [[number, *boxes[index], scores[index] ** 2] for index in np.flatnonzero(false)]
    weights = []
    for pixels, label in portraits:
        boxes, scores = find(network, pixels, JUDGED_SIDE, FALSE_SCORE)
        false = (overlaps(label.boxes.astype(float), boxes) < SAME_FACE_IOU).all(0)
        weights.append((scores[false] ** 2).sum())
    return Hard(np.array(places), np.array(weights))


def batches(
    street: Photos, portraits: Photos, hard: Hard, kind: Images, batch: int, seed: int
) -> Iterator[Sequence[Tensor]]:
    """Returns batches that another process composes."""
    scenes = Scenes(street, portraits, kind.side, kind.portraits, seed, hard)
    size = max(round(batch * kind.share), 1)
    return iter(torch.utils.data.DataLoader(scenes, batch_size=size, num_workers=1, prefetch_factor=4))


def train(
    training: Training,
    street: Photos,
    chosen: Photos,
    portraits: Photos,
    hard: Hard,
    batch: int,
    budget: float,
) -> None:
    """Trains for `budget` seconds in all, and tells rate, loss and recall."""
    started = told = saved = time.monotonic()
    before, first = training.seconds, training.images
    loaders = {kind: batches(street, portraits, hard, kind, batch, training.steps) for kind in set(IMAGES)}
    sums: dict[str, float] = {}
    count = 0
    while training.seconds < budget:
        progress = training.seconds / budget
        loader = loaders[IMAGES[training.steps % len(IMAGES)]]
        for name, value in training.step(next(loader), progress).items():
            sums[name] = sums.get(name, 0) + value
        count += 1
        now = time.monotonic()
        training.seconds = before + now - started
        if now - told > TELL_SECONDS:
            text = ", ".join(f"{name} {value / count:.3g}" for name, value in sums.items())
            speed = (training.images - first) / (now - started)
            print(
                f"{training.steps} steps, {training.images} images, {speed:.1f} a second; {text}; "
                f"{max(budget - training.seconds, 0) / 60:.0f} min left",
                flush=True,
            )
            sums, count, told = {}, 0, now
        if now - saved > SAVE_SECONDS or training.seconds >= budget:
            training.save()
            print(judge(training.average, chosen, JUDGED_SIDE), flush=True)
            saved = time.monotonic()


def main() -> None:
    """Runs all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="CSV of street photos: path,xmin,ymin,xmax,ymax")
    parser.add_argument("--portraits", action="append", required=True, help="folder or CSV, and number: PATH=COUNT")
    parser.add_argument("--teacher", action="append", required=True, help="detector with landmarks")
    parser.add_argument(
        "--start", type=Path, required=True, help="ONNX file of YuNet, or of this script, whose weights are the start"
    )
    parser.add_argument("--work", type=Path, default=Path("detector"), help="folder of intermediate files")
    parser.add_argument("--minutes", type=float, default=90, help="minutes of training")
    parser.add_argument("--batch", type=int, default=8, help="images of a step")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2, help="threads of labelling and training")
    parser.add_argument("--out", type=Path, help="the detector; default: WORK/face_detector.onnx")
    args = parser.parse_args()
    configure_malloc()
    args.work.mkdir(parents=True, exist_ok=True)
    path = args.work / "labels.jsonl"
    if not path.is_file():
        label_photos(args.scenes, choose_portraits(args.portraits), open_views(args.teacher), path, args.threads)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    labels = read_labels(path)
    street, chosen = (
        load([label for label in labels if not label.portrait and label.split == split]) for split in ("train", "val")
    )
    portraits = load([label for label in labels if label.portrait], 448)
    print(f"street photos: {len(street)} to train, {len(chosen)} to choose; portraits: {len(portraits)}", flush=True)
    network = FaceNetwork()
    start_from(network, args.start)
    hard = find_hard(network, street, portraits)
    pixels = next(batches(street, portraits, hard, IMAGES[0], 32, 0))[0]
    normalize(network, pixels)
    print(f"start: {judge(network, chosen, JUDGED_SIDE)}", flush=True)
    training = Training(args.lr, args.work / "last.pt", network)
    train(training, street, chosen, portraits, hard, args.batch, args.minutes * 60)
    for side in (320, 416, 512):
        print(judge(training.average, chosen, side), flush=True)
    out = args.out or args.work / "face_detector.onnx"
    out.write_bytes(to_onnx(training.average))
    print(f"wrote {out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

"""What a model that has seen made masks only knows of real ones: F1 of each mask state on photos of real masks.

    uv run python benchmarks/made_masks.py --faces masked-faces/faces/faces.csv --faces more-faces/faces.csv \
        --mask-photos mask-photos/photos.csv --weights mobilenetv2_100.imagenet.safetensors --work made --half trial

1. Puts masks on bare faces with `maskfit data add-masks`, each source in a folder of its own below `--work`.
2. Trains the recipe `champion` for the mask alone from ImageNet's weights, MobileNetV2 at 96 pixels, two epochs. Of the
   photos of real masks none is trained on, none chooses an epoch and none a threshold.
3. Predicts half of the photos of real masks: `trial` is for comparing changes of the made masks, `final` for the one
   figure that is reported. Halves are drawn by file name. `--run` judges a model that is there already.

Real photos may show a person twice, so intervals over photos would be too narrow; with about 100 wrongly worn masks in
a half, differences below 0.04 say little.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from maskfit.data.read_dataset import read_photos
from maskfit.evaluation.scores import score
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask"]
HALVES = ("trial", "final")
COUNTS = ("--n-correct", "2", "--n-incorrect", "3", "--scarf")
"""Photos of each face: two masks worn, three worn wrongly, a scarf, and the bare face."""


def half_of(name: str) -> str:
    """Returns the half that a photo belongs to."""
    return HALVES[hashlib.blake2b(Path(name).name.encode(), digest_size=2).digest()[0] % 2]


def run(*words: object) -> None:
    """Runs a maskfit command, which prints as usual."""
    subprocess.run([sys.executable, "-m", "maskfit", *map(str, words)], check=True)


def make_photos(sources: list[Path], work: Path, persons: int) -> Path:
    """Puts masks on the faces of each source; returns the list of all made photos."""
    rows = []
    for number, source in enumerate(sources):
        folder = work / f"made{number}"
        if not (folder / "masks.csv").is_file():
            run("data", "add-masks", source, "--out", folder, "--persons", persons // len(sources), *COUNTS)
        with (folder / "masks.csv").open(newline="", encoding="utf-8") as file:
            rows += [(f"made{number}/{row['path']}", row["person"], row["mask"]) for row in csv.DictReader(file)]
    listed = work / "made.csv"
    with listed.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "person", "mask"), *rows])
    return listed


def train(listed: Path, args: argparse.Namespace) -> Path:
    """Trains on the made photos; returns the run."""
    folder = Path(args.work, "run")
    if not (folder / "scores.json").is_file():
        run(
            *("train", "champion", f"data.path={listed}", "data.label_schema=mask", "data.image_size=96"),
            *("model.backbone={name: mobilenetv2_100, pad_type: same}", f"model.pretrained={args.weights}"),
            *(f"trainer.epochs={args.epochs}", "cv.num_folds=1", "cv.val_fraction=0.1", f"trainer.seed={args.seed}"),
            f"output_dir={folder}",
        )
    return folder


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, action="append", default=[], help="CSV of bare faces: path,gender,age")
    parser.add_argument("--mask-photos", type=Path, required=True, help="CSV of photos of real masks: path,mask")
    parser.add_argument("--weights", type=Path, help="ImageNet weights of mobilenetv2_100")
    parser.add_argument("--work", type=Path, default=Path("made"), help="folder of made photos and the run")
    parser.add_argument("--half", choices=HALVES, default="trial")
    parser.add_argument("--run", type=Path, help="a run or model to judge; none is trained")
    parser.add_argument("--persons", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.run is None and not (args.faces and args.weights):
        parser.error("--faces and --weights are needed to train, or --run")
    args.work.mkdir(parents=True, exist_ok=True)
    model = args.run or train(make_photos(args.faces, args.work, args.persons), args)
    photos = [photo for photo in read_photos(args.mask_photos, SCHEMA) if half_of(photo.name) == args.half]
    # The most probable class: decision weights are fitted on made photos, of which other shares are worn wrongly.
    predictions = Predictor.load(model, decide="argmax").predict(photos)
    masks = predictions.schema.marginals(predictions.table.probabilities)["mask"]
    found = dict(zip(predictions.table.names, masks.argmax(axis=1), strict=True))
    photos = [photo for photo in photos if photo.name in found]
    truth = SCHEMA.encode_batch([photo.labels for photo in photos])
    result = score(SCHEMA, truth, predictions=np.array([found[photo.name] for photo in photos]))
    print(f"{args.half} half: {len(photos)} photos, macro F1 {result.macro_f1:.3f}")
    for value, own in zip(SCHEMA["mask"].values, result.per_attribute["mask"].per_value, strict=True):
        print(f"  {value}: F1 {own.f1:.3f}")


if __name__ == "__main__":
    main()

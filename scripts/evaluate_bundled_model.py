"""Evaluates a model on the persons that `train_bundled_model.py` held out: each attribute, by source of the photos.

python scripts/evaluate_bundled_model.py box/bundled.onnx --work box
python scripts/evaluate_bundled_model.py box/near/fold0/best.safetensors --work box --tta flip
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from maskfit.data.photo_dataset import Photo
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.evaluation.metrics import accuracy, f1_per_class, macro_f1
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


def held_out_photos(work: Path) -> dict[str, list[Photo]]:
    """Returns the photos of the held-out persons by source: real photos and those derived from them."""
    folds = read_splits(work / "far" / "splits.csv").fold_of_person
    photos_of: dict[str, list[Photo]] = defaultdict(list)
    for name in ("photos.csv", "extra1.csv"):
        with (work / name).open(encoding="utf-8", newline="") as stream:
            sources = [row["source"] for row in csv.DictReader(stream)]
        for photo, source in zip(read_photos(work / name, SCHEMA), sources, strict=True):
            if folds.get(photo.person) == 0:
                photos_of[source].append(photo)
    return photos_of


def evaluate(predictor: Predictor, photos: list[Photo]) -> None:
    """Prints the scores of one set of photos, attribute by attribute; photos without a label are left out.

    Each attribute is predicted from its own marginal probabilities, as for users.
    """
    probabilities = predictor.predict(photos).table.probabilities
    targets = SCHEMA.encode_batch(photo.labels for photo in photos)
    marginals = SCHEMA.marginals(probabilities)
    for index, attribute in enumerate(SCHEMA.attributes):
        marginal = marginals[attribute.name]
        known = targets[:, index] != UNKNOWN
        if not known.any():
            continue
        target, predicted = targets[known, index], marginal[known].argmax(axis=1)
        sure = marginal[known].max(axis=1) >= predictor.abstain_below.get(attribute.name, 0.0)
        size = len(attribute.values)
        counts = np.bincount(target, minlength=size)
        per_value = zip(attribute.values, f1_per_class(target, predicted, size), counts, strict=True)
        print(
            f"  {attribute.name}: accuracy {accuracy(target, predicted, size):.3f}, "
            f"macro F1 {macro_f1(target, predicted, size):.3f} "
            f"({', '.join(f'{value} {f1:.3f} of {count}' for value, f1, count in per_value if count)}); "
            f"not abstained: {sure.mean():.0%}, their accuracy {accuracy(target[sure], predicted[sure], size):.3f}"
        )
    classes = SCHEMA.to_class_index(targets)
    if (classes != UNKNOWN).any():
        predicted = probabilities.argmax(axis=1)
        score = accuracy(classes, predicted, SCHEMA.num_classes)
        print(f"  18 classes: accuracy {score:.3f}, macro F1 {macro_f1(classes, predicted, SCHEMA.num_classes):.3f}")


def main() -> None:
    """Runs the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model file")
    parser.add_argument("--work", type=Path, default=Path("box"), help="working folder of train_bundled_model.py")
    parser.add_argument("--tta", default="original", help="test-time augmentation")
    parser.add_argument("--max-images", type=int, help="approximate number of photos per source; default: all")
    args = parser.parse_args()
    predictor = Predictor.load(args.model, tta=args.tta)
    for source, photos in held_out_photos(args.work).items():
        chosen = photos[:: max(len(photos) // args.max_images, 1)] if args.max_images else photos
        print(f"{source}: {len(chosen)} photos of {len({photo.person for photo in chosen})} persons")
        evaluate(predictor, chosen)


if __name__ == "__main__":
    main()

"""Judges a model on the persons that `in_the_box.py` held out: each attribute, by where the photos are from.

python scripts/evaluate_bundled_model.py box/bundled.onnx --work box
python scripts/evaluate_bundled_model.py box/near/fold0/best.safetensors --work box --tta flip
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from maskfit.data.splits import read_splits
from maskfit.data.photo_dataset import Photo
from maskfit.data.read_dataset import read_photos
from maskfit.evaluation.metrics import accuracy, f1_per_class, macro_f1
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN

SCHEME = LABEL_SCHEMAS["mask-gender-age"]


def held_out(work: Path) -> dict[str, list[Photo]]:
    """The photos of the persons held out, by source: the real ones, and what was made of them."""
    folds = read_splits(work / "far" / "splits.csv").fold_of_person
    sets: dict[str, list[Photo]] = defaultdict(list)
    for name in ("photos.csv", "extra1.csv"):
        with (work / name).open(encoding="utf-8", newline="") as stream:
            sources = [row["source"] for row in csv.DictReader(stream)]
        for photo, source in zip(read_photos(work / name, SCHEME), sources, strict=True):
            if folds.get(photo.person) == 0:
                sets[source].append(photo)
    return sets


def judge(predictor: Predictor, photos: list[Photo]) -> None:
    """Prints what is right of one set, attribute by attribute; those that nobody knows there are left out.

    An attribute is read off its own marginal: that is what is said of a face.
    """
    probabilities = predictor.predict(photos).table.probabilities
    truth = SCHEME.encode_batch(photo.labels for photo in photos)
    marginals = SCHEME.marginals(probabilities)
    for place, attribute in enumerate(SCHEME.attributes):
        shares = marginals[attribute.name]
        known = truth[:, place] != UNKNOWN
        if not known.any():
            continue
        wanted, answered = truth[known, place], shares[known].argmax(axis=1)
        sure = shares[known].max(axis=1) >= predictor.abstain_below.get(attribute.name, 0.0)
        size = len(attribute.values)
        counts = np.bincount(wanted, minlength=size)
        each = zip(attribute.values, f1_per_class(wanted, answered, size), counts, strict=True)
        print(
            f"  {attribute.name}: accuracy {accuracy(wanted, answered, size):.3f}, "
            f"macro F1 {macro_f1(wanted, answered, size):.3f} "
            f"({', '.join(f'{value} {f1:.3f} of {count}' for value, f1, count in each if count)}); "
            f"sure of {sure.mean():.0%}, of which {accuracy(wanted[sure], answered[sure], size):.3f} are right"
        )
    classes = SCHEME.to_class_index(truth)
    if (classes != UNKNOWN).any():
        answers = probabilities.argmax(axis=1)
        right = accuracy(classes, answers, SCHEME.num_classes)
        print(f"  18 classes: accuracy {right:.3f}, macro F1 {macro_f1(classes, answers, SCHEME.num_classes):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--work", type=Path, default=Path("box"))
    parser.add_argument("--tta", default="original")
    parser.add_argument("--most", type=int, help="of each set no more than so many photos, for a first look")
    given = parser.parse_args()
    predictor = Predictor.load(given.model, tta=given.views)
    for source, photos in held_out(given.work).items():
        chosen = photos[:: max(len(photos) // given.most, 1)] if given.most else photos
        print(f"{source}: {len(chosen)} photos of {len({photo.person for photo in chosen})} persons")
        judge(predictor, chosen)


if __name__ == "__main__":
    main()

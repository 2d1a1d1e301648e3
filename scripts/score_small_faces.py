"""Scores a model on held-out faces that are made smaller: how small a face may be, and whether probabilities say so.

    python scripts/score_small_faces.py src/maskfit/weights/bundled.onnx --work box

Held-out photos of `train_bundled_model.py` with a detected face are downscaled until the longer side of the face's box
has a number of pixels, then cropped around it as `maskfit predict` does. Prints a table for docs/bundled-model.md: each
attribute's accuracy, the mean probability of the predicted value (equal to the accuracy where it is calibrated), the
part that is not "not sure", and how often that part is right; of ages the mean error in years and how often the
interval of 80 % holds the true one.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from evaluate_bundled_model import held_out_photos
from numpy.typing import NDArray
from PIL import Image
from train_bundled_model import REAL_MASKS

from maskfit.data.crops.face import FaceCrop
from maskfit.data.photo_dataset import Photo
from maskfit.inference.decisions import AttributePrediction
from maskfit.inference.image_loading import load_image
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
BARE = ("faces of faces", "faces of more-faces")
"""Sources of bare faces with gender and age."""

MAX_FACES = 900
"""Faces of a kind that are taken."""

MARGIN = 0.2
"""Margin around a face's box, as a part of its sides."""

Face = tuple[Photo, Image.Image, tuple[float, float, float, float]]


def find_faces(photos: Sequence[Photo]) -> list[Face]:
    """Returns photos with the box of their largest face; those without a face are left out."""
    crop, found = FaceCrop(), []
    for photo in random.Random(0).sample(list(photos), min(MAX_FACES, len(photos))):
        pixels = load_image(photo.path)
        faces = crop.detect_faces(pixels)
        if faces:
            found.append((photo, Image.fromarray(pixels), faces[0].box))
    return found


def shrink(faces: Sequence[Face], side: int) -> Iterator[NDArray[np.uint8]]:
    """Yields each face with its margin, after its photo was downscaled to `side` pixels of the face's longer side."""
    for _, image, (left, upper, right, lower) in faces:
        scale = min(1.0, side / max(right - left, lower - upper))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image.resize(size, Image.Resampling.LANCZOS)
        x, y = MARGIN * (right - left), MARGIN * (lower - upper)
        edges = (left - x, upper - y, right + x, lower + y)
        yield np.asarray(small.crop(tuple(round(edge * scale) for edge in edges)))  # type: ignore[arg-type]


def describe(name: str, faces: Sequence[Face], predictions: Sequence[AttributePrediction]) -> list[str]:
    """Returns the cells of an attribute: accuracy, mean probability, part that is sure, accuracy of that part."""
    labels = [photo.labels[name] for photo, _, _ in faces]
    codes = SCHEMA.encode_batch(photo.labels for photo, _, _ in faces)[:, SCHEMA.names.index(name)]
    values = SCHEMA[name].values
    right = np.array([item.value == values[code] for item, code in zip(predictions, codes, strict=True)])
    sure = np.array([item.is_confident for item in predictions])
    mean = np.mean([item.probability for item in predictions])
    of_sure = f"{right[sure].mean():.3f}" if sure.any() else "-"
    cells = [f"{right.mean():.3f}", f"{mean:.3f}", f"{sure.mean():.2f}", of_sure]
    ages = [item.age for item in predictions if item.age is not None]
    if ages:
        years = np.array([float(label) for label in labels])
        low, median, high = np.array([age.quantiles for age in ages]).T
        cells += [f"{np.abs(median - years).mean():.1f}", f"{((low <= years) & (years <= high)).mean():.2f}"]
    return cells


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model file")
    parser.add_argument("--work", type=Path, default=Path("box"), help="working folder of train_bundled_model.py")
    parser.add_argument("--sides", default="96,64,48,32,24,16", help="longer sides of the face's box in pixels")
    args = parser.parse_args()
    held_out = held_out_photos(args.work)
    masks = find_faces(held_out[REAL_MASKS])
    bare = find_faces([photo for source in BARE for photo in held_out[source]])
    print(f"{len(masks)} photos of real masks, {len(bare)} bare faces")
    predictor = Predictor.load(args.model)
    columns = [f"{name}: {what}" for name in SCHEMA.names for what in ("right", "probability", "sure", "right of sure")]
    print("| face, pixels |", " | ".join([*columns, "years off", "in interval"]), "|")
    for side in map(int, args.sides.split(",")):
        cells = []
        for name in SCHEMA.names:
            faces = masks if name == "mask" else bare
            answers = predictor.predict(list(shrink(faces, side))).decide()
            place = SCHEMA.names.index(name)
            cells += describe(name, faces, [row[place] for row in answers])
        print(f"| {side} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()

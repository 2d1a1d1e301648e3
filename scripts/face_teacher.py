"""Ages and genders of bare faces by features of a network that recognizes faces, as a teacher.

    python scripts/face_teacher.py third/to_teach.csv --splits third/splits.csv --weights face_mobilenetv1.safetensors \
        --out third/teacher.csv

`train_bundled_model.py --teacher` takes the table: `path`, `gender=male`, `gender=female` and `age=0` to `age=80`, with
probabilities. A small network on the fixed features of `face_trained_weights.py` at 224 pixels is fitted to gender and
age, in five parts of the persons: what the table says of a person comes from networks that never saw the person's
labels. Held-out persons are in no fit.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from maskfit.data.crops.face import FaceCrop
from maskfit.data.splits import read_splits
from maskfit.file_io import write_csv
from maskfit.labels.schema import FloatArray
from maskfit.models.backbone_names import FACES_BACKBONE

SIDE = 224
MARGINS = (0.4, 0.7)
"""Views of a face: squares that are larger than its box by these parts; of the first also the mirror image."""

PARTS = 5
SEEDS = 2
EPOCHS = 15
BATCH_SIZE = 128
HIDDEN = 256
RATE = 1e-3

YEARS = np.arange(18, 81)
"""Years of the fitted distribution; the first and last stand for all beyond."""

STD_YEARS = 2.5
"""Standard deviation in years of the normal distribution around a labeled age."""

GENDER_SMOOTHING = 0.02

Row = dict[str, str]


def crop_face(photo: Image.Image, crop: FaceCrop, margin: float) -> NDArray[np.float32]:
    """Crops a square around the largest face; returns RGB in -1 to 1, (3, side, side).

    A photo without a face is taken whole.
    """
    faces = crop.detect_faces(np.asarray(photo))
    box = faces[0].box if faces else (0, 0, *photo.size)
    half = max(box[2] - box[0], box[3] - box[1]) * (1 + margin) / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    extent = (x - half, y - half, x + half, y + half) if faces else box
    square = photo.transform((SIDE, SIDE), Image.Transform.EXTENT, extent, Image.Resampling.BICUBIC)
    return (np.asarray(square, np.float32) / 127.5 - 1).transpose(2, 0, 1)


def compute_features(paths: Sequence[str], weights: Path) -> Tensor:
    """Computes the features of each photo's views.

    Args:
        paths: The photos.
        weights: As from `face_trained_weights.py`.

    Returns:
        (photos, views, features).
    """
    network = timm.create_model(FACES_BACKBONE.name, num_classes=0, **FACES_BACKBONE.options).eval()
    network.load_state_dict(load_file(weights))
    network.to(memory_format=torch.channels_last)
    crop, rows = FaceCrop(), []
    for number, path in enumerate(paths, start=1):
        photo = Image.open(path).convert("RGB")
        views = [crop_face(photo, crop, margin) for margin in MARGINS]
        views.append(views[0][:, :, ::-1].copy())
        # Not inference_mode: the features are trained on.
        with torch.no_grad():
            rows.append(network(torch.tensor(np.stack(views)).to(memory_format=torch.channels_last)))
        if number % 1000 == 0:
            print(f"{number:,} of {len(paths):,} photos", flush=True)
    return torch.stack(rows)


def spread_ages(ages: FloatArray) -> Tensor:
    """Returns a normal distribution over `YEARS` around each age, (photos, years)."""
    density = np.exp(-0.5 * ((YEARS - ages[:, None]) / STD_YEARS) ** 2)
    return torch.tensor(density / density.sum(1, keepdims=True), dtype=torch.float32)


def fit(features: Tensor, ages: Tensor, males: Tensor, seed: int) -> nn.Module:
    """Fits the small network.

    Args:
        features: (photos, views, features), normalized; a batch takes one view.
        ages: (photos, years), as from `spread_ages`.
        males: (photos,), 1 or 0.
        seed: Seed of weights and order.

    Returns:
        The network: (photos, features) to logits of years, then of "male".
    """
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Dropout(0.2),
        nn.Linear(features.shape[2], HIDDEN),
        nn.GELU(),
        nn.Dropout(0.5),
        nn.Linear(HIDDEN, len(YEARS) + 1),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
    steps = len(features) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
    smooth = males * (1 - 2 * GENDER_SMOOTHING) + GENDER_SMOOTHING
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(features))[: steps * BATCH_SIZE], BATCH_SIZE):
            view = int(torch.randint(features.shape[1], ()))
            logits = network(features[batch, view])
            loss = nn.functional.cross_entropy(logits[:, :-1], ages[batch])
            loss = loss + nn.functional.binary_cross_entropy_with_logits(logits[:, -1], smooth[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def cross_fit(features: Tensor, rows: Sequence[Row], may_fit: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Predicts every photo with networks that never saw its person.

    Args:
        features: (photos, views, features).
        rows: Rows of the photos, with `person`, `age` and `gender`.
        may_fit: (photos,), False for held-out persons.

    Returns:
        (photos, years) and (photos,): probabilities of `YEARS` and of "male".
    """
    fitted = torch.tensor(may_fit)
    features = (features - features[fitted].mean((0, 1))) / (features[fitted].std((0, 1)) + 1e-3)
    ages = spread_ages(np.array([float(row["age"]) for row in rows]))
    males = torch.tensor([float(row["gender"] == "male") for row in rows])
    persons = sorted({row["person"] for row in rows})
    drawn = dict(zip(persons, np.random.default_rng(0).integers(0, PARTS, len(persons)), strict=True))
    part = torch.tensor([int(drawn[row["person"]]) for row in rows])
    years, genders = torch.zeros_like(ages), torch.zeros_like(males)
    for number in range(PARTS):
        fit_on, own = fitted & (part != number), part == number
        networks = [fit(features[fit_on], ages[fit_on], males[fit_on], seed) for seed in range(SEEDS)]
        with torch.inference_mode():
            logits = torch.stack([network(features[own]).mean(1) for network in networks])
        years[own] = logits[..., :-1].softmax(-1).mean(0)
        genders[own] = logits[..., -1].sigmoid().mean(0)
    return years.double().numpy(), genders.double().numpy()


def describe(rows: Sequence[Row], years: FloatArray, males: FloatArray, chosen: NDArray[np.bool_]) -> None:
    """Prints how often gender is right, and the mean error of the age, by source of the photos."""
    for source in sorted({row["source"] for row in rows}):
        own = chosen & np.array([row["source"] == source for row in rows])
        off = np.abs(years @ YEARS - [float(row["age"]) for row in rows])[own].mean()
        right = ((males > 0.5) == [row["gender"] == "male" for row in rows])[own].mean()
        print(f"{source}: {own.sum()} photos, gender {right:.3f}, {off:.2f} years off")


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="CSV with path, person, gender, age and source")
    parser.add_argument("--splits", type=Path, required=True, help="person and fold; fold 0 is held out")
    parser.add_argument("--weights", type=Path, required=True, help="file of face_trained_weights.py")
    parser.add_argument("--out", type=Path, required=True, help="the table to write")
    args = parser.parse_args()
    with args.photos.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    folds = read_splits(args.splits).fold_of_person
    held_out = np.array([folds[row["person"]] == 0 for row in rows])
    years, males = cross_fit(compute_features([row["path"] for row in rows], args.weights), rows, ~held_out)
    for title, chosen in (("persons of the fits, each predicted without it", ~held_out), ("held out", held_out)):
        print(title)
        describe(rows, years, males, chosen)
    before = ["0"] * int(YEARS[0])
    write_csv(
        args.out,
        ["path", "gender=male", "gender=female", *(f"age={year}" for year in range(YEARS[-1] + 1))],
        (
            [row["path"], f"{male:.5f}", f"{1 - male:.5f}", *before, *(f"{value:.5f}" for value in ages)]
            for row, male, ages in zip(rows, males, years, strict=True)
        ),
    )


if __name__ == "__main__":
    main()

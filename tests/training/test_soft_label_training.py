"""Training on soft labels: a recipe names a table, and its photos learn from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from maskfit.config.recipe import Recipe
from maskfit.errors import DataError
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.model_file import read_model_metadata
from maskfit.training.builders import build_soft_labels
from maskfit.training.plan import make_plan
from maskfit.training.soft_labels import class_labels
from maskfit.training.train import train

Make = Callable[..., Recipe]


def write_table(recipe: Recipe, path: Path) -> Path:
    """Writes a table that says of each photo the opposite gender of its label, and nothing new otherwise."""
    plan = make_plan(recipe)
    labels = list(class_labels(plan.scored_schema))
    rows = []
    for photo, number in zip(plan.photos, plan.class_indices, strict=True):
        other = {**labels[number], "gender": "female" if labels[number]["gender"] == "male" else "male"}
        rows.append(np.eye(18)[labels.index(other)])
        assert photo.name
    return ProbabilityTable(tuple(photo.name for photo in plan.photos), np.array(rows)).write(path)


def test_soft_labels_alone_are_what_is_learned(tiny: Make, tmp_path: Path) -> None:
    table = write_table(tiny(), tmp_path / "tables" / "teacher.csv")
    recipe = tiny(
        f"data.soft_labels={table}",
        "data.soft_label_weight=1",
        "trainer.epochs=6",
        "optimizer.lr=0.01",
        "weight_averaging=none",
        "augmentation=none",
        "trainer.monitor=off",
    )
    folder, _ = train(recipe)
    predicted = read_table(folder.fold(0).probabilities)
    marginals = recipe.data.label_schema.marginals(predicted.probabilities)
    assert predicted.truth is not None
    truth = recipe.data.label_schema.to_attribute_indices(predicted.truth)
    # The held-out photos keep their labels, and the network has learned the opposite genders.
    assert (marginals["gender"].argmax(axis=1) == truth[:, 1]).mean() < 0.4
    assert (marginals["mask"].argmax(axis=1) == truth[:, 0]).mean() > 0.6
    assert read_model_metadata(folder.fold(0).model).recipe["data"]["soft_labels"] == "teacher.csv"


def test_the_plan_says_how_many_photos_have_soft_labels(tiny: Make, tmp_path: Path) -> None:
    table = write_table(tiny(), tmp_path / "teacher.csv")
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:11], lines[11].replace(lines[11].split(",")[0], "gone.jpg")]) + "\n")
    plan = make_plan(tiny(f"data.soft_labels={table}", "model.head=single_head"))
    assert f"{table}: soft labels for 10 of 84 photos; 1 row names no photo of the dataset, such as gone.jpg" in (
        plan.warnings
    )
    soft = build_soft_labels(plan)
    assert soft is not None
    (target,) = soft(torch.arange(12)).values()
    assert target.probabilities.sum(dim=1).tolist() == [1.0] * 10 + [0.0] * 2
    assert target.weight == 0.5


def test_without_a_table_there_are_no_soft_labels(tiny: Make) -> None:
    assert build_soft_labels(make_plan(tiny())) is None


def test_a_missing_table_is_found_before_photos_are_decoded(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv"):
        make_plan(tiny(f"data.soft_labels={tmp_path / 'gone.csv'}"))

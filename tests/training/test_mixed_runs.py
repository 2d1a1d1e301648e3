"""Runs with mixing, sampling, strong augmentation and each photo's own normalizing, from recipe to prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskfit.config.recipe import Recipe
from maskfit.data.read_dataset import read_photos
from maskfit.errors import RecipeError
from maskfit.evaluation.probability_table import read_table
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import read_model_metadata
from maskfit.training.train import train

Make = Callable[..., Recipe]


def test_a_photos_own_normalising_is_that_of_prediction_too(tiny: Make, faces: Path) -> None:
    """Prediction normalizes as training does, which was not so in one of the source projects."""
    folder, _ = train(
        tiny("data.normalization=per_image", "trainer.epochs=1", "augmentation=strong", "data.train_resize_scale=1.3")
    )
    assert read_model_metadata(folder.fold(0).model).preprocessing.normalization.mode == "per_image"
    judged = read_table(folder.oof_probabilities)
    photos = [photo for photo in read_photos(faces, LABEL_SCHEMAS["mask-gender-age"]) if photo.name in judged.names]
    predicted = Predictor.load(folder.path).predict(photos).table.reindex(judged.names)
    np.testing.assert_allclose(predicted.probabilities, judged.probabilities, rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", ["multi_head", "single_head"])
def test_halves_of_the_old_in_balanced_epochs(tiny: Make, head: str) -> None:
    words = (
        "batch_mixing={name: half_face_old, prob: 0.8}",
        "sampler=class_balanced",
        f"model.head={head}",
        "trainer.epochs=1",
    )
    first, scores = train(tiny(*words))
    assert 0 <= scores.accuracy <= 1
    assert read_model_metadata(first.fold(0).model).recipe["batch_mixing"] == {"name": "half_face_old", "prob": 0.8}


def test_a_mixing_that_does_not_fit_the_labels_is_the_recipes_mistake(tiny: Make) -> None:
    with pytest.raises(RecipeError, match="half_face_old"):
        train(tiny("batch_mixing=half_face_old", "data.label_schema=mask-gender"))

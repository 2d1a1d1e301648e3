"""What every backbone must pass at two image sizes: train, export, inspect, predict. Small ones of each family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maskfit.config.recipe import Recipe
from maskfit.data.read_dataset import read_photos
from maskfit.errors import RecipeError
from maskfit.explain.inspect_model import inspect_model
from maskfit.inference.export import export_model
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import read_model_metadata
from maskfit.training.train import train

Make = Callable[..., Recipe]

FAMILIES = {
    "test_efficientnet": "efficientnet_b0 to b5, efficientnet_b2_pruned, efficientnetv2_rw_s",
    "test_resnet": "resnet34, resnet50, resnet152",
    "test_nfnet": "eca_nfnet_l0",
    "vit_tiny_patch16_224": "vit_base, vit_large",
    "seresnext26ts": "seresnext26d_32x4d",
    "efficientnet_b2_pruned": "itself",
    "vit_xsmall_patch16_clip_224": "CLIP's vision transformers",
    "test_efficientnet, local_stages: [3], local_grid: [4, 1]": "local features; no whole cells",
}
"""Small backbone -> the source projects' backbones that it stands for."""

SIZES = ("96", "[64, 48]")
FAST = (
    ("vit_tiny_patch16_224", SIZES[0]),
    ("test_efficientnet", SIZES[1]),
    ("test_efficientnet, local_stages: [3], local_grid: [4, 1]", SIZES[0]),
)


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        pytest.param(name, size, marks=[] if (name, size) in FAST else pytest.mark.slow)
        for name in FAMILIES
        for size in SIZES
    ],
)
def test_a_backbone_is_trained_exported_inspected_and_predicted_with(
    tiny: Make, faces: Path, tmp_path: Path, backbone: str, size: str
) -> None:
    recipe = tiny(f"model.backbone={{name: {backbone}}}", f"data.image_size={size}", "trainer.epochs=1")
    folder, scores = train(recipe)
    model = folder.fold(0).model
    assert scores.photos == len(folder.oof_probabilities.read_text().splitlines()) - 1
    metadata = read_model_metadata(model)
    expected = (96, 96) if size == "96" else (64, 48)
    assert metadata.preprocessing.crop_resize.size == expected
    photos = list(read_photos(str(faces), LABEL_SCHEMAS["mask-gender-age"]))[:6]
    exported = tmp_path / "model.onnx"
    export_model(model, exported, "onnx", photos=photos)
    paths = [photo.path for photo in photos]
    left, right = (Predictor.load(item).predict(paths).table.probabilities for item in (model, exported))
    # A few random weights and one epoch: probabilities are far from certain, so that they show any difference.
    assert np.abs(left - right).max() < 1e-3
    assert np.allclose(left.sum(axis=1), 1, atol=1e-5)
    inspection = inspect_model(model, photos, faces=1)
    assert inspection.num_labeled == 6
    assert {layer.verdict for layer in inspection.layers} <= {"fine", "zero"}


def test_a_size_that_a_backbone_does_not_take_is_refused_before_anything_is_written(tiny: Make) -> None:
    recipe = tiny("model.backbone={name: efficientformer_l1}", "data.image_size=96")
    with pytest.raises(RecipeError, match="does not take images of 96 x 96 px"):
        train(recipe)
    assert not Path(str(recipe.output_dir)).exists()


def test_auto_takes_the_size_of_the_weights_and_resumes(tiny: Make) -> None:
    words = ("model.backbone={name: test_resnet}", "data.image_size=auto", "trainer.epochs=1")
    folder, _ = train(tiny(*words))
    assert read_model_metadata(folder.fold(0).model).preprocessing.crop_resize.size == (160, 160)
    assert train(tiny(*words), resume=True)[0].path == folder.path

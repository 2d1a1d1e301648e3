"""Models that crop round a face: prediction crops as training did, says where it guessed, and what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.errors import DataError
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS, logits_to_probabilities
from maskfit.model_file import ModelMetadata, load_model, save_model
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec


def model_with(path: Path, crop: ComponentSpec) -> Path:
    """A network of random weights."""
    torch.manual_seed(0)
    scheme = LABEL_SCHEMAS["mask"]
    facts = ModelMetadata(
        label_schema=scheme,
        preprocessing=Preprocessing(crop_resize=CropResize(crop=crop, size=(32, 24))),
        backbone=ComponentSpec.create("small", width=4),
        head=ComponentSpec.create("multi_head"),
        heads=scheme.names,
    )
    network = build_network(facts.backbone, facts.head, scheme.sizes).eval()
    return save_model(path, network.state_dict(), facts)


@pytest.fixture
def photos(tmp_path: Path, paint: Any, painted: Any) -> list[Path]:
    made = {
        "tilted.png": paint(120, 90, (20, 20, 60, 80), eyes=((30, 40), (50, 45))),
        "several.png": paint(120, 90, (0, 0, 20, 20), (30, 30, 80, 90)),
        "none.png": paint(120, 90),
    }
    for name, photo in made.items():
        Image.fromarray(photo).save(tmp_path / name)
    return [tmp_path / name for name in made]


@pytest.mark.parametrize(
    "options", [{}, {"align": True, "face_selection": "central", "fallback": [0.25, 0.25, 0.75, 0.75]}]
)
def test_prediction_sees_what_the_store_gives_training(tmp_path, photos, options):
    model = model_with(tmp_path / "m.safetensors", ComponentSpec.create("face", **options))
    predictor = Predictor.load(model, batch_size=2)
    prediction = predictor.predict(photos)
    assert prediction.fallback_crops == (str(tmp_path / "none.png"),)
    network, facts = load_model(model)
    stored = open_image_cache(
        [Photo(path, path.name, path.name) for path in photos],
        facts.preprocessing.crop_resize,
        folder=tmp_path / "stores",
    )
    assert stored.fallback_crops == ("none.png",)
    planes = facts.preprocessing.normalization(stored.gather(range(3)))
    with torch.inference_mode():
        logits = {head: values.numpy() for head, values in network(torch.from_numpy(planes)).items()}
    np.testing.assert_allclose(
        prediction.table.probabilities, logits_to_probabilities(facts.label_schema, logits), atol=1e-6
    )


def test_several_models_share_a_look(tmp_path, photos, painted):
    models = [
        model_with(tmp_path / f"{top}.safetensors", ComponentSpec.create("face", top=top)) for top in (0.1, 0.2, 0.3)
    ]
    Predictor.load(*models).predict(photos)
    assert len(painted.looks) == 3


def test_a_model_whose_detector_is_elsewhere_is_told_before_any_photo_is_opened(tmp_path, painted):
    crop = ComponentSpec.create("face", detector="painted_by_file", weights="mine.onnx", sha256="a" * 64)
    with pytest.raises(DataError, match=r"mine\.onnx .* not on this machine"):
        Predictor.load(model_with(tmp_path / "m.safetensors", crop))

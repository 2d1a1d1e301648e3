"""Tests that the service answers as `maskfit predict` does, for the kinds of model files that compute differently."""

from __future__ import annotations

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from maskfit.apps.service.routes import build_app
from maskfit.apps.service.service import InferenceService
from maskfit.apps.service.settings import ServiceSettings
from maskfit.data.image_lists import find_images
from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata, save_model
from maskfit.registry import ComponentSpec

torch = pytest.importorskip("torch")
SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
VIT = ComponentSpec.create("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2)
SMALL = ComponentSpec.create("small", width=8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(8):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 48)).save(folder / f"{seed}.png")
    return folder


def make_model(folder, backbone, kind, photos):
    """Writes a model of random weights, in f32, bf16 weights, or int8 as an ONNX network."""
    from maskfit.inference.export import export_model
    from maskfit.models.network import build_network

    torch.manual_seed(1)
    metadata = ModelMetadata(
        label_schema=SCHEMA,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(32, 32))),
        backbone=backbone,
        head=ComponentSpec.create("multi_head"),
        heads=SCHEMA.names,
    )
    network = build_network(backbone, metadata.head, SCHEMA.sizes)
    with torch.no_grad():
        for parameter in network.parameters():
            # Larger than at the start of a training, so that probabilities are not all alike.
            parameter.mul_(1.5)
    weights = network.state_dict()
    if kind == "bf16":
        weights = {name: item.bfloat16() if item.is_floating_point() else item for name, item in weights.items()}
    path = save_model(folder / "model.safetensors", weights, metadata)
    if kind in ("f32", "bf16"):
        return path
    images = find_images(photos)
    half = kind == "half"
    export_model(path, folder / "model.onnx", half=half, calibrate=None if half else images, photos=images)
    return folder / "model.onnx"


@pytest.mark.parametrize(
    ("backbone", "kind", "engine"),
    [
        (VIT, "f32", "auto"),
        (VIT, "bf16", "auto"),
        (SMALL, "bf16", "auto"),
        (SMALL, "int8", "auto"),
        (SMALL, "half", "auto"),
        (SMALL, "f32", "torch:precision=bf16"),
        (VIT, "f32", "torch:precision=bf16"),
    ],
)
def test_the_service_answers_as_predict_does(tmp_path, photos, monkeypatch, backbone, kind, engine):
    monkeypatch.delenv("MASKFIT_TOKEN", raising=False)
    if kind in ("int8", "half"):
        pytest.importorskip("onnx")
    model = make_model(tmp_path, backbone, kind, photos)
    images = find_images(photos)
    # What `maskfit predict` writes as JSON lines.
    batches = Predictor.load(model, engine=engine).stream(images)
    expected = {row["photo"]: row for batch in batches for row in batch.records()}
    settings = ServiceSettings(models=(str(model),), engine=engine, faces=False)
    with TestClient(build_app(InferenceService(settings))) as client:
        files = [("files", (image.path.name, image.path.read_bytes())) for image in images]
        answer = client.post("/v1/predict", files=files)
        one = client.post("/v1/predict", files=files[:1])
    assert answer.status_code == one.status_code == 200, answer.text
    found = answer.json()["photos"]
    assert len(found) == len(expected) == 8
    differ = 2e-2 if "bf16" in engine else 2e-6
    for photo in [*found, *one.json()["photos"]]:
        (face,) = photo["faces"]
        for name in SCHEMA.names:
            own = expected[photo["name"]]["attributes"][name]
            assert face[name]["value"] == own["value"]
            assert face[name]["probabilities"] == pytest.approx(own["probabilities"], abs=differ)
    assert len({row["probability"] for row in expected.values()}) > 4

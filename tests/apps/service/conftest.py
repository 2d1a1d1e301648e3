"""A hand-made ONNX network, services with it, and a gate that blocks the network on demand."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from maskfit.apps.service.routes import build_app
from maskfit.apps.service.service import InferenceService
from maskfit.apps.service.settings import Limits, ServiceSettings
from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata
from maskfit.registry import ComponentSpec

SCHEME = LABEL_SCHEMAS["mask-gender-age"]
TIMEOUT_SECONDS = 20
"""Seconds that a test waits for something that should happen at once."""


def make_onnx(path: Path, crop: ComponentSpec = ComponentSpec.create("center"), **changes: Any) -> Path:
    """A network that answers by the mean colors of a frame, without torch."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    metadata = ModelMetadata(
        label_schema=SCHEME,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(16, 16), crop=crop)),
        backbone=ComponentSpec.create("small"),
        head=ComponentSpec.create("multi_head"),
        heads=SCHEME.names,
        **changes,
    )
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("GlobalAveragePool", ["photos"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
    ]
    weights, outputs = [], []
    for name, size in SCHEME.sizes.items():
        values = generator.normal(0, 2, (3, size)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(values, f"{name}_weights"))
        nodes.append(helper.make_node("MatMul", ["flat", f"{name}_weights"], [name]))
        outputs.append(helper.make_tensor_value_info(name, floats, ["batch", size]))
    photos = helper.make_tensor_value_info("photos", floats, ["batch", 3, 16, 16])
    program = helper.make_model(
        helper.make_graph(nodes, "means", [photos], outputs, weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    for key, value in metadata.to_metadata().items():
        program.metadata_props.add(key=key, value=value)
    path.write_bytes(program.SerializeToString())
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(
        tmp_path_factory.mktemp("secret-place") / "model.onnx", scores={"macro_f1": 0.5, "odd": float("nan")}
    )


class Gate:
    """Wraps a service's network: records batch sizes, blocks while closed, and can raise an error."""

    def __init__(self, service: InferenceService) -> None:
        self.engine: Any = service.predictor.members[0].engine
        self.plain = self.engine.logits
        self.open = threading.Event()
        self.open.set()
        self.batches: list[int] = []
        self.fault: Exception | None = None
        self.engine.logits = self

    def __call__(self, frames: Any) -> Any:
        self.batches.append(len(frames))
        assert self.open.wait(TIMEOUT_SECONDS)
        if self.fault:
            raise self.fault
        return self.plain(frames)


class Served:
    """A running service with its client."""

    def __init__(self, client: TestClient, service: InferenceService) -> None:
        self.client = client
        self.service = service
        self.gate = Gate(service)

    def send(self, *contents: bytes, path: str = "/v1/predict", **words: Any) -> Any:
        files = [("files", (f"photo{place}.png", content)) for place, content in enumerate(contents)]
        return self.client.post(path, files=files, **words)


@pytest.fixture(scope="session")
def common(model: Path) -> Iterator[TestClient]:
    """A client of a service for portraits that tests share which change nothing in it."""
    with TestClient(build_app(InferenceService(ServiceSettings(models=(str(model),), faces=False)))) as client:
        yield client


@pytest.fixture
def make_settings(model: Path) -> Callable[..., ServiceSettings]:
    """Makes settings; words of `Limits` go there."""

    def make(**words: Any) -> ServiceSettings:
        limits = {name: words.pop(name) for name in list(words) if name in Limits.model_fields}
        return ServiceSettings(models=(str(model),), limits=Limits(**limits), **words)

    return make


@pytest.fixture
def serve(
    painted: Any, make_settings: Callable[..., ServiceSettings], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Served]]:
    """Starts services in this process."""
    monkeypatch.delenv("MASKFIT_TOKEN", raising=False)
    with ExitStack() as stack:

        def start(**words: Any) -> Served:
            service = InferenceService(make_settings(**words))
            client = stack.enter_context(TestClient(build_app(service)))
            served = Served(client, service)
            stack.callback(served.gate.open.set)
            return served

        yield start


def to_png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def photo(paint: Callable[..., Any]) -> Callable[..., bytes]:
    """Makes a photo as a file: `photo(seed, faces...)`; photos of two seeds differ in color."""

    def make(seed: int = 0, *faces: tuple[int, int, int, int]) -> bytes:
        pixels = paint(100, 120, *faces, seed=seed)
        pixels[:10] = np.random.default_rng(seed).integers(60, 200, 3)
        return to_png(pixels)

    return make


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    def wait(true: Callable[[], object]) -> None:
        pause = threading.Event()
        for _ in range(TIMEOUT_SECONDS * 100):
            if true():
                return
            pause.wait(0.01)
        raise AssertionError("it did not happen")

    return wait

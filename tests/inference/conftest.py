"""Tiny networks with random weights, written as model files; photos drawn from noise; two exports, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskfit.data.preprocessing import CropResize, Normalize, Preprocessing
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata, save_model
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec

FULL = LABEL_SCHEMAS["mask-gender-age"]
DECADES = AgeLabelRule(by_decade=True).training_schema(FULL)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small spend more time waiting for a second thread than on their work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_model(
    path: Path, *, head: str = "multi_head", seed: int = 0, size: tuple[int, int] = (32, 24), **changes: Any
) -> Path:
    """Writes a network of random weights that says different things of different photos."""
    scheme = changes.pop("scheme", FULL)
    facts = ModelMetadata(
        label_schema=scheme,
        preprocessing=Preprocessing(
            crop_resize=CropResize(size=size, crop=changes.pop("crop", ComponentSpec.create("center"))),
            normalization=changes.pop("normalising", Normalize(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))),
        ),
        backbone=ComponentSpec.create("small", width=4),
        head=ComponentSpec.create(head),
        heads=(JOINT_HEAD,) if head == "single_head" else scheme.names,
        **changes,
    )
    torch.manual_seed(seed)
    network = build_network(facts.backbone, facts.head, scheme.sizes).eval()
    frames = [np.asarray(draw(number, size[1], size[0])) for number in range(16)]
    with torch.inference_mode():
        seen = network.backbone(torch.from_numpy(facts.preprocessing.normalization(np.stack(frames))))
        # A fresh head gives every photo nearly the same answer, which would hide mistakes.
        for layer in network.head.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.copy_(torch.randn_like(layer.weight) / seen.std(0).clamp(min=1e-3) / 3)
                layer.bias.copy_(-layer.weight @ seen.mean(0))
    return save_model(path, network.state_dict(), facts)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that answer one question in several ways, and `mask`, which answers another."""
    folder = tmp_path_factory.mktemp("models")
    kinds: dict[str, dict[str, Any]] = {
        "attributes": {},
        "sibling": {"seed": 1},
        "joint": {"head": "single_head", "seed": 2, "size": (40, 40)},
        "decades": {"scheme": DECADES, "seed": 3, "size": (24, 40)},
        "joint-decades": {"scheme": DECADES, "head": "single_head", "seed": 4, "normalising": Normalize()},
        "cropped": {"seed": 5, "crop": ComponentSpec.create("center", scale=0.7, shift=0.1)},
        "mask": {"scheme": LABEL_SCHEMAS["mask"], "seed": 6},
    }
    return {name: make_model(folder / f"{name}.safetensors", **changes) for name, changes in kinds.items()}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> dict[str, Path]:
    """ONNX twins of two models; torch's exporter takes seconds for each."""
    from maskfit.inference.export.onnx_export import write_onnx

    folder = tmp_path_factory.mktemp("exported")
    paths = {name: folder / f"{name}.onnx" for name in ("attributes", "joint-decades")}
    for name, path in paths.items():
        write_onnx(models[name], path)
    return paths


@pytest.fixture
def make() -> Callable[..., Path]:
    """`make_model`, for a test that wants a model of its own."""
    return make_model


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, exported: dict[str, Path]) -> None:
    """torch's exporter, which takes seconds, gives what it gave before."""
    import onnx

    def export(*words: Any, **options: Any) -> Any:
        proto = onnx.load(exported["attributes"])
        del proto.metadata_props[:]
        return SimpleNamespace(model_proto=proto)

    monkeypatch.setattr(torch.onnx, "export", export)


def draw(seed: int, width: int, height: int) -> Image.Image:
    """Blotches of colour, no two seeds alike."""
    chance = np.random.default_rng(seed)
    pixels = chance.integers(0, 256, (7, 5, 3)) * chance.uniform(0.2, 1)
    return Image.fromarray(pixels.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


SIZES = [(96, 128), (128, 96), (60, 60), (384, 512), (33, 90), (200, 50), (48, 64)]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eleven photos of several formats and sizes, one lying on its side."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for number in range(11):
        image = draw(number, *SIZES[number % len(SIZES)])
        path = folder / f"{'bca'[number % 3]}{number}.{('png', 'jpg', 'webp')[number % 3]}"
        exif = Image.Exif()
        if number == 4:
            exif[0x0112] = 6
        image.save(path, **({"lossless": True} if path.suffix == ".webp" else {}), exif=exif)
        paths.append(path)
    return paths


@pytest.fixture
def write_run(models: dict[str, Path]) -> Callable[..., Path]:
    """Makes a run folder of copies: `write_run(path, done=["attributes"], begun=["sibling"])`."""

    def write(path: Path, done: list[str], begun: list[str] | None = None) -> Path:
        path.mkdir(parents=True)
        (path / "recipe.yaml").write_text("name: made\n")
        for number, name in enumerate([*done, *(begun or [])]):
            fold = path / f"fold{number}"
            fold.mkdir()
            (fold / "best.safetensors").write_bytes(models[name].read_bytes())
            if number < len(done):
                (fold / "scores.json").write_text("{}")
        return path

    return write


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred photos of noise."""
    path = tmp_path_factory.mktemp("noise")
    chance = np.random.default_rng(0)
    for number in range(100):
        pixels = chance.integers(0, 256, (5, 4, 3)) * chance.uniform(0.2, 1)
        image = Image.fromarray(pixels.astype(np.uint8)).resize((30, 40), Image.Resampling.BICUBIC)
        image.save(path / f"{number:03}.png")
    return path


@pytest.fixture
def model(exported: dict[str, Path]) -> Path:
    """An ONNX model with a head for each attribute."""
    return exported["attributes"]

"""A cluster of two cores on this machine, started once, and a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maskfit.cluster.ray_session import LOCAL, ray_session


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    pytest.importorskip("ray")
    with ray_session(LOCAL, "the tests"):
        yield


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn persons, 56 photos of 48 x 64 pixels, in the competition's layout."""
    from maskfit.synthesis.drawn import write_train_set

    return write_train_set(tmp_path_factory.mktemp("faces") / "drawn", 8, seed=3, size=(48, 64), workers=1)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights."""
    import torch

    from maskfit.data.preprocessing import CropResize, Preprocessing
    from maskfit.labels.schema import LABEL_SCHEMAS
    from maskfit.model_file import ModelMetadata, save_model
    from maskfit.models.network import build_network
    from maskfit.registry import ComponentSpec

    torch.manual_seed(0)
    scheme = LABEL_SCHEMAS["mask-gender-age"]
    facts = ModelMetadata(
        label_schema=scheme,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(32, 24))),
        backbone=ComponentSpec.create("small", width=4),
        head=ComponentSpec.create("multi_head"),
        heads=scheme.names,
    )
    network = build_network(facts.backbone, facts.head, scheme.sizes)
    return save_model(tmp_path_factory.mktemp("model") / "best.safetensors", network.state_dict(), facts)

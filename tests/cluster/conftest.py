"""A cluster of two cores on this machine, started once, and a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maskfit.cluster.joining import HERE, joined


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    pytest.importorskip("ray")
    with joined(HERE, "the tests"):
        yield


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn persons, 56 photos of 48 x 64 pixels, in the competition's layout."""
    from maskfit.synthesis.drawn import write_people

    return write_people(tmp_path_factory.mktemp("faces") / "drawn", 8, seed=3, size=(48, 64), workers=1)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights."""
    import torch

    from maskfit.data.transforms import Framing, Preprocessing
    from maskfit.labels import SCHEMES
    from maskfit.modelfile import ModelFacts, write_model
    from maskfit.models.network import build_network
    from maskfit.parts import Part

    torch.manual_seed(0)
    scheme = SCHEMES["mask-gender-age"]
    facts = ModelFacts(
        scheme=scheme, preprocessing=Preprocessing(framing=Framing(size=(32, 24))),
        backbone=Part.of("small", width=4), head=Part.of("attributes"), heads=scheme.names,
    )  # fmt: skip
    network = build_network(facts.backbone, facts.head, scheme.sizes)
    return write_model(tmp_path_factory.mktemp("model") / "best.safetensors", network.state_dict(), facts)

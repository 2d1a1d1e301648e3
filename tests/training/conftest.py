"""A small set of drawn faces, made once for all training tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.training.recipe_registry import RECIPE_REGISTRY


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Nets this small lose more by sharing work between threads than they gain."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn persons, 84 photos of 48 x 64 pixels, in the competition's layout."""
    from maskfit.synthesis.drawn import write_train_set

    return write_train_set(tmp_path_factory.mktemp("faces") / "drawn", 12, seed=3, size=(48, 64), workers=1)


@pytest.fixture
def tiny(faces: Path, tmp_path: Path) -> Callable[..., Recipe]:
    """Gives recipes that train in a second: a net of a few thousand weights on 24 pixels."""

    def make(*words: str) -> Recipe:
        defaults = [
            f"data.path={faces}",
            f"data.cache_dir={tmp_path / 'stores'}",
            f"output_dir={tmp_path / 'run'}",
            "data.image_size=24",
            "model.backbone.width=4",
            "trainer.epochs=2",
            "trainer.batch_size=16",
            "trainer.device=cpu",
        ]
        return read_recipe("fast", [*defaults, *words], registries=RECIPE_REGISTRY)

    return make

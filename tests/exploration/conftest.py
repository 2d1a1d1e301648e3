"""Drawn persons: rendered once, copied into the folder of each test that changes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema
from maskfit.synthesis.drawn import render_photo, sample_person, write_train_set


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six persons in the competition's layout; read-only."""
    return write_train_set(tmp_path_factory.mktemp("drawn") / "set", 6, seed=5, size=(96, 128), workers=1)


@pytest.fixture
def people(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(drawn, tmp_path / "images"))


@pytest.fixture
def schema() -> LabelSchema:
    return LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture(scope="session")
def face() -> Callable[[int], Image.Image]:
    """Renders the face of a person without a mask; each number is another person."""
    faces: dict[int, Image.Image] = {}

    def draw(number: int) -> Image.Image:
        if number not in faces:
            person = sample_person(0, number + 1, gender="female" if number % 2 else "male", age=20 + 3 * number)
            faces[number] = render_photo(person, "normal", size=(192, 256)).image
        return faces[number]

    return draw

"""Small datasets: written to a temporary folder, or in memory where no file is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema

STEMS = ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal")
MASKS = dict.fromkeys(STEMS[:5], "wear") | {"incorrect_mask": "incorrect", "normal": "not_wear"}


@pytest.fixture
def schema() -> LabelSchema:
    return LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture
def write_photo() -> Callable[..., Path]:
    """Writes a tiny photo whose pixels follow from `seed`; the format follows from the name."""

    def write(path: Path, seed: int = 0, size: tuple[int, int] = (72, 96)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(corners).resize(size).save(path)
        return path

    return write


@pytest.fixture
def write_person(write_photo: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a person's seven photos under `root`, no two alike."""

    def write(root: Path, folder: str, suffix: str = ".jpg") -> Path:
        for stem in STEMS:
            write_photo(root / folder / f"{stem}{suffix}", seed=crc32(f"{folder}/{stem}".encode()))
        return root / folder

    return write


@pytest.fixture
def remember() -> Callable[..., PhotoDataset]:
    """A dataset in memory: seven photos per folder name, without files."""

    def make(*folders: str) -> PhotoDataset:
        photos = []
        for folder in folders:
            _, gender, _, age = folder.split("_")
            for stem, mask in MASKS.items():
                name = f"{folder}/{stem}.jpg"
                photos.append(Photo(Path(name), name, folder, {"mask": mask, "gender": gender, "age": float(age)}))
        return PhotoDataset(Path(), tuple(photos))

    return make

"""Sources of imports, written to a temporary folder: drawn photos and label files in each format's exact form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from maskfit.data.importers import ImportedDataset, import_dataset
from maskfit.labels.schema import LABEL_SCHEMAS

Write = Callable[..., Path]


@pytest.fixture
def write_tree(tmp_path: Path, write_photo: Callable[..., Path]) -> Write:
    """Writes a folder of photos (names with a photo's suffix) and text files (name -> text)."""

    def write(*photos: str, texts: Mapping[str, str] | None = None, folder: str = "source") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for number, name in enumerate(photos):
            write_photo(root / name, seed=number, size=(24, 32))
        for name, text in (texts or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8", newline="")
        return root

    return write


@pytest.fixture
def import_(write_tree: Write) -> Callable[..., ImportedDataset]:
    """Imports with the label schema mask-gender-age by default."""

    def run(path: Path, format: str | None = None, *maps: str, **options: Any) -> ImportedDataset:
        schema = LABEL_SCHEMAS[options.pop("schema", "mask-gender-age")]
        return import_dataset(path, schema, format=format, maps=maps, **options)

    return run


@pytest.fixture
def labels_of() -> Callable[[ImportedDataset], dict[str, dict[str, str]]]:
    """The labels by the photo's name."""

    def collect(dataset: ImportedDataset) -> dict[str, dict[str, str]]:
        return {row.photo.name: dict(row.labels) for row in dataset.rows}

    return collect

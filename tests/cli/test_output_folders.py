"""A file where a command writes a folder, alike in every command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.errors import DataError
from maskfit.file_locks import is_occupied

SPACE = "optimizer.lr: {low: 1.0e-4, high: 1.0e-2, log: true}\n"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Four persons with a photo each, in the competition's layout."""
    for number in range(4):
        folder = tmp_path / "people" / f"00000{number}_{'male' if number % 2 else 'female'}_Asian_40"
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 96)).save(folder / "normal.jpg")
    return tmp_path / "people"


@pytest.mark.parametrize("target", ["taken", "taken/deeper"])
@pytest.mark.parametrize(
    "args",
    [
        "data crop PEOPLE --crop center --out TARGET",
        "data oversample PEOPLE --count 3 --out TARGET",
        "data add-masks PEOPLE --out TARGET",
        "data gan PEOPLE --steps 3 --out TARGET",
        "data gan PEOPLE --steps 3 --resume --out TARGET",
        "data synthesize TARGET --persons 1",
        "demo --out TARGET",
        "new TARGET",
        "predict --images PEOPLE --shards TARGET",
        "predict --images PEOPLE --shards TARGET --resume",
        "run fast --images PEOPLE data.path=PEOPLE --out TARGET",
        "train fast data.path=PEOPLE output_dir=TARGET",
        "tune fast data.path=PEOPLE --space space.yaml --out TARGET",
        "ensemble table.csv --out TARGET",
    ],
)
def test_a_file_in_place_of_a_folder_is_called_a_file(command, bundled_model, people, args, target):
    Path("taken").write_text("mine")
    Path("space.yaml").write_text(SPACE)
    Path("table.csv").write_text("ImageID,ans\na.jpg,1\n")
    result = command(*args.replace("PEOPLE", str(people)).replace("TARGET", target).split())
    assert result.code == 2
    assert "is a file, where a folder is needed" in result.err, result.err
    assert Path("taken").read_text() == "mine"


def test_only_contents_occupy_a_folder(tmp_path):
    assert not is_occupied(tmp_path)
    assert not is_occupied(tmp_path / "new" / "deeper")
    (tmp_path / "lock").touch()
    assert is_occupied(tmp_path)
    assert not is_occupied(tmp_path, ignored=[tmp_path / "lock"])
    with pytest.raises(DataError, match="this is a file"):
        is_occupied(tmp_path / "lock")
    with pytest.raises(DataError, match="lock is a file"):
        is_occupied(tmp_path / "lock" / "deeper")

"""What the state of a pipeline notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.data.photo_dataset import Photo
from maskfit.errors import RunError
from maskfit.pipeline.state import (
    PipelineState,
    StageRecord,
    describe_changes,
    hash_photos,
    hash_recipe_files,
    read_state,
    recipe_inputs,
)


def test_changes_are_said_with_their_values_or_as_content() -> None:
    before = {"tta": "flip", "photos": "a" * 64, "same": "1", "gone": "x"}
    after = {"tta": "original", "photos": "b" * 64, "same": "1"}
    expected = ["tta was flip, is original", "photos changed", "gone was x, is None"]
    assert describe_changes(before, after) == expected
    assert describe_changes(after, after) == []


def test_only_keys_that_change_results_count() -> None:
    recipe = Recipe(name="a")
    other = recipe.model_copy(update={"output_dir": "elsewhere"})
    assert recipe_inputs(recipe) == recipe_inputs(other)
    changed = recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update={"epochs": 77})})
    assert [line.split(" was ")[0] for line in describe_changes(recipe_inputs(recipe), recipe_inputs(changed))] == [
        "trainer.epochs"
    ]


def test_the_hash_of_photos_has_order_labels_and_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    first, second = (Photo(tmp_path / name, name, name) for name in ("a", "b"))
    hashes = [hash_photos([first, second]), hash_photos([second, first]), hash_photos([first])]
    hashes.append(hash_photos([first.with_labels({"mask": "wear"}), second]))
    assert hash_photos([first, second]) == hashes[0]
    (tmp_path / "b").write_text("c")
    hashes.append(hash_photos([first, second]))
    assert len(set(hashes)) == 5


def test_the_content_of_files_that_a_recipe_names_counts(tmp_path: Path) -> None:
    names = ("votes.csv", "start.safetensors", "model.onnx")
    for name in names:
        (tmp_path / name).write_text("a")
    votes, start, model = (str(tmp_path / name) for name in names)
    recipe = read_recipe("fast", [f"data.soft_labels={votes}", f"model.pretrained={start}", f"model.init_from={model}"])
    before = hash_recipe_files(recipe)
    assert len(before) == 3
    for name in names:
        (tmp_path / name).write_text("b")
        assert len(describe_changes(before, hash_recipe_files(recipe))) == 1
        (tmp_path / name).write_text("a")
    assert hash_recipe_files(read_recipe("fast", ["model.pretrained=none"])) == {}


def test_state_is_read_back_and_other_folders_are_refused(tmp_path: Path) -> None:
    assert read_state(tmp_path / "new").stages == {}
    state = PipelineState(stages={"train": StageRecord(status="done", inputs={"a": "1"}, summary="x")})
    state.write(tmp_path / "new")
    assert read_state(tmp_path / "new") == state
    (tmp_path / "new" / "pipeline.json").write_text('{"version": 1, "stages": {"train": {"status": "odd"}}}')
    with pytest.raises(RunError, match=r"stages\.train\.status"):
        read_state(tmp_path / "new")
    with pytest.raises(RunError, match="holds no pipeline"):
        read_state(tmp_path)

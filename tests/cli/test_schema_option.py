"""`--schema` of every command: a name, or what has a label schema of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from maskfit.cli.dataset_options import find_schema, training_words
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import read_model_metadata

RECIPE = "extends: fast\ndata:\n  label_schema:\n    attributes:\n      - {name: helmet, values: [helmet, bare]}\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "helmets.yaml"
    path.write_text(RECIPE)
    return path


def test_a_name_a_recipe_a_run_and_a_model_have_a_label_schema(recipe, run_dir, model):
    assert find_schema("mask") is LABEL_SCHEMAS["mask"]
    assert find_schema(str(recipe)).names == ("helmet",)
    own = read_model_metadata(model).label_schema.scored_schema()
    assert find_schema(str(model)) == find_schema(str(run_dir)) == own


@pytest.mark.parametrize("name", ["nope", "nope.yaml", "maks"])
def test_what_has_none_says_what_to_name(name):
    with pytest.raises(DataError, match="is unknown") as raised:
        find_schema(name)
    assert "recipe file" in str(raised.value.hint)


def test_attributes_of_ones_own_are_scored(command, recipe, tmp_path):
    truth, answers = tmp_path / "truth.csv", tmp_path / "answers.csv"
    truth.write_text("path,person,helmet\na.jpg,p1,helmet\nb.jpg,p2,bare\nc.jpg,p3,bare\n")
    answers.write_text("ImageID,helmet\na.jpg,helmet\nb.jpg,bare\nc.jpg,helmet\n")
    result = command("evaluate", truth, answers, "--schema", recipe)
    assert result.code == 0, result.err
    assert "0.6667" in result.out
    assert "helmet" in result.out
    # Without it the error says that such models have their own.
    assert "--schema RUN" in command("evaluate", truth, answers).err


def test_the_next_command_trains_with_the_file_that_has_the_label_schema(command, recipe, tmp_path, run_dir):
    for name in "abc":
        Image.new("RGB", (32, 40), "gray").save(tmp_path / f"{name}.jpg")
    data = tmp_path / "data.csv"
    data.write_text("path,person,helmet\na.jpg,p1,helmet\nb.jpg,p2,bare\nc.jpg,p3,bare\n")
    result = command("data", "check", data, "--schema", recipe)
    assert result.code == 0, result.err
    assert f"maskfit train {recipe} data.path={data}" in result.out
    assert "data.label_schema" not in result.out
    assert training_words("mask", "quick") == ["quick", "data.label_schema=mask"]
    assert training_words("mask-gender-age", "quick") == ["quick"]
    assert training_words(str(run_dir), "quick") == [str(run_dir / "recipe.yaml")]

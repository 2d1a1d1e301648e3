"""`maskfit new`, and `maskfit recipes --import`, as a user types them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from maskfit.config.loader import read_recipe
from maskfit.config.recipe_files import recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_a_project_starts_from_a_recipe_with_its_own_name_and_photos(command, name):
    result = command("new", "my masks!", "--recipe", name)
    assert result.code == 0
    assert {path.name for path in Path("my masks!").iterdir()} == {"recipe.yaml", "README.md", ".gitignore"}
    assert "my masks!/photos" in result.out
    made = read_recipe("my masks!/recipe.yaml")
    args = ["data.path=photos", "name=my-masks-", f"description=Started from {name}."]
    assert made.model_copy(update={"name": "x"}) == read_recipe(name, args).model_copy(update={"name": "x"})
    assert made.name == "my-masks"
    assert command("check", "my masks!/recipe.yaml", "--no-files").code == 0
    assert "at: data.path=photos\n" in command("check", "my masks!/recipe.yaml").err


def test_the_recipe_keeps_its_comments(command):
    command("new", "masks")
    text = Path("masks/recipe.yaml").read_text()
    assert "maskfit train recipe.yaml" in text
    assert "path: photos   # a folder" in text


def test_every_command_of_the_readme_exists(command):
    command("new", "masks")
    lines = re.findall(r"^maskfit ([^#\n]+)", Path("masks/README.md").read_text(), flags=re.MULTILINE)
    assert len(lines) == 8
    for line in lines:
        args = line.split()
        command_name = args[:2] if args[0] == "data" else args[:1]
        help_ = command(*command_name, "--help")
        assert help_.code == 0
        assert all(word in help_.out for word in args if word.startswith("--"))
    recipe_words = next(line for line in lines if "second" in line).split()[2:]
    assert read_recipe("masks/recipe.yaml", recipe_words).output_dir == "runs/second"


def test_folder_must_be_empty(command):
    Path("there").mkdir()
    assert command("new", "there").code == 0
    before = Path("there/README.md").read_text()
    result = command("new", "there")
    assert result.code == 2
    assert "the folder is not empty" in result.err
    Path("file").write_text("mine")
    assert command("new", "file").code == 2
    assert Path("file").read_text() == "mine"
    assert Path("there/README.md").read_text() == before
    assert command("new", "other", "--recipe", "basline").code == 2
    assert not Path("other").exists()


def test_config_is_converted_with_warnings_for_unknown_keys(command):
    Path("config.json").write_text('{"name": "Mask_Base", // a comment\n "trainer": {"epochs": 3, "verbosity": 2}}')
    result = command("recipes", "--import", "config.json")
    assert result.code == 0
    assert [line.split(": ")[1] for line in result.err.splitlines()] == ["model", "trainer.verbosity"]
    Path("piped.yaml").write_text(result.out)
    written = command("recipes", "--import", "config.json", "--out", "mine.yaml")
    assert written.out == ""
    assert "written: mine.yaml" in written.err
    assert Path("mine.yaml").read_text() == result.out
    recipe = read_recipe("mine.yaml")
    assert (recipe.name, recipe.trainer.epochs) == ("Mask_Base", 3)
    assert command("recipes", "--import", "config.json", "--out", "mine.yaml").code == 2
    assert command("recipes", "--import", "config.json", "--out", "mine.yaml", "--force").code == 0


@pytest.mark.parametrize("args", [("--out", "x.yaml"), ("baseline", "--import", "config.json")])
def test_incompatible_arguments_are_errors(command, args):
    Path("config.json").write_text(json.dumps({"name": "a"}))
    assert command("recipes", *args).code == 2
    assert not Path("x.yaml").exists()

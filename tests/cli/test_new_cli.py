"""`maskfit new`, and `maskfit recipes --import`, as a user types them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from maskfit.config.loader import read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_a_project_starts_from_a_recipe_with_its_own_name_and_photos(command, name):
    said = command("new", "my masks!", "--recipe", name)
    assert said.code == 0
    assert {path.name for path in Path("my masks!").iterdir()} == {"recipe.yaml", "README.md", ".gitignore"}
    assert "my masks!/photos" in said.out
    made = read_recipe("my masks!/recipe.yaml")
    words = ["data.path=photos", "name=my-masks-", f"description=Started from {name}."]
    assert made.model_copy(update={"name": "x"}) == read_recipe(name, words).model_copy(update={"name": "x"})
    assert made.name == "my-masks"
    assert command("check", "my masks!/recipe.yaml").code == 0


def test_the_recipe_keeps_its_comments(command):
    command("new", "masks")
    text = Path("masks/recipe.yaml").read_text()
    assert "maskfit train recipe.yaml" in text
    assert "path: photos   # a folder" in text


def test_every_command_of_the_read_me_is_one(command):
    command("new", "masks")
    lines = re.findall(r"^maskfit ([^#\n]+)", Path("masks/README.md").read_text(), flags=re.MULTILINE)
    assert len(lines) == 8
    for line in lines:
        words = line.split()
        verb = words[:2] if words[0] == "data" else words[:1]
        help_ = command(*verb, "--help")
        assert help_.code == 0
        assert all(word in help_.out for word in words if word.startswith("--"))
    recipe_words = next(line for line in lines if "second" in line).split()[2:]
    assert read_recipe("masks/recipe.yaml", recipe_words).output_dir == "runs/second"


def test_only_an_empty_folder_is_taken(command):
    Path("there").mkdir()
    assert command("new", "there").code == 0
    before = Path("there/README.md").read_text()
    said = command("new", "there")
    assert said.code == 2
    assert "the folder is not empty" in said.err
    Path("file").write_text("mine")
    assert command("new", "file").code == 2
    assert Path("file").read_text() == "mine"
    assert Path("there/README.md").read_text() == before
    assert command("new", "other", "--recipe", "basline").code == 2
    assert not Path("other").exists()


def test_a_config_becomes_a_recipe_and_says_what_it_cannot_hold(command):
    Path("config.json").write_text('{"name": "Mask_Base", // a comment\n "trainer": {"epochs": 3, "verbosity": 2}}')
    said = command("recipes", "--import", "config.json")
    assert said.code == 0
    assert said.err.startswith("no counterpart: trainer.verbosity: ")
    Path("piped.yaml").write_text(said.out)
    written = command("recipes", "--import", "config.json", "--out", "mine.yaml")
    assert written.out == ""
    assert "written: mine.yaml" in written.err
    assert Path("mine.yaml").read_text() == said.out
    recipe = read_recipe("mine.yaml")
    assert (recipe.name, recipe.trainer.epochs) == ("Mask_Base", 3)
    assert command("recipes", "--import", "config.json", "--out", "mine.yaml").code == 2
    assert command("recipes", "--import", "config.json", "--out", "mine.yaml", "--force").code == 0


@pytest.mark.parametrize("words", [("--out", "x.yaml"), ("baseline", "--import", "config.json")])
def test_words_that_do_not_go_together_are_refused(command, words):
    Path("config.json").write_text(json.dumps({"name": "a"}))
    assert command("recipes", *words).code == 2
    assert not Path("x.yaml").exists()

"""Options of other tools: refused with what to write in place of them."""

from __future__ import annotations

import re

import pytest
import typer
from PIL import Image

from maskfit.cli import COMMAND_TABLE
from maskfit.cli.lazy_commands import load_command
from maskfit.cli.legacy_names import EVERYWHERE, OPTIONS
from maskfit.cli.option_hints import OPTION_HINTS, check_foreign_options
from maskfit.errors import MaskfitError

PATHS = {name: item.import_path for entries in COMMAND_TABLE.values() for name, item in entries.items()}
VALUES = {"N": "16", "X": "0.1", "NAME": "resnet18", "NAME_OR_FILE": "timm", "cuda": "cpu"}


@pytest.mark.parametrize("name", OPTION_HINTS)
def test_no_hint_is_an_option_or_an_old_name(name):
    app = typer.Typer()
    app.command()(load_command(PATHS[name]))
    options = {option for param in typer.main.get_command(app).params for option in param.opts}
    assert options
    assert not {*options, *EVERYWHERE, *OPTIONS.get(name, {})} & OPTION_HINTS[name].keys()


def test_keys_are_keys_of_recipes(command):
    hints = {hint for name in ("train", "check", "run") for hint in OPTION_HINTS[name].values()}
    pairs = [hint.partition("=")[::2] for hint in sorted(hints)]
    result = command("check", "baseline", "--no-files", *(f"{key}={VALUES.get(value, value)}" for key, value in pairs))
    assert result.code == 0, result.err
    assert command("check", "baseline", "trainer.epoch=2").code == 2


@pytest.mark.parametrize(
    ("arguments", "option", "hint"),
    [
        (["train", "champion", "--epochs", "3"], "--epochs", "write trainer.epochs=3"),
        (["train", "champion", "--epochs", "--json"], "--epochs", "write trainer.epochs=N"),
        (["train", "champion", "--epochs=3"], "--epochs", "write trainer.epochs=3"),
        (["predict", "a.jpg", "--model", "b.onnx"], "--model", "maskfit predict photo.jpg model.onnx"),
        (["serve", "--model", "b.onnx"], "--model", "name it without an option: maskfit serve model.onnx"),
        (["serve", "--int8"], "--int8", "--calibrate PHOTOS"),
        (["evaluate", "a.csv", "--model", "b.onnx"], "--model", "maskfit predict model.onnx --images"),
        (["predict", "--source=a.jpg"], "--source", "without an option"),
    ],
)
def test_the_command_says_what_to_write(command, arguments, option, hint):
    result = command(*arguments)
    assert result.code == 2
    assert f"maskfit {arguments[0]} has no option {option}" in result.err
    assert hint in result.err


def test_a_command_of_two_words_says_it_too(command):
    result = command("evaluate", "scenes", "a.csv", "--model", "b.onnx")
    assert (result.code, "maskfit evaluate scenes has no option --model" in result.err) == (2, True)
    assert "maskfit evaluate scenes scenes.csv model.onnx" in result.err


def test_what_stands_after_two_dashes_is_left_alone():
    check_foreign_options("predict", ["--", "--model"])
    check_foreign_options("data", ["--epochs"])
    with pytest.raises(MaskfitError):
        check_foreign_options("predict", ["--model"])


@pytest.mark.parametrize(
    "words",
    [
        ("export", "--format", "onxx"),
        ("predict", "a.jpg", "--tta", "{nam: flip}"),
        ("predict", "a.jpg", "--tta", "{name: 3}"),
        ("tune", "fast", "--sampler", "{name: [tpe]}"),
    ],
)
def test_a_wrong_value_is_not_answered_in_the_words_of_pydantic(command, words):
    Image.new("RGB", (32, 32)).save("a.jpg")
    result = command(*words)
    assert result.code == 2
    assert not re.search("Value error|validation error|pydantic", result.err), result.err
    assert re.search(r"'onxx' is not one of|has no component name|should be a valid string", result.err)

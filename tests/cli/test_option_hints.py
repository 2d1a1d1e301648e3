"""Options of other tools: refused with what to write in place of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from maskfit.cli import COMMAND_TABLE
from maskfit.cli.lazy_commands import load_command
from maskfit.cli.legacy_names import EVERYWHERE, OPTIONS
from maskfit.cli.option_hints import OPTION_HINTS, check_foreign_options
from maskfit.errors import MODEL_SUFFIXES, MaskfitError
from maskfit.model_metadata import METADATA_READERS

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
        (["evaluate", "--truth", "a.csv"], "--truth", "maskfit evaluate truth.csv submission.csv"),
        (["evaluate", "a.csv", "--images", "b"], "--images", "maskfit predict model.onnx --images"),
        (["predict", "--source=a.jpg"], "--source", "without an option"),
    ],
)
def test_the_command_says_what_to_write(command, arguments, option, hint):
    result = command(*arguments)
    assert result.code == 2
    assert f"maskfit {arguments[0]} has no option {option}" in result.err
    assert hint in result.err


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["video", "a b.mp4", "m.onnx", "--out", "x"],
            "video takes no model",
            "maskfit video 'a b.mp4' --model m.onnx",
        ),
        (["video", "m.onnx", "a.mp4"], "video takes no model", "maskfit video a.mp4 --model m.onnx"),
        (["video", "a.mp4", "run"], "video takes no model", "maskfit video a.mp4 --model run"),
        (["video", "m.onnx"], "this is a model, and a film or camera is needed", "maskfit video FILM --model m.onnx"),
        (["video", "run"], "this is a model, and a film or camera is needed", "maskfit video FILM --model run"),
        (["benchmark", "a.mp4"], "a model file ends in .safetensors, .onnx or .xml, got '.mp4'", "name a run folder"),
        (["benchmark", "m.onnx", "m.onnx"], "benchmark takes no further model", "call it again"),
        (["data", "explore", "a.csv", "m.onnx"], "data explore takes no model", "maskfit data explore --help"),
        (["detectors", "m.onnx"], "detectors takes no model", "leave it out"),
        (["report", "m.onnx"], "this is a file, and a run is a folder", "the folder that maskfit train wrote"),
        (
            ["compare", "m.onnx", "m.onnx"],
            "this is a file, and a run is a folder",
            "the folder that maskfit train wrote",
        ),
        (["calibrate", "m.onnx"], "this is a file, and a run is a folder", "the folder that maskfit train wrote"),
        (["calibrate", "nowhere"], "there is no such run", "check the path"),
        (["label-issues", "m.onnx", "--out", "x"], "this is a model, where a table is needed", "the run folder"),
        (["pseudo-label", "m.onnx", "--images", "run", "--out", "x"], "this is a model, where a table", "name a CSV"),
        (["train", "m.onnx"], "this is a model, not a recipe", "transfer model.init_from=m.onnx"),
        (["train", "quick", "m.onnx"], "'m.onnx' is not key=value", "model.init_from=m.onnx"),
        (["train", "quick", "x.y"], "'x.y' is not key=value", "trainer.epochs=3"),
    ],
)
def test_a_model_in_the_wrong_place_is_answered_with_the_right_one(command, arguments, message, hint):
    Path("m.onnx").write_bytes(b"\xff\xfe")
    Path("a.mp4").touch()
    Path("run").mkdir()
    Path("run", "recipe.yaml").touch()
    result = command(*arguments)
    assert result.code == 2
    assert message in result.err
    assert hint in result.err


def test_other_arguments_too_many_are_left_to_typer(command):
    result = command("video", "a.mp4", "b.mp4")
    assert (result.code, "unexpected extra argument" in result.err) == (2, True)


def test_the_models_that_can_be_opened_are_known_as_models():
    assert METADATA_READERS.keys() <= MODEL_SUFFIXES


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


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["export", "m.onnx"], "maskfit export m.onnx --out OUT"),
        (["export", "m.onnx", "my file.onnx"], "maskfit export m.onnx --out 'my file.onnx'"),
        (["export", "m.onnx", "--json"], "maskfit export m.onnx --json --out OUT"),
        (["export", "m.onnx", "--format", "onnx"], "maskfit export m.onnx --format onnx --out OUT"),
        (["export", "m.onnx", "--half", "h.onnx"], "maskfit export m.onnx --half --out h.onnx"),
        (["data", "crop", "m.onnx", "cut"], "maskfit data crop m.onnx --out cut"),
        (["data", "crop", "m.onnx", "m.onnx"], "maskfit data crop m.onnx m.onnx --out OUT"),
        (["ensemble", "m.onnx", "b"], "maskfit ensemble m.onnx b --out OUT"),
    ],
)
def test_a_missing_output_is_answered_with_the_command(command, arguments, hint):
    Path("m.onnx").touch()
    result = command(*arguments)
    assert result.code == 2
    assert "needs --out, what it writes" in result.err
    assert hint in " ".join(result.err.split())


def test_hints_do_not_depend_on_how_the_program_is_called(tmp_path):
    """`python -m maskfit` is a name of three words."""
    program = [sys.executable, "-m", "maskfit"]
    done = subprocess.run([*program, "train", "quick", "--epochs", "3"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "write trainer.epochs=3" in done.stderr) == (2, True), done.stderr

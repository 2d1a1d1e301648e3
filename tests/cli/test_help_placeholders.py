"""Help names values as a person does, and shows the options of a long command in panels."""

from __future__ import annotations

import io
import re

import pytest
import typer
from rich.console import Console
from rich.markdown import Markdown

from maskfit.cli import COMMAND_TABLE, DATA_COMMANDS_TABLE, root_group

NAMES = [name for table in COMMAND_TABLE.values() for name in table if name != "data"]
NAMES += [f"data {name}" for table in DATA_COMMANDS_TABLE.values() for name in table]


def find_command(name: str):
    group = typer.main.get_command(root_group)
    with typer.Context(group, info_name="maskfit") as context:
        words = name.split()
        if words[0] == "data":
            _, group, _ = group.resolve_command(context, ["data"])
            words = words[1:]
        return group.resolve_command(context, words)[1]


@pytest.mark.parametrize("name", NAMES)
def test_no_value_is_shown_as_a_type_of_python(name: str) -> None:
    command = find_command(name)
    with typer.Context(command, info_name=name) as context:
        for param in command.get_params(context):
            shown, _ = param.get_help_record(context) or ("", "")
            beside = getattr(param, "display_type_rich", lambda ctx: "")(context) or ""
            assert not re.search(r"<[\w|]+(>|\[| range)", f"{shown} {beside}"), (param.name, shown, beside)
            if getattr(param, "is_flag", False):
                assert beside == "", f"{param.name} takes no value"


@pytest.mark.parametrize("name", NAMES)
def test_no_character_of_an_option_is_taken_for_markdown(name: str) -> None:
    """Two underscores or asterisks outside of backticks would vanish, from a regular expression for one."""
    for param in find_command(name).params:
        text = getattr(param, "help", None) or ""
        shown = Console(file=io.StringIO(), width=10_000, color_system=None)
        shown.print(Markdown(text))
        assert shown.file.getvalue().split() == text.replace("`", "").split(), param.name


def test_choices_and_numbers_are_shown() -> None:
    params = {param.opts[0]: param for param in find_command("export").params}
    assert params["--format"].metavar == "onnx|openvino|torch"
    assert {param.name: param.metavar for param in find_command("serve").params}["port"] == "N"


def test_the_options_of_predict_are_in_panels(command) -> None:
    output = command("predict", "--help").out
    panels = re.findall(r"^╭─ ([A-Z][\w ]+) ─", output, re.MULTILINE)
    assert panels == [
        "Arguments",
        "Options",
        "Named photos",
        "Folders and lists of photos",
        "Files to write",
        "Models and decisions",
        "Any number of photos",
    ]
    general = output.partition("Options ─")[2].partition("Named photos ─")[0]
    assert len(re.findall(r"^│ +--", general, re.MULTILINE)) == 5

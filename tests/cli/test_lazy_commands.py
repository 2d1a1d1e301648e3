"""The command table agrees with the commands, and listing them imports none."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

import maskfit.cli
from maskfit.cli.lazy_commands import LazyCommand, LazyGroup, load_command, make_lazy_app

NOT_FOR_HELP = (
    "numpy",
    "pydantic",
    "onnxruntime",
    "PIL",
    "torch",
    "yaml",
    "rich",
    "dotenv",
    "safetensors",
    "filelock",
    "markdown_it",
    "pygments",
)


def iterate_commands(table: LazyGroup, *group: str) -> Iterator[tuple[tuple[str, ...], LazyCommand]]:
    for named in table.values():
        for name, entry in named.items():
            yield (*group, name), entry


COMMAND_TABLE = dict(iterate_commands(maskfit.cli.COMMAND_TABLE)) | dict(
    iterate_commands(maskfit.cli.DATA_COMMANDS_TABLE, "data")
)


@pytest.mark.parametrize("words", COMMAND_TABLE, ids=" ".join)
def test_table_matches_the_docstrings(words):
    entry = COMMAND_TABLE[words]
    found = load_command(entry.import_path)
    if isinstance(found, typer.Typer):
        assert found.info.help == entry.help
        return
    assert entry.help == inspect.getdoc(found).split("\n\n")[0].replace("\n", " ")
    assert found.__name__.removesuffix("_") == words[-1].replace("-", "_").replace(" ", "_")


def run_python(script: str, **environment: str) -> str:
    """Returns the standard output of a script in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout


@pytest.mark.parametrize("words", [["--help"], ["data", "--help"], ["--version"], []], ids=" ".join)
def test_help_imports_nothing_heavy(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = run_python(
        f"import sys, json\nsys.argv = ['maskfit', *{words!r}]\nimport maskfit.cli\n"
        "try:\n    maskfit.cli.main()\nexcept SystemExit:\n    pass\n"
        f"print(json.dumps([sorted(set({NOT_FOR_HELP!r}) & set(sys.modules)),"
        " sorted(name for name in sys.modules if name.startswith('maskfit.'))]))"
    )
    heavy, ours = json.loads(output.splitlines()[-1])
    if words[:1] == ["data"] and "pydantic" in heavy:
        heavy.remove("pydantic")  # Typer imports it where it is installed, once a command is called.
    allowed = [
        "maskfit.cli",
        "maskfit.cli.defaults",
        "maskfit.cli.lazy_commands",
        "maskfit.cli.legacy_names",
        "maskfit.cli.option_hints",
        "maskfit.cli.verbosity_options",
        "maskfit.environment",
        "maskfit.errors",
        "maskfit.verbosity",
        "maskfit.version",
    ]
    assert (heavy, ours) == ([], allowed)


def test_command_imports_no_other_command(tmp_path):
    output = run_python(
        "import sys, json\nsys.argv = ['maskfit', 'evaluate', '--help']\nimport maskfit.cli\n"
        "try:\n    maskfit.cli.main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(name for name in sys.modules if name.startswith('maskfit.cli.'))))"
    )
    modules = {
        load_command(entry.import_path).__module__
        for entry in COMMAND_TABLE.values()
        if entry.import_path != "maskfit.cli:data_group"
    }
    assert modules & set(json.loads(output.splitlines()[-1])) == {"maskfit.cli.evaluate"}


def complete(*words: str) -> set[str]:
    """Returns the shell completions of the last word."""
    output = run_python(
        "import sys\nsys.argv = ['maskfit']\nfrom maskfit.cli import main\nmain()",
        _MASKFIT_COMPLETE="complete_bash",
        COMP_WORDS=" ".join(("maskfit", *words)),
        COMP_CWORD=str(len(words)),
    )
    return set(output.split())


def test_shell_completes_commands_and_options():
    assert complete("pre") == {"predict"}
    assert complete("") == {words[0] for words in COMMAND_TABLE if " " not in words[0]}
    assert complete("data", "") == {words[1] for words in COMMAND_TABLE if len(words) == 2}
    assert complete("evaluate", "--sch") == {"--schema"}
    assert complete("data", "split", "--fol") == {"--folds"}


def test_help_lists_commands_under_headings_in_order(command):
    output = command("--help").out
    listed = re.findall(r"^  ([a-z][a-z-]+(?: [a-z]+)?)  ", output, re.MULTILINE)
    headings = re.findall(r"^([A-Z][a-z ]+):$", output, re.MULTILINE)
    assert listed == [words[0] for words in COMMAND_TABLE if len(words) == 1]
    assert headings == ["Options", *maskfit.cli.COMMAND_TABLE]


def test_unknown_command_suggests_the_closest_one(command):
    assert "Did you mean 'predict'?" in command("predcit").err
    assert "Did you mean 'explore'?" in command("data", "explor").err


def test_command_is_imported_when_called(monkeypatch, capsys):
    """A command that does not exist is listed too, since listing imports nothing."""
    absent = LazyCommand("json.decoder:nothing", "Is not there.")
    app = make_lazy_app({"All": {"json": absent, "yaml": absent}}, "A test.", name="test")
    with pytest.raises(SystemExit) as exit_info:
        app(["--help"])
    assert exit_info.value.code == 0
    assert "Is not there." in capsys.readouterr().out
    with pytest.raises(AttributeError):
        app(["json"])

"""The table of verbs: it says what the verbs say, and listing them imports none."""

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


def every(verbs: LazyGroup, *group: str) -> Iterator[tuple[tuple[str, ...], LazyCommand]]:
    for named in verbs.values():
        for name, verb in named.items():
            yield (*group, name), verb


COMMAND_TABLE = {**dict(every(maskfit.cli.COMMAND_TABLE)), **dict(every(maskfit.cli.DATA_COMMANDS_TABLE, "data"))}


@pytest.mark.parametrize("words", COMMAND_TABLE, ids=" ".join)
def test_the_table_says_what_the_verb_says(words):
    verb = COMMAND_TABLE[words]
    found = load_command(verb.place)
    if isinstance(found, typer.Typer):
        assert found.info.help == verb.help
        return
    assert verb.help == inspect.getdoc(found).split("\n\n")[0].replace("\n", " ")
    assert found.__name__ == words[-1].replace("-", "_")


def fresh(script: str, **environment: str) -> str:
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout


@pytest.mark.parametrize("words", [["--help"], ["data", "--help"], ["--version"], []], ids=" ".join)
def test_help_imports_nothing_heavy(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = fresh(
        f"import sys, json\nsys.argv = ['maskfit', *{words!r}]\nimport maskfit.cli\n"
        "try:\n    maskfit.cli.main()\nexcept SystemExit:\n    pass\n"
        f"print(json.dumps([sorted(set({NOT_FOR_HELP!r}) & set(sys.modules)),"
        " sorted(name for name in sys.modules if name.startswith('maskfit.'))]))"
    )
    heavy, ours = json.loads(said.splitlines()[-1])
    if words[:1] == ["data"] and "pydantic" in heavy:
        heavy.remove("pydantic")  # Typer takes it where it is installed, once anything is called.
    allowed = [
        "maskfit.cli",
        "maskfit.cli.defaults",
        "maskfit.cli.lazy_commands",
        "maskfit.cli.legacy_names",
        "maskfit.errors",
        "maskfit.version",
    ]
    assert (heavy, ours) == ([], allowed)


def test_a_verb_imports_no_other(tmp_path):
    said = fresh(
        "import sys, json\nsys.argv = ['maskfit', 'evaluate', '--help']\nimport maskfit.cli\n"
        "try:\n    maskfit.cli.main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(name for name in sys.modules if name.startswith('maskfit.cli.'))))"
    )
    verbs = {
        load_command(verb.place).__module__ for verb in COMMAND_TABLE.values() if verb.place != "maskfit.cli:data_group"
    }
    assert verbs & set(json.loads(said.splitlines()[-1])) == {"maskfit.cli.evaluate"}


def complete(*words: str) -> set[str]:
    """What the shell offers for the last of the words."""
    said = fresh(
        "import sys\nsys.argv = ['maskfit']\nfrom maskfit.cli import main\nmain()",
        _MASKFIT_COMPLETE="complete_bash",
        COMP_WORDS=" ".join(("maskfit", *words)),
        COMP_CWORD=str(len(words)),
    )
    return set(said.split())


def test_the_shell_completes_verbs_and_their_options():
    assert complete("pre") == {"predict"}
    assert complete("") == {words[0] for words in COMMAND_TABLE}
    assert complete("data", "") == {words[1] for words in COMMAND_TABLE if len(words) == 2}
    assert complete("evaluate", "--sch") == {"--schema"}
    assert complete("data", "split", "--fol") == {"--folds"}


def test_help_lists_verbs_under_headings_in_order(command):
    said = command("--help").out
    listed = re.findall(r"^  ([a-z][a-z-]+) ", said, re.MULTILINE)
    headings = re.findall(r"^([A-Z][a-z ]+):$", said, re.MULTILINE)
    assert listed == [words[0] for words in COMMAND_TABLE if len(words) == 1]
    assert headings == ["Options", *maskfit.cli.COMMAND_TABLE]


def test_a_typing_mistake_is_met_with_the_verb_that_was_meant(command):
    assert "Did you mean 'predict'?" in command("predcit").err
    assert "Did you mean 'explore'?" in command("data", "explor").err


def test_a_verb_is_imported_when_it_is_called(monkeypatch, capsys):
    """Also one that stands nowhere: it is listed all the same."""
    absent = LazyCommand("json.decoder:nothing", "Is not there.")
    app = make_lazy_app({"All": {"json": absent, "yaml": absent}}, "A test.", name="test")
    with pytest.raises(SystemExit) as left:
        app(["--help"])
    assert left.value.code == 0
    assert "Is not there." in capsys.readouterr().out
    with pytest.raises(AttributeError):
        app(["json"])

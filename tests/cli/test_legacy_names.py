"""Earlier names of commands and options: each works and prints one line with the new name."""

from __future__ import annotations

import pytest
import typer

import maskfit.cli
from maskfit.cli.lazy_commands import load_command
from maskfit.cli.legacy_names import COMMANDS, DATA_COMMANDS, EVERYWHERE, OPTIONS, upgrade_arguments

PATHS = {
    name: item.import_path
    for entries in maskfit.cli.COMMAND_TABLE.values()
    for name, item in entries.items()
    if name != "data"
}
DATA_PATHS = {
    name: item.import_path for entries in maskfit.cli.DATA_COMMANDS_TABLE.values() for name, item in entries.items()
}


def options_of(import_path: str) -> set[str]:
    app = typer.Typer()
    app.command()(load_command(import_path))
    return {name for param in typer.main.get_command(app).params for name in param.opts}


OPTIONS_OF = {(name,): options_of(path) for name, path in PATHS.items()} | {
    ("data", name): options_of(path) for name, path in DATA_PATHS.items()
}
"""Options of every command, by the words that call it."""

RENAMED_COMMANDS = [((old,), (new,)) for old, new in COMMANDS.items()] + [
    (("data", old), ("data", new)) for old, new in DATA_COMMANDS.items()
]
RENAMED_OPTIONS = [
    ((name,) if name in PATHS else ("data", name), old, new)
    for name, options in OPTIONS.items()
    for old, new in options.items()
] + [(words, old, new) for old, new in EVERYWHERE.items() for words, options in OPTIONS_OF.items() if new in options]


def test_the_tables_name_commands_and_options_that_exist():
    assert set(COMMANDS.values()) <= set(PATHS)
    assert set(DATA_COMMANDS.values()) <= set(DATA_PATHS)
    assert not set(COMMANDS) & set(PATHS)
    assert not set(DATA_COMMANDS) & set(DATA_PATHS)
    assert set(OPTIONS) <= set(PATHS) | set(DATA_PATHS)
    assert not set(PATHS) & set(DATA_PATHS) & set(OPTIONS), "an entry of OPTIONS must mean one command"
    assert len(RENAMED_OPTIONS) > sum(map(len, OPTIONS.values())), "no command has --schema"


@pytest.mark.parametrize(("old", "new"), RENAMED_COMMANDS, ids=lambda words: " ".join(words))
def test_old_commands_work_and_print_one_line(command, old, new):
    result = command(*old, "--help")
    assert (result.code, result.out) == (0, command(*new, "--help").out)
    assert result.err == f"note: 'maskfit {' '.join(old)}' is now 'maskfit {' '.join(new)}'\n"


@pytest.mark.parametrize(
    ("words", "old", "new"), RENAMED_OPTIONS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_old_options_work_and_print_one_line(command, words, old, new):
    assert new in OPTIONS_OF[words]
    assert old not in OPTIONS_OF[words]
    for value in ([old, "1"], [f"{old}=1"]):
        result = command(*words, *value, "--help")  # an unknown option would end the command before its help
        assert (result.code, result.err) == (0, f"note: {old} is now {new}\n")


def test_an_old_option_has_the_effect_of_the_new_one(command, tmp_path):
    results = [command("data", "check", tmp_path, option, "msk") for option in ("--scheme", "--schema")]
    assert {result.code for result in results} == {2}
    assert results[0].err == f"note: --scheme is now --schema\n{results[1].err}"
    assert "label schema 'msk' is unknown" in results[1].err


def test_an_old_command_with_an_old_option_prints_both_lines(command):
    result = command("data", "mask", "--worn", "2", "--wrongly=3", "--help")
    assert result.code == 0
    assert result.err.splitlines() == [
        "note: 'maskfit data mask' is now 'maskfit data add-masks'",
        "note: --worn is now --n-correct",
        "note: --wrongly is now --n-incorrect",
    ]


def test_arguments_after_a_double_dash_are_left_alone(command):
    lines: list[str] = []
    args = ["run", "--vote", "majority", "--", "--top", "--list=a.csv"]
    upgraded = upgrade_arguments("predict", args, lines.append)
    assert upgraded == ["run", "--combine", "majority", "--", "--top", "--list=a.csv"]
    assert lines == ["--vote is now --combine"]
    result = command("evaluate", "--", "--scheme")
    assert result.code == 2
    assert "at: --scheme" in result.err
    assert "note:" not in result.err


def test_values_and_other_commands_options_are_left_alone(command):
    lines: list[str] = []
    args = ["--out=--top", "--combine=--vote", "--view", "--topmost", "vote", "--keep", "-top"]
    assert upgrade_arguments("predict", args, lines.append) == args
    assert lines == []
    result = command("predict", "--out=--vote", "--help")
    assert (result.code, result.err) == (0, "")


def test_the_value_of_an_old_option_is_kept():
    lines: list[str] = []
    args = ["--vote=a=b", "--attributes=--list", "--scheme=--scheme"]
    upgraded = upgrade_arguments("predict", args, lines.append)
    assert upgraded == ["--combine=a=b", "--attributes-csv=--list", "--schema=--scheme"]
    assert len(lines) == 3

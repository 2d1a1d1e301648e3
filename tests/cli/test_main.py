"""Behaviour of every command: help, exit codes, interruption, closed pipes, the environment."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

import maskfit.cli
from maskfit.cli import console
from maskfit.cli.defaults import load_environment

COMMAND_TABLE = [(name,) for named in maskfit.cli.COMMAND_TABLE.values() for name in named if name != "data"] + [
    ("data", name) for named in maskfit.cli.DATA_COMMANDS_TABLE.values() for name in named
]


@pytest.mark.parametrize("command_name", COMMAND_TABLE, ids=" ".join)
def test_help_shows_examples_of_the_command(command, command_name):
    result = command(*command_name, "--help")
    assert result.code == 0
    _, _, examples = result.out.partition("Examples")
    assert f"maskfit {' '.join(command_name)}" in examples
    assert command(*command_name, "-h").out == result.out


def test_help_without_arguments(command):
    result = command("--help")
    assert result.code == 0
    assert all(f" {command_name[0]} " in result.out for command_name in COMMAND_TABLE)
    assert "Usage" in command().out + command().err


def test_the_version(command):
    assert command("--version").out == f"maskfit {maskfit.__version__}\n"


def test_unknown_command_exits_with_2(command):
    result = command("predcit")
    assert result.code == 2
    assert "No such command 'predcit'" in result.err


def make_commands_raise(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Replaces all commands by one that raises an error."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(maskfit.cli, "root_group", app)


def test_narrow_table_keeps_title_and_cells(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "24")
    # No color, whose codes would count as characters.
    screen = Console(highlight=False, markup=False, emoji=False, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", screen)
    title = "fitted on 4,200 photos [a] of 600 persons"
    console.print_table(
        title, ["head", "of"], [["backbone.blocks.0.conv_first", 1], ["backbone.blocks.0.conv_second", 2]]
    )
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == title
    assert "…" not in "".join(rest)
    assert all(len(line) <= 24 for line in rest)


NAMES_AND_TEXTS = [
    ["with_mask/90c6857106acafc5.jpg", "worn, wrongly or not at all, as it says", 0.5],
    ["a.jpg", "-", 1.0],
]
"""Rows whose names must stay whole, with a text that may be wrapped."""


def test_a_table_in_a_pipe_has_one_line_per_row(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setattr(console, "out", Console(highlight=False, markup=False, emoji=False))
    console.print_table("photos", ["photo", "label", "score"], NAMES_AND_TEXTS)
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        [*" ".join(map(str, row[:2])).split(), f"{row[2]:.4f}"] for row in NAMES_AND_TEXTS
    ]


@pytest.mark.parametrize("width", [60, 120])
def test_a_table_on_a_terminal_wraps_texts_and_no_names(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    screen = Console(highlight=False, markup=False, emoji=False, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "out", screen)
    console.print_table("photos", ["photo", "label", "score"], NAMES_AND_TEXTS)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines[0].startswith("with_mask/90c6857106acafc5.jpg  worn")
    assert all(len(line) <= width for line in lines)
    assert (len(lines) > 2) == (width < 80)


def test_control_characters_in_a_table_are_escaped_and_lines_kept(monkeypatch, capsys):
    monkeypatch.setattr(console, "out", Console(highlight=False, markup=False, emoji=False))
    console.print_table("photos", ["photo", "number"], [["a\x1b[31m.jpg\nb.jpg", 1]])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert ("\x1b" in "".join(lines), len(lines), lines[1].rstrip()) == (False, 2, "b.jpg")


def test_a_cell_without_a_value_is_a_dash(monkeypatch, capsys):
    monkeypatch.setattr(console, "out", Console(highlight=False, markup=False, emoji=False))
    console.print_table("scores", ["size", "recall"], [["small", None], ["large", 0.5]])
    assert capsys.readouterr().out.splitlines()[2:] == ["small       -", "large  0.5000"]


def test_interrupt_exits_with_130(command, monkeypatch):
    make_commands_raise(monkeypatch, KeyboardInterrupt())
    result = command()
    assert (result.code, result.err) == (130, "stopped\n")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ELOOP, errno.EROFS])
def test_os_errors_of_the_user_have_no_traceback(command, monkeypatch, number):
    make_commands_raise(monkeypatch, OSError(number, os.strerror(number), "/some/[file].csv"))
    result = command()
    assert result.code == 2
    assert result.err.startswith(f"error: {os.strerror(number)}\n  at: /some/[file].csv\n")


def test_a_full_disk_is_named(command, monkeypatch):
    make_commands_raise(monkeypatch, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/[file].csv"))
    result = command()
    assert result.code == 2
    assert (
        result.err == "error: the disk is full\n  at: /some/[file].csv\n  next: make room, then run the command again\n"
    )


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), OSError(errno.EIO, "x"), ValueError("[x]")])
def test_internal_errors_keep_their_traceback(monkeypatch, error):
    make_commands_raise(monkeypatch, error)
    monkeypatch.setattr(sys, "argv", ["maskfit"])
    with pytest.raises(type(error)):
        maskfit.cli.main()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_closed_pipe_is_silent(unbuffered):
    """`maskfit recipes baseline | head -1`: nothing is printed on standard error."""
    script = (
        "import sys\n"
        "sys.argv = ['maskfit', 'recipes', 'baseline']\n"
        "from maskfit.cli import main\n"
        "sys.stdin.readline()\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    process.stdout.close()
    # The command starts only now, so that its output has no reader.
    process.stdin.write(b"go\n")
    process.stdin.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (err, process.wait(60)) == (b"", 1)


@pytest.mark.parametrize("with_torch", [False, True])
def test_final_garbage_collection_is_skipped_without_torch(with_torch):
    """With torch it is not: triton, which torch imports, would report leaks on standard error."""
    script = (
        "import gc, sys\n"
        "sys.argv = ['maskfit', 'recipes']\n"
        "from maskfit.cli import main\n"
        f"sys.modules.update({{'torch': sys}} if {with_torch} else {{}})\n"
        "before = gc.get_freeze_count()\n"  # Python 3.12 freezes what it starts with
        "try:\n    main()\nfinally:\n    print(gc.get_freeze_count() > before, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, f"{not with_torch}\n")


def test_malformed_env_file_is_ignored(command):
    path = Path(".env")
    path.write_bytes("\ufeffSM_CHANNEL_TRAIN=/a\n".encode() + b"NAME=k\xe4se\nnot a line\nSM_MODEL_DIR=\nPATH=/evil\n")
    before = os.environ["PATH"]
    assert command("recipes").code == 0
    assert os.environ["SM_CHANNEL_TRAIN"] == "/a"
    assert "SM_MODEL_DIR" not in os.environ
    assert os.environ["PATH"] == before
    path.unlink()
    path.mkdir()
    load_environment()


@pytest.mark.parametrize("words", [("-q", "check", "fast"), ("check", "fast", "--quiet"), ("check", "--quiet", "fast")])
def test_quiet_prints_results_and_errors_only(command, words):
    loud = command("check", "fast")
    assert loud.err == "recipe 'fast' is valid\n"
    quiet = command(*words)
    assert (quiet.code, quiet.out, quiet.err) == (0, loud.out, "")
    failed = command(*(word.replace("fast", "fats") for word in words))
    assert failed.code == 2
    assert failed.err.startswith("error: there is no recipe 'fats'")


def test_quiet_leaves_out_notes_on_old_names(command, monkeypatch):
    monkeypatch.setattr("maskfit.config.aliases._warned", set())
    assert command("-q", "check", "fast", "loss=CrossEntropyLoss").err == ""
    monkeypatch.setenv("MASKFIT_VERBOSITY", "quiet")
    assert command("check", "fast").err == ""


@pytest.mark.parametrize("words", [("-v", "check", "fats"), ("check", "fats", "--verbose")])
def test_verbose_shows_version_traceback_and_time(words, tmp_path):
    done = subprocess.run([sys.executable, "-m", "maskfit", *words], capture_output=True, text=True, cwd=tmp_path)
    first, *rest = done.stderr.splitlines()
    assert done.returncode == 2
    assert first.startswith(f"maskfit {maskfit.__version__}, Python ")
    assert rest[0].startswith("Traceback")
    assert sum(line.startswith("error: there is no recipe 'fats'") for line in rest) == 1
    assert rest[-1].startswith("took ")

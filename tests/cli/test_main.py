"""What holds for every verb: help, exit codes, stopping, pipes, the environment."""

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


@pytest.mark.parametrize("verb", COMMAND_TABLE, ids=" ".join)
def test_help_shows_examples_of_the_verb_itself(command, verb):
    said = command(*verb, "--help")
    assert said.code == 0
    _, _, examples = said.out.partition("Examples")
    assert f"maskfit {' '.join(verb)}" in examples
    assert command(*verb, "-h").out == said.out


def test_no_words_show_the_verbs(command):
    said = command("--help")
    assert said.code == 0
    assert all(f" {verb[0]} " in said.out for verb in COMMAND_TABLE)
    assert "Usage" in command().out + command().err


def test_the_version(command):
    assert command("--version").out == f"maskfit {maskfit.__version__}\n"


def test_an_unknown_verb_ends_with_2(command):
    said = command("predcit")
    assert said.code == 2
    assert "No such command 'predcit'" in said.err


def give(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Replaces all verbs by one that fails."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(maskfit.cli, "root_group", app)


def test_a_narrow_table_loses_no_word_of_its_title_and_cells(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setattr(console, "out", Console(highlight=False, markup=False, emoji=False))
    title = "fitted on 4,200 photos [a] of 600 persons"
    console.print_table(
        title, ["head", "of"], [["backbone.blocks.0.conv_first", 1], ["backbone.blocks.0.conv_second", 2]]
    )
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == title
    assert "…" not in "".join(rest)
    assert all(len(line) <= 24 for line in rest)


def test_stopping_is_no_fault(command, monkeypatch):
    give(monkeypatch, KeyboardInterrupt())
    said = command()
    assert (said.code, said.err) == (130, "stopped\n")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_what_the_system_refuses_is_said_without_a_traceback(command, monkeypatch, number):
    give(monkeypatch, OSError(number, os.strerror(number), "/some/[file].csv"))
    said = command()
    assert said.code == 2
    assert said.err.startswith(f"error: {os.strerror(number)}\n  at: /some/[file].csv\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), OSError(errno.EIO, "x"), ValueError("[x]")])
def test_a_fault_of_maskfits_own_is_not_hidden(monkeypatch, error):
    give(monkeypatch, error)
    monkeypatch.setattr(sys, "argv", ["maskfit"])
    with pytest.raises(type(error)):
        maskfit.cli.main()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_whoever_reads_may_go_away(unbuffered):
    """`maskfit recipes baseline | head -1`: nothing is said on standard error."""
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
    # Only now is the command let go, so that nobody reads what it prints.
    process.stdin.write(b"go\n")
    process.stdin.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (err, process.wait(60)) == (b"", 1)


@pytest.mark.parametrize("with_torch", [False, True])
def test_the_end_is_quick_but_for_what_torch_brings_along(with_torch):
    """Bindings of triton, which torch imports, list every "leak" on standard error where the last look is left out."""
    script = (
        "import gc, sys\n"
        "sys.argv = ['maskfit', 'recipes']\n"
        "from maskfit.cli import main\n"
        f"sys.modules.update({{'torch': sys}} if {with_torch} else {{}})\n"
        "try:\n    main()\nfinally:\n    print(gc.get_freeze_count() > 0, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, f"{not with_torch}\n")


def test_a_strange_env_file_does_no_harm(command):
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

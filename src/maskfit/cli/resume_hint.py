"""What to do after a command whose disk was full: some commands continue with --resume, others start again."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path

from maskfit.cli.lazy_commands import LazyCommand, load_command
from maskfit.cli.legacy_names import COMMANDS, DATA_COMMANDS
from maskfit.environment import MODEL_DIR

FOLDER_OPTION = {"predict": "--shards", "train": "output_dir=", "tune": "--out"}
"""Command whose option --resume needs another one, which names the folder to continue in."""


def resume_hint(args: Sequence[str], commands: dict[str, LazyCommand]) -> str | None:
    """Returns how to continue a command.

    Args:
        args: Its arguments as typed, without the program.
        commands: Every command by name, those of `maskfit data` too.

    Returns:
        The next step; None where the command has nothing to continue.
    """
    words = [word for word in args if not word.startswith("-") and word != "data"]
    name = {**COMMANDS, **DATA_COMMANDS}.get(words[0], words[0]) if words else ""
    if name not in commands or "resume" not in inspect.signature(load_command(commands[name].import_path)).parameters:
        return None
    option = FOLDER_OPTION.get(name)
    if option is None or _is_given(option, args):
        if name == "train" and not _holds_run(args):
            return None  # It ended before there was a run: --resume would find none.
        return "make room, then run the same command again" + ("" if "--resume" in args else " with --resume")
    if name == "predict":
        return None
    folder = f"{option}DIR" if option.endswith("=") else f"{option} DIR"
    return f"make room, then run the same command again with {folder} --resume, where DIR is the folder that it began"


def _is_given(option: str, args: Sequence[str]) -> bool:
    if option.endswith("="):
        return any(word.startswith(option) for word in args) or bool(os.environ.get(MODEL_DIR))
    return any(word == option or word.startswith(f"{option}=") for word in args)


def _holds_run(args: Sequence[str]) -> bool:
    from maskfit.run_dir import is_run_dir

    named = [word.partition("=")[2] for word in args if word.startswith("output_dir=")]
    return is_run_dir(Path([os.environ.get(MODEL_DIR, ""), *named][-1]))

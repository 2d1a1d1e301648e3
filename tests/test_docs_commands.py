"""Every command that the docs show is one: its name, options and arguments are parsed by the command itself."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from maskfit.cli import COMMAND_TABLE, root_group

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").glob("*"))]


def read_commands(page: Path) -> list[str]:
    """The maskfit commands in a page's bash blocks, each on one line, without comment."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    if page.suffix == ".sh":
        blocks = [page.read_text("utf-8")]
    lines = [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    lines = [re.sub(r"^(?:srun|torchrun\b.*? -m|uvx?|python -m) ", "", line) for line in lines]
    return [line for line in lines if line.startswith("maskfit ")]


def parse(line: str) -> None:
    """Parses a command as the program would; a usage error names what is wrong with it."""
    words = shlex.split(line, comments=True)
    for mark in (">", "2>", "|", "&", "&&", ";", ">&-"):
        words = words[: words.index(mark)] if mark in words else words
    group: Any = typer.main.get_command(root_group)
    context = typer.Context(group, info_name="maskfit")
    _, command, rest = group.resolve_command(context, words[1:])
    if words[1] == "data":
        context = typer.Context(command, info_name="data", parent=context)
        _, command, rest = command.resolve_command(context, rest)
    assert command is not None, line
    if not {"--help", "-h"} & set(rest):
        command.make_context(command.name, list(rest), parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_page_can_be_typed(page: Path) -> None:
    wrong = []
    for line in read_commands(page):
        try:
            parse(line)
        except Exception as error:  # any error is the finding
            wrong.append(f"{line}\n    {error!r:.300}")
    assert wrong == [], "\n".join(wrong)


def test_commands_are_found_and_a_wrong_one_is_noticed() -> None:
    used = {line.split()[1] for page in PAGES for line in read_commands(page)}
    assert used >= {"predict", "train", "data", "serve"}
    assert {name.split()[0] for named in COMMAND_TABLE.values() for name in named} >= used
    with pytest.raises(Exception, match="--imags"):
        parse("maskfit predict --imags photos")

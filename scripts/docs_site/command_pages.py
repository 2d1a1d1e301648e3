"""Pages of the command line, made from the same functions that the commands are."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from maskfit.cli import COMMAND_TABLE, DATA_COMMANDS_TABLE, root_group
from maskfit.cli.lazy_commands import LazyCommand


class CommandPage(NamedTuple):
    """One command.

    Attributes:
        heading: Heading that `maskfit --help` lists it under.
        name: What is typed after `maskfit`, such as `data check`.
        summary: One sentence.
        markdown: The page.
    """

    heading: str
    name: str
    summary: str
    markdown: str


def make_command_pages() -> list[CommandPage]:
    """Makes a page for each command.

    Returns:
        The pages, in the order of the help.
    """
    return [
        CommandPage(heading, name, command.help, _render(name, command)) for heading, name, command in _list_commands()
    ]


def make_command_index(pages: list[CommandPage]) -> str:
    """Makes the page that lists the commands.

    Args:
        pages: What `make_command_pages` returned.

    Returns:
        Markdown.
    """
    lines = [
        "# Commands",
        "",
        "`maskfit --help` prints this list, `maskfit COMMAND --help` the options of one command.",
        "Exit codes: 0 it worked, 2 something that you can fix (the message says what, where and what to do next),",
        "1 a fault of maskfit's, 130 interrupted, 143 terminated.",
    ]
    for heading in dict.fromkeys(page.heading for page in pages):
        rows = [page for page in pages if page.heading == heading]
        lines += ["", f"## {heading}", "", "| command | |", "| --- | --- |"]
        lines += [f"| [`maskfit {page.name}`](commands/{file_name(page.name)}) | {page.summary} |" for page in rows]
    return "\n".join(lines) + "\n"


def file_name(name: str) -> str:
    """Returns the file name of a command's page.

    Args:
        name: Such as `data check`.

    Returns:
        Such as `data-check.md`.
    """
    return name.replace(" ", "-") + ".md"


def _list_commands() -> Iterator[tuple[str, str, LazyCommand]]:
    for heading, commands in COMMAND_TABLE.items():
        for name, command in commands.items():
            if name == "data":
                for entries in DATA_COMMANDS_TABLE.values():
                    yield from ((heading, f"data {sub}", item) for sub, item in entries.items())
            else:
                yield heading, name, command


def _render(name: str, lazy: LazyCommand) -> str:
    import typer

    group: Any = typer.main.get_command(root_group)
    with typer.Context(group, info_name="maskfit") as root:
        context, words = root, name.split()
        if words[0] == "data":
            _, group, _ = group.resolve_command(root, ["data"])
            context, words = typer.Context(group, info_name="data", parent=root), words[1:]
        _, command, _ = group.resolve_command(context, words)
        here = typer.Context(command, info_name=" ".join(words), parent=context)
        usage = here.get_usage().removeprefix("Usage: ")
        options = [param for param in command.params if not getattr(param, "hidden", False)]
        text, examples = _split_examples(inspect.cleandoc(command.callback.__doc__ or ""))
        lines = [f"# maskfit {name}", "", text, "", "```text", usage, "```"]
        if examples:
            lines += ["", "## Examples", "", "```bash", *examples, "```"]
        arguments = [param for param in options if param.param_type_name == "argument"]
        flags = [param for param in options if param.param_type_name == "option" and param.name != "help"]
        if arguments:
            rows = [_read_row(param, here) for param in arguments]
            lines += ["", "## Arguments", "", *_table("argument", rows)]
        for title, rows in _by_panel(flags, here).items():
            lines += ["", f"## {title}", "", *_table("option", rows)]
    return "\n".join(lines) + "\n"


def _split_examples(docstring: str) -> tuple[str, list[str]]:
    """Separates the text of a docstring from the commands below `Examples:`."""
    text, _, rest = docstring.partition("Examples:")
    examples = [line.strip() for line in rest.splitlines() if line.strip()]
    return text.strip(), examples


def _by_panel(flags: list[Any], context: Any) -> dict[str, list[tuple[str, str, str]]]:
    """Rows of the options, below the headings that `--help` shows them under."""
    panels: dict[str, list[tuple[str, str, str]]] = {}
    for flag in sorted(flags, key=lambda flag: bool(flag.rich_help_panel)):
        panels.setdefault(flag.rich_help_panel or "Options", []).append(_read_row(flag, context))
    return panels


def _read_row(param: Any, context: Any) -> tuple[str, str, str]:
    """Name with metavar, meaning, default: the row of `--help`, which Typer makes from the signature."""
    record = param.get_help_record(context)
    if record is None:
        return (param.name, "", "")
    name, text = record
    facts = re.search(r"\s*\[([^]]*)\]$", text)
    known = [fact.strip() for fact in facts[1].split(";")] if facts else []
    default = next((fact.removeprefix("default: ") for fact in known if fact.startswith("default: ")), "")
    kept = [fact for fact in known if not fact.startswith("default: ") and fact != "required"]
    meaning = text[: facts.start()] if facts else text
    default = re.sub(r"^\((.*)\)$", r"\1", default)
    return name, " ".join([meaning, *(f"({fact})" for fact in kept)]), "required" if "required" in known else default


def _table(kind: str, rows: list[tuple[str, str, str]]) -> list[str]:
    return [f"| {kind} | meaning | default |", "| --- | --- | --- |"] + [
        f"| {_code(name)} | {_cell(text)} | {_cell(value)} |" for name, text, value in rows
    ]


def _code(text: str) -> str:
    # A bar in a code span ends the cell, and a backslash before it is shown: hence the entity.
    return "<code>" + html.escape(text).replace("|", "&#124;") + "</code>"


def _cell(text: str) -> str:
    """Text for a cell of a table: angle brackets and bars are not markup."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")

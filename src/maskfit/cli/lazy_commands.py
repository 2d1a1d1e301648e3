"""Verbs that are imported when they are called: to list them all costs no more than reading a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperGroup

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}


class LazyCommand(NamedTuple):
    """What is known of a verb without importing it.

    Attributes:
        place: `module:name` of its function, or of a `typer.Typer` of more verbs.
        help: The first line of its docstring; a test holds them together.
    """

    place: str
    help: str


LazyGroup = Mapping[str, Mapping[str, LazyCommand]]
"""Every verb by name, under the heading that help gives it."""


def make_lazy_app(verbs: LazyGroup, help: str, **options: Any) -> typer.Typer:
    """A command of verbs, or a group of them, that imports a verb when it is called, or asked for its options.

    Args:
        verbs: The verbs, in the order in which help lists them.
        help: What it is about, in one line.
        options: More of what `typer.Typer` takes.
    """

    class Group(_Group):
        places: ClassVar[Mapping[str, str]] = {
            name: verb.place for named in verbs.values() for name, verb in named.items()
        }

    app = typer.Typer(
        cls=Group,
        help=help,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings=CONTEXT_SETTINGS,
        **options,
    )
    for heading, named in verbs.items():
        for name, verb in named.items():
            app.command(name, help=verb.help, rich_help_panel=heading)(_nothing)
    return app


def load_command(place: str) -> Callable[..., None] | typer.Typer:
    """The function, or the group of verbs, that stands at `module:name`."""
    module, _, name = place.partition(":")
    found: Callable[..., None] | typer.Typer = getattr(import_module(module), name)
    return found


def _nothing() -> None:
    """Stands for a verb until it is called."""


class _Group(TyperGroup):
    """Lists stand-ins, which know a name and a line of help; the one that is named gives its place to the verb."""

    places: ClassVar[Mapping[str, str]]

    # Typer's classes of contexts and formatters moved between its versions: hence Any.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words for the verb; without any, help."""
        return super().parse_args(ctx, args if args or ctx.resilient_parsing else ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The verb that the words begin with; also asked by the shell's completion."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self._load(str(name)), rest

    def _load(self, name: str) -> Any:
        found = load_command(self.places[name])
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(rich_markup_mode="markdown", add_completion=False)
            alone.command(name)(found)
            found = alone
        command = typer.main.get_command(found)
        command.name = name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Plain text: what Typer draws its boxes with takes longer to import than all else that lists verbs."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The verbs, below their headings."""
        headings: dict[str, list[tuple[str, str]]] = {}
        widest = max(map(len, self.commands))
        for name, command in self.commands.items():
            heading = str(getattr(command, "rich_help_panel", None) or "Verbs")
            headings.setdefault(heading, []).append((name.ljust(widest), command.help or ""))
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

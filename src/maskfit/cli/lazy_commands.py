"""Command groups that import a command only when it runs, so that listing them costs no more than reading a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperGroup

from maskfit.cli.legacy_names import upgrade_arguments
from maskfit.cli.option_hints import check_foreign_options, explain_extra_arguments, explain_missing_out
from maskfit.cli.verbosity_options import make_options
from maskfit.errors import MaskfitError
from maskfit.verbosity import is_quiet

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}


class LazyCommand(NamedTuple):
    """A command that has not been imported yet.

    Attributes:
        import_path: `module:name` of its function, or of a `typer.Typer` with subcommands.
        help: The first line of the function's docstring; a test holds them together.
    """

    import_path: str
    help: str


LazyGroup = Mapping[str, Mapping[str, LazyCommand]]
"""Commands by name, below the heading that help shows them under."""


def make_lazy_app(
    commands: LazyGroup, help: str, *, old_names: Mapping[str, str] | None = None, **options: Any
) -> typer.Typer:
    """Builds a command group that imports a command only when it is run or its help is shown.

    Args:
        commands: The commands in the order of the help.
        help: What the group is about, in one line.
        old_names: Earlier names of commands, each with the new one.
        options: Further arguments of `typer.Typer`.

    Returns:
        The group.
    """

    class Group(_Group):
        import_paths: ClassVar[Mapping[str, str]] = {
            name: command.import_path for entries in commands.values() for name, command in entries.items()
        }
        renamed: ClassVar[Mapping[str, str]] = old_names or {}

    group = typer.Typer(
        cls=Group,
        help=help,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings=CONTEXT_SETTINGS,
        **options,
    )
    for heading, entries in commands.items():
        for name, command in entries.items():
            group.command(name, help=command.help, rich_help_panel=heading)(_placeholder)
    return group


def load_command(import_path: str) -> Callable[..., None] | typer.Typer:
    """Imports the function or command group at `module:name`.

    Args:
        import_path: `module:name`.

    Returns:
        The function or command group.
    """
    module, _, name = import_path.partition(":")
    loaded: Callable[..., None] | typer.Typer = getattr(import_module(module), name)
    return loaded


def _remembering_arguments(command: Callable[..., None]) -> Callable[..., None]:
    """Wraps a command so that its outputs are compared with its inputs."""

    @wraps(command)
    def run(**values: Any) -> None:
        from maskfit.cli.command_inputs import command_arguments

        with command_arguments(values):
            command(**values)

    return run


def _placeholder() -> None:
    """Placeholder for a command until it is run."""


def _warn(line: str) -> None:
    # Not through rich, which takes longer to import than most commands take to fail.
    if not is_quiet():
        print(f"note: {line}", file=sys.stderr)


def _command_name(ctx: Any) -> str:
    """The words of a command behind the program, whose own name may be several: `python -m maskfit`."""
    words: list[str] = []
    while getattr(ctx, "parent", None) is not None:
        words.insert(0, str(ctx.info_name))
        ctx = ctx.parent
    return " ".join(words)


def _flags(ctx: Any) -> set[str]:
    """The options of a command that take no value."""
    options = [option for option in getattr(getattr(ctx, "command", None), "params", ()) if _is_flag(option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def _is_flag(option: Any) -> bool:
    return bool(getattr(option, "is_flag", False) or getattr(option, "count", False))


class _Group(TyperGroup):
    """Lists placeholders with a name and one line of help, and imports the command that is run."""

    import_paths: ClassVar[Mapping[str, str]]
    renamed: ClassVar[Mapping[str, str]]

    # Typer's classes of contexts and formatters moved between its versions: hence Any.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Shows the help where no command is given."""
        return super().parse_args(ctx, args if args or ctx.resilient_parsing else ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Finds the command that the arguments begin with; shell completion calls it too."""
        if args and args[0] in self.renamed:
            new = self.renamed[args[0]]
            _warn(f"'{ctx.command_path} {args[0]}' is now '{ctx.command_path} {new}'")
            args = [new, *args[1:]]
        if " ".join(args[:2]) in self.commands:
            # A command of two words beside one of its first word: `evaluate scenes` beside `evaluate`.
            args = [" ".join(args[:2]), *args[2:]]
        name, command, rest = super().resolve_command(ctx, args)
        rest = upgrade_arguments(str(name), rest, _warn)
        if not ctx.resilient_parsing:
            check_foreign_options(_command_name(ctx) or str(name), rest)
        return name, command and self._load(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; a file that is cut off, of which Typer says no more than "Aborted.", is named.

        Typer's words about values of options lose what they take over from pydantic.
        """
        try:
            return super().invoke(ctx)
        except EOFError as error:
            hint = "restore the file"
            if "marshal" in str(error):
                # Python does not notice that a full disk cuts what it compiles, and reads it from then on.
                hint = "a full disk cut a compiled file of Python: remove the folders __pycache__ of the install"
            raise MaskfitError(f"a file ends too early: {error}", hint=hint) from error
        except Exception as error:
            # An error of usage, whose class has moved between versions of Typer.
            message = getattr(error, "message", None)
            if isinstance(message, str):
                from maskfit.text import without_pydantic_prefix

                error.message = without_pydantic_prefix(message)  # type: ignore[attr-defined]
            path = _command_name(getattr(error, "ctx", None))
            if refusal := explain_extra_arguments(path, str(message), sys.argv[1:]):
                raise refusal from None
            if getattr(getattr(error, "param", None), "opts", None) == ["--out"] and not message:
                raise explain_missing_out(path, sys.argv[1:], _flags(getattr(error, "ctx", None))) from None
            raise

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Completes single words: a shell would split a command of two."""
        return [item for item in super().shell_complete(ctx, incomplete) if " " not in item.value]

    def _load(self, name: str) -> Any:
        loaded = load_command(self.import_paths[name])
        if not isinstance(loaded, typer.Typer):
            single = typer.Typer(rich_markup_mode="markdown", add_completion=False)
            single.command(name)(_remembering_arguments(loaded))
            loaded = single
        command = typer.main.get_command(loaded)
        command.name = name
        if not isinstance(command, TyperGroup):
            from maskfit.cli.help_placeholders import set_placeholders

            command.params.extend(make_options())
            set_placeholders(command)
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints plain text: importing what Typer draws its boxes with takes longer than everything else here."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Prints the commands below their headings."""
        headings: dict[str, list[tuple[str, str]]] = {}
        widest = max(map(len, self.commands))
        for name, command in self.commands.items():
            heading = str(getattr(command, "rich_help_panel", None) or "Commands")
            headings.setdefault(heading, []).append((name.ljust(widest), command.help or ""))
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

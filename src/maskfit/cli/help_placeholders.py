"""What the help of a command shows for a value: `FILE`, not the type that Python knows it by."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

PLACEHOLDERS = {bool: "", str: "TEXT", int: "N", float: "NUMBER"}
"""Placeholder of a value by its type, where an option names none. A switch takes no value."""


def set_placeholders(command: Any) -> None:
    """Names the values of a command's options and arguments where Typer would name a type, as in `<int range>`.

    Args:
        command: A command of Typer's, whose class differs between its versions. It is changed.
    """
    for param in command.params:
        _set_placeholder(param)
    build_help_option = command.get_help_option

    def get_help_option(context: Any) -> Any:
        option = build_help_option(context)
        if option is not None:
            option.metavar = ""
        return option

    command.get_help_option = get_help_option


def _set_placeholder(param: Any) -> None:
    if param.param_type_name == "argument":
        # The name of an argument says what it is; the type beside it repeats it as `<list[str]>`.
        param.display_type_rich = lambda ctx: None
    elif param.metavar is None:
        param.metavar = "" if getattr(param, "is_flag", False) else _read_placeholder(param)


def _read_placeholder(param: Any) -> str | None:
    """The placeholder of a type; None where this version of Typer has words of its own."""
    descriptor = getattr(param, "type_descriptor", None)
    if descriptor is None:
        return None
    if descriptor.is_choice:
        return "|".join(str(getattr(choice, "value", choice)) for choice in descriptor.choices)
    annotation: Any = descriptor.annotation
    if get_origin(annotation) is list:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, Path):
        return "PATH"
    return PLACEHOLDERS.get(annotation)

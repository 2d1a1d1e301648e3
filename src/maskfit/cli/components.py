"""`maskfit components`: what a recipe or command can name, with options, defaults, ranges and sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import out, print_json, print_table
from maskfit.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maskfit.component_catalog import ComponentInfo, ComponentKind


def components(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="A kind, such as loss, head, augmentation, optimizer; or any name, option or recipe key to look up."
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="A component of the kind.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print docs/components.md: all components on a page.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List what a recipe or command can name: options, defaults, ranges, papers, a line to copy.

    Kinds: losses, heads, augmentations, optimizers, schedules, samplers, crops, detectors, test-time views, votes and
    others. Another word is looked up as a name or an option of any kind, and as a recipe key.

    Examples:

        maskfit components

        maskfit components loss

        maskfit components loss ldam

        maskfit components momentum

        maskfit components trainer.epochs
    """
    from maskfit.component_catalog import component_kinds, find_kind, get_component, list_components

    if markdown:
        from maskfit.component_page import to_markdown

        print(to_markdown(), end="")
        return
    if kind is None:
        _print_kinds(json)
        return
    found = find_kind(kind)
    if found is None:
        if name is not None:
            raise RecipeError(f"there is no kind '{kind}'; {did_you_mean(kind, component_kinds())}")
        _look_up(kind, json)
    elif name is not None:
        component = get_component(found, name)
        if json:
            print_json(component.to_dict())
        else:
            _print_component(found, component)
    elif json:
        print_json([component.to_dict() for component in list_components(found)])
    else:
        _print_kind(found, list_components(found))


def _print_kinds(json: bool) -> None:
    from maskfit.component_catalog import component_kinds, list_components

    kinds = component_kinds().values()
    if json:
        print_json({kind.name: [component.to_dict() for component in list_components(kind)] for kind in kinds})
        return
    rows = [(kind.name, kind.setting, ", ".join(kind.entry.table)) for kind in kinds]
    print_table("components by kind", ["kind", "set by", "names"], rows)
    out.print("next: maskfit components KIND, maskfit components KIND NAME", soft_wrap=True)


def _print_kind(kind: ComponentKind, listed: Sequence[ComponentInfo]) -> None:
    out.print(kind.summary, soft_wrap=True)
    rows = [
        (
            component.name,
            component.summary,
            ", ".join(f"{option.name}={option.default}" for option in component.options),
        )
        for component in listed
    ]
    default = f", default {kind.default}" if kind.default else ""
    print_table(f"{kind.setting}{default}", ["name", "what it is", "options"], rows)


def _print_component(kind: ComponentKind, component: ComponentInfo) -> None:
    from maskfit.component_catalog import format_implied

    out.print(f"{kind.setting}: {component.name}", style="bold", soft_wrap=True)
    for text in (component.summary, component.details):
        if text:
            out.print(text, soft_wrap=True)
    if component.papers:
        out.print(f"paper: {'; '.join(component.papers)}", soft_wrap=True)
    if component.projects:
        out.print(f"source project: {', '.join(component.projects)}", soft_wrap=True)
    if component.other_names:
        named = [f"{name}{format_implied(implied)}" for name, implied in component.other_names.items()]
        out.print(f"also read: {', '.join(named)}", soft_wrap=True)
    rows = [
        (option.name, option.type, "required" if option.default is None else option.default, option.range, option.text)
        for option in component.options
    ]
    if rows:
        print_table("", ["option", "type", "default", "range", "meaning"], rows)
    out.print(f"copy: {component.line}", soft_wrap=True)


def _look_up(word: str, json: bool) -> None:
    """Prints what a word may mean.

    Raises:
        RecipeError: Nothing has that name.
    """
    from maskfit.component_catalog import component_kinds, format_implied, search_components
    from maskfit.recipe_keys import find_recipe_keys, list_recipe_keys
    from maskfit.registry import fold_name

    found, lines = search_components(word)
    keys = find_recipe_keys(word)
    if not found and not lines and not keys:
        names = [name for kind in component_kinds().values() for name in (kind.name, *kind.entry.table)]
        names += [item.key for item in list_recipe_keys()]
        raise RecipeError(f"'{word}' is no kind, component, option or recipe key; {did_you_mean(word, names)}")
    if json:
        components = [component.to_dict() for component in found]
        print_json({"components": components, "settings": lines, "keys": [vars(item) for item in keys]})
        return
    if keys:
        rows = [(item.key, item.value.replace("`", ""), item.default, item.range, item.text) for item in keys]
        print_table("recipe keys", ["key", "value", "default", "range", "meaning"], rows)
    for line in lines:
        out.print(line, soft_wrap=True)
    kinds = component_kinds()
    for component in found:
        setting = kinds[component.kind].setting
        others = {fold_name(name): (name, implied) for name, implied in component.other_names.items()}
        if fold_name(word) in others:
            name, implied = others[fold_name(word)]
            out.print(f"{setting}={name} is read as {component.name}{format_implied(implied)}", soft_wrap=True)
        elif fold_name(word) == fold_name(component.name):
            out.print(f"{setting}={component.name}: {component.summary}", soft_wrap=True)
        for option in component.options:
            if fold_name(option.name) == fold_name(word):
                out.print(f"{setting} {component.name} has the option {option.name}: {option.text}", soft_wrap=True)

"""Parts: what a recipe names and a table builds.

A table is one plain dict from a name to a class or function; it stands in one visible place of its room. A recipe says
`name` and options; the options are the arguments of that class or function, their defaults those of its signature. A
recipe or a model file can name nothing that stands in no table, so it can never name code to run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from maskfit.errors import RecipeError, did_you_mean, format_list

Registry = Mapping[str, Callable[..., Any]]


class RegistryEntry(NamedTuple):
    """A place in a recipe that holds a part: the table it is looked up in, and what the builder supplies itself."""

    table: Registry
    injected_arguments: tuple[str, ...] = ()


class ComponentSpec(BaseModel):
    """A name in a table, and options for what stands there.

    Written as `cross_entropy`, or as a mapping with the options beside the name:
    `{name: cross_entropy, smoothing: 0.1}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "name" in value and set(value) != {"name", "options"}:
            options = {key: item for key, item in value.items() if key != "name"}
            return {"name": value["name"], "options": options}
        if isinstance(value, Mapping) and value and "name" not in value:
            option = next(iter(value))
            raise ValueError(f"'{option}' needs the name of a part beside it, as in {{name: ..., {option}: ...}}")
        return value

    @field_validator("options")
    @classmethod
    def _plain(cls, options: dict[str, Any]) -> dict[str, Any]:
        # YAML and JSON know no tuples: a part must equal the one that is read back from a file.
        return {name: _listed(value) for name, value in options.items()}

    @model_serializer
    def _to_short_form(self) -> Any:
        return {"name": self.name, **self.options} if self.options else self.name

    def __hash__(self) -> int:
        # Equal parts have equal options; options may hold lists, which have no hash of their own.
        return hash((self.name, tuple(sorted(self.options))))

    @classmethod
    def create(cls, name: str, **options: Any) -> Self:
        """A part in one call: `Part.of("cosine", warmup=2)`."""
        return cls(name=name, options=options)


def instantiate(table: Registry, part: ComponentSpec, **given: Any) -> Any:
    """Builds what `part` names: `table[part.name](**given, **part.options)`.

    Args:
        table: Where the name is looked up.
        part: The name and the options.
        given: Arguments that the caller, not the recipe, supplies; they are no options.

    Raises:
        RecipeError: The name or an option is unknown, or an option is missing or refused.
    """
    problems = validate_spec(table, part, given=given)
    if problems:
        raise RecipeError(format_list(problems) if len(problems) > 1 else problems[0])
    try:
        return table[part.name](**given, **part.options)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        # The options fitted the signature, so their values are what was refused.
        raise RecipeError(f"{part.name}: {error}") from error


def validate_spec(table: Registry, part: ComponentSpec, *, given: Iterable[str] = (), where: str = "") -> list[str]:
    """Everything wrong with a part before it is built, one line each; empty when it can be built.

    Args:
        table: Where the name is looked up.
        part: The name and the options.
        given: Names of the arguments that the caller supplies.
        where: The key in the recipe, put before each line.
    """
    lead = f"{where}: " if where else ""
    if part.name not in table:
        return [f"{lead}'{part.name}' is unknown; {did_you_mean(part.name, table)}"]
    parameters = inspect.signature(table[part.name]).parameters.values()
    options = {item.name: item for item in parameters if item.name not in set(given) and item.kind not in _STARRED}
    problems = [
        f"{lead}'{part.name}' needs the option '{name}'"
        for name, item in options.items()
        if item.default is inspect.Parameter.empty and name not in part.options
    ]
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters):
        return problems
    unknown = [name for name in part.options if name not in options]
    return [f"{lead}'{part.name}' has no option '{name}'; {did_you_mean(name, options)}" for name in unknown] + problems


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

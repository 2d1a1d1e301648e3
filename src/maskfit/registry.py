"""Components: what a recipe names and a registry builds.

A registry is a plain dict from a name to a class or function, defined in one visible place of its package. A recipe
gives a name and options; the options are the arguments of that class or function, with the defaults of its signature.
A recipe or model file can only name entries of a registry, so it can never name code to run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from maskfit.errors import RecipeError, did_you_mean, format_list

Registry = Mapping[str, Callable[..., Any]]
"""Component name -> class or function that builds it."""


class RegistryEntry(NamedTuple):
    """The registry of a recipe key.

    Attributes:
        table: Registry that the component's name is looked up in.
        injected_arguments: Arguments that the caller supplies, which are not options of the recipe.
    """

    table: Registry
    injected_arguments: tuple[str, ...] = ()


class ComponentSpec(BaseModel):
    """Name and options of a component.

    Written as `cross_entropy`, or as a mapping with the options next to the name:
    `{name: cross_entropy, smoothing: 0.1}`.

    Attributes:
        name: Key in a registry.
        options: Arguments of the class or function that it names.
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
            raise ValueError(f"option '{option}' has no component name; write {{name: ..., {option}: ...}}")
        return value

    @field_validator("options")
    @classmethod
    def _tuples_to_lists(cls, options: dict[str, Any]) -> dict[str, Any]:
        # YAML and JSON have no tuples: a spec must equal the one that is read back from a file.
        return {name: _to_lists(value) for name, value in options.items()}

    @model_serializer
    def _to_short_form(self) -> Any:
        return {"name": self.name, **self.options} if self.options else self.name

    def __hash__(self) -> int:
        # Option values may be lists, which are not hashable; equal specs still have equal hashes.
        return hash((self.name, tuple(sorted(self.options))))

    @classmethod
    def create(cls, name: str, **options: Any) -> Self:
        """Creates a spec in one call: `ComponentSpec.create("cosine", warmup=2)`.

        Args:
            name: Key in a registry.
            **options: Arguments of the class or function that it names.

        Returns:
            The spec.
        """
        return cls(name=name, options=options)


def instantiate(table: Registry, spec: ComponentSpec, /, **injected: Any) -> Any:
    """Builds a component: `table[spec.name](**injected, **spec.options)`.

    Args:
        table: Registry that the name is looked up in.
        spec: Name and options.
        **injected: Arguments that the caller supplies, not the recipe.

    Returns:
        The component.

    Raises:
        RecipeError: The name or an option is unknown, a required option is missing, or a value is refused.
    """
    problems = validate_spec(table, spec, injected=injected)
    if problems:
        raise RecipeError(format_list(problems) if len(problems) > 1 else problems[0])
    try:
        return table[spec.name](**injected, **spec.options)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        # The options match the signature, so a value was refused.
        raise RecipeError(f"{spec.name}: {error}") from error


def validate_spec(
    table: Registry, spec: ComponentSpec, *, injected: Iterable[str] = (), location: str = ""
) -> list[str]:
    """Finds every error in a spec without building the component.

    Args:
        table: Registry that the name is looked up in.
        spec: Name and options.
        injected: Names of the arguments that the caller supplies.
        location: Recipe key, prepended to each line.

    Returns:
        One line per error; empty where the component can be built.
    """
    prefix = f"{location}: " if location else ""
    if spec.name not in table:
        return [f"{prefix}'{spec.name}' is unknown; {did_you_mean(spec.name, table)}"]
    parameters = inspect.signature(table[spec.name]).parameters.values()
    options = {item.name: item for item in parameters if item.name not in set(injected) and item.kind not in _VARIADIC}
    problems = [
        f"{prefix}'{spec.name}' needs the option '{name}'"
        for name, item in options.items()
        if item.default is inspect.Parameter.empty and name not in spec.options
    ]
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters):
        return problems
    unknown = [name for name in spec.options if name not in options]
    return [
        f"{prefix}'{spec.name}' has no option '{name}'; {did_you_mean(name, options)}" for name in unknown
    ] + problems


def _to_lists(value: Any) -> Any:
    return [_to_lists(item) for item in value] if isinstance(value, tuple | list) else value


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

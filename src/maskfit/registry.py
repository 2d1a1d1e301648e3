"""Components: what a recipe names and a registry builds.

A registry is a plain dict from a name to a class or function, defined in one visible place of its package. A recipe
gives a name and options; the options are the arguments of that class or function, with the defaults of its signature.
A recipe or model file can only name entries of a registry, so it can never name code to run.
"""

from __future__ import annotations

import ast
import inspect
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache, partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer, model_validator

from maskfit.component_source import NotReadableError, read_docstring, read_signature, read_type_alias
from maskfit.errors import RecipeError, did_you_mean, format_list
from maskfit.text import format_validation_error

Registry = Mapping[str, Callable[..., Any]]
"""Component name -> class or function that builds it."""


class LazyComponent:
    """A class or function of maskfit that is imported when it is built; what it takes is read from its source.

    Args:
        path: `module:name` of the class or function.
        arguments: Its first arguments, which are no options.
    """

    def __init__(self, path: str, *arguments: Any) -> None:
        self.path = path
        self.arguments = arguments

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Builds the component.

        Args:
            args: Positional arguments after `arguments`.
            options: Keyword arguments.

        Returns:
            What the class or function returns.
        """
        return self.load()(*self.arguments, *args, **options)

    def load(self) -> Callable[..., Any]:
        """Imports the class or function.

        Returns:
            The class or function.
        """
        module, name = self.path.split(":")
        loaded: Callable[..., Any] = getattr(import_module(module), name)
        return loaded

    @property
    def __signature__(self) -> inspect.Signature:
        try:
            signature = read_signature(self.path)
        except NotReadableError:  # A program that was packed without its source.
            signature = inspect.signature(self.load())
        return signature.replace(parameters=list(signature.parameters.values())[len(self.arguments) :])

    @property
    def docstring(self) -> str:
        """The docstring of the class or function."""
        try:
            return read_docstring(self.path)
        except NotReadableError:
            return inspect.getdoc(self.load()) or ""


class RegistryEntry(NamedTuple):
    """The registry of a recipe key.

    Attributes:
        table: Registry that the component's name is looked up in.
        injected_arguments: Arguments that the caller supplies, which are not options of the recipe.
        nested: Options that are components themselves, each with its registry.
        find_problem: Finds what is wrong with a component's options together, or with options that its class or
            function hands on; None where there is nothing.
    """

    table: Registry
    injected_arguments: tuple[str, ...] = ()
    nested: Mapping[str, RegistryEntry] = MappingProxyType({})
    find_problem: Callable[[Mapping[str, Any]], str | None] | None = None


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


def find_name(table: Registry, name: str) -> str | None:
    """Finds the name of a component whatever its case and separators: `AdamW`, `Cross-Entropy`.

    Args:
        table: Registry that the name is looked up in.
        name: A name as a user writes it.

    Returns:
        The name in the registry; None where none or several are meant.
    """
    if name in table:
        return name
    found = [known for known in table if fold_name(known) == fold_name(name)]
    return found[0] if len(found) == 1 else None


def fold_name(name: str) -> str:
    """Removes what does not distinguish names: case, spaces, hyphens, underscores and dots.

    Args:
        name: A name as a user writes it.

    Returns:
        Lower-case letters and digits.
    """
    return re.sub(r"[^a-z0-9]+", "", name.casefold())


def normalize_spec(table: Registry, spec: ComponentSpec) -> ComponentSpec:
    """Writes the name of a component as the registry does.

    Args:
        table: Registry that the name is looked up in.
        spec: Name and options.

    Returns:
        The spec; unchanged where the name is unknown.
    """
    name = find_name(table, spec.name)
    return spec if name in (None, spec.name) else spec.model_copy(update={"name": name})


def instantiate(table: Registry, spec: ComponentSpec, /, **injected: Any) -> Any:
    """Builds a component: `table[spec.name](**injected, **spec.options)`.

    Args:
        table: Registry that the name is looked up in, whatever its case.
        spec: Name and options.
        **injected: Arguments that the caller supplies, not the recipe.

    Returns:
        The component.

    Raises:
        RecipeError: The name or an option is unknown, a required option is missing, or a value is refused.
    """
    spec = normalize_spec(table, spec)
    problems = validate_spec(table, spec, injected=injected)
    if problems:
        raise RecipeError(format_list(problems) if len(problems) > 1 else problems[0])
    try:
        return table[spec.name](**injected, **spec.options)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        # The options match the signature, so a value was refused.
        reason = format_validation_error(error) if isinstance(error, ValidationError) else str(error)
        raise RecipeError(f"{spec.name}: {reason}") from error


def validate_spec(
    table: Registry,
    spec: ComponentSpec,
    *,
    injected: Iterable[str] = (),
    location: str = "",
    check_values: bool = False,
    further_names: Iterable[str] = (),
) -> list[str]:
    """Finds errors in a spec without building the component.

    Args:
        table: Registry that the name is looked up in, whatever its case.
        spec: Name and options.
        injected: Names of the arguments that the caller supplies.
        location: Recipe key, prepended to each line.
        check_values: Whether to compare values with the types and the documented ranges of the options too;
            building the component does so anyway.
        further_names: Names that are known here and are no components, listed where a name is unknown.

    Returns:
        One line per error.
    """
    prefix = f"{location}: " if location else ""
    name = find_name(table, spec.name)
    if name is None:
        further = list(further_names)
        is_close = get_close_matches(spec.name, further, cutoff=0.5)
        known = f"known: {', '.join(further)}" if is_close else did_you_mean(spec.name, [*table, *further])
        return [f"{prefix}'{spec.name}' is unknown; {known}"]
    component = table[name]
    parameters = inspect.signature(component).parameters.values()
    options = {item.name: item for item in parameters if item.name not in set(injected) and item.kind not in _VARIADIC}
    problems = [
        f"{prefix}'{name}' needs the option '{option}'"
        for option, item in options.items()
        if item.default is inspect.Parameter.empty and option not in spec.options
    ]
    if check_values:
        documented = option_docs(component)
        problems += [
            f"{prefix}'{name}': {option} {problem}, got {value!r:.60}"
            for option, value in spec.options.items()
            if option in options
            and (problem := check_value(_annotation(component, options[option]), documented.get(option, ""), value))
        ]
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters):
        return problems
    unknown = [option for option in spec.options if option not in options]
    return [f"{prefix}'{name}' has no option '{option}'; {did_you_mean(option, options)}" for option in unknown] + (
        problems
    )


def _annotation(component: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The type of an option; a name such as `Init` is replaced by the `Literal` that it stands for."""
    annotation = parameter.annotation
    if not isinstance(annotation, str) or not annotation.isidentifier():
        return annotation
    module, name = getattr(component, "__module__", ""), getattr(component, "__qualname__", "")
    try:
        meant = read_type_alias(
            component.path if isinstance(component, LazyComponent) else f"{module}:{name}", annotation
        )
    except NotReadableError:
        return annotation
    return meant if meant.startswith("Literal[") else annotation


def option_docs(component: Callable[..., Any]) -> dict[str, str]:
    """Reads what the docstring of a component says about each argument.

    Args:
        component: A value of a registry.

    Returns:
        Argument to its text in one line, from a Google docstring.
    """
    return parse_option_docs(docstring_of(component))


def docstring_of(component: Callable[..., Any]) -> str:
    """Reads the docstring of a component, without importing it where that is possible.

    Args:
        component: A value of a registry.

    Returns:
        The docstring without its indentation; empty where there is none.
    """
    return component.docstring if isinstance(component, LazyComponent) else inspect.getdoc(component) or ""


def parse_option_docs(text: str) -> dict[str, str]:
    """Parses what a Google docstring says about each argument.

    Args:
        text: The docstring.

    Returns:
        Argument to its text in one line.
    """
    # A dataclass may list its fields as attributes.
    section = [*re.split(r"\n(?:Args|Attributes):\n", text, maxsplit=1), ""][1]
    documented: dict[str, str] = {}
    name = ""
    for line in section.split("\n\n")[0].splitlines():
        if match := re.match(r" {4}\*{0,2}(\w+): (.*)", line):
            name, documented[match[1]] = match[1], match[2]
        elif name:
            documented[name] += f" {line.strip()}"
    return documented


def _to_lists(value: Any) -> Any:
    return [_to_lists(item) for item in value] if isinstance(value, tuple | list) else value


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"

_INTERVAL = re.compile(rf", (?:in )?([(\[])({_NUMBER}), ({_NUMBER})([)\]])")
"""As in "in [0, 1)"."""

_SPAN = re.compile(rf", (?:in )?({_NUMBER}) to ({_NUMBER})\b")
"""As in "0 to 1" or "in 32 to 1024", both included."""

_BOUND = re.compile(rf", (>=|<=|>|<) ({_NUMBER})\b")
"""As in "> 0"."""


def check_value(annotation: Any, documentation: str, value: Any) -> str | None:
    """Compares a value with the type and the range of an option.

    Args:
        annotation: The type, as text such as `float`, `Sequence[int]` or `Literal["a", "b"]`; a type that this module
            does not know accepts everything.
        documentation: What the docstring says about the option; its first clause may end in a range such as
            "in [0, 1)", "0 to 1" or "> 0", which every number of a list must be in.
        value: The value as read from YAML.

    Returns:
        What the value must be, such as "must be a number"; None where nothing is wrong.
    """
    kinds = _kinds(annotation) if isinstance(annotation, str) else ()
    if kinds and not any(contains(value) for _, contains in kinds):
        return f"must be {' or '.join(dict.fromkeys(words for words, _ in kinds))}"
    if (found := _range(documentation)) is None:
        return None
    words, contains = found
    numbers = [item for item in (value if isinstance(value, list | tuple) else [value]) if _is_number(item)]
    return None if all(contains(number) for number in numbers) else f"must be {words}"


def describe_range(documentation: str) -> str:
    """Returns the range in what a docstring says about an option.

    Args:
        documentation: The text, as for `check_value`.

    Returns:
        Such as "in [0, 1)" or "> 0"; empty where there is none.
    """
    found = _range(documentation)
    return found[0] if found else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


_TYPES: dict[str, Callable[[Any], bool]] = {
    "int": _is_integer,
    "float": lambda value: _is_number(value) and math.isfinite(value),
    "bool": lambda value: isinstance(value, bool),
    "str": lambda value: isinstance(value, str),
    "None": lambda value: value is None,
    "floats": _is_list_of(_is_number),
    "ints": _is_list_of(_is_integer),
    "strs": _is_list_of(lambda value: isinstance(value, str)),
}

_WORDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a word",
    "None": "empty",
    "floats": "a list of numbers",
    "ints": "a list of integers",
    "strs": "a list of words",
}


@lru_cache(maxsize=256)
def _kinds(annotation: str) -> tuple[tuple[str, Callable[[Any], bool]], ...]:
    """Words and check of each type that an annotation is a union of; empty where a part of it is not known here."""
    kinds: list[tuple[str, Callable[[Any], bool]]] = []
    nodes = [ast.parse(annotation, mode="eval").body]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            nodes += [node.right, node.left]
            continue
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            choices = ast.literal_eval(node.slice)
            choices = choices if isinstance(choices, tuple) else (choices,)
            kinds += [(str(item), partial(operator.eq, item)) for item in choices]
            continue
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("list", "Sequence", "tuple"):
            items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            kind = {"float": "floats", "int": "ints", "str": "strs"}.get(ast.unparse(items[0]), "")
        else:
            kind = ast.unparse(node)
        if kind not in _TYPES:
            return ()
        kinds.append((_WORDS[kind], _TYPES[kind]))
    return tuple(kinds)


@lru_cache(maxsize=256)
def _range(documentation: str) -> tuple[str, Callable[[float], bool]] | None:
    """The range in the first clause of a text, in words and as a test."""
    clause = re.split(r"; |\. ", documentation)[0]
    if match := _INTERVAL.search(clause):
        opening, low, high, closing = match.groups()
        first, last = float(low), float(high)
        return (
            f"in {opening}{low}, {high}{closing}",
            lambda value: (
                (first <= value if opening == "[" else first < value)
                and (value <= last if closing == "]" else value < last)
            ),
        )
    if match := _SPAN.search(clause):
        first, last = float(match[1]), float(match[2])
        return f"in {match[1]} to {match[2]}", lambda value: first <= value <= last
    if match := _BOUND.search(clause):
        sign, bound = match[1], float(match[2])
        return f"{sign} {match[2]}", lambda value: {
            ">=": value >= bound,
            "<=": value <= bound,
            ">": value > bound,
            "<": value < bound,
        }[sign]
    return None

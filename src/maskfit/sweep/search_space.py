"""The search space of a sweep: recipe keys with ranges or choices, read from YAML.

```yaml
optimizer.lr: {low: 1e-5, high: 1e-2, log: true}   # a range of floats
trainer.batch_size: {low: 16, high: 64, step: 16}  # a range of integers, because all three numbers are
augmentation: [light, none]                        # choices
loss:                                              # choices of components, some with options that vary too
  - cross_entropy
  - {name: focal, gamma: {low: 0.5, high: 4.0}}
  - {name: ldam, margin: {choices: [0.3, 0.5]}}
```
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from maskfit.config.aliases import upgrade_recipe, warn_once
from maskfit.config.loader import parse_yaml_value
from maskfit.errors import RecipeError, format_list

Scalar = str | int | float | bool | None


class Trial(Protocol):
    """The part of Optuna's trials that draws values."""

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Any:
        """Draws one of several choices.

        Args:
            name: Name of the parameter.
            choices: The choices.

        Returns:
            One of them.
        """
        ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """Draws an integer.

        Args:
            name: Name of the parameter.
            low: Lower end.
            high: Upper end, inclusive.
            step: Distance between values.
            log: Whether to draw uniformly on a log scale.

        Returns:
            The integer.
        """
        ...

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        """Draws a float.

        Args:
            name: Name of the parameter.
            low: Lower end.
            high: Upper end, inclusive.
            step: Distance between values; None for a continuous range.
            log: Whether to draw uniformly on a log scale.

        Returns:
            The float.
        """
        ...


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, inclusive; integers if both ends and the step are integers.

    Attributes:
        low: Lower end.
        high: Upper end, > `low`.
        step: Distance between values, counted from `low`; None for a continuous range, or 1 for integers.
        log: Whether values are drawn uniformly on a log scale; excludes `step`.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether its values are integers."""
        return all(isinstance(item, int) for item in (self.low, self.high, self.step or 1))

    def suggest(self, name: str, trial: Trial) -> float:
        """Draws a value.

        Args:
            name: Name of the parameter in the study.
            trial: The trial.

        Returns:
            The value.
        """
        if self.is_integer:
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, float(self.low), float(self.high), step=self.step, log=self.log)

    def bounds(self) -> list[float]:
        """Returns the values at which the recipe is validated.

        Returns:
            Both ends.
        """
        return [self.low, self.high]

    def cardinality(self) -> int | None:
        """Counts the values.

        Returns:
            The number of values; None if the range is continuous.
        """
        step = self.step or (1 if self.is_integer else None)
        return None if step is None else round((self.high - self.low) / step) + 1


@dataclass(frozen=True)
class Option:
    """One of several choices.

    Attributes:
        label: Its name in the study and in tables.
        value: Value in the recipe.
        nested: Options of the component that vary too if it is chosen, by name.
    """

    label: Scalar
    value: Any
    nested: Mapping[str, Dimension] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """Two or more values without an order.

    Attributes:
        options: The choices.
    """

    options: tuple[Option, ...]

    def suggest(self, name: str, trial: Trial) -> Any:
        """Draws a choice, and values for its nested options.

        Args:
            name: Name of the parameter in the study.
            trial: The trial.

        Returns:
            The value for the recipe.
        """
        label = trial.suggest_categorical(name, [option.label for option in self.options])
        option = next(item for item in self.options if _equal(item.label, label))
        drawn = {key: nested.suggest(f"{name}.{label}.{key}", trial) for key, nested in option.nested.items()}
        return {**option.value, **drawn} if drawn else option.value

    def bounds(self) -> list[Any]:
        """Returns the values at which the recipe is validated.

        Returns:
            Every choice. One with nested options comes once per end of each of these; the other nested options are at
            their first value.
        """
        found: list[Any] = []
        for option in self.options:
            firsts = {key: nested.bounds()[0] for key, nested in option.nested.items()}
            ends = [(key, end) for key, nested in option.nested.items() for end in nested.bounds()]
            found += [{**option.value, **firsts, key: end} for key, end in ends] or [option.value]
        return found

    def cardinality(self) -> int | None:
        """Counts the choices, each with all values of its nested options.

        Returns:
            The number of combinations; None if a nested option is continuous.
        """
        each = [_product([nested.cardinality() for nested in option.nested.values()]) for option in self.options]
        return None if None in each else sum(count for count in each if count is not None)


Dimension = Range | Choice


def _product(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else math.prod(count for count in counts if count is not None)


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        dimensions: By recipe key; a component comes before its options, which then override the component's.
        text: The YAML text.
    """

    dimensions: Mapping[str, Dimension]
    text: str = ""

    def draw(self, trial: Trial) -> dict[str, Any]:
        """Draws a trial's values.

        Args:
            trial: The trial.

        Returns:
            Recipe key -> value.
        """
        return {key: dimension.suggest(key, trial) for key, dimension in self.dimensions.items()}

    def cardinality(self) -> int | None:
        """Counts the different trials.

        Returns:
            The number of combinations of values; None if a range is continuous.
        """
        return _product([dimension.cardinality() for dimension in self.dimensions.values()])

    def parameters(self) -> dict[str, Dimension]:
        """Returns everything that is drawn, by its name in the study.

        Returns:
            Recipe key -> dimension, followed by nested options as `KEY.LABEL.OPTION`.
        """
        return {name: item for key, top in self.dimensions.items() for name, item in _with_nested(key, top)}


def to_overrides(values: Mapping[str, Any]) -> list[str]:
    """Returns values as `key=value` overrides of a recipe.

    Args:
        values: Recipe key -> JSON value.

    Returns:
        The overrides, in order.
    """
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def read_space(path: Path) -> Space:
    """Reads a search space.

    Args:
        path: The YAML file.

    Returns:
        The space.

    Raises:
        RecipeError: The file cannot be read, or all errors in it together, one per line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = parse_yaml_value(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"the search space cannot be read: {error}", location=path, hint="check the path of --space"
        ) from None
    except ValueError as error:
        raise RecipeError(f"invalid YAML: {error}", location=path, hint="correct the line named above") from None
    if not isinstance(values, Mapping) or not values:
        raise RecipeError(
            "a search space must be a mapping from recipe keys to ranges or choices",
            location=path,
            hint="write it like optimizer.lr: {low: 1e-5, high: 1e-2, log: true}",
        )
    problems: list[str] = []
    by_key = {_current_key(str(key)): value for key, value in values.items()}
    # Components first: `optimizer` chooses the component whose option `optimizer.lr` overrides.
    keys = sorted(by_key, key=lambda key: key.count("."))
    found = {key: _read_dimension(key, by_key[key], problems) for key in keys}
    if problems:
        raise RecipeError(format_list(problems), location=path, hint="correct the lines above; no trial was started")
    return Space({key: item for key, item in found.items() if item is not None}, text)


def _current_key(key: str) -> str:
    """The current name of a recipe key; an old one is warned about, as in a recipe."""
    marker = object()
    nested: Any = marker
    for name in reversed(key.split(".")):
        nested = {name: nested}
    return next(path for path, value in _leaves("", upgrade_recipe(nested, warn_once)) if value is marker)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for name, inner in value.items():
        yield from _leaves(f"{path}.{name}" if path else name, inner)


def _with_nested(name: str, dimension: Dimension) -> list[tuple[str, Dimension]]:
    found: list[tuple[str, Dimension]] = [(name, dimension)]
    for option in dimension.options if isinstance(dimension, Choice) else ():
        for key, nested in option.nested.items():
            found += _with_nested(f"{name}.{option.label}.{key}", nested)
    return found


def _read_dimension(key: str, value: Any, problems: list[str]) -> Dimension | None:
    if isinstance(value, Mapping) and set(value) == {"choices"}:
        value = value["choices"]
    if isinstance(value, list):
        return _read_choice(key, value, problems)
    if isinstance(value, Mapping) and {"low", "high"} & set(value):
        return _read_range(key, value, problems)
    problems.append(f"{key}: must be a list of choices or a range like {{low: 0, high: 1}}, got {value!r:.60}")
    return None


def _read_range(key: str, value: Mapping[str, Any], problems: list[str]) -> Range | None:
    unknown = sorted(set(map(str, value)) - {"low", "high", "step", "log"})
    found = [f"{key}: unknown '{name}'; a range has low, high, step and log" for name in unknown]
    found += [f"{key}: the range has no '{name}'" for name in ("low", "high") if name not in value]
    for name in ("low", "high", "step"):
        number = value.get(name, 1)
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            found.append(f"{key}: {name} must be a number, got {number!r:.60}")
    if not isinstance(value.get("log", False), bool):
        found.append(f"{key}: log must be true or false, got {value['log']!r:.60}")
    if not found:
        item = Range(**{str(name): number for name, number in value.items()})
        found = [f"{key}: {line}" for line in _inconsistencies(item)]
        if not found:
            return item
    problems += found
    return None


def _inconsistencies(item: Range) -> list[str]:
    """Errors in a range whose values have the right types."""
    if not item.low < item.high:
        return [f"low must be < high, got low={item.low:g}, high={item.high:g}"]
    found = []
    if item.log and item.low <= 0:
        found.append(f"low must be > 0 with log: true, got low={item.low:g}")
    if item.log and item.step is not None:
        found.append("step and log: true exclude each other")
    if item.step is not None and item.step <= 0:
        found.append(f"step must be > 0, got step={item.step:g}")
    elif item.step is not None and not _divides(item.step, item.high - item.low):
        found.append(f"high - low must be a multiple of step, got {item.low:g}, {item.high:g} and step={item.step:g}")
    return found


def _divides(step: float, span: float) -> bool:
    ratio = span / step
    return math.isfinite(ratio) and math.isclose(ratio, round(ratio), rel_tol=1e-9) and round(ratio) > 0


def _read_choice(key: str, values: Sequence[Any], problems: list[str]) -> Choice | None:
    options = [_read_option(key, value, problems) for value in values]
    if len(options) < 2:
        problems.append(f"{key}: needs at least two choices; set a single value in the recipe")
        return None
    labels = [json.dumps(option.label, ensure_ascii=False) for option in options]
    duplicates = sorted({label for label in labels if labels.count(label) > 1})
    if duplicates:
        problems.append(f"{key}: duplicate choice {', '.join(duplicates)}")
        return None
    return Choice(tuple(options))


def _read_option(key: str, value: Any, problems: list[str]) -> Option:
    if not isinstance(value, Mapping):
        is_scalar = value is None or isinstance(value, str | int | float | bool)
        return Option(value if is_scalar else json.dumps(value, ensure_ascii=False, default=str), value)
    varied = {name: item for name, item in value.items() if _is_dimension(item)}
    fixed = {str(name): item for name, item in value.items() if name not in varied}
    label = str(fixed.get("name", "")) or json.dumps(fixed, ensure_ascii=False, default=str)
    rest = [f"{name}={item}" for name, item in fixed.items() if name != "name"] if "name" in fixed else []
    found = {str(name): _read_dimension(f"{key}.{label}.{name}", item, problems) for name, item in varied.items()}
    nested = {name: item for name, item in found.items() if item is not None}
    return Option(" ".join([label, *rest]), fixed, nested)


def _is_dimension(value: Any) -> bool:
    """Whether an option of a component is a range or a list of choices; a bare list is a value."""
    return isinstance(value, Mapping) and bool({"low", "high", "choices"} & set(value))


def _equal(first: Scalar, other: Scalar) -> bool:
    """Whether two scalars are equal and of the same type: 1 is not true."""
    return type(first) is type(other) and first == other

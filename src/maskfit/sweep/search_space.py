"""The space of a sweep: which keys of a recipe are tried with which values, as YAML says it.

```yaml
optimizer.lr: {low: 1e-5, high: 1e-2, log: true}   # a range of numbers
trainer.batch_size: {low: 16, high: 64, step: 16}  # whole numbers, since all of these are
augmentation: [light, none]                        # choices
loss:                                              # choices of parts, some with options that are searched themselves
  - cross_entropy
  - {name: focal, gamma: {low: 0.5, high: 4.0}}
  - {name: ldam, margin: {choices: [0.3, 0.5]}}
```
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from maskfit.config.loader import parse_value
from maskfit.errors import RecipeError, format_list

Scalar = str | int | float | bool | None


class Trial(Protocol):
    """What draws the values: one of Optuna's trials."""

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones where both and the step are.

    Attributes:
        step: Only `low` and whole steps above it.
        log: Evenly over the logarithm: as many tries between 0.001 and 0.01 as between 0.01 and 0.1.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it gives whole numbers."""
        return all(isinstance(item, int) for item in (self.low, self.high, self.step or 1))

    def suggest(self, name: str, trial: Trial) -> float:
        """A trial's value."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, float(self.low), float(self.high), step=self.step, log=self.log)

    def bounds(self) -> list[float]:
        """Values that a check should try."""
        return [self.low, self.high]

    def cardinality(self) -> int | None:
        """How many numbers it has; None where there is no end of them."""
        step = self.step or (1 if self.whole else None)
        return None if step is None else round((self.high - self.low) / step) + 1


@dataclass(frozen=True)
class Option:
    """One of several choices.

    Attributes:
        label: What tables and the study call it.
        value: What stands in the recipe.
        inner: Options of the part that are searched as well where it is chosen.
    """

    label: Scalar
    value: Any
    inner: Mapping[str, Dimension] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """Two values or more, without an order."""

    options: tuple[Option, ...]

    def suggest(self, name: str, trial: Trial) -> Any:
        """A trial's value."""
        label = trial.suggest_categorical(name, [option.label for option in self.options])
        option = next(item for item in self.options if _same(item.label, label))
        drawn = {key: inner.suggest(f"{name}.{label}.{key}", trial) for key, inner in option.inner.items()}
        return {**option.value, **drawn} if drawn else option.value

    def bounds(self) -> list[Any]:
        """Every choice; of options that are searched, with each end of one beside the first of the others."""
        found: list[Any] = []
        for option in self.options:
            firsts = {key: inner.bounds()[0] for key, inner in option.inner.items()}
            ends = [(key, end) for key, inner in option.inner.items() for end in inner.bounds()]
            found += [{**option.value, **firsts, key: end} for key, end in ends] or [option.value]
        return found

    def cardinality(self) -> int | None:
        """How many choices there are, with all that is searched in each; None where there is no end of them."""
        each = [_product([inner.cardinality() for inner in option.inner.values()]) for option in self.options]
        return None if None in each else sum(count for count in each if count is not None)


Dimension = Range | Choice


def _product(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else math.prod(count for count in counts if count is not None)


@dataclass(frozen=True)
class Space:
    """What is tried.

    Attributes:
        dimensions: By key of the recipe; a part stands before its options, so that these are laid over it.
        text: The file as it was written.
    """

    dimensions: Mapping[str, Dimension]
    text: str = ""

    def draw(self, trial: Trial) -> dict[str, Any]:
        """A trial's values by key of the recipe."""
        return {key: dimension.suggest(key, trial) for key, dimension in self.dimensions.items()}

    def points(self) -> int | None:
        """How many different trials there can be; None where there is no end of them."""
        return _product([dimension.cardinality() for dimension in self.dimensions.values()])

    def names(self) -> dict[str, Dimension]:
        """Everything that is drawn, by the study's name for it: options of a part are behind its label."""
        return {name: item for key, top in self.dimensions.items() for name, item in _named(key, top)}


def to_overrides(values: Mapping[str, Any]) -> list[str]:
    """Values as the words `key=value` that lay them over a recipe."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def read_space(path: Path) -> Space:
    """Reads a space.

    Raises:
        RecipeError: Every mistake at once, one line each.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = parse_value(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the space cannot be read: {error}", location=path, hint="check the path") from None
    except ValueError as error:
        raise RecipeError(f"this is no YAML: {error}", location=path, hint="mend the line it names") from None
    if not isinstance(values, Mapping) or not values:
        raise RecipeError(
            "a space is a mapping of keys of a recipe to ranges or choices",
            location=path,
            hint="write it like optimizer.lr: {low: 1e-5, high: 1e-2, log: true}",
        )
    problems: list[str] = []
    # Short keys first: `optimiser` chooses the part over which `optimizer.lr` is laid.
    keys = sorted(map(str, values), key=lambda key: key.count("."))
    by_key = {str(key): value for key, value in values.items()}
    found = {key: _dimension(key, by_key[key], problems) for key in keys}
    if problems:
        raise RecipeError(format_list(problems), location=path, hint="mend the lines above; nothing was tried")
    return Space({key: item for key, item in found.items() if item is not None}, text)


def _named(name: str, dimension: Dimension) -> list[tuple[str, Dimension]]:
    found: list[tuple[str, Dimension]] = [(name, dimension)]
    for option in dimension.options if isinstance(dimension, Choice) else ():
        for key, inner in option.inner.items():
            found += _named(f"{name}.{option.label}.{key}", inner)
    return found


def _dimension(key: str, value: Any, problems: list[str]) -> Dimension | None:
    if isinstance(value, Mapping) and set(value) == {"choices"}:
        value = value["choices"]
    if isinstance(value, list):
        return _choice(key, value, problems)
    if isinstance(value, Mapping) and {"low", "high"} & set(value):
        return _range(key, value, problems)
    shown = f"{value!r:.60}"
    problems.append(f"{key}: a list of choices, or a range like {{low: 0, high: 1}}, should stand here, not {shown}")
    return None


def _range(key: str, value: Mapping[str, Any], problems: list[str]) -> Range | None:
    strange = sorted(set(map(str, value)) - {"low", "high", "step", "log"})
    found = [f"{key}: a range has low, high, step and log, no '{name}'" for name in strange]
    found += [f"{key}: the range has no '{name}'" for name in ("low", "high") if name not in value]
    for name in ("low", "high", "step"):
        number = value.get(name, 1)
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            found.append(f"{key}: {name} should be a number, not {number!r:.60}")
    if not isinstance(value.get("log", False), bool):
        found.append(f"{key}: log should be true or false, not {value['log']!r:.60}")
    if not found:
        found = [f"{key}: {line}" for line in _crooked(Range(**{str(name): item for name, item in value.items()}))]
    problems += found
    return None if found else Range(**{str(name): item for name, item in value.items()})


def _crooked(item: Range) -> list[str]:
    """What is wrong with a range of which each number is one."""
    if not item.low < item.high:
        return [f"low={item.low:g} must lie below high={item.high:g}"]
    found = []
    if item.log and item.low <= 0:
        found.append(f"a range over the logarithm begins above 0, not at {item.low:g}")
    if item.log and item.step is not None:
        found.append("a range has a step or log, not both")
    if item.step is not None and item.step <= 0:
        found.append(f"step={item.step:g} must be above 0")
    elif item.step is not None and not _divides(item.step, item.high - item.low):
        found.append(f"high={item.high:g} is no whole number of steps of {item.step:g} above low={item.low:g}")
    return found


def _divides(step: float, span: float) -> bool:
    return math.isclose(span / step, round(span / step), rel_tol=1e-9) and round(span / step) > 0


def _choice(key: str, values: Sequence[Any], problems: list[str]) -> Choice | None:
    options = [_option(key, value, problems) for value in values]
    if len(options) < 2:
        problems.append(f"{key}: one choice is no choice; set it in the recipe, or name another one")
        return None
    labels = [json.dumps(option.label, ensure_ascii=False) for option in options]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        problems.append(f"{key}: {', '.join(twice)} stands twice")
        return None
    return Choice(tuple(options))


def _option(key: str, value: Any, problems: list[str]) -> Option:
    if not isinstance(value, Mapping):
        simple = value is None or isinstance(value, str | int | float | bool)
        return Option(value if simple else json.dumps(value, ensure_ascii=False, default=str), value)
    searched = {name: item for name, item in value.items() if _is_searched(item)}
    fixed = {str(name): item for name, item in value.items() if name not in searched}
    label = str(fixed.get("name", "")) or json.dumps(fixed, ensure_ascii=False, default=str)
    rest = [f"{name}={item}" for name, item in fixed.items() if name != "name"] if "name" in fixed else []
    found = {str(name): _dimension(f"{key}.{label}.{name}", item, problems) for name, item in searched.items()}
    inner = {name: item for name, item in found.items() if item is not None}
    return Option(" ".join([label, *rest]), fixed, inner)


def _is_searched(value: Any) -> bool:
    """Whether an option of a part is a range or a list of choices; a bare list is a value."""
    return isinstance(value, Mapping) and bool({"low", "high", "choices"} & set(value))


def _same(first: Scalar, other: Scalar) -> bool:
    """Equal and of one type: 1 is not true."""
    return type(first) is type(other) and first == other

"""A space against its recipe, before the first trial: every mistake that can be seen without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.errors import RecipeError, format_list
from maskfit.registry import RegistryEntry
from maskfit.sweep.search_space import Space, to_overrides

_JUDGED = "trials are compared, so all of them must be judged on the same photos of the same persons"
_SAME = "it changes nothing that could be better or worse"

FIXED: dict[str, str] = {
    **dict.fromkeys(
        (
            "data.path",
            "data.label_schema",
            "data.label_corrections",
            "data.known_label_errors",
            "folds",
            "fold",
            "holdout",
        ),
        _JUDGED,
    ),
    "trainer.seed": "the split follows from it, and the best of many seeds is luck",
    **dict.fromkeys(
        (
            "name",
            "about",
            "card",
            "run",
            "data.cache_dir",
            "trainer.loggers",
            "trainer.save_top_k",
            "trainer.parallel_folds",
            "trainer.devices",
            "trainer.num_nodes",
        ),
        _SAME,
    ),
}
"""Keys that no space may hold, and why."""


def validate_space(
    space: Space, source: str, words: Sequence[str], slots: Mapping[str, RegistryEntry], *, where: str = ""
) -> None:
    """Lays each end of every range and each choice over the recipe, and reads it.

    Args:
        space: What is tried.
        source: The recipe, as `read_recipe` takes it.
        words: What is laid over the recipe before.
        slots: The tables of parts.
        where: The space's file, for the message.

    Raises:
        RecipeError: Every mistake at once, one line each.
    """
    problems = []
    for key in space.dimensions:
        fixed = next((name for name in FIXED if key == name or key.startswith(f"{name}.")), None)
        if fixed is not None:
            problems.append(f"{key}: no space may hold '{fixed}': {FIXED[fixed]}")
            continue
        problems += _refusals(space, key, source, words, slots)
    if problems:
        raise RecipeError(
            format_list(list(dict.fromkeys(problems))), location=where, hint="mend the lines above; nothing was tried"
        )


def max_epochs(space: Space, recipe: Recipe) -> int:
    """The most epochs that a trial can have."""
    found = space.dimensions.get("trainer.epochs")
    return int(max([recipe.trainer.epochs] if found is None else found.bounds()))


def _refusals(
    space: Space, key: str, source: str, words: Sequence[str], slots: Mapping[str, RegistryEntry]
) -> Iterator[str]:
    """What the recipe says to each end of a dimension, also over each choice of the part whose option it is."""
    parts = [name for name in space.dimensions if key.startswith(f"{name}.")]
    below: list[dict[str, Any]] = [{part: end} for part in parts for end in space.dimensions[part].bounds()]
    for under in below or [{}]:
        for end in space.dimensions[key].bounds():
            try:
                read_recipe(source, [*words, *to_overrides({**under, key: end})], slots=slots)
            except RecipeError as error:
                yield from (_told(key, line.removeprefix("- ")) for line in error.message.splitlines())


def _told(key: str, line: str) -> str:
    return line if line.startswith(key.split(".")[0]) else f"{key}: {line}"
